/* file_map.h -- a file as a Span, mapped read-only.
 *
 * A regular file is mapped; its pages are read as they are touched. An empty file is a Span of zero
 * bytes. A file that is cut short by another process while it is mapped raises SIGBUS when touched,
 * as with every mmap: readers check all sizes against span.bytes, which was true when it was opened.
 */
#ifndef BASE_FILE_MAP_H
#define BASE_FILE_MAP_H

#include "base/error.h"
#include "base/span.h"

typedef struct FileMap {
    Span span;
} FileMap;

Err file_map_init(FileMap *, const char *path, Error *err);   /* NOT_FOUND, IO_FAILED: names the path */
void file_map_deinit(FileMap *);
/* All of it will be read: the system may bring it in huge pages, which are mapped at once instead of one by one. */
void file_map_expect(const FileMap *);
/* Its pages count as this process's memory no more; touched again, they come back from the file. The part-th of `parts`
 * pieces of it, for threads that share the work. */
void file_map_let_go(const FileMap *, int part, int parts);

bool file_exists(const char *path);        /* any kind */
bool directory_exists(const char *path);

#endif

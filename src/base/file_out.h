/* file_out.h -- a file that appears whole, or not at all.
 *
 *     path.part-4711-0     written, bit by bit
 *     path                 the old file, or none, until file_out_commit() renames
 *
 * A full disk, a crash or an error on the way leaves what was at `path` as it was. Only regular
 * files are replaced: a device or a pipe at `path` is refused, since a rename would remove it.
 */
#ifndef BASE_FILE_OUT_H
#define BASE_FILE_OUT_H

#include "base/error.h"

typedef struct FileOut FileOut;

Err folders_make(const char *path, Error *err);    /* those that the file of this path lies in */

Err file_out_new(const char *path, FileOut **out, Error *err);
Err file_out_put(FileOut *, const void *data, size_t bytes, Error *err);
Err file_out_zeros(FileOut *, size_t bytes, Error *err);
uint64_t file_out_bytes(const FileOut *);      /* put so far */
const char *file_out_path(const FileOut *);    /* for messages */

/* Each ends the FileOut. */
Err file_out_commit(FileOut *, Error *err);    /* safe on the disk and renamed, or removed */
void file_out_drop(FileOut *);                 /* removed; NULL is allowed */

#endif

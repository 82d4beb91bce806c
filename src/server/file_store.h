/* file_store.h -- files that callers gave or were given, in a directory that outlives the server.
 *
 *     DIR/file-5f3a...        the bytes
 *     DIR/file-5f3a....json   {"id", "owner", "filename", "purpose", "bytes", "created_at"}
 *
 * The bytes are written first, each file whole or not at all (base/file_out.h): a file is there once its .json is.
 * What a crash left half done is removed at the next start. An owner sees their own files only, and can fill
 * neither the disk nor the list beyond a share. Any thread may call.
 */
#ifndef SERVER_FILE_STORE_H
#define SERVER_FILE_STORE_H

#include "base/file_map.h"
#include "base/file_out.h"
#include "server/random_id.h"

enum { FILE_OWNER_BYTES = 64, FILE_TITLE_BYTES = 256, FILE_PURPOSE_BYTES = 32 };
enum { STORED_FILES_MAX = 20000, OWNED_FILES_MAX = 2000 };
#define OWNED_BYTES_MAX ((int64_t)16 << 30)

typedef struct StoredFile {
    char id[RANDOM_ID_BYTES];
    char owner[FILE_OWNER_BYTES];
    char filename[FILE_TITLE_BYTES], purpose[FILE_PURPOSE_BYTES];
    int64_t bytes, created_at;         /* Unix time */
} StoredFile;

typedef struct FileStore FileStore;

Err file_store_open(FileStore **, const char *directory, Error *);   /* made if it is not there */
void file_store_close(FileStore *);                                  /* NULL is allowed */

/* The caller says whose it is, its names and, where it has one, its id; an id that is there already is replaced.
 * LIMIT_REACHED: the owner has too many, or too much. *about is completed. */
Err file_store_begin(FileStore *, StoredFile *about, FileOut **, Error *);
Err file_store_commit(FileStore *, StoredFile *about, FileOut *, Error *);   /* ends the FileOut */
Err file_store_add(FileStore *, StoredFile *about, Span content, Error *);   /* both, of bytes that are there */

bool file_store_find(FileStore *, const char *owner, const char *id, StoredFile *out);
Err file_store_map(FileStore *, const StoredFile *, FileMap *, Error *);
bool file_store_delete(FileStore *, const char *owner, const char *id);

/* Of one owner, in order of creation or, `newest` first, against it; purpose NULL: all. after: the id of the last one
 * that the caller has, NULL: from the start. Returns how many; *more: there are others behind. */
typedef struct FileQuery { const char *owner, *purpose, *after; bool newest; } FileQuery;
int file_store_list(FileStore *, const FileQuery *, StoredFile *out, int most, bool *more);

/* A directory and what is above it. */
Err directory_make(const char *path, Error *);

#endif

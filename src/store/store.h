/* store.h -- the tensors of a model: names, and where their bytes lie in mapped files.
 *
 *     directory with model.safetensors.index.json   the shards that it names
 *               with model.safetensors              that file
 *               with one *.safetensors              that file
 *               with one *.gguf, split or not       that file
 *     file.safetensors, file.gguf                   that file
 *     file-00002-of-00003.gguf                      all three
 *
 * Whatever the kind of file, a tensor has a name, a format, dimensions written outermost first
 * ([rows, width]; GGUF stores them the other way round) and a Span of the mapping. Nothing is
 * copied or converted. A Store knows no model: what a name means is decided above it.
 *
 * Nothing in a file is trusted. When store_open() says OK, every tensor lies within its file, has
 * as many bytes as its dimensions and format ask for, shares no byte with another, and has a name
 * of its own. What the numbers are is only looked at by store_check() (store_check.h).
 *
 * A Store never changes after it was opened, so threads may share it. `bytes.data` has whatever
 * alignment the file gives it (32 bytes or more in a GGUF, none in an old safetensors file).
 */
#ifndef STORE_STORE_H
#define STORE_STORE_H

#include "base/span.h"
#include "core/format.h"
#include "store/gguf.h"

typedef struct Store Store;

enum {
    STORE_DIMS = 8,              /* more than a Tensor has: other tensors lie near weights */
    STORE_NAME_BYTES_MAX = 255,
};

typedef struct StoreFile {
    const char *path;            /* for messages */
    Span bytes;
    size_t tensors;
    uint64_t data_at;            /* where the tensors' bytes begin */
    uint32_t alignment;          /* of the tensors; 1: none */
    bool packed;                 /* tensors without a hole up to the end, as in safetensors */
} StoreFile;

typedef struct StoreTensor {
    const char *name;
    const Format *format;
    int64_t dim[STORE_DIMS];     /* outermost first; unused ones are 1 */
    int dims;                    /* 0: a single number */
    Span bytes;
    const StoreFile *file;
    uint64_t offset;             /* of `bytes` in the file */
} StoreTensor;

/* Err: NOT_FOUND (path, shard), BAD_FILE, UNSUPPORTED, LIMIT_REACHED, NO_MEMORY, IO_FAILED. */
Err store_open(const char *path, Store **out, Error *err);
/* A whole .gguf or .safetensors file that is in memory, and stays there as long as the Store. */
Err store_open_bytes(Span file, const char *what, Store **out, Error *err);
void store_free(Store *);        /* NULL is allowed */
/* All its bytes will be read, soon. */
void store_expect(const Store *);
/* Its bytes were read and will hardly be read again: files' pages leave this process's memory. They may still be read.
 * The part-th of `parts` equal shares of it, for threads that do it together. */
void store_let_go(const Store *, int part, int parts);

/* Before anybody else has the Store: every tensor gets the name that `rename` puts into `out`, or is left out where
 * it says false. Two that would get the same name are refused; the Store can only be freed then. */
typedef bool (*StoreRename)(const char *name, char out[STORE_NAME_BYTES_MAX + 1]);
Err store_rename(Store *, StoreRename, Error *err);

/* In the order of the files and of the bytes in them. */
size_t store_count(const Store *);
const StoreTensor *store_at(const Store *, size_t index);
const StoreTensor *store_find(const Store *, const char *name);   /* NULL: absent */
size_t store_number(const Store *, const StoreTensor *);          /* below store_count(): for tables beside it */

size_t store_file_count(const Store *);
const StoreFile *store_file(const Store *, size_t index);

const Gguf *store_gguf(const Store *);                    /* the first file's; NULL: safetensors */
const char *store_text(const Store *, const char *key);   /* of __metadata__; NULL: absent */

static inline int64_t store_tensor_width(const StoreTensor *t)
{
    return t->dims ? t->dim[t->dims - 1] : 1;
}
static inline int64_t store_tensor_elems(const StoreTensor *t)
{
    int64_t elems = 1;           /* cannot overflow: checked when the file was opened */
    for (int d = 0; d < t->dims; d++)
        elems *= t->dim[d];
    return elems;
}

#endif

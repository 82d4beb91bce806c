/* gguf.h -- the metadata of a GGUF file, by key.
 *
 *     | "GGUF" | u32 version | u64 tensors | u64 keys |
 *     | key, u32 type, value | ...                            <- this page
 *     | name, u32 dims, u64 dim[], u32 type, u64 offset | ...    (gguf_tensors.c)
 *     | zeros up to a multiple of general.alignment | data |
 *
 *     string   | u64 bytes | bytes |
 *     array    | u32 type | u64 count | values |              may hold arrays
 *
 * Values stay where they lie: opening a file with a vocabulary of 256k strings steps over them once
 * and stores nothing. Getters convert between integer types where the value fits, never otherwise.
 *
 * A getter answers NOT_FOUND when the key is absent and BAD_FILE when its value is of another type
 * or does not fit; both name the file and the key. Where a key is optional, ask gguf_has() first.
 */
#ifndef STORE_GGUF_H
#define STORE_GGUF_H

#include "base/error.h"
#include "base/span.h"

typedef struct Gguf Gguf;

typedef enum GgufType {
    GGUF_U8, GGUF_I8, GGUF_U16, GGUF_I16, GGUF_U32, GGUF_I32, GGUF_F32, GGUF_BOOL,
    GGUF_STRING, GGUF_ARRAY, GGUF_U64, GGUF_I64, GGUF_F64,
} GgufType;

enum {
    GGUF_TYPES = 13,
    GGUF_KEY_BYTES_MAX = 65535,     /* the specification's */
    GGUF_ARRAY_DEPTH_MAX = 4,
    GGUF_ALIGNMENT_MAX = 1 << 20,
};

/* `count` values of `type`, one after another in `bytes`, checked to lie there whole. */
typedef struct GgufArray {
    GgufType type;
    uint64_t count;
    Span bytes;
} GgufArray;

/* A key and its value as they lie in the file: for listings, and to copy them to another file. */
typedef struct GgufEntry {
    Span key;
    GgufType type;
    Span value;
} GgufEntry;

uint32_t gguf_version(const Gguf *);
size_t gguf_count(const Gguf *);
GgufEntry gguf_at(const Gguf *, size_t index);       /* in the order of the file */
const GgufEntry *gguf_find(const Gguf *, const char *key);   /* NULL: absent */
bool gguf_has(const Gguf *, const char *key);

Err gguf_u64(const Gguf *, const char *key, uint64_t *out, Error *err);
Err gguf_i64(const Gguf *, const char *key, int64_t *out, Error *err);
Err gguf_f64(const Gguf *, const char *key, double *out, Error *err);     /* integers too */
Err gguf_bool(const Gguf *, const char *key, bool *out, Error *err);
Err gguf_string(const Gguf *, const char *key, Span *out, Error *err);    /* no zero behind it */

Err gguf_strings(const Gguf *, const char *key, GgufArray *out, Error *err);
Err gguf_integers(const Gguf *, const char *key, GgufArray *out, Error *err);   /* booleans too */
Err gguf_floats(const Gguf *, const char *key, GgufArray *out, Error *err);     /* integers too */

/* The next string of an array from gguf_strings(); `reader` starts as {array.bytes, 0}. */
bool gguf_next_string(Reader *, Span *out);
/* An element of gguf_integers() (a u64 above 2^63 - 1 becomes that), and one of gguf_floats(). */
int64_t gguf_array_i64(const GgufArray *, uint64_t index);
double gguf_array_f64(const GgufArray *, uint64_t index);

const char *gguf_type_name(GgufType);
size_t gguf_type_bytes(GgufType);    /* of one value; 0: strings and arrays */

#endif

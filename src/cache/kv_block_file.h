/* kv_block_file.h -- one block of a past as a file: what it is of, and its keys, values and states.
 *
 *      0  "ridgekv1"
 *      8  u32 tokens of the block, u32 groups (bit g: those of group g are there)
 *     16  u64 bytes of the content
 *     24  name [32]      of all tokens from the beginning to the end of this block (kv_files.h)
 *     56  parent [32]    the same to its beginning
 *     88  u64 checksum of the content
 *     96  u64 checksum of all that stands before it and of the tokens
 *    104  i32 tokens
 *     ..  content: group by group, layer by layer, keys and then values; or the states
 *
 * Numbers are as the machine has them: a file of another byte order has another first number and is refused.
 * A file that is cut short, damaged or another's is told from a good one, whatever its bytes.
 */
#ifndef CACHE_KV_BLOCK_FILE_H
#define CACHE_KV_BLOCK_FILE_H

#include "base/error.h"
#include "base/sha256.h"
#include "cache/prefix_index.h"

typedef Digest KvName;

/* What a block of each group takes; fixed at start. */
typedef struct KvBlockShape {
    int32_t block_tokens, groups;
    int64_t group_bytes[KV_GROUPS_MAX];
} KvBlockShape;

/* A block in host memory, on its way to a file or from one. */
typedef struct KvUnit {
    KvName name, parent;
    uint32_t groups;           /* that `bytes` holds, in ascending order */
    int32_t *tokens;           /* [block_tokens] */
    uint8_t *bytes;            /* as many as all groups take */
} KvUnit;

size_t kv_unit_bytes(const KvBlockShape *, uint32_t groups);
uint64_t kv_file_bytes(const KvBlockShape *, uint32_t groups);

/* Whole or not at all. */
Err kv_block_file_write(const char *path, const KvBlockShape *, const KvUnit *, Error *);
/* name, parent and tokens say what is looked for; fills groups and bytes. NOT_FOUND, IO_FAILED; BAD_FILE: says what
 * is wrong with it. */
Err kv_block_file_read(const char *path, const KvBlockShape *, KvUnit *, Error *);

#endif

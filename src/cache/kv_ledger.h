/* kv_ledger.h -- what the past costs, in blocks and bytes, before a byte of it is taken.
 *
 * Layers that keep the same part of the past form a group; each group has its own blocks, and a block
 * of a group holds block_tokens positions of all its layers:
 *
 *     layer   0 window 512    1 full    2 window 512    3 alias of 1    4 none
 *             \______ group 0 ________/ (blocks for the last 512 positions of a sequence)
 *                             \_ group 1 (blocks for all positions) _/  3 owns nothing, reads 1's
 *
 * A sequence of T tokens holds ceil(T / block_tokens) blocks of a full group, and of a window's at
 * most what the window and the rows of one step can touch, however long it grows.
 *
 * States of fixed size (core/kv_view.h) are one more group, the last. A block of it is a slot: the
 * whole state of one sequence, of all layers that have one. A sequence may need two at a time: the one
 * that a step goes on from, if that has to stay as it is, and the one that the step leaves. What is
 * beyond two per sequence keeps snapshots: states at a block's boundary, from which others go on.
 *
 *     slots    0   1   2   3   4   5   6   7   8       two sequences, five snapshots
 *              A           B   B'  s1  s2  s1  s3
 *
 * Pure arithmetic: `ridge inspect` asks it about models that are not running, the cache and the
 * admission of requests are built on it. All sizes are fixed at start; nothing here changes later.
 */
#ifndef CACHE_KV_LEDGER_H
#define CACHE_KV_LEDGER_H

#include "cache/prefix_index.h"
#include "core/format.h"
#include "model/kv_layout.h"

typedef struct KvOptions {
    const Format *format;      /* of the keys and values: any that can be written, and whose blocks a head fills */
    int32_t block_tokens;
    int32_t sequences;         /* that may hold blocks at the same time */
    int32_t context;           /* positions that one sequence may have */
    int32_t rows;              /* positions that one step may add */
    int64_t tokens;            /* positions that all sequences may hold together; 0: sequences * context */
    int64_t bytes;             /* instead of tokens: as many as fit into so much memory; 0: see tokens */
    int32_t state_snapshots;   /* states that are kept for others, beside those of the sequences; 0: none */
    int32_t state_interval;    /* tokens from one to the next; settled to whole blocks; 0: only where it matters most */
    uint64_t key;              /* of the prefix index */
} KvOptions;

typedef struct KvGroup {
    KvKind kind;               /* FULL, WINDOW, CHUNK, STATE */
    int32_t window;
    int32_t layers;            /* that own bytes in it */
    int64_t block_bytes;
    int32_t blocks;            /* in the pool; of states: slots */
} KvGroup;

typedef struct KvLedger {
    KvOptions options;         /* with `tokens` and `state_interval` settled */
    int32_t groups;
    int32_t paged;             /* groups of keys and values, which have tables; that of states, if any, comes after them */
    KvGroup group[KV_GROUPS_MAX];
    int16_t group_of[LAYERS_MAX];    /* of the keys and values; -1: the layer keeps none */
    int16_t owner_of[LAYERS_MAX];    /* itself, or the layer whose keys and values it reads */
    int64_t token_bytes;       /* by which each token of a sequence adds to the full groups */
    int64_t window_bytes;      /* the most that windows and chunks add to a sequence */
    int64_t state_bytes;       /* that the states add to a sequence, from its first token on */
    int64_t pool_bytes;        /* all groups together */
} KvLedger;

/* UNSUPPORTED, BAD_ARGUMENT: names the layer or the option, and the numbers. */
Err kv_ledger_init(KvLedger *, const KvLayout *, const KvOptions *, Error *);

/* The most blocks of a group that a sequence holds on its way to `tokens` tokens, `rows` a step. */
int32_t kv_ledger_blocks(const KvLedger *, int32_t group, int64_t tokens, int32_t rows);
/* ... in bytes while it generates, a row a step; of its states the one that it goes on from. */
int64_t kv_ledger_sequence_bytes(const KvLedger *, int64_t tokens);
int64_t kv_ledger_sequences(const KvLedger *, int64_t tokens);      /* how many such sequences fit at once */
int64_t kv_ledger_longest(const KvLedger *);                        /* tokens of the longest that fits alone */

static inline bool kv_ledger_has_states(const KvLedger *l) { return l->groups > l->paged; }

/* The first block of a group with tables that a row at `position` may look at. */
int32_t kv_group_first(const KvGroup *, int32_t position, int32_t block_tokens);

#endif

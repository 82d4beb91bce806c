/* kv_view.h -- what one layer sees of the cache during one step.
 *
 * The past of a sequence lies in blocks; its table says which block holds positions
 * [i * block_tokens, (i + 1) * block_tokens):
 *
 *     tables   seq 0   [ 7 | 2 | 9 |-1 ]      -1: not held (not written yet, or fallen out of the window)
 *              seq 1   [ 7 | 4 |-1 |-1 ]
 *
 *     k        [blocks, kv heads, block_tokens, key width]      so that the keys of one head and
 *     v        [blocks, kv heads, block_tokens, value width]    one block are one run of memory
 */
#ifndef CORE_KV_VIEW_H
#define CORE_KV_VIEW_H

#include "core/tensor.h"

typedef struct KvView {
    Tensor k, v;
    Tensor tables;         /* [seqs, blocks a sequence may have] I32 */
    Tensor positions;      /* [rows] I32: of the step's rows */
    Tensor row_seq;        /* [rows] I32: which table a row reads */
} KvView;

static inline int32_t kv_block_tokens(const KvView *view) { return view->k.dim[2]; }

#endif

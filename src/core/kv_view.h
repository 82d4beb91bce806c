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
 *
 * A layer may also keep a state of fixed size: what a scan or a convolution knows after the last row. A
 * state lies in a slot, and a step goes from one slot to another:
 *
 *     state    [slots, state width] F32        from   seq 0 [ 3 ]   to [ 3 ]    its own: goes on in place
 *                                                     seq 1 [ 5 ]      [ 1 ]    5 is kept as it is, for others
 *                                                     seq 2 [-1 ]      [ 4 ]    the beginning: all zeros
 *
 * An operation reads its columns of slot from[s], lets the rows of sequence s go by in order, and leaves
 * what it knows then in the same columns of slot to[s]: all of them, once per step. Slots with from = -1
 * are not cleared for it: it takes zeros. A sequence without rows in the step is in neither list.
 */
#ifndef CORE_KV_VIEW_H
#define CORE_KV_VIEW_H

#include "core/tensor.h"

typedef struct KvView {
    Tensor k, v;
    Tensor tables;         /* [seqs, blocks a sequence may have] I32 */
    Tensor positions;      /* [rows] I32: of the step's rows */
    Tensor row_seq;        /* [rows] I32, ascending: which table, and which state, a row reads */
    Tensor state;          /* [slots, state width] F32 */
    Tensor state_from, state_to;   /* [seqs] I32: slots; from -1: zeros */
} KvView;

/* What one operation sees of the states: some columns. `from` may equal `to`, row by row. */
typedef struct StateView {
    Tensor state;          /* [slots, width] F32 */
    Tensor from, to;       /* [seqs] I32 */
    Tensor row_seq;        /* [rows] I32 */
} StateView;

static inline int32_t kv_block_tokens(const KvView *view) { return view->k.dim[2]; }

/* Columns [first, first + width) of the layer's state. */
static inline StateView kv_state(const KvView *view, int32_t first, int32_t width)
{
    return (StateView){tensor_columns(view->state, first, width), view->state_from, view->state_to, view->row_seq};
}

#endif

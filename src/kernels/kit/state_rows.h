/* state_rows.h -- the rows of a step, sequence by sequence, for operations that keep a state.
 *
 * Such an operation has out = {y, state} and ends its inputs with {from, to, row_seq} (StateView in
 * core/kv_view.h). It goes through the rows of each sequence in order:
 *
 *     for (StateRun run = {0}; state_next(c, at, &run);)      at: which input `from` is
 *         state = run.from, or zeros; each of the run's rows; run.to = state
 *
 * run.from may be run.to. Different sequences may begin from the same slot, but no two end in the same
 * one, and none begins from a slot in which another ends: so they may be worked on in any order.
 */
#ifndef KERNELS_KIT_STATE_ROWS_H
#define KERNELS_KIT_STATE_ROWS_H

#include "core/op_call.h"
#include "kernels/kit/rows.h"

typedef struct StateRun {
    int32_t sequence;
    int64_t first, end;        /* its rows of the step */
    const float *from;         /* NULL: zeros, the beginning */
    float *to;
} StateRun;

static inline float *state_slot(Tensor state, int32_t slot)
{
    ASSERT(slot >= 0 && slot < state.dim[0]);
    return f32_row_out(state, slot);
}

/* The run after this one (all zeros: the first); false: there is none. */
static inline bool state_next(const OpCall *c, int at, StateRun *run)
{
    Tensor state = c->out[1], from = c->in[at], to = c->in[at + 1], row_seq = c->in[at + 2];
    int64_t rows = tensor_elems(row_seq);
    const int32_t *sequences = tensor_i32(row_seq);
    run->first = run->end;
    if (run->first == rows)
        return false;
    run->sequence = sequences[run->first];
    ASSERT(run->sequence >= 0 && run->sequence < tensor_elems(from) && tensor_elems(from) == tensor_elems(to));
    while (run->end < rows && sequences[run->end] == run->sequence)
        run->end++;
    int32_t slot = tensor_i32(from)[run->sequence];
    run->from = slot < 0 ? NULL : state_slot(state, slot);
    run->to = state_slot(state, tensor_i32(to)[run->sequence]);
    return true;
}

/* How many threads have enough to do where each takes columns of y, 16 or more, through all rows. */
static inline int64_t threads_by_columns(Tensor y)
{
    return min_i64(ceil_div(tensor_width(y), 16), tensor_elems(y) / ELEMS_PER_THREAD + 1);
}

/* Bytes that the states move: each sequence reads one (counted as if none began) and writes one. */
static inline double state_bytes_moved(const OpCall *c, int at)
{
    return 8 * (double)tensor_elems(c->in[at]) * (double)tensor_width(c->out[1]);
}

#endif

/* later_calls.h -- what nobody reads need not be written: what the calls that follow do with a tensor. */
#ifndef KERNELS_KIT_LATER_CALLS_H
#define KERNELS_KIT_LATER_CALLS_H

#include "kernels/kit/cuda_kernel.h"

static inline size_t bytes_from_first(Tensor t)
{
    return format_row_bytes(t.format, t.row_elems) * (size_t)(t.dim[0] - 1) + tensor_row_bytes(t);
}

/* Where b's columns begin in the rows of a, counted from a's first: rows of one step that lie in each other. -1: not so. */
static inline int64_t columns_apart(Tensor a, Tensor b)
{
    int64_t step = (int64_t)format_row_bytes(a.format, a.row_elems), bytes = (const uint8_t *)b.data - (const uint8_t *)a.data;
    if (a.format != b.format || a.row_elems != b.row_elems || step == 0)
        return -1;
    return (bytes % step + step) % step;
}

static inline bool lie_together(Tensor a, Tensor b)
{
    if (tensor_is_none(a) || tensor_is_none(b))
        return false;
    const uint8_t *a_at = (const uint8_t *)a.data, *b_at = (const uint8_t *)b.data;
    int64_t apart = columns_apart(a, b), step = (int64_t)format_row_bytes(a.format, a.row_elems);
    if (apart >= (int64_t)tensor_row_bytes(a) && apart + (int64_t)tensor_row_bytes(b) <= step)
        return false;
    return a_at < b_at + bytes_from_first(b) && b_at < a_at + bytes_from_first(a);
}

static inline bool same_rows(Tensor a, Tensor b)
{
    return a.data == b.data && a.format == b.format && a.dim[0] == b.dim[0] && a.row_elems == b.row_elems &&
           tensor_width(a) == tensor_width(b);
}

/* Whether all of t lies in `whole`, as columns of its rows or between its first byte and its last. */
static inline bool lies_in(Tensor t, Tensor whole)
{
    const uint8_t *at = (const uint8_t *)t.data, *from = (const uint8_t *)whole.data;
    int64_t apart = columns_apart(whole, t), row = (int64_t)tensor_row_bytes(whole);
    bool gapless = whole.dim[0] == 1 || whole.row_elems == tensor_width(whole);
    bool columns = gapless || (apart >= 0 && apart + (int64_t)tensor_row_bytes(t) <= row);
    return columns && at >= from && at + bytes_from_first(t) <= from + bytes_from_first(whole);
}

/* Whether one of these calls may read t before another writes all of it. What comes after them is not known: then yes. */
static inline bool is_read_later(const OpCall *c, int count, Tensor t)
{
    for (int i = 0; i < count; i++) {
        for (int j = 0; j < OP_INS; j++)
            if (lie_together(c[i].in[j], t))
                return true;
        for (int j = 0; j < OP_OUTS; j++)
            if (c[i].reads_out && lie_together(c[i].out[j], t))
                return true;
        for (int j = 0; j < OP_OUTS; j++)
            if (!tensor_is_none(c[i].out[j]) && lies_in(t, c[i].out[j]))
                return false;
    }
    return true;
}

#endif

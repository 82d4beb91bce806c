/* later_calls.h -- what nobody reads need not be written: what the calls that follow do with a tensor. */
#ifndef KERNELS_KIT_LATER_CALLS_H
#define KERNELS_KIT_LATER_CALLS_H

#include "kernels/kit/cuda_kernel.h"

static inline bool lie_together(Tensor a, Tensor b)
{
    if (tensor_is_none(a) || tensor_is_none(b))
        return false;
    const uint8_t *a_at = (const uint8_t *)a.data, *b_at = (const uint8_t *)b.data;
    size_t a_bytes = format_row_bytes(a.format, a.row_elems) * (size_t)a.dim[0];
    size_t b_bytes = format_row_bytes(b.format, b.row_elems) * (size_t)b.dim[0];
    return a_at < b_at + b_bytes && b_at < a_at + a_bytes;
}

static inline bool same_rows(Tensor a, Tensor b)
{
    return a.data == b.data && a.format == b.format && a.dim[0] == b.dim[0] && a.row_elems == b.row_elems &&
           tensor_width(a) == tensor_width(b);
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
            if (!tensor_is_none(c[i].out[j]) && same_rows(c[i].out[j], t))
                return false;
    }
    return true;
}

#endif

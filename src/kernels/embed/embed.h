/* embed.h
 *
 *     y[r][i] = factor * table[ids[r]][i]
 *
 * table: [vocabulary, width] of any format, on the CPU in plain rows or, where it is the last matrix of
 * the model as well, in panels; ids: [rows] I32, each in [0, vocabulary) (the engine looks at what comes
 * from outside; here it is an ASSERT), or, where short_table says so, any that is not negative: those beyond the
 * table mean row 0. y: [rows, width] F32.
 * Exact: the format's own decoding and one rounding, so every version gives the same bits.
 * Cost: rows width operations; reads rows of the table and 4 rows bytes, writes 4 rows width.
 */
#ifndef KERNELS_EMBED_EMBED_H
#define KERNELS_EMBED_EMBED_H

#include "kernels/cpu_kernel.h"
#include "kernels/kit/rows.h"
#include "kernels/op_spec.h"

static inline int32_t embed_id(const OpCall *c, int64_t r)
{
    int32_t id = tensor_i32(c->in[1])[r];
    if (c->embed.short_table && id >= c->in[0].dim[0])
        id = 0;
    ASSERT(id >= 0 && id < c->in[0].dim[0] && tensor_width(c->out[0]) == tensor_width(c->in[0]));
    return id;
}

#endif

/* cache_write.h -- the keys and values of a step's rows go to their places in the pool.
 *
 *     pool[tables[row_seq[r]][p / block_tokens]][h][p % block_tokens] = k[r][h],  p = positions[r]
 *
 * and the same with v. k: [rows, kv heads, key width] (or flat), v likewise, F32; the pools are
 * [blocks, kv heads, block_tokens, width] of any format that can be written; tables, positions,
 * row_seq as in core/kv_view.h. v and its pool may be NONE (a latent is its own value). The block must
 * be held (not -1), and no two rows may have the same place.
 * Exact: the format's own rounding, so every version gives the same bits.
 * Cost: no operations; reads 4 bytes a value, writes the value in the format of the pool.
 */
#ifndef KERNELS_CACHE_WRITE_CACHE_WRITE_H
#define KERNELS_CACHE_WRITE_CACHE_WRITE_H

#include "kernels/cpu_kernel.h"
#include "kernels/kit/kv_rows.h"
#include "kernels/kit/rows.h"
#include "kernels/op_spec.h"

/* One row of k or v into its pool, head by head through put(place, values, width). */
static inline void cache_write_row(const OpCall *c, int which, int64_t r,
                                   void (*put)(const Format *, void *, const float *, int32_t))
{
    Tensor pool = c->out[which], x = c->in[which], tables = c->in[2];
    int32_t position = tensor_i32(c->in[3])[r], sequence = tensor_i32(c->in[4])[r], width = pool.dim[3];
    ASSERT(sequence >= 0 && sequence < tables.dim[0]);
    ASSERT(position >= 0 && position / pool.dim[2] < tensor_width(tables));
    ASSERT(tensor_width(x) == (int64_t)pool.dim[1] * width);
    const int32_t *table = tensor_i32(tables) + sequence * tables.row_elems;
    for (int32_t h = 0; h < pool.dim[1]; h++)
        put(pool.format, kv_row(pool, table, h, position), f32_row(x, r) + (int64_t)h * width, width);
}

#endif

/* kv_rows.h -- where in the pool of the cache the key or value of a position lies (core/kv_view.h). */
#ifndef KERNELS_KIT_KV_ROWS_H
#define KERNELS_KIT_KV_ROWS_H

#include "core/kv_view.h"

/* table: the row of KvView.tables that belongs to the sequence. */
static inline uint8_t *kv_row(Tensor pool, const int32_t *table, int32_t head, int32_t position)
{
    int32_t tokens = pool.dim[2], block = table[position / tokens], slot = position % tokens;
    ASSERT(block >= 0 && block < pool.dim[0]);
    return (uint8_t *)tensor_row(pool, block) +
           ((size_t)head * (size_t)tokens + (size_t)slot) * format_row_bytes(pool.format, pool.dim[3]);
}

#endif

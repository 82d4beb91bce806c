/* attend_wgmma.h of emulated.h: the copy engine. Products by four warps are not emulated. */
#ifndef KERNELS_ATTEND_ATTEND_WGMMA_H
#define KERNELS_ATTEND_ATTEND_WGMMA_H

#include <cuda.h>

#include "kernels/attend/attend_mma.h"
#include "kernels/kit/async_cuda.h"

#define HOPPER 1
enum { ROW_BYTES = 128, ROW_NUMBERS = 64, EIGHT_ROWS = 8 * ROW_BYTES };

void emulated_box(unsigned to, const CUtensorMap *, const int64_t *at, unsigned barrier);

static inline void copy_pieces(unsigned to, const CUtensorMap *map, int row, int block, unsigned barrier)
{
    const int64_t at[4] = {0, row, 0, block};
    emulated_box(to, map, at, barrier);
}
static inline void put_zeros(unsigned at) { memset(emulated_place(at, 16), 0, 16); }
static inline void show_to_products() {}

#endif

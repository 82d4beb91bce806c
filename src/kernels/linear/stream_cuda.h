/* stream_cuda.h -- products of few rows on the GPU's tensor cores, at the speed at which memory gives the weights.
 *
 * The weights are cut into tiles of 256 outputs, tiles into units: 128 bytes of each of these rows, 32 KB. All units of all
 * products of a launch stand in one line, and each multiprocessor has one block of threads with an equal piece of it:
 *
 *     tile 0             tile 1             tile 2
 *     | 0 1 2 3 4 5 6 7 | 0 1 2 3 4 5 6 7 | 0 1 2 3 4 5 6 7 |
 *     [ block 0     ][ block 1     ][ block 2     ][ block 3 ]
 *
 * so that all end together, whatever the shapes. Units come by asynchronous copies, several ahead of what is multiplied, and
 * the first ones before the kernel that writes x has ended. Where a tile has several blocks, each writes its sums, and
 * the warp that comes last adds them, in the order of the blocks: the same bits at every run. A row's bits depend on
 * neither the number of rows nor the others.
 *
 * Floats: an x of f32 is three of bf16 that add up to it (kernels/linear/linear.cu); products of bf16 are exact in f32, and
 * sums are taken over 64 k in the tensor cores and beyond that by ordinary additions, which round to nearest.
 * Blocks: x in 8 bits (formats/a8/a8.h), exact sums of integers over 32 k, scaled in f32.
 */
#ifndef KERNELS_LINEAR_STREAM_CUDA_H
#define KERNELS_LINEAR_STREAM_CUDA_H

#include "kernels/linear/product_cuda.h"

enum {
    STREAM_WARPS = 16, STREAM_THREADS = 32 * STREAM_WARPS, STREAM_PIECES = 1 /* of 16 outputs: a warp's */,
    WARP_OUTS = 16 * STREAM_PIECES, TILE_OUTS = WARP_OUTS * STREAM_WARPS, UNIT_ROW_BYTES = 128,
    UNIT_BYTES = TILE_OUTS * UNIT_ROW_BYTES, STAGES_MAX = 4, STREAM_ROWS = 64,
    STREAM_BLOCKS_MAX = CUDA_COUNTERS / STREAM_WARPS, STREAM_SHARED_BYTES = 160 << 10 /* two stages of any kind */
};

typedef struct Stream {
    Product p[PRODUCTS];
    int tiles_end[PRODUCTS];       /* of the line of tiles */
    int units, chunks;             /* of all tiles; of one */
    int stages;                    /* units that a block has room for */
    const unsigned short *x;       /* floats: [part, row, in] bf16 */
    float4 *sums;                  /* of tiles that several blocks have: [block, 2, warp, piece, rows / 8, lane] */
    unsigned *counters;            /* [block, warp], zeros between launches */
} Stream;

/* How many rows a launch has, in eights: 1, 4 or 8. */
static inline int stream_eights(int rows) { return rows <= 8 ? 1 : rows <= 32 ? 4 : 8; }

/* Of a format that there is a way for, and lying as it must. */
bool stream_takes(const Product *, int n, WeightKind, const CudaRun *);
/* For the sums of tiles, beside what holds x. */
size_t stream_scratch(const Product *, const CudaRun *);
/* At most STREAM_ROWS rows. x: of floats, where stream_wants_parts(), the parts of p->x in bf16. Of blocks x is p->rounded. */
void stream_run(const Product *, int n, WeightKind, const unsigned short *x, void *sums, const CudaRun *);
static inline bool stream_wants_parts(int rows) { return rows > 8; }

void stream_floats(const Stream *, WeightKind, const CudaRun *);
void stream_blocks(const Stream *, WeightKind, const CudaRun *);

#endif

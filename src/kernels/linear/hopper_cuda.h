/* hopper_cuda.h -- products of up to 64 rows with weights of BF16, on Hopper, at the speed at which memory gives the weights.
 *
 * The weights are cut into tiles of outputs, tiles into units: 64 k of each of these outputs, and of x the same 64 k. All
 * units of all products of a launch stand in one line, and each multiprocessor has one block of threads with an equal piece:
 *
 *     tile 0             tile 1             tile 2
 *     | 0 1 2 3 4 5 6 7 | 0 1 2 3 4 5 6 7 | 0 1 2 3 4 5 6 7 |
 *     [ block 0     ][ block 1     ][ block 2     ][ block 3 ]
 *
 * so that all end together, whatever the shapes. One thread of a block asks the copy engine for units, as many ahead as
 * shared memory has room for, and the first weights before the kernel that writes x has ended. Two groups of four warps
 * multiply (wgmma), each half of a tile's outputs, with the sums in registers. Blocks that share a tile write their sums,
 * wait for each other, and each adds a share of the tile's rows in the order of the blocks: the same bits at every run.
 * Gate and up need no joining (hopper_gate.cu): each block has whole outputs of both.
 *
 * x is there in bf16: rounded, or in three parts that add up to an x of f32 (kernels/linear/parts_cuda.h), which are summed in
 * the same registers.
 */
#ifndef KERNELS_LINEAR_HOPPER_CUDA_H
#define KERNELS_LINEAR_HOPPER_CUDA_H

#include <cuda.h>

#include "kernels/linear/product_cuda.h"

enum { HOPPER_ROWS = 64, HOPPER_PARTS = 3 };
/* As many as are multiplied: 8, 16, 32 or 64. */
static inline int hopper_rows(int rows) { return rows <= 8 ? 8 : rows <= 16 ? 16 : rows <= 32 ? 32 : 64; }

/* The products can run so: rows of weights that begin at 16 bytes, few enough of x, a GPU that is a Hopper. */
bool hopper_takes(const Product *, int n, const CudaRun *);
size_t hopper_scratch(const Product *, const CudaRun *);      /* for `sums` */

/* x: [part, row, in] of bf16, in one part or HOPPER_PARTS. */
void hopper_run(const Product *, int n, const unsigned short *x, int parts, void *sums, const CudaRun *);
/* act(gate) * up of two products of one shape, as parts of bf16: h [part, row, out]. */
void hopper_gate(const Product *both, Activation, const unsigned short *x, int parts, unsigned short *h, const CudaRun *);

/* The same with weights of F16 or F8 (hopper_pairs.cu). x: [part, row, in] of f16, in two parts that add up; a row's sums are
 * multiplied by its factor. For F8 the words of each 16 numbers are crossed: even ones, then odd ones. */
void hopper_pairs(const Product *, int n, WeightKind, const unsigned short *x, const float *of_row, void *sums,
                  const CudaRun *);

/* Up to 64 rows of weights in planes of 4 to 8 bits (hopper_blocks.cu), where a row is whole units, 256 k or 512. x is rounded
 * to 8 bits, in the scratch. */
size_t blocks_scratch(const Product *, WeightKind, const CudaRun *);      /* for these rows or fewer */
bool blocks_run(const Product *, int n, WeightKind, const CudaRun *);     /* false: not these */

/* More rows than that (hopper_many.cu). x: [part, row, in], w: [part, out, in] of f16, in one part or two that add up. A row's
 * sums are multiplied by its factor, and by each output's. */
typedef struct Factors {
    const unsigned short *x;
    int x_parts, w_parts;
    const float *of_row, *of_output[PRODUCTS];      /* NULL: 1 */
    bool late;                 /* w is written by the kernel before */
} Factors;
bool hopper_takes_many(const Product *, int n, const CudaRun *);      /* whatever their weights are now */
void hopper_many(const Product *, int n, const Factors *, const CudaRun *);      /* all of y */
void hopper_many_gates(const Product *both, const Factors *, const CudaRun *);   /* silu(gate) * up where y of gate is */

/* Tiles of [layers, rows, 64] of a matrix [depth, height, width] of bf16 whose rows are row_bytes apart. */
void hopper_map(CUtensorMap *, const void *at, int width, int height, int depth, int64_t row_bytes, int rows, int layers);

#endif

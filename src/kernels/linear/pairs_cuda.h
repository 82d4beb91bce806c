/* pairs_cuda.h -- products of many rows on Hopper, as exact as their contracts say, by tensor cores that multiply f16.
 *
 * A number of f16 has 11 bits, so two of them, a pair, hold 22 of the 24 of an f32, which is nearer than sums of f32 are. But
 * f16 ends at 2^16, and below 2^-14 it loses bits: so each row of x is multiplied by a power of two that brings its largest
 * number to 2^13, and what is lost is 2^-38 of that. Rows of weights likewise; what they become depends on their format:
 *
 *     F16          as it is                                          x: pairs        two products
 *     BF16, F8     a number each: it has 8 bits, or 4                x: pairs        two products, where three parts of bf16
 *                                                                                    (parts_cuda.h) are three
 *     blocks       pairs, as d q - m has more than 11 bits           x in 8 bits,    three products: what two small numbers
 *                                                                    then as pairs   make is too little to count
 *     blocks, where bf16 is near enough: a number each               ... a number    one product
 *
 * Weights are written so for one call, behind x, which takes as long as reading them some times: worth it for many rows.
 *
 *     scratch   | x [part, row, in] | factors of rows | w of the first product [part, out, in] | factors of outputs | ...
 *
 * F16 and F8 go so from 2 rows on: up to 64 their weights are read as they are (hopper_pairs.cu).
 */
#ifndef KERNELS_LINEAR_PAIRS_CUDA_H
#define KERNELS_LINEAR_PAIRS_CUDA_H

#include "kernels/linear/product_cuda.h"

bool pairs_take(const Product *, int n, WeightKind, const CudaRun *);
/* A linear3 or gated_mlp with so many rows, or the most with which BF16 goes in parts still, which may need more scratch: steps
 * with fewer rows than were planned come too. */
OpCall pairs_before(const OpCall *);
size_t pairs_scratch(const Product *, int n, WeightKind, const CudaRun *);
bool pairs_run(const Product *, int n, WeightKind, const CudaRun *);      /* all of y; false: not these */
/* silu(gate) * up as rows of f32 where y of gate is. */
bool pairs_run_gates(const Product *both, WeightKind, const CudaRun *);

#endif

/* rope.h -- rotary positions (Su et al. 2021): turns pairs of values of each head, in place.
 *
 *     (a, b) <- (a cos - b sin, b cos + a sin)
 *
 * The pairs are values (i, i + dims/2) of a head, as Hugging Face has it, or, interleaved, (2i, 2i+1),
 * as the paper has it; i in [0, dims/2). Values from dims on stay.
 *
 * x: [rows, heads, width] F32, or [rows, width], which is one head; angles: [rows, dims], dims <= width,
 * as rope_angles.h makes them.
 * In f64 in the reference; a fast version may differ by 5e-7 of the largest value of the row.
 * Cost: 3 rows heads dims operations; reads and writes 4 rows heads dims bytes, reads 4 rows dims.
 */
#ifndef KERNELS_ROPE_ROPE_H
#define KERNELS_ROPE_ROPE_H

#include "kernels/cpu_kernel.h"
#include "kernels/kit/rows.h"
#include "kernels/op_spec.h"

#endif

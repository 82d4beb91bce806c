/* rope_angles.h -- the angles by which rope.h turns the heads of a row (Su et al. 2021, "RoFormer").
 *
 *     angles[r] = [ cos a_0 ... cos a_(dims/2 - 1) | sin a_0 ... sin a_(dims/2 - 1) ] * magnitude
 *     a_i = positions[r] * inv_freq[i]                      one rounding to F32, as Hugging Face has it
 *
 *     ROPE_FIXED      inv_freq: [1, dims/2], made when the model is read (plain, linear, llama3, YaRN)
 *     ROPE_DYNAMIC    up to original_length as FIXED; beyond it, for a sequence of length n,
 *                     inv_freq[i] = 1 / base'^(2i / dims), turning the way that inv_freq turns
 *                     base' = base (factor n / original_length - (factor - 1))^(dims / (dims - 2))
 *     ROPE_LONG       inv_freq: [2, dims/2], short and long; a sequence longer than original_length
 *                     takes the long row and magnitude_long (Ding et al. 2024, "LongRoPE")
 *
 * positions, lengths: [rows] I32; lengths is read by DYNAMIC and LONG only. angles: [rows, dims] F32.
 * cos and sin of the rounded angle in f64, then one rounding: right to the last bit but for rare ties,
 * at 1,000,000 as well; every version is this one.
 * Cost: 2 rows dims operations (a sine counts as one); reads 8 rows bytes and inv_freq, writes 4 rows dims.
 */
#ifndef KERNELS_ROPE_ANGLES_ROPE_ANGLES_H
#define KERNELS_ROPE_ANGLES_ROPE_ANGLES_H

#include "kernels/cpu_kernel.h"
#include "kernels/kit/rows.h"
#include "kernels/op_spec.h"

/* Rows [from, to). */
void rope_angles_range(const OpCall *, Range);

#endif

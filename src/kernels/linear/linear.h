/* linear.h
 *
 *     y[r][o] = sum_k round(x)[r][k] w[o][k] + bias[o]            (+ y[r][o] where the call reads its output)
 *
 * x: [rows, in] F32; w: [out, in] in any format that takes part in products; bias: [out] F32 or none;
 * y: [rows, out] F32, apart from x. round() is what the format of w says of its activations: nothing,
 * or A8 (formats/a8/a8.h): part of the meaning, the same on every tier.
 *
 * Summed in f64 in the reference. A fast version sums exact integers over 32 k (floats: single products)
 * in f32, k upwards; it may differ by 1e-5 of the largest |y| of the row.
 * Cost: 2 rows in out operations; reads the bytes of w once, 4 rows in of x, writes 4 rows out.
 */

/* wkv_scan.h -- the time mixing of RWKV-4: a mean of the values so far, weighted by e^k and by age
 * (Peng et al. 2023, "RWKV: Reinventing RNNs for the Transformer Era").
 *
 *     y[r] = (num + e^(first + k[r]) v[r]) / (den + e^(first + k[r]))
 *     num = e^decay num + e^k[r] v[r];   den = e^decay den + e^k[r]
 *
 * channel by channel. num and den are kept divided by e^most, most being the largest exponent so far, so that
 * no e^k overflows. decay: what is added to the exponent with each row, so < 0.
 *
 * y, k, v: [rows, C]; decay, first: [C]; F32. State: [3, C]: num, den, most. den = 0: nothing was seen yet,
 * and `most` does not count; so a state of zeros is the beginning. y may be k or v.
 * In f64 in the reference, the state rounded to f32 row by row; a fast version may differ by 1e-4 of the
 * largest value of the row: exponents of hundreds are rounded to 1e-5.
 * Cost: 14 rows C operations; reads 8 rows C bytes, writes 4 rows C; reads and writes the state of each
 * sequence once.
 */
#ifndef KERNELS_WKV_SCAN_WKV_SCAN_H
#define KERNELS_WKV_SCAN_WKV_SCAN_H

#include "kernels/cpu_kernel.h"
#include "kernels/kit/state_rows.h"
#include "kernels/op_spec.h"

enum { WKV_SCAN_FROM = 4 };           /* which input `from` is */
#define WKV_NOTHING (-1e38f)          /* an exponent below all others */

static inline void wkv_scan_check(const OpCall *c)
{
    int64_t C = tensor_width(c->out[0]);
    ASSERT(same_shape(c->out[0], c->in[0]) && same_shape(c->out[0], c->in[1]));
    ASSERT(tensor_elems(c->in[2]) == C && tensor_elems(c->in[3]) == C && tensor_width(c->out[1]) == 3 * C);
    ASSERT(tensor_elems(c->in[WKV_SCAN_FROM + 2]) == c->out[0].dim[0]);
}

#endif

/* limited_gate.h
 *
 *     g = min(gate[r][i], limit)        u = max(-limit, min(up[r][i], limit))
 *     y[r][i] = g / (1 + e^(-alpha g)) (u + shift)
 *
 * A gated unit that cannot grow without bound (OpenAI 2025, gpt-oss: limit 7, alpha 1.702, shift 1).
 * y, gate, up: [rows, width] F32. y may be gate or up.
 * In f64 in the reference; a fast version may differ by 2e-6 of the largest value of the row.
 * Cost: 2 rows width operations; reads 8 rows width bytes, writes 4 rows width.
 */
#ifndef KERNELS_LIMITED_GATE_LIMITED_GATE_H
#define KERNELS_LIMITED_GATE_LIMITED_GATE_H

#include "kernels/cpu_kernel.h"
#include "kernels/kit/rows.h"
#include "kernels/op_spec.h"

#endif

/* taylor_scan.h -- linear attention whose weights are the second-order Taylor series of softmax's (Arora et al. 2024,
 * "Simple linear attention language models balance the recall-throughput tradeoff", Based).
 *
 *     w(q, k) = 1 + q.k + (q.k)^2 / 2
 *     y[r] = sum_j w(q[r], k[j]) v[j] / (sum_j w(q[r], k[j]) + eps)            over the rows j <= r of the sequence
 *
 * head by head. As w(q, k) = f(q).g(k) with M = 1 + F + F (F + 1) / 2 features of each,
 *
 *     g(k) = 1, k_i, k_i k_j (i <= j)          f(q) = 1, q_i, q_i q_j (i < j; half of it for i = j)
 *     S += g(k) v^T;   n += g(k);   y = S^T f(q) / (n.f(q) + eps)
 *
 * q (already divided by sqrt F), k: [rows, heads, F]; v, y: [rows, heads, P]; F32. State: S of all heads,
 * [heads, M, P], then n, [heads, M]. y may be v.
 *
 * The fast version sums n first, head by head, and then goes over tiles of S, which lie in the L1 cache through all
 * rows of a sequence (kit/state_tile.h).
 * In f64 in the reference, the state rounded to f32 row by row; a fast version may differ by 5e-5 of the
 * largest value of the row: sums over the whole past in another order.
 * Cost: rows heads (4 M P + 4 M) operations; reads 4 rows heads (2 F + P) bytes, writes 4 rows heads P; reads and
 * writes the state of each sequence once, whatever the rows.
 */
#ifndef KERNELS_TAYLOR_SCAN_TAYLOR_SCAN_H
#define KERNELS_TAYLOR_SCAN_TAYLOR_SCAN_H

#include "kernels/cpu_kernel.h"
#include "kernels/kit/state_rows.h"
#include "kernels/op_spec.h"

enum { TAYLOR_SCAN_FROM = 3 };        /* which input `from` is */

typedef struct TaylorScan {
    Tensor y, q, k, v;
    int32_t heads, F, P, M;
    float eps;
} TaylorScan;

static inline TaylorScan taylor_scan_of(const OpCall *c)
{
    TaylorScan s = {.y = c->out[0], .q = c->in[0], .k = c->in[1], .v = c->in[2], .heads = c->in[2].dim[1],
                    .F = c->in[1].dim[2], .P = c->in[2].dim[2], .eps = c->eps};
    s.M = 1 + s.F + s.F * (s.F + 1) / 2;
    ASSERT(s.v.dims == 3 && s.k.dims == 3 && s.k.dim[1] == s.heads);
    ASSERT(same_shape(s.y, s.v) && same_shape(s.q, s.k));
    ASSERT(tensor_width(c->out[1]) == (int64_t)s.heads * s.M * (s.P + 1));
    ASSERT(tensor_elems(c->in[TAYLOR_SCAN_FROM + 2]) == s.y.dim[0]);
    return s;
}

/* Where a head's S and n are in the state. */
static inline int64_t taylor_S(const TaylorScan *s, int32_t h) { return (int64_t)h * s->M * s->P; }
static inline int64_t taylor_n(const TaylorScan *s, int32_t h) { return taylor_S(s, s->heads) + (int64_t)h * s->M; }

/* The features of x; square: what multiplies x_i x_i. */
static inline void taylor_features(float *to, const float *x, int32_t F, float square)
{
    *to++ = 1;
    for (int32_t i = 0; i < F; i++)
        *to++ = x[i];
    for (int32_t i = 0; i < F; i++) {
        *to++ = square * x[i] * x[i];
        for (int32_t j = i + 1; j < F; j++)
            *to++ = x[i] * x[j];
    }
}

#endif

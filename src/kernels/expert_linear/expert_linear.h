/* expert_linear.h
 *
 *     y[r][i] = w[e] round(x[r]) + bias[e],   e = ids[r][i]           (x[r][i] where each i has its own)
 *
 * x: [rows, in] or [rows, k, in] F32; w: [E, out, in] in any format that takes part in products, E <= EXPERTS_MAX;
 * bias: [E, out] F32 or none; ids: [rows, k] I32, at least 0, or none: e = i, and k = E (a matrix for each head);
 * y: [rows, k, out] F32, apart from x. An id >= E gives zeros: such an expert computes nothing (combine.h).
 *
 * Each product has the meaning and the tolerance of linear.h. Rows are grouped by expert, so the weights of an expert
 * are read once, whatever the number of rows that chose it, and those of an expert that nobody chose are not read.
 * Cost: 2 rows k in out operations; reads x once and the weights of the experts used: where rows choose evenly and
 * alone, E (1 - (1 - k/E)^rows) of them; writes 4 rows k out.
 */
#ifndef KERNELS_EXPERT_LINEAR_EXPERT_LINEAR_H
#define KERNELS_EXPERT_LINEAR_EXPERT_LINEAR_H

#include "kernels/cpu_kernel.h"
#include "kernels/kit/rows.h"
#include "kernels/op_spec.h"

enum { EXPERT_X, EXPERT_W, EXPERT_BIAS, EXPERT_IDS };   /* in[...] */

/* A pair is a row and an i: number r k + i. */
typedef struct ExpertShape {
    int32_t rows, k, experts, in, out;
    int64_t pairs;
    bool own_x;               /* a row of x for each pair */
} ExpertShape;

static inline ExpertShape expert_shape(const OpCall *c)
{
    Tensor y = c->out[0], x = c->in[EXPERT_X], w = c->in[EXPERT_W], ids = c->in[EXPERT_IDS];
    ExpertShape s = {y.dim[0], y.dim[1], w.dim[0], w.dim[2], w.dim[1], (int64_t)y.dim[0] * y.dim[1], x.dims == 3};
    ASSERT(y.dims == 3 && w.dims == 3 && y.dim[2] == s.out && x.dim[0] == s.rows && s.experts <= EXPERTS_MAX);
    ASSERT(s.own_x ? x.dim[1] == s.k && x.dim[2] == s.in : tensor_width(x) == s.in);
    ASSERT(tensor_is_none(ids) ? s.k == s.experts : tensor_width(ids) == s.k && ids.dim[0] == s.rows);
    ASSERT(tensor_is_none(c->in[EXPERT_BIAS]) || tensor_elems(c->in[EXPERT_BIAS]) == (int64_t)s.experts * s.out);
    return s;
}

/* The expert of a pair; s->experts: one that computes nothing. */
static inline int32_t expert_of(const OpCall *c, const ExpertShape *s, int64_t pair)
{
    Tensor ids = c->in[EXPERT_IDS];
    if (tensor_is_none(ids))
        return (int32_t)(pair % s->k);
    int32_t id = ((const int32_t *)tensor_row(ids, pair / s->k))[pair % s->k];
    ASSERT(id >= 0);
    return id < s->experts ? id : s->experts;
}

static inline const float *expert_x(const OpCall *c, const ExpertShape *s, int64_t pair)
{
    return f32_row(c->in[EXPERT_X], pair / s->k) + (s->own_x ? pair % s->k * s->in : 0);
}

/* Where in y, in floats, a pair's results go. */
static inline int64_t expert_y(const OpCall *c, const ExpertShape *s, int64_t pair)
{
    return pair / s->k * c->out[0].row_elems + pair % s->k * s->out;
}

#endif

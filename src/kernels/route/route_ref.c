#include <math.h>

#include "kernels/route/route.h"

static double sum_of_exp(const float *x, int32_t n, double most)
{
    double sum = 0;
    for (int32_t i = 0; i < n; i++)
        sum += exp(x[i] - most);
    return sum;
}

static double most_of(const float *x, int32_t n)
{
    double most = x[0];
    for (int32_t i = 1; i < n; i++)
        most = fmax(most, x[i]);
    return most;
}

static void softmax(float *y, const float *x, int32_t n)
{
    double most = most_of(x, n), sum = sum_of_exp(x, n, most);
    for (int32_t i = 0; i < n; i++)
        y[i] = (float)(exp(x[i] - most) / sum);
}

static void rate(const Router *r, float *s, const float *scores, int32_t n)
{
    if (r->score == SCORE_SOFTMAX)
        softmax(s, scores, n);
    for (int32_t e = 0; e < n && r->score != SCORE_SOFTMAX; e++)
        s[e] = r->score == SCORE_SIGMOID ? (float)(1 / (1 + exp(-scores[e]))) : scores[e];
}

static void weigh(const Router *r, const float *s, const float *gain, const int32_t *ids, float *w, int32_t k)
{
    double sum = 0, squares = 0;
    for (int32_t i = 0; i < k; i++)
        w[i] = s[ids[i]];
    if (r->score == SCORE_SOFTMAX_TOP)
        softmax(w, w, k);
    for (int32_t i = 0; i < k; i++) {
        sum += w[i];
        squares += (double)w[i] * w[i];
    }
    double norm = r->norm == ROUTER_NORM_NONE ? 1 : (r->norm == ROUTER_NORM_SUM ? sum : sqrt(squares)) + r->norm_eps;
    norm = r->norm == ROUTER_NORM_NONE ? 1 : fmax(norm, r->norm_min);
    for (int32_t i = 0; i < k; i++)
        w[i] = (float)(w[i] / norm * r->factor * (gain ? gain[ids[i]] : 1));
}

static void sparsemixer(const Router *r, const float *scores, const float *gain, int32_t *ids, float *w, RouteShape s)
{
    bool taken[EXPERTS_MAX] = {false};
    float near[EXPERTS_MAX];
    for (int32_t i = 0; i < s.k; i++) {
        ids[i] = route_sparse_round(r, s.experts, scores, taken, near);
        taken[ids[i]] = true;
        w[i] = (float)(1 / sum_of_exp(near, s.experts, scores[ids[i]]) * r->factor * (gain ? gain[ids[i]] : 1));
    }
}

static const float *vector_of(Tensor t) { return tensor_is_none(t) ? NULL : tensor_f32(t); }

static void run(const OpCall *c, int phase, CpuPart part)
{
    (void)phase, (void)part;
    RouteShape shape = route_shape(c);
    const float *bias = vector_of(c->in[ROUTE_BIAS]), *gain = vector_of(c->in[ROUTE_GAIN]);
    for (int32_t row = 0; row < shape.rows; row++) {
        float s[EXPERTS_MAX];
        const float *scores = f32_row(c->in[ROUTE_SCORES], row);
        int32_t *ids = tensor_row(c->out[0], row);
        float *w = f32_row_out(c->out[1], row);
        if (c->router.score == SCORE_SPARSEMIXER) {
            sparsemixer(&c->router, scores, gain, ids, w, shape);
            continue;
        }
        rate(&c->router, s, scores, shape.experts);
        route_choose(&c->router, shape, s, scores, bias, ids);
        weigh(&c->router, s, gain, ids, w, shape.k);
    }
}

static OpCost cost(const OpCall *c)
{
    Tensor scores = c->in[ROUTE_SCORES];
    return (OpCost){.operations = (double)tensor_elems(scores),
                    .activation_bytes = bytes_moved(scores) + bytes_moved(c->out[0]) + bytes_moved(c->out[1])};
}

const CpuKernel kernel_route_reference = {.phases = 1, .run = run};
const OpSpec spec_route = {.cost = cost, .tolerance = 2e-6f};

/* route_cpu.c -- see route.h: exponentials on 16 lanes, the choice as in route_choose.c. */
#include "kernels/kit/vmath.h"
#include "kernels/route/route.h"

enum { PADDED = EXPERTS_MAX + LANES };

static float most_of(const float *x, int32_t n)
{
    float most = x[0];
    for (int32_t i = 1; i < n; i++)
        most = x[i] > most ? x[i] : most;
    return most;
}

/* y = e^(x - most), where lanes beyond n become 0. y has room for whole vectors. */
static float exp_and_sum(float *y, const float *x, int32_t n, float most)
{
    Vf sum = vf_zero();
    for (int32_t i = 0; i < n; i += LANES) {
        Vf v = vf_exp(vf_sub(vf_load_n(x + i, n - i < LANES ? n - i : LANES), vf_all(most)));
        vf_store(y + i, v);
        if (n - i < LANES)
            v = vf_load_n(y + i, n - i);
        sum = vf_add(sum, v);
    }
    return vf_sum(sum);
}

static void softmax(float *y, const float *x, int32_t n)
{
    Vf sum = vf_all(exp_and_sum(y, x, n, most_of(x, n)));
    for (int32_t i = 0; i < n; i += LANES)
        vf_store(y + i, vf_div(vf_load(y + i), sum));
}

static void sigmoid(float *y, const float *x, int32_t n)
{
    for (int32_t i = 0; i < n; i += LANES)
        vf_store(y + i, vf_sigmoid(vf_load_n(x + i, n - i < LANES ? n - i : LANES)));
}

/* What the weights are divided by: for k of them there is nothing to do at once. */
static float norm_of(const Router *r, const float *w, int32_t k)
{
    float sum = 0, squares = 0;
    for (int32_t i = 0; i < k; i++) {
        sum += w[i];
        squares += w[i] * w[i];
    }
    float norm = (r->norm == ROUTER_NORM_SUM ? sum : __builtin_sqrtf(squares)) + r->norm_eps;
    return norm < r->norm_min ? r->norm_min : norm;
}

static void weigh(const Router *r, const float *s, const float *gain, const int32_t *ids, float *out, int32_t k)
{
    float w[PADDED], chosen[PADDED];
    for (int32_t i = 0; i < k; i++)
        w[i] = chosen[i] = s[ids[i]];
    if (r->score == SCORE_SOFTMAX_TOP)
        softmax(w, chosen, k);
    float norm = r->norm == ROUTER_NORM_NONE ? 1 : norm_of(r, w, k);
    for (int32_t i = 0; i < k; i++)
        out[i] = w[i] / norm * r->factor * (gain ? gain[ids[i]] : 1);
}

static void sparsemixer(const Router *r, const float *scores, const float *gain, int32_t *ids, float *w, RouteShape s)
{
    bool taken[EXPERTS_MAX] = {false};
    float near[PADDED], powers[PADDED];
    for (int32_t i = 0; i < s.k; i++) {
        ids[i] = route_sparse_round(r, s.experts, scores, taken, near);
        taken[ids[i]] = true;
        w[i] = 1 / exp_and_sum(powers, near, s.experts, scores[ids[i]]) * r->factor * (gain ? gain[ids[i]] : 1);
    }
}

static const float *vector_of(Tensor t) { return tensor_is_none(t) ? NULL : tensor_f32(t); }

static void route_row(const OpCall *c, RouteShape shape, int64_t row)
{
    float s[PADDED];
    const Router *r = &c->router;
    const float *scores = f32_row(c->in[ROUTE_SCORES], row), *rated = scores, *gain = vector_of(c->in[ROUTE_GAIN]);
    int32_t *ids = tensor_row(c->out[0], row);
    float *w = f32_row_out(c->out[1], row);
    if (r->score == SCORE_SPARSEMIXER) {
        sparsemixer(r, scores, gain, ids, w, shape);
        return;
    }
    if (r->score != SCORE_SOFTMAX_TOP) {
        (r->score == SCORE_SOFTMAX ? softmax : sigmoid)(s, scores, shape.experts);
        rated = s;
    }
    route_choose(r, shape, rated, scores, vector_of(c->in[ROUTE_BIAS]), ids);
    weigh(r, rated, gain, ids, w, shape.k);
}

static void run(const OpCall *c, int phase, CpuPart part)
{
    (void)phase;
    RouteShape shape = route_shape(c);
    Range rows = part_range(part, shape.rows, 1);
    for (int64_t r = rows.from; r < rows.to; r++)
        route_row(c, shape, r);
}

static int64_t threads(const OpCall *c) { return threads_by_rows(c->in[ROUTE_SCORES]); }

const CpuKernel TIERED(kernel_route) = {.phases = 1, .threads = threads, .run = run};

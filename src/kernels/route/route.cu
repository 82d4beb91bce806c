/* route.cu -- see route.h. A warp has a row: all scores lie in shared memory, and each choice is the largest of what is
 * left, the lower id of equal ones. */
#include "kernels/kit/cuda_kit.h"

typedef struct Route {
    Rows scores, weights;
    int32_t *ids;
    int64_t ids_step;
    const float *bias, *gain;
    Router how;
    int experts, k;
} Route;

typedef struct Best { float value; int id; } Best;      /* id -1: none */

static __device__ bool is_better(Best a, Best b)
{
    return a.id >= 0 && (b.id < 0 || a.value > b.value || (a.value == b.value && a.id < b.id));
}

/* The largest of those that `may` allows; the same for all lanes. */
static __device__ Best largest(const float *value, const unsigned char *may, int first, int n)
{
    Best best = {0, -1};
    for (int e = first + threadIdx.x; e < first + n; e += 32)
        if (may[e] && (best.id < 0 || value[e] > best.value))
            best.value = value[e], best.id = e;
    for (int i = 16; i > 0; i /= 2) {
        Best other = {__shfl_down_sync(0xffffffff, best.value, i), __shfl_down_sync(0xffffffff, best.id, i)};
        if (is_better(other, best))
            best = other;
    }
    best.value = __shfl_sync(0xffffffff, best.value, 0);
    best.id = __shfl_sync(0xffffffff, best.id, 0);
    return best;
}

static __device__ double sum_of_exp(const float *x, int n, double most)
{
    double sum = 0;
    for (int e = threadIdx.x; e < n; e += 32)
        sum += exp(x[e] - most);
    return warp_sum(sum);
}

static __device__ void rate(const Route &c, const float *scores, float *s, unsigned char *may)
{
    double most = 0, sum = 1;
    if (c.how.score == SCORE_SOFTMAX) {
        most = largest(scores, may, 0, c.experts).value;
        sum = sum_of_exp(scores, c.experts, most);
    }
    for (int e = threadIdx.x; e < c.experts; e += 32)
        s[e] = c.how.score == SCORE_SOFTMAX ? (float)(exp(scores[e] - most) / sum)
               : c.how.score == SCORE_SIGMOID ? (float)(1 / (1 + exp(-(double)scores[e]))) : scores[e];
    __syncwarp();
}

/* Only experts of the best groups stay allowed. good: [groups], and `used` as many. */
static __device__ void allow_groups(const Route &c, const float *choice, unsigned char *may, float *good, unsigned char *used)
{
    int n = c.experts / c.how.groups;
    for (int g = 0; g < c.how.groups; g++) {
        Best first = largest(choice, may, g * n, n);
        float sum = first.value;
        if (c.how.group_top == 2 && n > 1) {
            if (threadIdx.x == 0)
                may[first.id] = 0;
            __syncwarp();
            sum += largest(choice, may, g * n, n).value;
            if (threadIdx.x == 0)
                may[first.id] = 1;
        }
        if (threadIdx.x == 0)
            good[g] = c.how.group_top == 2 && n == 1 ? 2 * first.value : sum, used[g] = 1;
        __syncwarp();
    }
    for (int e = threadIdx.x; e < c.experts; e += 32)
        may[e] = 0;
    __syncwarp();
    for (int i = 0; i < c.how.groups_used; i++) {
        int g = largest(good, used, 0, c.how.groups).id;
        if (threadIdx.x == 0)
            used[g] = 0;
        for (int e = threadIdx.x; e < n; e += 32)
            may[g * n + e] = 1;
        __syncwarp();
    }
}

/* One lane weighs the chosen. */
static __device__ void weigh(const Route &c, const float *s, const int32_t *ids, float *w)
{
    double sum = 0, squares = 0, most = 0, total = 0;
    for (int i = 0; i < c.k; i++)
        most = i == 0 ? s[ids[0]] : fmax(most, (double)s[ids[i]]);
    for (int i = 0; i < c.k; i++)
        total += exp(s[ids[i]] - most);
    for (int i = 0; i < c.k; i++) {
        w[i] = c.how.score == SCORE_SOFTMAX_TOP ? (float)(exp(s[ids[i]] - most) / total) : s[ids[i]];
        sum += w[i];
        squares += (double)w[i] * w[i];
    }
    double norm = (c.how.norm == ROUTER_NORM_SUM ? sum : sqrt(squares)) + c.how.norm_eps;
    norm = c.how.norm == ROUTER_NORM_NONE ? 1 : fmax(norm, (double)c.how.norm_min);
    for (int i = 0; i < c.k; i++)
        w[i] = (float)(w[i] / norm * c.how.factor * (c.gain ? c.gain[ids[i]] : 1));
}

static __device__ void sparsemixer(const Route &c, const float *scores, unsigned char *may, int32_t *ids, float *w)
{
    for (int i = 0; i < c.k; i++) {
        Best best = largest(scores, may, 0, c.experts);
        double sum = 0;
        for (int e = threadIdx.x; e < c.experts; e += 32) {
            float m = best.value, size = fabsf(scores[e]) > m ? fabsf(scores[e]) : m;
            if (may[e] && !((m - scores[e]) / size > 2 * c.how.jitter))
                sum += exp((double)scores[e] - m);
        }
        sum = warp_sum(sum);
        if (threadIdx.x == 0) {
            ids[i] = best.id;
            may[best.id] = 0;
            w[i] = (float)(1 / sum * c.how.factor * (c.gain ? c.gain[best.id] : 1));
        }
        __syncwarp();
    }
}

static __global__ void route_rows(Route c)
{
    previous();
    extern __shared__ float shared[];
    float *s = shared, *choice = s + c.experts, *good = choice + c.experts;
    unsigned char *may = (unsigned char *)(good + c.experts), *used = may + c.experts;
    const float *scores = row(c.scores, blockIdx.x);
    int32_t *ids = c.ids + blockIdx.x * c.ids_step;
    float *w = row(c.weights, blockIdx.x);
    for (int e = threadIdx.x; e < c.experts; e += 32)
        may[e] = 1;
    __syncwarp();
    if (c.how.score == SCORE_SPARSEMIXER) {
        sparsemixer(c, scores, may, ids, w);
        return;
    }
    rate(c, scores, s, may);
    bool rated = c.how.groups > 0 && c.how.group_top == 2;
    for (int e = threadIdx.x; e < c.experts; e += 32)
        choice[e] = c.bias ? s[e] + c.bias[e] : rated ? s[e] : scores[e];
    __syncwarp();
    if (c.how.groups > 0)
        allow_groups(c, choice, may, good, used);
    for (int i = 0; i < c.k; i++) {
        int id = largest(choice, may, 0, c.experts).id;
        if (threadIdx.x == 0) {
            ids[i] = id;
            may[id] = 0;
        }
        __syncwarp();
    }
    if (threadIdx.x == 0)
        weigh(c, s, ids, w);
}

static void run(const OpCall *c, const CudaRun *g)
{
    Route r = {rows_of(c->in[0]), rows_of(c->out[1]), (int32_t *)c->out[0].data, c->out[0].row_elems,
               rows_of(c->in[1]).at, rows_of(c->in[2]).at, c->router, (int)tensor_width(c->in[0]),
               (int)tensor_width(c->out[0])};
    LAUNCH(route_rows, r.scores.rows, 32, (size_t)r.experts * 14, g, r);
}

CUDA_KERNEL(route, NULL, NULL, run)

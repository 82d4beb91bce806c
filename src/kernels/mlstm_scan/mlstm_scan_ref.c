#include "kernels/mlstm_scan/mlstm_scan.h"

#include <math.h>

static double log_sigmoid(double x) { return fmin(x, 0) - log1p(exp(-fabs(x))); }

/* to: the state, where it is changed in place. */
static void scan_row(const MlstmScan *s, float *to, int64_t r, int32_t h)
{
    const float *q = f32_row(s->q, r) + (int64_t)h * s->N, *k = f32_row(s->k, r) + (int64_t)h * s->N;
    float *n = to + mlstm_n(s, h), *m = to + mlstm_m(s, h);
    double input = f32_row(s->input, r)[h], kept = log_sigmoid(f32_row(s->forget, r)[h]) + *m, dot = 0;
    *m = (float)fmax(kept, input);
    double f = exp(kept - *m), i = exp(input - *m);
    for (int32_t at = 0; at < s->N; at++) {
        n[at] = (float)(f * n[at] + i * k[at]);
        dot += (double)q[at] * n[at];
    }
    double divisor = fmax(fabs(dot), exp(-*m)) + s->eps;
    for (int32_t p = 0; p < s->P; p++) {
        double sum = 0, value = f32_row(s->v, r)[(int64_t)h * s->P + p];
        float *C = to + mlstm_C(s, h) + p;
        for (int64_t at = 0; at < s->N; at++) {
            C[at * s->P] = (float)(f * C[at * s->P] + i * k[at] * value);
            sum += (double)q[at] * C[at * s->P];
        }
        f32_row_out(s->y, r)[(int64_t)h * s->P + p] = (float)(sum / divisor);
    }
}

static void run(const OpCall *c, int phase, CpuPart part)
{
    (void)phase, (void)part;
    MlstmScan s = mlstm_scan_of(c);
    int64_t width = tensor_width(c->out[1]);
    for (StateRun run = {0}; state_next(c, MLSTM_SCAN_FROM, &run);) {
        for (int64_t i = 0; i < width; i++)
            run.to[i] = run.from ? run.from[i] : 0;
        for (int64_t r = run.first; r < run.end; r++)
            for (int32_t h = 0; h < s.heads; h++)
                scan_row(&s, run.to, r, h);
    }
}

static OpCost cost(const OpCall *c)
{
    MlstmScan s = mlstm_scan_of(c);
    double heads = (double)s.v.dim[0] * s.heads;
    return (OpCost){.operations = heads * (5 * (double)s.N * s.P + 5 * (double)s.N + 10),
                    .cache_bytes = state_bytes_moved(c, MLSTM_SCAN_FROM),
                    .activation_bytes = 2 * bytes_moved(s.q) + 2 * bytes_moved(s.v) + 2 * bytes_moved(s.input)};
}

const CpuKernel kernel_mlstm_scan_reference = {.phases = 1, .run = run};
const OpSpec spec_mlstm_scan = {.cost = cost, .tolerance = 1e-4f};

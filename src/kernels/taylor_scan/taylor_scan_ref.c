#include "kernels/taylor_scan/taylor_scan.h"

/* to: the state, where it is changed in place; f, g: the features of the row's query and key. */
static void scan_row(const TaylorScan *s, float *to, int64_t r, int32_t h, const float *f, const float *g)
{
    float *n = to + taylor_n(s, h);
    double divisor = s->eps;
    for (int32_t m = 0; m < s->M; m++) {
        n[m] = (float)((double)n[m] + g[m]);
        divisor += (double)f[m] * n[m];
    }
    for (int32_t p = 0; p < s->P; p++) {
        float *S = to + taylor_S(s, h) + p;
        double sum = 0, value = f32_row(s->v, r)[(int64_t)h * s->P + p];
        for (int64_t m = 0; m < s->M; m++) {
            S[m * s->P] = (float)(S[m * s->P] + g[m] * value);
            sum += (double)f[m] * S[m * s->P];
        }
        f32_row_out(s->y, r)[(int64_t)h * s->P + p] = (float)(sum / divisor);
    }
}

static size_t scratch_bytes(const OpCall *c) { return 2 * sizeof(float) * (size_t)taylor_scan_of(c).M; }

static void run(const OpCall *c, int phase, CpuPart part)
{
    (void)phase;
    TaylorScan s = taylor_scan_of(c);
    float *f = part.scratch, *g = f + s.M;
    for (StateRun run = {0}; state_next(c, TAYLOR_SCAN_FROM, &run);) {
        for (int64_t i = 0; i < tensor_width(c->out[1]); i++)
            run.to[i] = run.from ? run.from[i] : 0;
        for (int64_t r = run.first; r < run.end; r++)
            for (int32_t h = 0; h < s.heads; h++) {
                taylor_features(f, f32_row(s.q, r) + (int64_t)h * s.F, s.F, 0.5f);
                taylor_features(g, f32_row(s.k, r) + (int64_t)h * s.F, s.F, 1);
                scan_row(&s, run.to, r, h, f, g);
            }
    }
}

static OpCost cost(const OpCall *c)
{
    TaylorScan s = taylor_scan_of(c);
    double heads = (double)s.v.dim[0] * s.heads;
    return (OpCost){.operations = heads * s.M * (4 * (double)s.P + 4),
                    .cache_bytes = state_bytes_moved(c, TAYLOR_SCAN_FROM),
                    .activation_bytes = 2 * bytes_moved(s.q) + 2 * bytes_moved(s.v)};
}

const CpuKernel kernel_taylor_scan_reference = {.phases = 1, .scratch_bytes = scratch_bytes, .run = run};
const OpSpec spec_taylor_scan = {.cost = cost, .tolerance = 5e-5f};

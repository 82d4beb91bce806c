#include "kernels/delta_scan/delta_scan.h"

/* Column p of the matrix of head h. */
static void scan_column(const DeltaScan *m, const StateRun *run, int32_t h, int32_t p)
{
    int64_t at = (int64_t)h * m->N * m->P + p, of = (int64_t)h * m->P + p, key = (int64_t)(h / m->shared) * m->N;
    float *S = run->to + at;
    for (int64_t n = 0; n < m->N; n++)
        S[n * m->P] = run->from ? run->from[at + n * m->P] : 0;
    for (int64_t r = run->first; r < run->end; r++) {
        const float *q = f32_row(m->q, r) + key, *k = f32_row(m->k, r) + key;
        const float *decay = f32_row(m->decay, r) + (m->per_channel ? (int64_t)h * m->N : h);
        double known = 0, y = 0;
        for (int64_t n = 0; n < m->N; n++)
            known += (double)decay[m->per_channel ? n : 0] * S[n * m->P] * k[n];
        double correction = f32_row(m->beta, r)[h] * (f32_row(m->v, r)[of] - known);
        for (int64_t n = 0; n < m->N; n++) {
            S[n * m->P] = (float)((double)decay[m->per_channel ? n : 0] * S[n * m->P] + k[n] * correction);
            y += (double)q[n] * S[n * m->P];
        }
        f32_row_out(m->y, r)[of] = (float)y;
    }
}

static void run(const OpCall *c, int phase, CpuPart part)
{
    (void)phase, (void)part;
    DeltaScan m = delta_scan_of(c);
    for (StateRun s = {0}; state_next(c, DELTA_SCAN_FROM, &s);)
        for (int32_t h = 0; h < m.heads; h++)
            for (int32_t p = 0; p < m.P; p++)
                scan_column(&m, &s, h, p);
}

static OpCost cost(const OpCall *c)
{
    DeltaScan m = delta_scan_of(c);
    return (OpCost){.operations = 7 * (double)tensor_elems(m.v) * m.N,
                    .cache_bytes = state_bytes_moved(c, DELTA_SCAN_FROM),
                    .activation_bytes = 2 * bytes_moved(m.q) + 2 * bytes_moved(m.v) + bytes_moved(m.decay) +
                                        bytes_moved(m.beta)};
}

const CpuKernel kernel_delta_scan_reference = {.phases = 1, .run = run};
const OpSpec spec_delta_scan = {.cost = cost, .tolerance = 2e-5f};

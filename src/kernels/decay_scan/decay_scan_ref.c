#include "kernels/decay_scan/decay_scan.h"

/* Column p of head h. */
static void scan_column(const OpCall *c, const StateRun *run, DecayShape s, int64_t h, int64_t p)
{
    int64_t at = h * s.N * s.P + p, group = h / (s.heads / s.groups) * s.N;
    float *S = run->to + at;
    for (int64_t n = 0; n < s.N; n++)
        S[n * s.P] = run->from ? run->from[at + n * s.P] : 0;
    for (int64_t r = run->first; r < run->end; r++) {
        const float *q = f32_row(c->in[DECAY_Q], r) + group, *k = f32_row(c->in[DECAY_K], r) + group;
        double decay = f32_row_of(c->in[DECAY_DECAY], r)[h], v = f32_row(c->in[DECAY_V], r)[h * s.P + p], y = 0;
        for (int64_t n = 0; n < s.N; n++) {
            S[n * s.P] = (float)(decay * S[n * s.P] + k[n] * v);
            y += (double)q[n] * S[n * s.P];
        }
        f32_row_out(c->out[0], r)[h * s.P + p] = (float)y;
    }
}

static void run(const OpCall *c, int phase, CpuPart part)
{
    (void)phase, (void)part;
    DecayShape s = decay_scan_shape(c);
    for (StateRun run = {0}; state_next(c, DECAY_FROM, &run);)
        for (int64_t h = 0; h < s.heads; h++)
            for (int64_t p = 0; p < s.P; p++)
                scan_column(c, &run, s, h, p);
}

static OpCost cost(const OpCall *c)
{
    DecayShape s = decay_scan_shape(c);
    Tensor y = c->out[0];
    return (OpCost){.operations = 5 * (double)tensor_elems(y) * s.N,
                    .cache_bytes = state_bytes_moved(c, DECAY_FROM),
                    .activation_bytes = 2 * bytes_moved(y) + 2 * bytes_moved(c->in[DECAY_Q]) +
                                        bytes_moved(c->in[DECAY_DECAY])};
}

const CpuKernel kernel_decay_scan_reference = {.phases = 1, .run = run};
const OpSpec spec_decay_scan = {.cost = cost, .tolerance = 1e-5f};

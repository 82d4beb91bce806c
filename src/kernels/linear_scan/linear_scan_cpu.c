#include "kernels/kit/lanes.h"
#include "kernels/linear_scan/linear_scan.h"

enum { ABREAST = 4 };     /* vectors of a block: whole cache lines that lie together, and sums that do not wait */

INLINE Vf weigh(Vf a, Vf b)           /* sqrt(1 - a^2) b; in two factors, of which near a = 1 both are exact */
{
    Vf one = vf_all(1);
    return vf_mul(vf_sqrt(vf_mul(vf_sub(one, a), vf_add(one, a))), b);
}

/* `vectors` times n channels from i on stay in registers through all rows of the sequence. */
INLINE void scan_block(const OpCall *c, const StateRun *s, int64_t i, int vectors, int n)
{
    Vf h[ABREAST];
    UNROLL for (int j = 0; j < vectors; j++)
        h[j] = lanes_load_or_zero(s->from, i + j * LANES, n);
    for (int64_t r = s->first; r < s->end; r++) {
        const float *a = f32_row(c->in[0], r) + i, *b = f32_row(c->in[1], r) + i;
        float *y = f32_row_out(c->out[0], r) + i;
        bool weighs = c->scan.keeps_size && (s->from || r > s->first);
        UNROLL for (int j = 0; j < vectors; j++) {
            Vf decay = lanes_load(a + j * LANES, n), x = lanes_load(b + j * LANES, n);
            h[j] = vf_fma(decay, h[j], weighs ? weigh(decay, x) : x);
            lanes_store(y + j * LANES, h[j], n);
        }
    }
    UNROLL for (int j = 0; j < vectors; j++)
        lanes_store(s->to + i + j * LANES, h[j], n);
}

static void run(const OpCall *c, int phase, CpuPart part)
{
    (void)phase;
    linear_scan_check(c);
    Range mine = part_range(part, tensor_width(c->out[0]), LANES);
    for (StateRun s = {0}; state_next(c, LINEAR_SCAN_FROM, &s);) {
        int64_t i = mine.from;
        for (; i + ABREAST * LANES <= mine.to; i += ABREAST * LANES)
            scan_block(c, &s, i, ABREAST, LANES);
        for (; i + LANES <= mine.to; i += LANES)
            scan_block(c, &s, i, 1, LANES);
        if (i < mine.to)
            scan_block(c, &s, i, 1, (int)(mine.to - i));
    }
}

static int64_t threads(const OpCall *c) { return threads_by_columns(c->out[0]); }

const CpuKernel TIERED(kernel_linear_scan) = {.phases = 1, .threads = threads, .run = run};

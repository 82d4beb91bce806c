#include "kernels/kit/lanes.h"
#include "kernels/kit/turned.h"
#include "kernels/shift_scan/shift_scan.h"

/* Places from the last to the first, so that each takes what is still there of the one before it. Two sums that do
 * not wait for each other. */
INLINE Vf scan_row(Turned *h, const Turned *b, const Turned *c, int N, Vf x)
{
    Vf even = vf_zero(), odd = vf_zero();
    int n = N - 1;
    for (; n >= 2; n -= 2) {
        Vf one = vf_fma(vf_load(b->at[n]), x, vf_load(h->at[n - 1]));
        Vf two = vf_fma(vf_load(b->at[n - 1]), x, vf_load(h->at[n - 2]));
        vf_store(h->at[n], one);
        vf_store(h->at[n - 1], two);
        even = vf_fma(vf_load(c->at[n]), one, even);
        odd = vf_fma(vf_load(c->at[n - 1]), two, odd);
    }
    for (; n >= 0; n--) {
        Vf moved = vf_fma(vf_load(b->at[n]), x, n > 0 ? vf_load(h->at[n - 1]) : vf_zero());
        vf_store(h->at[n], moved);
        even = vf_fma(vf_load(c->at[n]), moved, even);
    }
    return vf_add(even, odd);
}

/* n channels from i on, through all rows of each sequence. */
INLINE void scan_channels(const OpCall *call, const ShiftScan *s, int64_t i, int n)
{
    Turned b, c, h;
    int N = s->N;
    Vf skip = lanes_load_or_zero(s->skip, i, n);
    turned_read(&b, f32_row(s->b, i), s->b.row_elems, n, N, N);
    turned_read(&c, f32_row(s->c, i), s->c.row_elems, n, N, N);
    for (StateRun run = {0}; state_next(call, SHIFT_SCAN_FROM, &run);) {
        turned_read(&h, run.from ? run.from + i * N : NULL, N, n, N, N);
        for (int64_t r = run.first; r < run.end; r++) {
            Vf x = lanes_load(f32_row(s->x, r) + i, n);
            lanes_store(f32_row_out(s->y, r) + i, vf_fma(skip, x, scan_row(&h, &b, &c, N, x)), n);
        }
        turned_write(&h, run.to + i * N, N, n, N);
    }
}

static void run(const OpCall *c, int phase, CpuPart part)
{
    (void)phase;
    ShiftScan s = shift_scan_of(c);
    Range mine = part_range(part, s.channels, LANES);
    for (int64_t i = mine.from; i < mine.to; i += LANES)
        if (i + LANES <= mine.to)
            scan_channels(c, &s, i, LANES);
        else
            scan_channels(c, &s, i, (int)(mine.to - i));
}

static bool takes(const OpCall *c) { return tensor_width(c->in[1]) <= TURNED_MAX; }

static int64_t threads(const OpCall *c)
{
    ShiftScan s = shift_scan_of(c);
    return min_i64(ceil_div(s.channels, LANES), tensor_elems(s.x) * s.N / ELEMS_PER_THREAD + 1);
}

const CpuKernel TIERED(kernel_shift_scan) = {.takes = takes, .phases = 1, .threads = threads, .run = run};

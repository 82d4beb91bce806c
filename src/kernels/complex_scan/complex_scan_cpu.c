#include "kernels/complex_scan/complex_scan.h"
#include "kernels/kit/lanes.h"
#include "kernels/kit/turned.h"

enum { ABREAST = 2 };     /* modes whose sums do not wait for each other; filled up with zeros */

/* h = lambda h + x; sum of Re(c h). Of each mode the real part, then the imaginary one. */
INLINE Vf scan_row(Turned *h, const Turned *lambda, const Turned *c, int modes, Vf x)
{
    Vf real[ABREAST], imag[ABREAST];
    UNROLL for (int j = 0; j < ABREAST; j++)
        real[j] = imag[j] = vf_zero();
    for (int m = 0; m < modes; m += ABREAST)
        UNROLL for (int j = 0; j < ABREAST; j++) {
            int at = 2 * (m + j);
            Vf re = vf_load(h->at[at]), im = vf_load(h->at[at + 1]);
            Vf by_re = vf_load(lambda->at[at]), by_im = vf_load(lambda->at[at + 1]);
            Vf new_re = vf_fma(by_re, re, vf_fnma(by_im, im, x)), new_im = vf_fma(by_re, im, vf_mul(by_im, re));
            vf_store(h->at[at], new_re);
            vf_store(h->at[at + 1], new_im);
            real[j] = vf_fma(vf_load(c->at[at]), new_re, real[j]);
            imag[j] = vf_fma(vf_load(c->at[at + 1]), new_im, imag[j]);
        }
    return vf_sub(vf_add(real[0], real[1]), vf_add(imag[0], imag[1]));
}

/* n channels from i on, through all rows of each sequence. */
INLINE void scan_channels(const OpCall *c, const ComplexScan *s, int64_t i, int n)
{
    Turned lambda, weights, h;
    int width = 2 * s->modes, padded = (width + 2 * ABREAST - 1) / (2 * ABREAST) * (2 * ABREAST);
    Vf skip = lanes_load_or_zero(s->skip, i, n);
    turned_read(&lambda, f32_row(s->lambda, i), s->lambda.row_elems, n, width, padded);
    turned_read(&weights, f32_row(s->c, i), s->c.row_elems, n, width, padded);
    for (StateRun run = {0}; state_next(c, COMPLEX_SCAN_FROM, &run);) {
        turned_read(&h, run.from ? run.from + i * width : NULL, width, n, width, padded);
        for (int64_t r = run.first; r < run.end; r++) {
            Vf x = lanes_load(f32_row(s->x, r) + i, n);
            Vf sum = scan_row(&h, &lambda, &weights, s->modes, x);
            lanes_store(f32_row_out(s->y, r) + i, vf_fma(skip, x, sum), n);
        }
        turned_write(&h, run.to + i * width, width, n, width);
    }
}

static void run(const OpCall *c, int phase, CpuPart part)
{
    (void)phase;
    ComplexScan s = complex_scan_of(c);
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
    ComplexScan s = complex_scan_of(c);
    return min_i64(ceil_div(s.channels, LANES), tensor_elems(s.x) * s.modes / ELEMS_PER_THREAD + 1);
}

const CpuKernel TIERED(kernel_complex_scan) = {.takes = takes, .phases = 1, .threads = threads, .run = run};

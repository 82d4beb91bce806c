#include "kernels/discretise/discretise.h"
#include "kernels/kit/vmath.h"

typedef struct Complex { Vf re, im; } Complex;

INLINE Complex times(Complex a, Complex b)
{
    return (Complex){vf_fnma(a.im, b.im, vf_mul(a.re, b.re)), vf_fma(a.re, b.im, vf_mul(a.im, b.re))};
}
INLINE Complex conjugate(Complex a) { return (Complex){a.re, vf_neg(a.im)}; }
INLINE Complex by_real(Complex a, Vf x) { return (Complex){vf_mul(a.re, x), vf_mul(a.im, x)}; }
INLINE Complex over(Complex a, Complex b)
{
    return by_real(times(a, conjugate(b)), vf_div(vf_all(1), vf_fma(b.re, b.re, vf_mul(b.im, b.im))));
}

INLINE void hold(Vf dt, Complex a, Complex *lambda, Complex *gain)
{
    Complex z = by_real(a, dt);
    Vf grown = vf_exp(z.re), sine, cosine, half_sine, half_cosine, one = vf_all(1);
    vf_sin_cos(z.im, &sine, &cosine);
    vf_sin_cos(vf_mul(z.im, vf_all(0.5f)), &half_sine, &half_cosine);
    Vf back = vf_mul(vf_add(half_sine, half_sine), half_sine);     /* 1 - cos, also where that is small */
    *lambda = (Complex){vf_mul(grown, cosine), vf_mul(grown, sine)};
    *gain = over((Complex){vf_fma(vf_expm1(z.re), vf_sub(one, back), vf_neg(back)), lambda->im}, a);
}

INLINE void bilinear(Vf dt, Complex a, Complex *lambda, Complex *gain)
{
    Complex half = by_real(a, vf_mul(dt, vf_all(0.5f)));
    Complex above = {vf_add(vf_all(1), half.re), half.im}, below = {vf_sub(vf_all(1), half.re), vf_neg(half.im)};
    *lambda = over(above, below);
    *gain = over((Complex){dt, vf_zero()}, below);
}

INLINE Complex read_pairs(const float *pairs, int n)
{
    float re[LANES] = {0}, im[LANES] = {0};
    for (int i = 0; i < n; i++) {
        re[i] = pairs[2 * i];
        im[i] = pairs[2 * i + 1];
    }
    return (Complex){vf_load(re), vf_load(im)};
}

INLINE void write_pairs(float *pairs, Complex z, int n)
{
    float re[LANES], im[LANES];
    vf_store(re, z.re);
    vf_store(im, z.im);
    for (int i = 0; i < n; i++) {
        pairs[2 * i] = re[i];
        pairs[2 * i + 1] = im[i];
    }
}

/* `of`: the channel's row of a and b. */
static void discretise_channel(const OpCall *c, int64_t r, int64_t of)
{
    int64_t modes = tensor_width(c->in[1]);
    Vf dt = vf_all(tensor_f32(c->in[0])[r]), two = vf_all(2);
    for (int64_t m = 0; m < modes; m += LANES) {
        int n = (int)min_i64(LANES, modes - m);
        Complex a = {vf_load_n(f32_row(c->in[1], of) + m, n), vf_load_n(f32_row(c->in[2], of) + m, n)}, lambda, gain;
        (c->discretise == BILINEAR ? bilinear : hold)(dt, a, &lambda, &gain);
        write_pairs(f32_row_out(c->out[0], r) + 2 * m, lambda, n);
        gain = times(gain, by_real(read_pairs(f32_row(c->in[3], r) + 2 * m, n), two));
        if (!tensor_is_none(c->in[4]))
            gain = times(gain, read_pairs(f32_row(c->in[4], of) + 2 * m, n));
        write_pairs(f32_row_out(c->out[1], r) + 2 * m, gain, n);
    }
}

static void run(const OpCall *c, int phase, CpuPart part)
{
    (void)phase;
    discretise_check(c);
    Range rows = part_range(part, c->out[0].dim[0], 1);
    for (int64_t r = rows.from; r < rows.to; r++)
        discretise_channel(c, r, r % c->in[1].dim[0]);
}

static int64_t threads(const OpCall *c) { return threads_by_rows(c->out[0]); }

const CpuKernel TIERED(kernel_discretise) = {.phases = 1, .threads = threads, .run = run};

/* discretise.cu -- see discretise.h. A thread has a mode of a channel. */
#include "kernels/kit/cuda_kit.h"

typedef struct Complex { double re, im; } Complex;

static __device__ Complex complex_of(double re, double im)
{
    Complex z = {re, im};
    return z;
}
static __device__ Complex times(Complex a, Complex b)
{
    return complex_of(a.re * b.re - a.im * b.im, a.re * b.im + a.im * b.re);
}
static __device__ Complex over(Complex a, Complex b)
{
    double size = b.re * b.re + b.im * b.im;
    return complex_of((a.re * b.re + a.im * b.im) / size, (a.im * b.re - a.re * b.im) / size);
}

typedef struct Modes {
    Rows lambda, out, dt, a_real, a_imag, weight, b;
    Discretise how;
} Modes;

static __device__ void discretise(Discretise how, double dt, Complex a, Complex *lambda, Complex *gain)
{
    Complex z = complex_of(dt * a.re, dt * a.im);
    if (how == ZERO_ORDER_HOLD) {
        double half = sin(z.im / 2), e = exp(z.re);
        *lambda = complex_of(e * cos(z.im), e * sin(z.im));
        *gain = over(complex_of(expm1(z.re) * cos(z.im) - 2 * half * half, e * sin(z.im)), a);
    } else {
        Complex below = complex_of(1 - z.re / 2, -z.im / 2);
        *lambda = over(complex_of(1 + z.re / 2, z.im / 2), below);
        *gain = over(complex_of(dt, 0), below);
    }
}

static __global__ void discretise_channels(Modes s)
{
    previous();
    int64_t r = blockIdx.x, of = r % s.a_real.rows;
    for (int m = threadIdx.x; m < s.a_real.width; m += blockDim.x) {
        Complex l, gain;
        const float *w = row(s.weight, r) + 2 * m;
        discretise(s.how, s.dt.at[r], complex_of(row(s.a_real, of)[m], row(s.a_imag, of)[m]), &l, &gain);
        gain = times(gain, complex_of(2.0 * w[0], 2.0 * w[1]));
        if (s.b.at)
            gain = times(gain, complex_of(row(s.b, of)[2 * m], row(s.b, of)[2 * m + 1]));
        row(s.lambda, r)[2 * m] = (float)l.re;
        row(s.lambda, r)[2 * m + 1] = (float)l.im;
        row(s.out, r)[2 * m] = (float)gain.re;
        row(s.out, r)[2 * m + 1] = (float)gain.im;
    }
}

static void run(const OpCall *c, const CudaRun *g)
{
    Modes s = {rows_of(c->out[0]), rows_of(c->out[1]), rows_of(c->in[0]), rows_of(c->in[1]), rows_of(c->in[2]),
               rows_of(c->in[3]), rows_of(c->in[4]), c->discretise};
    LAUNCH(discretise_channels, s.lambda.rows, 64, 0, g, s);
}

CUDA_KERNEL(discretise, NULL, NULL, run)

#include "kernels/discretise/discretise.h"

#include <complex.h>
#include <math.h>

/* e^z - 1, also where z is small */
static double complex expm1_of(double complex z)
{
    double x = creal(z), y = cimag(z), half = sin(y / 2);
    return expm1(x) * cos(y) - 2 * half * half + exp(x) * sin(y) * I;
}

static void discretise(Discretise how, double dt, double complex a, double complex *lambda, double complex *gain)
{
    double complex z = dt * a;
    *lambda = how == ZERO_ORDER_HOLD ? cexp(z) : (1 + z / 2) / (1 - z / 2);
    *gain = how == ZERO_ORDER_HOLD ? expm1_of(z) / a : dt / (1 - z / 2);
}

static void discretise_channel(const OpCall *c, int64_t r, int64_t of)
{
    const float *weight = f32_row(c->in[3], r), *b = tensor_is_none(c->in[4]) ? NULL : f32_row(c->in[4], of);
    float *lambda = f32_row_out(c->out[0], r), *out = f32_row_out(c->out[1], r);
    for (int64_t m = 0; m < tensor_width(c->in[1]); m++) {
        double complex l, gain;
        discretise(c->discretise, tensor_f32(c->in[0])[r], f32_row(c->in[1], of)[m] + f32_row(c->in[2], of)[m] * I, &l, &gain);
        gain *= 2 * (weight[2 * m] + weight[2 * m + 1] * (double complex)I);
        if (b)
            gain *= b[2 * m] + b[2 * m + 1] * (double complex)I;
        lambda[2 * m] = (float)creal(l);
        lambda[2 * m + 1] = (float)cimag(l);
        out[2 * m] = (float)creal(gain);
        out[2 * m + 1] = (float)cimag(gain);
    }
}

static void run(const OpCall *c, int phase, CpuPart part)
{
    (void)phase, (void)part;
    discretise_check(c);
    for (int64_t r = 0; r < c->out[0].dim[0]; r++)
        discretise_channel(c, r, r % c->in[1].dim[0]);
}

static OpCost cost(const OpCall *c)
{
    return (OpCost){.operations = 30 * (double)tensor_elems(c->out[0]),
                    .weight_bytes = bytes_moved(c->in[0]) + 2 * bytes_moved(c->in[1]) + bytes_moved(c->in[3]) +
                                    bytes_moved(c->in[4]),
                    .activation_bytes = 2 * bytes_moved(c->out[0])};
}

const CpuKernel kernel_discretise_reference = {.phases = 1, .run = run};
const OpSpec spec_discretise = {.cost = cost, .tolerance = 3e-5f};

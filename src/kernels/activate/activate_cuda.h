/* activate_cuda.h -- activation_of() on the GPU: in f64, as the reference has it (activate.h). */
#ifndef KERNELS_ACTIVATE_ACTIVATE_CUDA_H
#define KERNELS_ACTIVATE_ACTIVATE_CUDA_H

#include "kernels/kit/cuda_kit.h"

static __device__ inline double activation_at(Activation f, double x)
{
    switch (f) {
    case SILU: return x / (1 + exp(-x));
    case GELU: return 0.5 * x * erfc(-x * 0.70710678118654752440);
    case GELU_TANH: return 0.5 * x * (1 + tanh(0.79788456080286535588 * (x + 0.044715 * x * x * x)));
    case RELU: return x > 0 || isnan(x) ? x : 0;
    case RELU_SQUARED: return x > 0 || isnan(x) ? x * x : 0;
    case SIGMOID: return 1 / (1 + exp(-x));
    case TANH: return tanh(x);
    case IDENTITY: return x;
    case SOFTPLUS: return x > 0 ? x + log1p(exp(-x)) : log1p(exp(x));
    case EXP: return exp(x);
    }
    return x;
}

/* Right to some units of the last place, and without f64 where it is wanted most. */
static __device__ inline float activation_near(Activation f, float x)
{
    return f == SILU ? __fdividef(x, 1 + __expf(-x)) : (float)activation_at(f, x);
}

#endif

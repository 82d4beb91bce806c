/* vmath.h -- exp, tanh, erfc and the activations on 16 lanes, the same bits on every tier.
 *
 * Errors against the exact value:
 *
 *     vf_exp         1e-7 relative; subnormal below -87.3, 0 below -104, infinity above 88.8; of several: vf_exp_each
 *     vf_tanh        2e-7 relative
 *     vf_erfc        for x >= 0 only: 1e-6 relative up to 3, 5e-6 up to 9
 *     vf_sigmoid     2e-7 relative
 *     vf_softplus    5e-7 relative
 *     vf_expm1       3e-7 relative
 *     vf_sin_cos     2e-7 absolute, for |x| < 8192
 *     vf_activate    2e-6 max(|f(x)|, 1e-3)
 *
 * A NaN stays a NaN.
 */
#ifndef KERNELS_KIT_VMATH_H
#define KERNELS_KIT_VMATH_H

#include "core/op_call.h"
#include "kernels/kit/simd.h"

/* c[0] x^(n-1) + c[1] x^(n-2) + ... + c[n-1] */
INLINE Vf vf_polynomial(Vf x, const float *c, int n)
{
    Vf y = vf_all(c[0]);
    for (int i = 1; i < n; i++)
        y = vf_fma(y, x, vf_all(c[i]));
    return y;
}

/* 2^n for whole n from -126 to 127. */
INLINE Vf vf_power_of_2(Vi n) { return vf_of_bits(vi_shl(vi_add(n, vi_all(127)), 23)); }

enum { EACH_MAX = 4 };      /* vectors that the functions below take at once */

/* e^r - 1 for |r| <= ln 2 / 2, of some vectors. */
INLINE void vf_expm1_small_each(Vf *y, const Vf *r, int count)
{
    static const float c[] = {1.9875691500e-4f, 1.3981999507e-3f, 8.3334519073e-3f, 4.1665795894e-2f,
                              1.6666665459e-1f, 5.0000001201e-1f};   /* (e^r - 1 - r) / r^2; Cephes, expf */
    UNROLL for (int i = 0; i < count; i++)
        y[i] = vf_all(c[0]);
    UNROLL for (size_t k = 1; k < COUNT_OF(c); k++)
        UNROLL for (int i = 0; i < count; i++)
            y[i] = vf_fma(y[i], r[i], vf_all(c[k]));
    UNROLL for (int i = 0; i < count; i++)
        y[i] = vf_fma(y[i], vf_mul(r[i], r[i]), r[i]);
}
INLINE Vf vf_expm1_small(Vf r)
{
    Vf y;
    vf_expm1_small_each(&y, &r, 1);
    return y;
}

#ifndef vf_times_2_to
/* v 2^n for whole n, in two factors, so that 2^n may leave the range of normal numbers. */
INLINE Vf vf_times_2_to(Vf v, Vf n)
{
    Vi whole = vi_of_f(n), half = vi_sar(whole, 1);
    return vf_mul(vf_mul(v, vf_power_of_2(half)), vf_power_of_2(vi_sub(whole, half)));
}
#endif

/* x becomes e^x = 2^n e^r, |r| <= ln 2 / 2. Each step waits for the one before: several vectors at once, up to EACH_MAX,
 * give a processor something to do meanwhile. */
INLINE void vf_exp_each(Vf *x, int count)
{
    Vf n[EACH_MAX], y[EACH_MAX];
    UNROLL for (int i = 0; i < count; i++)
        x[i] = vf_max(vf_all(-105), vf_min(vf_all(89), x[i]));   /* in this order of arguments a NaN comes through */
    UNROLL for (int i = 0; i < count; i++)
        n[i] = vf_round(vf_mul(x[i], vf_all(1.44269504f)));
    UNROLL for (int i = 0; i < count; i++)
        x[i] = vf_fnma(n[i], vf_all(0.693359375f), x[i]);        /* ln 2 in two parts, the first one exact */
    UNROLL for (int i = 0; i < count; i++)
        x[i] = vf_fnma(n[i], vf_all(-2.12194440e-4f), x[i]);
    vf_expm1_small_each(y, x, count);
    UNROLL for (int i = 0; i < count; i++)
        x[i] = vf_times_2_to(vf_add(y[i], vf_all(1)), n[i]);
}
INLINE Vf vf_exp(Vf x)
{
    vf_exp_each(&x, 1);
    return x;
}

INLINE Vf vf_expm1(Vf x)
{
    return vf_pick(vf_less(vf_abs(x), vf_all(0.34f)), vf_expm1_small(x), vf_sub(vf_exp(x), vf_all(1)));
}

/* Turned back by n quarter turns to |r| <= pi/4, where polynomials do (Cephes, sinf and cosf). */
INLINE void vf_sin_cos(Vf x, Vf *sine, Vf *cosine)
{
    static const float s[] = {-1.9515295891e-4f, 8.3321608736e-3f, -1.6666654611e-1f},
                       c[] = {2.443315711809948e-5f, -1.388731625493765e-3f, 4.166664568298827e-2f};
    Vf n = vf_round(vf_mul(x, vf_all(0.636619772f)));
    Vf r = vf_fnma(n, vf_all(1.5703125f), x);              /* pi/2 in three parts, the first two exact */
    r = vf_fnma(n, vf_all(4.837512969970703e-4f), r);
    r = vf_fnma(n, vf_all(7.549789954891882e-8f), r);
    Vf z = vf_mul(r, r), one = vf_all(1);
    Vf along = vf_fma(vf_mul(vf_polynomial(z, s, 3), z), r, r);
    Vf across = vf_fma(vf_mul(vf_polynomial(z, c, 3), z), z, vf_fnma(vf_all(0.5f), z, one));
    Vi turns = vi_of_f(n);
    Vm odd = vi_equal(vi_and(turns, vi_all(1)), vi_all(1));
    Vi sine_sign = vi_shl(vi_and(turns, vi_all(2)), 30), cosine_sign = vi_shl(vi_and(vi_add(turns, vi_all(1)), vi_all(2)), 30);
    *sine = vf_of_bits(vi_xor(vf_bits(vf_pick(odd, across, along)), sine_sign));
    *cosine = vf_of_bits(vi_xor(vf_bits(vf_pick(odd, along, across)), cosine_sign));
}

/* Small x: x + x^3 p(x^2) (Cephes, tanhf); else 1 - 2 / (e^2|x| + 1). */
INLINE Vf vf_tanh(Vf x)
{
    static const float c[] = {-5.70498872745e-3f, 2.06390887954e-2f, -5.37397155531e-2f, 1.33314422036e-1f,
                              -3.33332819422e-1f};
    Vf a = vf_abs(x), z = vf_mul(x, x);
    Vf small = vf_fma(vf_mul(vf_polynomial(z, c, 5), z), x, x);
    Vf large = vf_sub(vf_all(1), vf_div(vf_all(2), vf_add(vf_exp(vf_add(a, a)), vf_all(1))));
    return vf_pick(vf_less(a, vf_all(0.625f)), small, vf_copy_sign(large, x));
}

/* 1 - erf(x) for x >= 0: t e^(-x^2 + p(t)), t = 1 / (1 + x / 2) (Press et al., Numerical Recipes). */
INLINE Vf vf_erfc(Vf x)
{
    static const float c[] = {0.17087277f, -0.82215223f, 1.48851587f, -1.13520398f, 0.27886807f,
                              -0.18628806f, 0.09678418f, 0.37409196f, 1.00002368f, -1.26551223f};
    Vf t = vf_div(vf_all(1), vf_fma(x, vf_all(0.5f), vf_all(1)));
    return vf_mul(t, vf_exp(vf_fnma(x, x, vf_polynomial(t, c, 10))));
}

/* Below -87 e^x would be subnormal, which processors are slow at, and which 1 swallows. */
INLINE Vf vf_sigmoid(Vf x)
{
    return vf_div(vf_all(1), vf_add(vf_all(1), vf_exp(vf_max(vf_all(-87), vf_neg(x)))));
}

/* ln(1 + u) for u from 0 to 1: z + z^2 p(z) (Cephes, logf), z at most sqrt 2 - 1; beyond, ln 2 + ln((1 + u) / 2). */
INLINE Vf vf_log1p(Vf u)
{
    static const float c[] = {7.0376836292e-2f, -1.1514610310e-1f, 1.1676998740e-1f, -1.2420140846e-1f, 1.4249322787e-1f,
                              -1.6668057665e-1f, 2.0000714765e-1f, -2.4999993993e-1f, 3.3333331174e-1f, -0.5f};
    Vm small = vf_less(u, vf_all(0.41421356f));
    Vf z = vf_pick(small, u, vf_mul(vf_sub(u, vf_all(1)), vf_all(0.5f)));
    Vf y = vf_fma(vf_mul(z, z), vf_polynomial(z, c, COUNT_OF(c)), z);
    return vf_pick(small, y, vf_add(y, vf_all(0.69314718f)));
}

/* ln(1 + e^x) = max(x, 0) + ln(1 + e^-|x|) */
INLINE Vf vf_softplus(Vf x) { return vf_add(vf_max(vf_zero(), x), vf_log1p(vf_exp(vf_neg(vf_abs(x))))); }

INLINE Vf vf_gelu(Vf x)        /* x/2 erfc(-x / sqrt 2) */
{
    Vf tail = vf_mul(vf_all(0.5f), vf_erfc(vf_mul(vf_abs(x), vf_all(0.70710678f))));
    return vf_mul(x, vf_pick(vf_less(x, vf_zero()), tail, vf_sub(vf_all(1), tail)));
}

INLINE Vf vf_gelu_tanh(Vf x)   /* x/2 (1 + tanh(u)) = x sigmoid(2u), u = sqrt(2/pi) (x + 0.044715 x^3) */
{
    Vf u2 = vf_mul(vf_mul(x, vf_all(1.59576912f)), vf_fma(vf_mul(x, x), vf_all(0.044715f), vf_all(1)));
    return vf_mul(x, vf_sigmoid(u2));
}

/* For a switch in which the function is a constant: FOR_EACH_ACTIVATION(CASE). */
#define FOR_EACH_ACTIVATION(X) \
    X(SILU) X(GELU) X(GELU_TANH) X(RELU) X(RELU_SQUARED) X(SIGMOID) X(TANH) X(IDENTITY) X(SOFTPLUS) X(EXP)

INLINE Vf vf_activate(Activation f, Vf x)
{
    Vf positive = vf_max(vf_zero(), x);
    switch (f) {
    case SILU: return vf_mul(x, vf_sigmoid(x));
    case GELU: return vf_gelu(x);
    case GELU_TANH: return vf_gelu_tanh(x);
    case RELU: return positive;
    case RELU_SQUARED: return vf_mul(positive, positive);
    case SIGMOID: return vf_sigmoid(x);
    case TANH: return vf_tanh(x);
    case IDENTITY: return x;
    case SOFTPLUS: return vf_softplus(x);
    case EXP: return vf_exp(x);
    }
    ASSERT(false);
}

#endif

/* choose_scan.h -- passes over the logits of a whole vocabulary, for each instruction set.
 *
 * One source, choose_scan_cpu.c, is built once per tier and once without any. All passes work in
 * blocks of fixed size with 16 sums or maxima side by side, and no two operations are fused: the
 * order is part of the source, so every tier, compiler and machine gives the same bits.
 */
#ifndef KERNELS_CHOOSE_CHOOSE_SCAN_H
#define KERNELS_CHOOSE_CHOOSE_SCAN_H

#include <stdint.h>

#include "base/cpu_tier.h"

enum { SCAN_BLOCK = 64 };       /* what is looked at together before it is looked at one by one */

typedef struct Peak {
    float value;                /* the largest */
    int32_t id;                 /* the first that has it */
    int32_t broken;             /* the first that is NaN or +infinity; -1: none */
} Peak;

typedef struct Scan {
    Peak (*peak)(const float *z, int32_t n);

    /* -infinity where bit i % 32 of word i / 32 is not set. */
    void (*mask)(float *z, const uint32_t *allowed, int32_t n);

    /* The first block at or after `from` (a multiple of SCAN_BLOCK) that has a value above the bound:
     * where it starts; n: none has. */
    int32_t (*next_above)(const float *z, int32_t from, int32_t n, float bound);

    /* Sum of exp((z - peak) scale), relative error below 1e-6; peak is the largest, scale > 0. */
    double (*exp_sum)(const float *z, int32_t n, float peak, float scale);

    /* x = (z - peak) scale, at least -FLT_MAX, in the place of z; w = exp(x). */
    void (*exps)(float *z, float *w, int32_t n, float peak, float scale);

    /* exp_sum(), and what it sums. */
    double (*weights)(const float *z, float *w, int32_t n, float peak, float scale);

    double (*sum)(const float *w, int32_t n);

    /* The first i at which w[0] + ... + w[i] passes `target` (all w >= 0); should rounding say that
     * none does, the last i with w[i] > 0. */
    int32_t (*find)(const float *w, int32_t n, double target);
} Scan;

const Scan *scan_of(CpuTier);   /* NULL: not built for this machine */

#endif

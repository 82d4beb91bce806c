/* sampler_scan.h -- passes over the logits of a whole vocabulary.
 *
 * All of them work in blocks of fixed size with 16 sums or maxima side by side, in an order that is
 * part of the source: a compiler may use vectors of any width and the result stays the same bits.
 */
#ifndef ENGINE_SAMPLER_SCAN_H
#define ENGINE_SAMPLER_SCAN_H

#include <stdbool.h>
#include <stdint.h>

enum { SCAN_BLOCK = 64 };       /* what is looked at together before it is looked at one by one */

typedef struct Peak {
    float value;                /* the largest */
    int32_t id;                 /* the first that has it */
    int32_t broken;             /* the first that is NaN or +infinity; -1: none */
} Peak;

Peak scan_peak(const float *z, int32_t n);

/* Whether any of at most SCAN_BLOCK values is above the bound. */
bool scan_any_above(const float *z, int32_t n, float bound);

/* Sum of exp((z - peak) scale), relative error below 1e-6; peak is the largest, scale > 0. */
double scan_exp_sum(const float *z, int32_t n, float peak, float scale);

/* x = (z - peak) scale, at least -FLT_MAX, over z; w = exp(x). */
void scan_exp(float *z, float *w, int32_t n, float peak, float scale);

double scan_sum(const float *w, int32_t n);

/* The first i at which w[0] + ... + w[i] passes `target` (all w >= 0); should rounding say that none
 * does, the last i with w[i] > 0. */
int32_t scan_find(const float *w, int32_t n, double target);

#endif

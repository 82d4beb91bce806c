/* quant_search.h -- scales that lose the least.
 *
 * Rounding x to s q leaves the error  E(s) = sum_i w_i (x_i - s q_i)^2,  q_i the level nearest to
 * x_i / s. For given levels the best scale is a weighted least squares fit; for a given scale the
 * best levels are the nearest ones. E has many small dips, so the search starts from a row of
 * scales that map the largest element near an end of the levels, keeps the best, and then
 * alternates the two steps until nothing is gained.
 *
 * The weights are the importance of the elements (the mean square of the activation that each is
 * multiplied by, so E is the error of the product), or all 1.
 */
#ifndef FORMATS_QUANT_SEARCH_H
#define FORMATS_QUANT_SEARCH_H

#include <stdbool.h>
#include <stdint.h>

/* What a scale is multiplied by: the integers low..high, or 16 values of a rising table. */
typedef struct Levels {
    int low, high;
    const int8_t *table;         /* NULL: integers. Else low = table[0], high = table[15] */
} Levels;

int level_near(Levels, float x);                      /* any x but NaN */
int level_index(const int8_t table[16], float x);     /* of the value nearest to x */

/* The scale s, of either sign, for x ~ s q. 0 where all x are too small for an f16 scale. Here and
 * below x is finite and clipped to what an f16 scale can reach, so no sum of squares overflows. */
float fit_scale(const float *x, const float *w, int n, Levels levels);

/* x ~ scale q - min, q in 0..high. `signed_min` false: min >= 0. */
typedef struct Affine {
    float scale, min;
} Affine;
Affine fit_affine(const float *x, const float *w, int n, int high, bool signed_min);

/* w = importance over its mean, with a small floor; all 1 where it is NULL or has no sum. */
void fit_weights(float *w, const float *importance, int n);

#endif

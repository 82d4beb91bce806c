/* quant_search.c -- see quant_search.h. */
#include "formats/quant_search.h"

#include <math.h>
#include <stddef.h>

#include "base/half.h"
#include "formats/quant.h"

enum {
    STARTS = 5,             /* to either side of an end of the levels, within one step of it */
    ALTERNATIONS_MAX = 4,
    GROUP_MAX = 256,
    TRIES = 12,             /* 2 STARTS + 1, and a lane to fill vectors of four */
};
#define WEIGHT_FLOOR 1e-4f   /* so that no element is free, and no sum of weights 0 */

int level_index(const int8_t table[16], float x)
{
    int at = 0;
    for (int half = 8; half; half /= 2)
        at += half * (2 * x > (float)(table[at + half - 1] + table[at + half]));
    return at;
}

int level_near(Levels levels, float x)
{
    if (levels.table)
        return levels.table[level_index(levels.table, x)];
    float low = (float)levels.low, high = (float)levels.high;
    return round_even(x < low ? low : x > high ? high : x);
}

void fit_weights(float *w, const float *importance, int n)
{
    float sum = 0;
    for (int i = 0; i < n; i++) {
        w[i] = importance && importance[i] > 0 && importance[i] < 0x1p100f ? importance[i] : 0;
        sum += w[i];
    }
    float inverse = sum > 0x1p-100f ? (float)n / sum : 0;
    for (int i = 0; i < n; i++)
        w[i] = inverse > 0 ? w[i] * inverse + WEIGHT_FLOOR : 1;
}

/* ---- x ~ s q ---- */

typedef struct ScaleFit {
    float scale, gain;           /* gain: by how much the error is below that of s = 0 */
} ScaleFit;

static ScaleFit scale_fit_at(const float *x, const float *w, int n, Levels levels, float inverse)
{
    float xq = 0, qq = 0;
    for (int i = 0; i < n; i++) {
        float q = (float)level_near(levels, x[i] * inverse);
        xq += w[i] * x[i] * q;
        qq += w[i] * q * q;
    }
    return qq > 0 ? (ScaleFit){xq / qq, xq * xq / qq} : (ScaleFit){0, 0};
}

/* Tries scales that map `extreme` to what lies within a step of the end. */
static ScaleFit scale_fit_near(const float *x, const float *w, int n, Levels levels, int end,
                               float extreme)
{
    const int8_t *t = levels.table;
    float step = (float)(!t ? 1 : end < 0 ? t[1] - t[0] : t[15] - t[14]);
    ScaleFit best = {0, 0};
    for (int k = -STARTS; end && k <= STARTS; k++) {
        float target = (float)end + step * (float)k / STARTS;
        ScaleFit fit = scale_fit_at(x, w, n, levels, target / extreme);
        best = fit.gain > best.gain ? fit : best;
    }
    return best;
}

float fit_scale(const float *x, const float *w, int n, Levels levels)
{
    Spread spread = spread_of(x, n);
    if (spread.amax < QUANT_TINY)
        return 0;
    ScaleFit best = scale_fit_near(x, w, n, levels, levels.low, spread.extreme);
    ScaleFit high = scale_fit_near(x, w, n, levels, levels.high, spread.extreme);
    best = high.gain > best.gain ? high : best;
    for (int i = 0; i < ALTERNATIONS_MAX && best.scale != 0; i++) {
        ScaleFit next = scale_fit_at(x, w, n, levels, 1 / best.scale);
        if (next.gain <= best.gain)
            break;
        best = next;
    }
    return best.scale;
}

/* ---- x ~ s q - m ---- */

/* As round_even(), of what lies in [0, 2^22], and in a form that compilers turn into vectors. */
static inline float round_to_even(float x) { return x + 0x1.8p23f - 0x1.8p23f; }

typedef struct AffineFit {
    Affine affine;
    float error;
} AffineFit;

static Affine affine_of(float sw, float sq, float sqq, float sx, float sxq, bool signed_min)
{
    float determinant = sw * sqq - sq * sq;
    Affine a = {0, -sx / sw};
    if (determinant > 0)
        a = (Affine){(sw * sxq - sq * sx) / determinant, (sq * sxq - sqq * sx) / determinant};
    if (a.min < 0 && !signed_min)
        a = (Affine){sqq > 0 ? sxq / sqq : 0, 0};
    return a;
}

/* The levels nearest under `from`, then the scale and min that suit these levels best. */
static AffineFit affine_fit_at(const float *x, const float *w, int n, int high, bool signed_min,
                               Affine from)
{
    float q[GROUP_MAX], inverse = 1 / from.scale;
    float sw = 0, sq = 0, sqq = 0, sx = 0, sxq = 0;
    for (int i = 0; i < n; i++) {
        q[i] = (float)level_near((Levels){0, high, NULL}, (x[i] + from.min) * inverse);
        sw += w[i];
        sq += w[i] * q[i];
        sqq += w[i] * q[i] * q[i];
        sx += w[i] * x[i];
        sxq += w[i] * x[i] * q[i];
    }
    Affine a = affine_of(sw, sq, sqq, sx, sxq, signed_min);
    float error = 0;
    for (int i = 0; i < n; i++) {
        float off = a.scale * q[i] - a.min - x[i];
        error += w[i] * off * off;
    }
    return (AffineFit){a, error};
}

/* Several scales for one min at a time, a lane each: each lane makes its sums as affine_fit_at() makes them. */
typedef struct ScaleLanes { float of[TRIES]; } ScaleLanes;

static void affine_fits_of(const float *x, const float *w, int n, int high, bool signed_min, float min, const ScaleLanes *scale,
                           AffineFit out[TRIES])
{
    ScaleLanes q[GROUP_MAX], inverse, sq = {{0}}, sqq = {{0}}, sxq = {{0}};
    float sw = 0, sx = 0;
    for (int k = 0; k < TRIES; k++)
        inverse.of[k] = 1 / scale->of[k];
    for (int i = 0; i < n; i++) {
        sw += w[i];
        sx += w[i] * x[i];
        for (int k = 0; k < TRIES; k++) {
            float level = (x[i] + min) * inverse.of[k];
            level = level < 0 ? 0 : level > (float)high ? (float)high : level;
            level = round_to_even(level);
            q[i].of[k] = level;
            sq.of[k] += w[i] * level;
            sqq.of[k] += w[i] * level * level;
            sxq.of[k] += w[i] * x[i] * level;
        }
    }
    ScaleLanes a_scale, a_min, error = {{0}};
    for (int k = 0; k < TRIES; k++) {
        Affine a = affine_of(sw, sq.of[k], sqq.of[k], sx, sxq.of[k], signed_min);
        a_scale.of[k] = a.scale;
        a_min.of[k] = a.min;
    }
    for (int i = 0; i < n; i++)
        for (int k = 0; k < TRIES; k++) {
            float off = a_scale.of[k] * q[i].of[k] - a_min.of[k] - x[i];
            error.of[k] += w[i] * off * off;
        }
    for (int k = 0; k < TRIES; k++)
        out[k] = (AffineFit){{a_scale.of[k], a_min.of[k]}, error.of[k]};
}

Affine fit_affine(const float *x, const float *w, int n, int high, bool signed_min)
{
    Spread spread = spread_of(x, n);
    float bottom = spread.min > 0 && !signed_min ? 0 : spread.min, span = spread.max - bottom;
    if (span < QUANT_TINY)
        return (Affine){0, -bottom};
    AffineFit best = {{0, 0}, INFINITY};
    ScaleLanes scale;
    AffineFit fit[TRIES];
    for (int k = 0; k < TRIES; k++)      /* the last lanes only fill a vector: they try once more what was tried first */
        scale.of[k] = span / ((float)high + (float)(k <= 2 * STARTS ? k - STARTS : -STARTS) / STARTS);
    affine_fits_of(x, w, n, high, signed_min, -bottom, &scale, fit);
    for (int k = 0; k < TRIES; k++)
        best = fit[k].error < best.error ? fit[k] : best;
    for (int i = 0; i < ALTERNATIONS_MAX && best.affine.scale > 0; i++) {
        AffineFit next = affine_fit_at(x, w, n, high, signed_min, best.affine);
        if (!(next.error < best.error))
            break;
        best = next;
    }
    return best.affine;
}

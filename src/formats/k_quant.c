/* k_quant.c -- see k_quant.h. */
#include "formats/k_quant.h"

#include <math.h>

#include "base/half.h"
#include "formats/bits.h"
#include "formats/quant.h"

enum { REFITS = 2 };

void k_decode(float *x, const KBlock *b, int groups)
{
    int size = K_ELEMS / groups;
    for (int i = 0; i < K_ELEMS; i++) {
        int g = i / size;
        x[i] = b->d * (float)b->scale[g] * (float)b->q[i] - b->dmin * (float)b->min[g];
    }
}

/* ---- the search ---- */

/* A superblock being encoded. */
typedef struct KSearch {
    const KShape *shape;
    int size;                    /* elements a group */
    float x[K_ELEMS], w[K_ELEMS];
} KSearch;

static float rounded_to_f16(float d) { return f16_to_f32(f32_to_f16(scale_within_f16(d))); }

/* Rounds a group under the scales that b holds for it; returns the weighted error. */
static float round_group(const KSearch *s, KBlock *b, int g)
{
    float scale = b->d * (float)b->scale[g], min = b->dmin * (float)b->min[g], error = 0;
    float inverse = fabsf(scale) > 0 ? 1 / scale : 0, low = (float)s->shape->q.low, high = (float)s->shape->q.high;
    const float *x = s->x + g * s->size, *w = s->w + g * s->size;
    int8_t *to = b->q + g * s->size;
    float errors[K_ELEMS];
    for (int i = 0; i < s->size && !s->shape->q.table; i++) {      /* level_near(), in vectors */
        float level = (x[i] + min) * inverse;
        to[i] = (int8_t)round_even(level < low ? low : level > high ? high : level);
    }
    for (int i = 0; i < s->size && s->shape->q.table; i++)
        to[i] = (int8_t)level_near(s->shape->q, (x[i] + min) * inverse);
    for (int i = 0; i < s->size; i++) {
        float off = scale * (float)to[i] - min - x[i];
        errors[i] = w[i] * off * off;
    }
    for (int i = 0; i < s->size; i++)
        error += errors[i];
    return error;
}

static float round_all(const KSearch *s, KBlock *b)
{
    float error = 0;
    for (int g = 0; g < s->shape->groups; g++)
        error += round_group(s, b, g);
    return error;
}

/* Gives group g the integers near (scale, min) whose rounded elements are nearest to x. */
static void place_group(const KSearch *s, KBlock *b, int g, Affine want)
{
    Levels mins = {0, s->shape->min_high, NULL};
    int scale = level_near(s->shape->scale, fabsf(b->d) > 0 ? want.scale / b->d : 0);
    int min = level_near(mins, b->dmin > 0 ? want.min / b->dmin : 0);
    int best_scale = scale, best_min = min;
    float best = INFINITY;
    for (int i = scale - 1; i <= scale + 1; i++)
        for (int j = min - 1; j <= min + 1; j++) {
            if (i < s->shape->scale.low || i > s->shape->scale.high || j < 0 || j > mins.high)
                continue;
            b->scale[g] = (int8_t)i;
            b->min[g] = (int8_t)j;
            float error = round_group(s, b, g);
            if (error < best) {
                best = error;
                best_scale = i;
                best_min = j;
            }
        }
    b->scale[g] = (int8_t)best_scale;
    b->min[g] = (int8_t)best_min;
}

/* d and dmin that suit all integers of b best: least squares over the superblock. */
static void refit(const KSearch *s, KBlock *b)
{
    double aa = 0, am = 0, mm = 0, xa = 0, xm = 0;   /* x ~ d a - dmin m */
    for (int i = 0; i < K_ELEMS; i++) {
        int g = i / s->size;
        double a = b->scale[g] * b->q[i], m = b->min[g], w = s->w[i];
        aa += w * a * a;
        am += w * a * m;
        mm += w * m * m;
        xa += w * a * s->x[i];
        xm += w * m * s->x[i];
    }
    double determinant = aa * mm - am * am;
    if (determinant > 1e-9 * aa * mm) {
        b->d = rounded_to_f16((float)((xa * mm - am * xm) / determinant));
        b->dmin = rounded_to_f16((float)((xa * am - aa * xm) / determinant));
    } else if (aa > 0) {
        b->d = rounded_to_f16((float)((xa + b->dmin * am) / aa));
    }
}

/* The scales of all groups, and from them d, dmin and the integers. */
static void place_all(const KSearch *s, KBlock *b)
{
    const KShape *shape = s->shape;
    const Levels mins = {0, shape->min_high, NULL};
    float scale[K_GROUPS_MAX], scale_weight[K_GROUPS_MAX];
    float min[K_GROUPS_MAX], min_weight[K_GROUPS_MAX];
    for (int g = 0; g < shape->groups; g++) {
        const float *x = s->x + g * s->size, *w = s->w + g * s->size;
        Affine a = {0, 0};
        if (shape->min_high)
            a = fit_affine(x, w, s->size, shape->q.high, false);
        else
            a.scale = fit_scale(x, w, s->size, shape->q);
        scale[g] = a.scale;
        min[g] = a.min;
        scale_weight[g] = min_weight[g] = 0;
        for (int i = 0; i < s->size; i++) {   /* what an error of the scale, or of the min, costs */
            float q = fabsf(a.scale) > 0 ? (x[i] + a.min) / a.scale : 0;
            scale_weight[g] += w[i] * q * q;
            min_weight[g] += w[i];
        }
    }
    b->d = rounded_to_f16(fit_scale(scale, scale_weight, shape->groups, shape->scale));
    b->dmin = 0;
    if (shape->min_high)
        b->dmin = rounded_to_f16(fit_scale(min, min_weight, shape->groups, mins));
    for (int g = 0; g < shape->groups; g++)
        place_group(s, b, g, (Affine){scale[g], min[g]});
}

void k_encode(KBlock *b, const float *x, const float *importance, const KShape *shape)
{
    KSearch s = {.shape = shape, .size = K_ELEMS / shape->groups};
    *b = (KBlock){.d = 0};
    if (!spread_of(x, K_ELEMS).finite) {
        b->d = NAN;
        return;
    }
    for (int i = 0; i < K_ELEMS; i++)
        s.x[i] = scale_within_f16(x[i]);
    fit_weights(s.w, importance, K_ELEMS);
    place_all(&s, b);
    float error = round_all(&s, b);
    for (int i = 0; i < REFITS; i++) {
        KBlock next = *b;
        refit(&s, &next);
        float next_error = round_all(&s, &next);
        if (!(next_error < error))
            break;
        *b = next;
        error = next_error;
    }
}

/* ---- 6-bit scales in 12 bytes ----
 *
 *     bytes 0-3     scale 0-3, and above it the upper 2 bits of scale 4-7
 *     bytes 4-7     min 0-3,   and above it the upper 2 bits of min 4-7
 *     bytes 8-11    the lower 4 bits of scale 4-7, and above them those of min 4-7
 */
void k_scales_unpack(KBlock *b, const uint8_t bytes[12])
{
    for (int g = 0; g < 4; g++) {
        b->scale[g] = bytes[g] & 63;
        b->min[g] = bytes[g + 4] & 63;
        b->scale[g + 4] = (int8_t)((bytes[g + 8] & 15) | bytes[g] >> 6 << 4);
        b->min[g + 4] = (int8_t)(bytes[g + 8] >> 4 | bytes[g + 4] >> 6 << 4);
    }
}

void k_scales_pack(uint8_t bytes[12], const KBlock *b)
{
    for (int g = 0; g < 4; g++) {
        bytes[g] = (uint8_t)(b->scale[g] | b->scale[g + 4] >> 4 << 6);
        bytes[g + 4] = (uint8_t)(b->min[g] | b->min[g + 4] >> 4 << 6);
        bytes[g + 8] = (uint8_t)((b->scale[g + 4] & 15) | (b->min[g + 4] & 15) << 4);
    }
}

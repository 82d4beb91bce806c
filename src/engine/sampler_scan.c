#include "engine/sampler_scan.h"

#include <float.h>
#include <math.h>

#include "base/checked.h"
#include "base/half.h"

enum {
    LANES = 16,
    SUM_BLOCK = 512,            /* summed in f32, 32 values a lane; the blocks are summed in f64 */
};

static inline int32_t block_of(int32_t n, int32_t from, int32_t block)
{
    return n - from < block ? n - from : block;
}

/* The largest of a block, -INFINITY if there is none; false: some value is NaN or +infinity. */
static bool block_most(const float *z, int32_t n, float *out)
{
    float most[LANES];
    int32_t broken[LANES] = {0}, i = 0, any = 0;
    for (int l = 0; l < LANES; l++)
        most[l] = -INFINITY;
    for (; i + LANES <= n; i += LANES)
        for (int l = 0; l < LANES; l++) {
            most[l] = z[i + l] > most[l] ? z[i + l] : most[l];
            broken[l] |= !(z[i + l] <= FLT_MAX);
        }
    for (; i < n; i++) {
        most[0] = z[i] > most[0] ? z[i] : most[0];
        broken[0] |= !(z[i] <= FLT_MAX);
    }
    for (int l = 0; l < LANES; l++) {
        most[0] = most[l] > most[0] ? most[l] : most[0];
        any |= broken[l];
    }
    *out = most[0];
    return !any;
}

Peak scan_peak(const float *z, int32_t n)
{
    Peak peak = {-INFINITY, 0, -1};
    float most;
    for (int32_t i = 0; i < n; i += SUM_BLOCK) {
        if (!block_most(z + i, block_of(n, i, SUM_BLOCK), &most)) {
            for (peak.broken = i; z[peak.broken] <= FLT_MAX;)
                peak.broken++;
            return peak;
        }
        if (most > peak.value) {
            peak.value = most;
            peak.id = i;        /* the block for now */
        }
    }
    while (peak.id < n - 1 && z[peak.id] != peak.value)
        peak.id++;
    return peak;
}

bool scan_any_above(const float *z, int32_t n, float bound)
{
    int32_t any = 0;
    if (n == SCAN_BLOCK)
        for (int i = 0; i < SCAN_BLOCK; i++)
            any |= z[i] > bound;
    else
        for (int i = 0; i < n; i++)
            any |= z[i] > bound;
    return any != 0;
}

/* exp(x) for x <= 0, relative error below 2e-7; 0 below -87, where f32 would become denormal.
 * x = n ln 2 + r with |r| <= ln 2 / 2; Taylor's series of exp(r) to r^7 leaves less than 1e-8. */
static inline float exp_below(float x)
{
    float y = x > -87.0f ? x : -87.0f;
    int32_t n = round_even(y * 0x1.715476p0f);                         /* 1 / ln 2 */
    float r = (y - (float)n * 0x1.62e4p-1f) - (float)n * -0x1.7f7d1cp-20f;   /* ln 2 in two parts */
    float p = 1.0f / 5040;
    p = p * r + 1.0f / 720;
    p = p * r + 1.0f / 120;
    p = p * r + 1.0f / 24;
    p = p * r + 1.0f / 6;
    p = p * r + 0.5f;
    p = p * r + 1.0f;
    p = p * r + 1.0f;
    float w = p * f32_of_bits((uint32_t)(n + 127) << 23);
    return x > -87.0f ? w : 0.0f;
}

static inline double sum_lanes(const float *lane)
{
    double sum = 0;
    for (int l = 0; l < LANES; l++)
        sum += (double)lane[l];
    return sum;
}

double scan_exp_sum(const float *z, int32_t n, float peak, float scale)
{
    double total = 0;
    for (int32_t from = 0; from < n; from += SUM_BLOCK) {
        int32_t i = from, to = from + block_of(n, from, SUM_BLOCK);
        float lane[LANES] = {0};
        for (; i + LANES <= to; i += LANES)
            for (int l = 0; l < LANES; l++)
                lane[l] += exp_below((z[i + l] - peak) * scale);
        for (; i < to; i++)
            lane[0] += exp_below((z[i] - peak) * scale);
        total += sum_lanes(lane);
    }
    return total;
}

static inline float scaled(float z, float peak, float scale)
{
    float x = (z - peak) * scale;
    return x > -FLT_MAX ? x : -FLT_MAX;
}

void scan_exp(float *z, float *w, int32_t n, float peak, float scale)
{
    int32_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int l = 0; l < LANES; l++) {
            z[i + l] = scaled(z[i + l], peak, scale);
            w[i + l] = exp_below(z[i + l]);
        }
    for (; i < n; i++) {
        z[i] = scaled(z[i], peak, scale);
        w[i] = exp_below(z[i]);
    }
}

static double block_sum(const float *w, int32_t n)
{
    float lane[LANES] = {0};
    int32_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int l = 0; l < LANES; l++)
            lane[l] += w[i + l];
    for (; i < n; i++)
        lane[0] += w[i];
    return sum_lanes(lane);
}

double scan_sum(const float *w, int32_t n)
{
    double total = 0;
    for (int32_t i = 0; i < n; i += SUM_BLOCK)
        total += block_sum(w + i, block_of(n, i, SUM_BLOCK));
    return total;
}

int32_t scan_find(const float *w, int32_t n, double target)
{
    double before = 0;
    for (int32_t from = 0; from < n; from += SUM_BLOCK) {
        int32_t to = from + block_of(n, from, SUM_BLOCK);
        double mass = block_sum(w + from, to - from), sum = before;
        before += mass;
        if (before <= target)
            continue;
        for (int32_t i = from; i < to; i++) {
            sum += (double)w[i];
            if (sum > target && w[i] > 0)
                return i;
        }
    }
    while (n > 1 && w[n - 1] == 0)
        n--;
    return n - 1;
}

/* An incomplete vector at the end is filled up with values that change nothing. */
#include "kernels/choose/choose_scan.h"

#include <float.h>
#include <math.h>

#ifdef TIER_reference
#include "kernels/kit/simd_plain.h"
#else
#include "kernels/kit/simd.h"
#endif

enum { SUM_BLOCK = 512 };      /* summed in f32, 32 values a lane; the blocks are summed in f64 */

INLINE Vf load_upto(const float *p, int32_t n, float fill)
{
    float part[LANES];
    if (n >= LANES)
        return vf_load(p);
    for (int i = 0; i < LANES; i++)
        part[i] = i < n ? p[i] : fill;
    return vf_load(part);
}
INLINE void store_upto(float *p, int32_t n, Vf v)
{
    float part[LANES];
    if (n >= LANES) {
        vf_store(p, v);
        return;
    }
    vf_store(part, v);
    memcpy(p, part, (size_t)n * sizeof *p);
}
INLINE double sum_lanes(Vf v)
{
    float lanes[LANES];
    double sum = 0;
    vf_store(lanes, v);
    for (int l = 0; l < LANES; l++)
        sum += (double)lanes[l];
    return sum;
}
INLINE int32_t block_end(int32_t from, int32_t n, int32_t block) { return n - from < block ? n : from + block; }

/* The largest of a block, -INFINITY if there is none. broken: some value is NaN or +infinity. */
INLINE float block_most(const float *z, int32_t n, bool *broken)
{
    const Vf least = vf_all(-INFINITY), past = vf_all(INFINITY);
    Vf even = least, odd = least;       /* each waits for its own last comparison only */
    Vf even_bad = vf_all(0), odd_bad = even_bad;
    for (int32_t i = 0; i < n; i += 2 * LANES) {
        Vf v = load_upto(z + i, n - i, -INFINITY), w = least;
        if (n - i > LANES)
            w = load_upto(z + i + LANES, n - i - LANES, -INFINITY);
        even = vf_max(v, even);
        odd = vf_max(w, odd);
        even_bad = vf_pick(vf_less(v, past), even_bad, past);
        odd_bad = vf_pick(vf_less(w, past), odd_bad, past);
    }
    *broken = vf_most(vf_max(odd_bad, even_bad)) > 0;
    return vf_most(vf_max(odd, even));
}

static Peak scan_peak(const float *z, int32_t n)
{
    Peak peak = {-INFINITY, 0, -1};
    for (int32_t i = 0; i < n; i += SUM_BLOCK) {
        bool broken;
        float most = block_most(z + i, block_end(i, n, SUM_BLOCK) - i, &broken);
        if (broken) {
            for (peak.broken = i; z[peak.broken] <= FLT_MAX;)
                peak.broken++;
            return peak;
        }
        if (most > peak.value)
            peak.value = most, peak.id = i;      /* the block for now */
    }
    while (peak.id < n - 1 && z[peak.id] != peak.value)
        peak.id++;
    return peak;
}

static void scan_mask(float *z, const uint32_t *allowed, int32_t n)
{
    static const int32_t bits[LANES] = {1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768};
    Vi bit = vi_load(bits);
    for (int32_t i = 0; i < n; i += LANES) {
        Vi word = vi_all((int32_t)(allowed[i / 32] >> (i % 32)));
        Vf v = load_upto(z + i, n - i, 0);
        v = vf_pick(vi_equal(vi_and(bit, word), vi_all(0)), vf_all(-INFINITY), v);
        store_upto(z + i, n - i, v);
    }
}

static int32_t scan_next_above(const float *z, int32_t from, int32_t n, float bound)
{
    for (; from < n; from += SCAN_BLOCK) {
        Vf most = vf_all(-INFINITY);
        for (int32_t i = from; i < block_end(from, n, SCAN_BLOCK); i += LANES)
            most = vf_max(load_upto(z + i, n - i, -INFINITY), most);
        if (vf_most(most) > bound)
            return from;
    }
    return n;
}

INLINE Vf times_and(Vf p, Vf r, float more) { return vf_add(vf_mul(p, r), vf_all(more)); }

/* exp(x) for x <= 0, relative error below 2e-7; 0 below -87, where f32 would become denormal.
 * x = n ln 2 + r with |r| <= ln 2 / 2; Taylor's series of exp(r) to r^7 leaves less than 1e-8. */
INLINE Vf exp_below(Vf x)
{
    const Vf least = vf_all(-87), to_integer = vf_all(0x1.8p23f);        /* where the step of f32 is 1 */
    Vf shifted = vf_add(vf_mul(x, vf_all(0x1.715476p0f)), to_integer);   /* y / ln 2 */
    Vf n = vf_sub(shifted, to_integer);
    Vf r = vf_sub(x, vf_mul(n, vf_all(0x1.62e4p-1f)));                   /* ln 2 in two parts, the first short */
    r = vf_sub(r, vf_mul(n, vf_all(0x1.7f7d1cp-20f)));
    Vf p = times_and(r, vf_all(1.0f / 5040), 1.0f / 720);
    p = times_and(p, r, 1.0f / 120);
    p = times_and(p, r, 1.0f / 24);
    p = times_and(p, r, 1.0f / 6);
    p = times_and(p, r, 0.5f);
    p = times_and(p, r, 1);
    p = times_and(p, r, 1);
    Vi power = vi_shl(vi_add(vf_bits(shifted), vi_all(127 - 0x4b400000)), 23);      /* 0x4b400000: the bits of to_integer */
    return vf_pick(vf_less(least, x), vf_mul(p, vf_of_bits(power)), vf_all(0));     /* below it p and power mean nothing */
}

/* exp((z - peak) scale) of some values; the sum of a block of them. w: where they go; NULL: nowhere. */
INLINE double exps_of_block(const float *z, float *w, int32_t n, Vf peak, Vf scale)
{
    Vf sum = vf_all(0);
    for (int32_t i = 0; i < n; i += LANES) {
        Vf power = exp_below(vf_mul(vf_sub(load_upto(z + i, n - i, -INFINITY), peak), scale));
        if (w)
            store_upto(w + i, n - i, power);
        sum = vf_add(sum, power);
    }
    return sum_lanes(sum);
}
INLINE double exps_of_all(const float *z, float *w, int32_t n, float peak, float scale)
{
    double total = 0;
    for (int32_t i = 0; i < n; i += SUM_BLOCK)
        total += exps_of_block(z + i, w ? w + i : NULL, block_end(i, n, SUM_BLOCK) - i, vf_all(peak), vf_all(scale));
    return total;
}
static double scan_exp_sum(const float *z, int32_t n, float peak, float scale) { return exps_of_all(z, NULL, n, peak, scale); }
static double scan_weights(const float *z, float *w, int32_t n, float peak, float scale)
{
    return exps_of_all(z, w, n, peak, scale);
}

static void scan_exps(float *z, float *w, int32_t n, float peak, float scale)
{
    for (int32_t i = 0; i < n; i += LANES) {
        Vf x = vf_mul(vf_sub(load_upto(z + i, n - i, -INFINITY), vf_all(peak)), vf_all(scale));
        x = vf_max(x, vf_all(-FLT_MAX));
        store_upto(z + i, n - i, x);
        store_upto(w + i, n - i, exp_below(x));
    }
}

static double block_sum(const float *w, int32_t n)
{
    Vf sum = vf_all(0);
    for (int32_t i = 0; i < n; i += LANES)
        sum = vf_add(sum, load_upto(w + i, n - i, 0));
    return sum_lanes(sum);
}

static double scan_sum(const float *w, int32_t n)
{
    double total = 0;
    for (int32_t i = 0; i < n; i += SUM_BLOCK)
        total += block_sum(w + i, block_end(i, n, SUM_BLOCK) - i);
    return total;
}

static int32_t scan_find(const float *w, int32_t n, double target)
{
    double before = 0;
    for (int32_t from = 0; from < n; from += SUM_BLOCK) {
        int32_t to = block_end(from, n, SUM_BLOCK);
        double sum = before;
        before += block_sum(w + from, to - from);
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

const Scan TIERED(scan) = {
    .peak = scan_peak, .mask = scan_mask, .next_above = scan_next_above, .exp_sum = scan_exp_sum, .exps = scan_exps,
    .sum = scan_sum, .find = scan_find, .weights = scan_weights,
};

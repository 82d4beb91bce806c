/* Vectors of 16 lanes in the notation that gcc and clang share; the compiler splits them into what
 * the tier has. An incomplete vector at the end is filled up with values that change nothing. */
#include "kernels/choose/choose_scan.h"

#include <float.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "kernels/cpu_kernel.h"

#pragma GCC diagnostic ignored "-Wpsabi"   /* vectors are returned by inlined functions only */
#define INLINE static inline __attribute__((always_inline))
#define ALL(x) ((x) - (Floats){0})
#define PICK(mask, yes, no) ((Floats)(((mask) & (Ints)(yes)) | (~(mask) & (Ints)(no))))

enum {
    LANES = 16,
    SUM_BLOCK = 512,            /* summed in f32, 32 values a lane; the blocks are summed in f64 */
};
typedef float Floats __attribute__((vector_size(4 * LANES)));
typedef int32_t Ints __attribute__((vector_size(4 * LANES)));
typedef uint32_t Bits __attribute__((vector_size(4 * LANES)));
typedef int64_t Longs __attribute__((vector_size(4 * LANES)));

/* A whole vector never leaves its register: the part of one has memory of its own. */
INLINE Floats load_upto(const float *p, int32_t n, float fill)
{
    Floats all;
    if (n >= LANES) {
        memcpy(&all, p, sizeof all);
        return all;
    }
    Floats part = ALL(fill);
    memcpy(&part, p, (size_t)n * sizeof *p);
    return part;
}
INLINE void store_upto(float *p, int32_t n, const Floats *v)
{
    Floats all = *v;
    if (n >= LANES) {
        memcpy(p, &all, sizeof all);
        return;
    }
    Floats part = all;
    memcpy(p, &part, (size_t)n * sizeof *p);
}
INLINE bool any(const Ints *mask)
{
    Longs pairs = (Longs)*mask;
    int64_t some = 0;
    for (int i = 0; i < LANES / 2; i++)
        some |= pairs[i];
    return some != 0;
}
INLINE double sum_lanes(const Floats *v)
{
    double sum = 0;
    for (int l = 0; l < LANES; l++)
        sum += (double)(*v)[l];
    return sum;
}
INLINE int32_t block_end(int32_t from, int32_t n, int32_t block) { return n - from < block ? n : from + block; }

/* The largest of a block in each lane, -INFINITY if there is none; false: some value is NaN or +infinity. */
INLINE bool block_most(const float *z, int32_t n, Floats *out)
{
    Floats even = ALL(-INFINITY), odd = even;       /* each waits for its own last comparison only */
    Ints broken = {0};
    for (int32_t i = 0; i < n; i += 2 * LANES) {
        Floats v = load_upto(z + i, n - i, -INFINITY), w = ALL(-INFINITY);
        if (n - i > LANES)
            w = load_upto(z + i + LANES, n - i - LANES, -INFINITY);
        even = PICK(v > even, v, even);
        odd = PICK(w > odd, w, odd);
        broken |= ~((v <= FLT_MAX) & (w <= FLT_MAX));
    }
    *out = PICK(odd > even, odd, even);
    return !any(&broken);
}

static Peak scan_peak(const float *z, int32_t n)
{
    Peak peak = {-INFINITY, 0, -1};
    Floats most;
    for (int32_t i = 0; i < n; i += SUM_BLOCK) {
        if (!block_most(z + i, block_end(i, n, SUM_BLOCK) - i, &most)) {
            for (peak.broken = i; z[peak.broken] <= FLT_MAX;)
                peak.broken++;
            return peak;
        }
        Ints larger = most > peak.value;
        if (!any(&larger))
            continue;
        peak.id = i;            /* the block for now */
        for (int l = 0; l < LANES; l++)
            peak.value = most[l] > peak.value ? most[l] : peak.value;
    }
    while (peak.id < n - 1 && z[peak.id] != peak.value)
        peak.id++;
    return peak;
}

static void scan_mask(float *z, const uint32_t *allowed, int32_t n)
{
    static const Ints bit = {1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768};
    for (int32_t i = 0; i < n; i += LANES) {
        int32_t word = (int32_t)(allowed[i / 32] >> (i % 32));
        Floats v = load_upto(z + i, n - i, 0);
        v = PICK((bit & word) != 0, v, ALL(-INFINITY));
        store_upto(z + i, n - i, &v);
    }
}

static int32_t scan_next_above(const float *z, int32_t from, int32_t n, float bound)
{
    for (; from < n; from += SCAN_BLOCK) {
        Ints above = {0};
        for (int32_t i = from; i < block_end(from, n, SCAN_BLOCK); i += LANES)
            above |= load_upto(z + i, n - i, -INFINITY) > bound;
        if (any(&above))
            return from;
    }
    return n;
}

/* exp(x) for x <= 0, relative error below 2e-7; 0 below -87, where f32 would become denormal.
 * x = n ln 2 + r with |r| <= ln 2 / 2; Taylor's series of exp(r) to r^7 leaves less than 1e-8. */
INLINE Floats exp_below(const Floats *in)
{
    Floats x = *in;
    const float least = -87, to_integer = 0x1.8p23f;        /* where the step of f32 is 1 */
    Floats shifted = x * 0x1.715476p0f + to_integer;        /* y / ln 2 */
    Floats n = shifted - to_integer;
    Floats r = (x - n * 0x1.62e4p-1f) - n * 0x1.7f7d1cp-20f;  /* ln 2 in two parts, the first short */
    Floats p = r * (1.0f / 5040) + 1.0f / 720;
    p = p * r + 1.0f / 120;
    p = p * r + 1.0f / 24;
    p = p * r + 1.0f / 6;
    p = p * r + 0.5f;
    p = p * r + 1;
    p = p * r + 1;
    Bits power = ((Bits)shifted - 0x4b400000u + 127) << 23;   /* 0x4b400000: the bits of to_integer */
    return PICK(x > least, p * (Floats)power, (Floats){0});     /* below it p and power mean nothing */
}

static double scan_exp_sum(const float *z, int32_t n, float peak, float scale)
{
    double total = 0;
    for (int32_t from = 0; from < n; from += SUM_BLOCK) {
        Floats sum = {0};
        for (int32_t i = from; i < block_end(from, n, SUM_BLOCK); i += LANES) {
            Floats x = (load_upto(z + i, n - i, -INFINITY) - peak) * scale;
            sum += exp_below(&x);
        }
        total += sum_lanes(&sum);
    }
    return total;
}

static void scan_exps(float *z, float *w, int32_t n, float peak, float scale)
{
    const Floats least = ALL(-FLT_MAX);
    for (int32_t i = 0; i < n; i += LANES) {
        Floats x = (load_upto(z + i, n - i, -INFINITY) - peak) * scale;
        x = PICK(x > least, x, least);
        Floats power = exp_below(&x);
        store_upto(z + i, n - i, &x);
        store_upto(w + i, n - i, &power);
    }
}

static double block_sum(const float *w, int32_t n)
{
    Floats sum = {0};
    for (int32_t i = 0; i < n; i += LANES)
        sum += load_upto(w + i, n - i, 0);
    return sum_lanes(&sum);
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

static double scan_weights(const float *z, float *w, int32_t n, float peak, float scale)
{
    double total = 0;
    for (int32_t from = 0; from < n; from += SUM_BLOCK) {
        Floats sum = {0};
        for (int32_t i = from; i < block_end(from, n, SUM_BLOCK); i += LANES) {
            Floats x = (load_upto(z + i, n - i, -INFINITY) - peak) * scale;
            Floats power = exp_below(&x);
            store_upto(w + i, n - i, &power);
            sum += power;
        }
        total += sum_lanes(&sum);
    }
    return total;
}

const Scan TIERED(scan) = {
    .peak = scan_peak, .mask = scan_mask, .next_above = scan_next_above, .exp_sum = scan_exp_sum, .exps = scan_exps,
    .sum = scan_sum, .find = scan_find, .weights = scan_weights,
};

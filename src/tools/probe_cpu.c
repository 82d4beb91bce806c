/* probe_cpu.c -- the loops of probe.h that multiply: as many independent sums as hide the latency of each. */
#include "kernels/kit/simd.h"
#include "tools/probe.h"

enum { SUMS = VF_REGISTERS >= 32 ? 12 : 6 };      /* of 32 registers, or of AVX2's 16 as pairs */

extern const ProbeLoops TIERED(probe_loops);

/* What sums begin with. Lanes differ: a compiler would compute equal halves of a vector once. */
static const float lanes[LANES] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};

static double run_fp32(int64_t rounds, float *sink)
{
    Vf sum[SUMS], a = vf_all(1), b = vf_all(*sink);
    UNROLL
    for (int i = 0; i < SUMS; i++)
        sum[i] = vf_add(vf_load(lanes), vf_all((float)i));
    for (int64_t n = 0; n < rounds; n++) {
        UNROLL
        for (int i = 0; i < SUMS; i++)
            sum[i] = vf_fma(a, b, sum[i]);
    }
    UNROLL
    for (int i = 0; i < SUMS; i++)
        *sink += vf_sum(sum[i]);
    return 2.0 * LANES * SUMS * (double)rounds;
}

/* As far as the compiler knows: where a dot product is some instructions, it would compute most of them once. */
#if defined(TIER_avx2)
#define MAY_CHANGE(x) __asm__ volatile("" : "+x"((x).lo), "+x"((x).hi))
#else
#define MAY_CHANGE(x) (void)(x)
#endif

static double run_int8(int64_t rounds, float *sink)
{
    Vi sum[SUMS], w = vi_all(*sink > 0 ? 0x02020202 : 0x01010101), x = vi_all(0x01010101);
    UNROLL
    for (int i = 0; i < SUMS; i++)
        sum[i] = vi_add(vi_load(lanes), vi_all(i));
    for (int64_t n = 0; n < rounds; n++) {
        UNROLL
        for (int i = 0; i < SUMS; i++) {
            MAY_CHANGE(x);
            sum[i] = vi_dot(sum[i], w, x);
        }
    }
    UNROLL
    for (int i = 0; i < SUMS; i++)
        *sink += (float)vi_sum(sum[i]);
    return 2.0 * 4 * LANES * SUMS * (double)rounds;
}

#if defined(TIER_avx512)
static double run_bf16(int64_t rounds, float *sink)
{
    __m512 sum[SUMS];
    __m512bh a = (__m512bh)vi_all(0x3f803f80), b = (__m512bh)vi_all(*sink > 0 ? 0x3f003f00 : 0x3f803f80);
    UNROLL
    for (int i = 0; i < SUMS; i++)
        sum[i] = vf_all((float)i);
    for (int64_t n = 0; n < rounds; n++) {
        UNROLL
        for (int i = 0; i < SUMS; i++)
            sum[i] = _mm512_dpbf16_ps(sum[i], a, b);
    }
    UNROLL
    for (int i = 0; i < SUMS; i++)
        *sink += vf_sum(sum[i]);
    return 2.0 * 2 * LANES * SUMS * (double)rounds;
}
#else
#define run_bf16 NULL
#endif

const ProbeLoops TIERED(probe_loops) = {{run_fp32, run_bf16, run_int8}};

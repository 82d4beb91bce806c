/* attend_mma.h -- small matrices in the registers of a warp: what attention asks of tensor cores.
 *
 * A product adds [16, 16] . [16, 8] to [16, 8]. With g = lane / 4 and i = 2 (lane % 4), a thread holds of each:
 *
 *     c   4 of F32       (g, i) (g, i + 1) | (g + 8, i) (g + 8, i + 1)
 *     a   4 pairs        (g, i..) | (g + 8, i..) | (g, i + 8..) | (g + 8, i + 8..)
 *     b   2 pairs        (i.., g) | (i + 8.., g)
 *
 * A pair is two numbers of 16 bits: F16 or BF16, K says which.
 */
#ifndef KERNELS_ATTEND_ATTEND_MMA_H
#define KERNELS_ATTEND_ATTEND_MMA_H

#include "formats/planes_cuda.h"

template <int K> static __device__ inline void multiply(float *c, const unsigned *a, uint2 b)
{
    if (K == W_BF16)
        asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
            : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
            : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b.x), "r"(b.y));
    else
        asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
            : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
            : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b.x), "r"(b.y));
}

static __device__ inline unsigned shared_address(const void *p) { return (unsigned)__cvta_generic_to_shared(p); }

/* Four matrices of [8, 8] out of shared memory: eight lanes give the addresses of the rows of each. */
static __device__ inline void load_matrices(unsigned *a, unsigned at)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(a[0]), "=r"(a[1]), "=r"(a[2]), "=r"(a[3]) : "r"(at) : "memory");
}
static __device__ inline void load_turned(unsigned *a, unsigned at)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(a[0]), "=r"(a[1]), "=r"(a[2]), "=r"(a[3]) : "r"(at) : "memory");
}
/* A matrix of [8, 8] that lies in registers: its rows become its columns. */
static __device__ inline unsigned turn(unsigned pair)
{
    unsigned turned;
    asm volatile("movmatrix.sync.aligned.m8n8.trans.b16 %0, %1;" : "=r"(turned) : "r"(pair));
    return turned;
}

template <int K> static __device__ inline unsigned pair_of(float first, float second)
{
    unsigned pair;
    if (K == W_BF16)
        asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(second), "f"(first));
    else
        asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(second), "f"(first));
    return pair;
}
template <int K> static __device__ inline float first_of(unsigned pair)
{
    return K == W_BF16 ? __uint_as_float(pair << 16) : f32_of_f16((unsigned short)pair);
}
template <int K> static __device__ inline float second_of(unsigned pair)
{
    return K == W_BF16 ? __uint_as_float(pair & 0xffff0000) : f32_of_f16((unsigned short)(pair >> 16));
}

/* Two numbers of 8 bits: F16 has all of them. */
template <int K> static __device__ inline unsigned widen_pair(unsigned two)
{
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 890
    unsigned pair;
    if (K == W_E4M3)
        asm("cvt.rn.f16x2.e4m3x2 %0, %1;" : "=r"(pair) : "h"((unsigned short)two));
    else
        asm("cvt.rn.f16x2.e5m2x2 %0, %1;" : "=r"(pair) : "h"((unsigned short)two));
    return pair;
#else
    if (K == W_E5M2)
        return (two & 0xff) << 8 | (two & 0xff00) << 16;
    return pair_of<W_F16>(f32_of_e4m3((unsigned char)two), f32_of_e4m3((unsigned char)(two >> 8)));
#endif
}

static __device__ inline float near_bf16(float x) { return first_of<W_BF16>(pair_of<W_BF16>(x, 0)); }

#define LOG2_E 1.4426950408889634f
#define LN_2 0.6931471805599453f

/* 2^x: within 2^-22 for the differences of scores that count. */
static __device__ inline float power2(float x)
{
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

/* ---- copies into shared memory that nobody waits for yet ---- */

/* 16 bytes; zeros where there are none. */
static __device__ inline void copy_16(unsigned to, const void *from, bool there)
{
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(from), "r"(there ? 16 : 0) : "memory");
}
static __device__ inline void copies_sent() { asm volatile("cp.async.commit_group;" ::: "memory"); }
/* All but the last N of what was sent are there. */
template <int N> static __device__ inline void copies_wait() { asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory"); }

#endif

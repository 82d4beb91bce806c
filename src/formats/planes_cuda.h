/* planes_cuda.h -- a block of 32 weights out of its planes (planes.h), in the registers of a thread. */
#ifndef FORMATS_PLANES_CUDA_H
#define FORMATS_PLANES_CUDA_H

#include "kernels/kit/cuda_kit.h"
#include "formats/planes.h"

/* x = s (q - offset) - m: four q in a word, in order; s and m of elements 0-15 and 16-31. */
typedef struct Block {
    int q[8];
    float s[2], m[2];
} Block;

template <int K> struct Kind {
    static constexpr int offset = K == W_Q4_0 ? 8 : K == W_Q5_0 ? 16 : K == W_Q6_K ? 32 : K == W_Q3_K ? 4 : 0;
    static constexpr bool tabled = K == W_IQ4_NL || K == W_IQ4_XS || K == W_MXFP4;
    static constexpr bool halves = K == W_Q2_K || K == W_Q3_K || K == W_Q6_K;      /* each with a scale of its own */
    static constexpr bool bytes = K == W_Q8_0;      /* low holds whole q, not halves of bytes: of those that are streamed */
    static constexpr int bits = K == W_Q6_K ? 6 : K == W_Q5_0 || K == W_Q5_1 || K == W_Q5_K ? 5 : K == W_Q8_0 ? 8 : 4;
    static constexpr int high = bits == 6 ? 8 : bits == 5 ? 4 : 0;      /* bytes of a block; of those of 4 bits and more */
    static constexpr int fine = K == W_MXFP4 ? 1 : K == W_Q4_1 || K == W_Q5_1 ? 4 : 2;
    static constexpr int coarse = K == W_Q4_K || K == W_Q5_K ? 4 : K == W_Q6_K ? 2 : 0;
    static constexpr bool mins = K == W_Q4_1 || K == W_Q5_1 || K == W_Q2_K || K == W_Q4_K || K == W_Q5_K;
};

/* Out of memory, or of what a block of threads shares. */
template <class T> static __device__ inline T load_of(const T *p) { return *p; }

/* Eight values of a table of 16 that eight nibbles choose. */
static __device__ inline void look_up(int *q, unsigned w, unsigned t0, unsigned t1, unsigned t2, unsigned t3)
{
    for (int i = 0; i < 2; i++, w >>= 16) {
        unsigned low = __byte_perm(t0, t1, w & 0x7777), high = __byte_perm(t2, t3, w & 0x7777);
        q[i] = (int)__byte_perm(low, high, (w & 0x8888) >> 1 | 0x3210);
    }
}

/* The eight q of a word of 4 bits. */
template <int K> static __device__ inline void four_bits(int *q, unsigned w)
{
    if (K == W_MXFP4)
        look_up(q, w, 0x03020100, 0x0c080604, 0xfdfeff00, 0xf4f8fafc);
    else if (Kind<K>::tabled)
        look_up(q, w, 0xbfad9881, 0xf6eaddcf, 0x26190d01, 0x71594535);
    else {
        q[0] = w & 0x0f0f0f0f;
        q[1] = w >> 4 & 0x0f0f0f0f;
    }
}

template <int K> static __device__ inline void block_quants(int *q, const Planes &p, int64_t b)
{
    if (K == W_Q8_0) {
        const int4 *from = (const int4 *)(p.low + b * 32);
        int4 v = load_of(from), w = load_of(from + 1);
        q[0] = v.x, q[1] = v.y, q[2] = v.z, q[3] = v.w, q[4] = w.x, q[5] = w.y, q[6] = w.z, q[7] = w.w;
        return;
    }
    if (K == W_Q2_K || K == W_Q3_K) {
        uint2 v = load_of((const uint2 *)(p.low + b * 8));
        for (int i = 0; i < 4; i++) {
            q[i] = v.x >> 2 * i & 0x03030303;
            q[4 + i] = v.y >> 2 * i & 0x03030303;
        }
    } else {
        uint4 v = load_of((const uint4 *)(p.low + b * 16));
        const unsigned w[4] = {v.x, v.y, v.z, v.w};
#pragma unroll
        for (int j = 0; j < 4; j++)
            four_bits<K>(q + 2 * j, w[j]);
    }
    if (K == W_Q5_0 || K == W_Q5_1 || K == W_Q5_K || K == W_Q3_K) {
        unsigned h = load_of((const unsigned *)(p.high + b * 4));
        for (int i = 0; i < 8; i++)
            q[i] |= (h >> i & 0x01010101) << (K == W_Q3_K ? 2 : 4);
    }
    if (K == W_Q6_K) {
        uint2 h = load_of((const uint2 *)(p.high + b * 8));
        for (int i = 0; i < 4; i++) {
            q[i] |= (h.x >> 2 * i & 0x03030303) << 4;
            q[4 + i] |= (h.y >> 2 * i & 0x03030303) << 4;
        }
    }
}

/* Bytes without a sign times bytes with one. */
static __device__ inline int dp4a_mixed(unsigned a, int b, int sum)
{
    asm("dp4a.u32.s32 %0, %1, %2, %0;" : "+r"(sum) : "r"(a), "r"(b));
    return sum;
}

/* A nibble of MXFP4 is a sign and a place in a table. It chooses, by all of its bits, a byte of 0x80: as it is, or with the
 * sign 0xff: c. The value is (size ^ c) - c. */
static __device__ inline int mxfp4_dot(const uint4 &v, const int *x, int sum)
{
    const unsigned w[4] = {v.x, v.y, v.z, v.w};
    int less = 0;
#pragma unroll
    for (int i = 0; i < 8; i++) {
        unsigned four = w[i / 2] >> 16 * (i % 2), size = __byte_perm(0x03020100, 0x0c080604, four & 0x7777), c;
        asm("prmt.b32 %0, %1, %1, %2;" : "=r"(c) : "r"(0x80808080), "r"(four));
        sum = __dp4a((int)(size ^ c), x[i], sum);
        less = __dp4a((int)c, x[i], less);
    }
    return sum - less;
}

/* q times 32 numbers of 8 bits, which lie as q do, all added to `sum`. Halves of bytes: the upper ones are left where they
 * are, and count 16 times. */
template <int K> static __device__ inline int quants_dot(const Planes &p, int64_t b, const int *x, int sum)
{
    if (K == W_MXFP4)
        return mxfp4_dot(load_of((const uint4 *)(p.low + b * 16)), x, sum);
    if (K == W_Q4_0 || K == W_Q4_1 || K == W_Q4_K) {
        uint4 v = load_of((const uint4 *)(p.low + b * 16));
        const unsigned w[4] = {v.x, v.y, v.z, v.w};
        int upper = 0;
#pragma unroll
        for (int i = 0; i < 4; i++) {
            sum = dp4a_mixed(w[i] & 0x0f0f0f0f, x[2 * i], sum);
            upper = dp4a_mixed(w[i] & 0xf0f0f0f0, x[2 * i + 1], upper);
        }
        return sum + (upper >> 4);
    }
    int q[8];
    block_quants<K>(q, p, b);
#pragma unroll
    for (int i = 0; i < 8; i++)
        sum = __dp4a(q[i], x[i], sum);
    return sum;
}

static __device__ inline unsigned short u16_at(const uint8_t *p, int64_t i) { return load_of((const unsigned short *)p + i); }
static __device__ inline float mxfp4_scale(unsigned e)
{
    return __uint_as_float(e < 2 ? 0x200000u << e : (e - 1) << 23);
}

template <int K> static __device__ inline void block_scales(float *s, float *m, const Planes &p, int64_t b)
{
    m[0] = m[1] = 0;
    if (K == W_Q4_1 || K == W_Q5_1) {
        unsigned dm = load_of((const unsigned *)p.fine + b);
        s[0] = f32_of_f16((unsigned short)dm);
        m[0] = -f32_of_f16((unsigned short)(dm >> 16));
    } else if (K == W_MXFP4) {
        s[0] = mxfp4_scale(load_of(p.fine + b));
    } else if (K == W_IQ4_XS) {
        s[0] = f32_of_f16(u16_at(p.coarse, b / 8)) * (float)(signed char)load_of(p.fine + b);
    } else if (K == W_Q6_K || K == W_Q3_K) {
        float d = f32_of_f16(u16_at(p.coarse, b / 8));
        unsigned short two = u16_at(p.fine, b);
        s[0] = d * (float)(signed char)(two & 255);
        s[1] = d * (float)(signed char)(two >> 8);
    } else if (K == W_Q2_K || K == W_Q4_K || K == W_Q5_K) {
        unsigned dm = load_of((const unsigned *)p.coarse + b / 8);
        unsigned short two = u16_at(p.fine, b);
        float d = f32_of_f16((unsigned short)dm), dmin = f32_of_f16((unsigned short)(dm >> 16));
        s[0] = d * (float)(K == W_Q2_K ? two & 15 : two & 255);
        m[0] = dmin * (float)(K == W_Q2_K ? two >> 4 & 15 : two >> 8);
        s[1] = d * (float)(two >> 8 & 15);
        m[1] = dmin * (float)(two >> 12);
    } else {
        s[0] = f32_of_f16(u16_at(p.fine, b));
    }
    if (!Kind<K>::halves)
        s[1] = s[0], m[1] = m[0];
}

/* Scale and min of a block, out of its bits; where halves have scales of their own, these. */
template <int K> static __device__ inline float2 scale_and_min(unsigned fine, unsigned coarse)
{
    if (K == W_MXFP4)
        return make_float2(mxfp4_scale(fine), 0);
    float d = Kind<K>::coarse ? f32_of_f16((unsigned short)coarse) : 0;
    if (K == W_Q4_K || K == W_Q5_K)
        return make_float2(d * (float)(fine & 255), f32_of_f16((unsigned short)(coarse >> 16)) * (float)(fine >> 8));
    if (K == W_Q6_K)
        return make_float2(d * (float)(signed char)(fine & 255), d * (float)(signed char)(fine >> 8));
    if (K == W_Q4_1 || K == W_Q5_1)
        return make_float2(f32_of_f16((unsigned short)fine), -f32_of_f16((unsigned short)(fine >> 16)));
    return make_float2(f32_of_f16((unsigned short)fine), 0);
}

template <int K> static __device__ inline void block_load(Block *w, const Planes &p, int64_t b)
{
    block_quants<K>(w->q, p, b);
    block_scales<K>(w->s, w->m, p, b);
}

/* Element i of a block, rounded as its format's decode() rounds. */
template <int K> static __device__ inline float block_value(const Block &w, int i)
{
    int q = (int)(signed char)(w.q[i / 4] >> 8 * (i % 4)) - Kind<K>::offset;
    float x = __fmul_rn(w.s[i / 16], (float)q);
    return Kind<K>::mins ? __fsub_rn(x, w.m[i / 16]) : x;
}

/* A case for each kind. */
#define EACH_PLANE_KIND(DO)                                                                                            \
    DO(W_Q8_0) DO(W_Q4_0) DO(W_Q4_1) DO(W_Q5_0) DO(W_Q5_1) DO(W_IQ4_NL) DO(W_MXFP4) DO(W_IQ4_XS) DO(W_Q2_K)             \
    DO(W_Q3_K) DO(W_Q4_K) DO(W_Q5_K) DO(W_Q6_K)
/* Those with a way of their own for few rows: kernels/linear/stream_cuda.h. */
#define EACH_STREAM_PLANE_KIND(DO) DO(W_Q8_0) DO(W_Q4_0) DO(W_Q4_K) DO(W_MXFP4)
#define EACH_FEW_PLANE_KIND(DO)      /* hopper_cuda.h */                                                                  \
    DO(W_Q8_0) DO(W_Q4_0) DO(W_Q4_1) DO(W_Q5_0) DO(W_Q5_1) DO(W_IQ4_NL) DO(W_MXFP4) DO(W_Q4_K) DO(W_Q5_K) DO(W_Q6_K)
#define EACH_STREAM_PLAIN_KIND(DO) DO(W_BF16) DO(W_E4M3) DO(W_E5M2)
/* Those that flow (kernels/linear/flow.h), beside all planes. */
#define EACH_FLOW_PLAIN_KIND(DO) DO(W_F16) DO(W_BF16) DO(W_E4M3) DO(W_E5M2)
#define EACH_PLAIN_KIND(DO) DO(W_F32) DO(W_F16) DO(W_BF16) DO(W_E4M3) DO(W_E5M2)

/* ---- formats of single numbers ---- */

template <int K> static __device__ inline float plain_value(const void *p, int64_t i)
{
    if (K == W_F32)
        return load_of((const float *)p + i);
    if (K == W_F16)
        return f32_of_f16(load_of((const unsigned short *)p + i));
    if (K == W_BF16)
        return f32_of_bf16(load_of((const unsigned short *)p + i));
    unsigned char byte = load_of((const unsigned char *)p + i);
    return K == W_E4M3 ? f32_of_e4m3(byte) : f32_of_e5m2(byte);
}

/* So many elements lie in 16 bytes. */
template <int K> static __host__ __device__ constexpr int plain_in_16()
{
    return K == W_F32 ? 4 : K == W_F16 || K == W_BF16 ? 8 : 16;
}

/* Four bytes of F8 as two words of f16, which holds them exactly; since compute capability 8.9 two are an instruction. */
template <int K> static __device__ inline void f8_as_f16(unsigned *to, unsigned four)
{
    if constexpr (K == W_E5M2) {
        to[0] = __byte_perm(four, 0, 0x1404), to[1] = __byte_perm(four, 0, 0x3424);
    } else {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 890
        asm("{ .reg .b16 a, b; mov.b32 {a, b}, %2; cvt.rn.f16x2.e4m3x2 %0, a; cvt.rn.f16x2.e4m3x2 %1, b; }"
            : "=r"(to[0]), "=r"(to[1]) : "r"(four));
#else
        for (int i = 0; i < 2; i++, four >>= 16)
            to[i] = f16_of_f32(f32_of_e4m3((unsigned char)four)) |
                    (unsigned)f16_of_f32(f32_of_e4m3((unsigned char)(four >> 8))) << 16;
#endif
    }
}
template <int K> static __device__ inline void f8_four(float *x, unsigned four)
{
    unsigned h[2];
    f8_as_f16<K>(h, four);
#pragma unroll
    for (int i = 0; i < 4; i++)
        x[i] = f32_of_f16((unsigned short)(h[i / 2] >> 16 * (i % 2)));
}

/* ... and of bf16, likewise. */
template <int K> static __device__ inline void f8_as_bf16(unsigned *to, unsigned four)
{
    float v[4];
    f8_four<K>(v, four);
    to[0] = bf16_two(v[0], v[1]);
    to[1] = bf16_two(v[2], v[3]);
}

/* The elements of 16 bytes. */
template <int K> static __device__ inline void plain_expand(float *x, const uint4 &v)
{
    const unsigned w[4] = {v.x, v.y, v.z, v.w};
#pragma unroll
    for (int i = 0; i < 4; i++)
        if (K == W_F32)
            x[i] = __uint_as_float(w[i]);
        else if (K == W_BF16) {
            x[2 * i] = __uint_as_float(w[i] << 16);
            x[2 * i + 1] = __uint_as_float(w[i] & 0xffff0000);
        } else if (K == W_F16) {
            x[2 * i] = f32_of_f16((unsigned short)w[i]);
            x[2 * i + 1] = f32_of_f16((unsigned short)(w[i] >> 16));
        } else
            f8_four<K>(x + 4 * i, w[i]);
}

#endif

/* stream_floats.cu -- see stream_cuda.h: weights of BF16 and F8.
 *
 * The tensor cores multiply 16 outputs by 8 rows over 16 k at a time. Which k is which does not matter as long as weights
 * and x agree; so a lane takes 16 neighbouring bytes of a row of weights, as they were copied, and its part of x lies
 * where these k are. Of 64 k a lane t of four has
 *
 *     BF16    8 t .. 8 t + 7 and 32 + 8 t .. 32 + 8 t + 7         F8    16 t .. 16 t + 15
 */
#include "kernels/linear/stream_loop_cuda.h"

enum { GROUP = 64 /* k that are summed in the tensor cores */, X_WAYS = 2 };

static __device__ inline void multiply_16(float *sum, const unsigned *upper, const unsigned *lower, const unsigned *x)
{
    asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
        : "r"(upper[0]), "r"(lower[0]), "r"(upper[1]), "r"(lower[1]), "r"(x[0]), "r"(x[1]));
}

/* EIGHTS of rows; x in so many parts; DIRECT: from the rows of f32, at most 8, else from those of bf16. */
template <int K, int EIGHTS, int PARTS, bool DIRECT> struct Floats {
    static constexpr int NT = EIGHTS, ELEM = K == W_BF16 ? 2 : 1, UNIT = UNIT_ROW_BYTES / ELEM, GROUPS = UNIT / GROUP;
    static constexpr int SCALES = 0, X = DIRECT ? 0 : GROUPS * PARTS * NT * X_WAYS * 32 * 16;
    static constexpr bool SHARES = !DIRECT;

    /* The first of the eight k that a lane has of a group of 64, and of the next eight. */
    static __device__ int k_of(int way, int t) { return K == W_BF16 ? 32 * way + 8 * t : 16 * t + 8 * way; }

    /* A lane copies what it will read: slot [piece, half, way, lane]. */
    static __device__ void weights(uint8_t *stage, const Stream &s, const At &at)
    {
        const Product &p = s.p[at.which];
        int lane = threadIdx.x % 32, byte = at.chunk * UNIT_ROW_BYTES + lane % 4 * 16;
        uint8_t *to = stage + threadIdx.x / 32 * (UNIT_ROW_BYTES * WARP_OUTS) + lane * 16;
#pragma unroll
        for (int i = 0; i < 2 * STREAM_PIECES; i++) {
            int o = min(at.o + 8 * i + lane / 4, p.out - 1);
            const uint8_t *row = p.w + (int64_t)o * p.row_bytes;
#pragma unroll
            for (int way = 0; way < 2; way++) {
                bool there = byte + 64 * way < p.in * ELEM;
                copy_16(to + (2 * i + way) * 512, row + (there ? byte + 64 * way : 0), there);
            }
        }
    }

    /* Slot [group, part, eight, way, lane]. */
    static __device__ void x(uint8_t *stage, const Stream &s, int chunk)
    {
        const Product &p = s.p[0];
        for (int i = threadIdx.x; i < X / 16; i += STREAM_THREADS) {
            int lane = i % 32, way = i / 32 % 2, n = i / 64 % NT, part = i / (64 * NT) % PARTS, group = i / (64 * NT * PARTS);
            int k = chunk * UNIT + group * GROUP + k_of(way, lane % 4), row = min(8 * n + lane / 4, p.pairs - 1);
            bool there = k < p.in;
            copy_16(stage + UNIT_BYTES + i * 16, s.x + ((int64_t)part * p.pairs + row) * p.in + (there ? k : 0), there);
        }
    }

    /* A lane's x of a group, in parts: from f32. */
    static __device__ void x_direct(unsigned (*words)[8], const Stream &s, int k0)
    {
        const Product &p = s.p[0];
        int row = threadIdx.x % 32 / 4;
#pragma unroll
        for (int way = 0; way < X_WAYS; way++) {
            float v[8] = {0};
            int k = k0 + k_of(way, threadIdx.x % 4);
            if (row < p.pairs && k < p.in) {
                const float4 *from = (const float4 *)(p.x + row * p.x_step + k);
                float4 a = from[0], b = from[1];
                v[0] = a.x, v[1] = a.y, v[2] = a.z, v[3] = a.w, v[4] = b.x, v[5] = b.y, v[6] = b.z, v[7] = b.w;
            }
#pragma unroll
            for (int part = 0; part < PARTS; part++)
#pragma unroll
                for (int i = 0; i < 4; i++) {
                    unsigned two = bf16_two(v[2 * i], v[2 * i + 1]);
                    words[part][4 * way + i] = two;
                    v[2 * i] -= __uint_as_float(two << 16);
                    v[2 * i + 1] -= __uint_as_float(two & 0xffff0000);
                }
        }
    }

    /* A lane's weights of a group: words[piece][half]. */
    static __device__ void w_of(unsigned (*words)[2][8], const uint8_t *stage, int group)
    {
        const uint4 *from = (const uint4 *)(stage + threadIdx.x / 32 * (UNIT_ROW_BYTES * WARP_OUTS)) + threadIdx.x % 32;
#pragma unroll
        for (int i = 0; i < 2 * STREAM_PIECES; i++) {
            unsigned *to = words[i / 2][i % 2];
            if (K == W_BF16) {
                uint4 a = from[2 * i * 32], b = from[(2 * i + 1) * 32];
                to[0] = a.x, to[1] = a.y, to[2] = a.z, to[3] = a.w, to[4] = b.x, to[5] = b.y, to[6] = b.z, to[7] = b.w;
            } else {
                uint4 a = from[(2 * i + group) * 32];
                f8_as_bf16<K>(to, a.x);
                f8_as_bf16<K>(to + 2, a.y);
                f8_as_bf16<K>(to + 4, a.z);
                f8_as_bf16<K>(to + 6, a.w);
            }
        }
    }

    static __device__ void add_group(float (*sums)[NT][4], const unsigned (*w)[2][8], const unsigned (*x)[8], int n)
    {
        float part_sums[STREAM_PIECES][4] = {{0}};
#pragma unroll
        for (int part = PARTS - 1; part >= 0; part--)      /* the small ones first */
#pragma unroll
            for (int j = 0; j < 8; j += 2)
#pragma unroll
                for (int m = 0; m < STREAM_PIECES; m++)
                    multiply_16(part_sums[m], w[m][0] + j, w[m][1] + j, x[part] + j);
#pragma unroll
        for (int m = 0; m < STREAM_PIECES; m++)
#pragma unroll
            for (int i = 0; i < 4; i++)
                sums[m][n][i] += part_sums[m][i];
    }

    /* All rows of a group, x from the stage. */
    static __device__ void add_groups(float (*sums)[NT][4], const unsigned (*w)[2][8], const uint4 *from)
    {
#pragma unroll
        for (int n = 0; n < NT; n++) {
            unsigned x[PARTS][8];
#pragma unroll
            for (int part = 0; part < PARTS; part++) {
                const uint4 *slot = from + (part * NT + n) * X_WAYS * 32;
                uint4 a = slot[0], b = slot[32];
                unsigned *to = x[part];
                to[0] = a.x, to[1] = a.y, to[2] = a.z, to[3] = a.w, to[4] = b.x, to[5] = b.y, to[6] = b.z, to[7] = b.w;
            }
            add_group(sums, w, x, n);
        }
    }

    static __device__ void multiply(float (*sums)[NT][4], const uint8_t *stage, const Stream &s, const At &at)
    {
        const uint4 *from = (const uint4 *)(stage + UNIT_BYTES) + threadIdx.x % 32;
#pragma unroll
        for (int group = 0; group < GROUPS; group++) {
            unsigned w[STREAM_PIECES][2][8], x[PARTS][8];
            if (DIRECT)
                x_direct(x, s, at.chunk * UNIT + group * GROUP);
            w_of(w, stage, group);
            if constexpr (DIRECT)
                add_group(sums, w, x, 0);
            else
                add_groups(sums, w, from + group * PARTS * NT * X_WAYS * 32);
        }
    }
};

template <int K, int PARTS> static void by_rows(const Stream &s, const CudaRun *g)
{
    switch (stream_eights(s.p[0].pairs)) {
    case 1: stream_launch<Floats<K, 1, 3, true>>(s, g); break;      /* exactness costs nothing yet */
    case 4: stream_launch<Floats<K, 4, PARTS, false>>(s, g); break;
    default: stream_launch<Floats<K, 8, PARTS, false>>(s, g); break;
    }
}

template <int K> static void by_parts(const Stream &s, const CudaRun *g)
{
    if (g->exact)
        by_rows<K, 3>(s, g);
    else
        by_rows<K, 1>(s, g);
}

void stream_floats(const Stream *s, WeightKind kind, const CudaRun *g)
{
    switch (kind) {
#define DO(K) case K: by_parts<K>(*s, g); break;
        EACH_STREAM_PLAIN_KIND(DO)
#undef DO
    default: break;
    }
}

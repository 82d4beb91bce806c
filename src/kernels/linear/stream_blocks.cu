/* stream_blocks.cu -- see stream_cuda.h: weights in planes of 8 or 4 bits (formats/planes.h), x in 8 bits.
 *
 * The tensor cores multiply 16 outputs by 8 rows over the 32 k of a block. Of these a lane t of four has 8 t .. 8 t + 7,
 * of weights and of x: in planes of 4 bits that is one word.
 *
 *     stage    | weights [256][128 bytes] | fine scales [256][16] | coarse scales [256][4] | x | d and sums of x |
 *
 * Pieces of 16 bytes of a row of weights change places, so that the lanes of a warp read from different banks.
 */
#include "kernels/linear/warp_products_cuda.h"
#include "kernels/linear/stream_loop_cuda.h"

/* A row of x in one block. */
typedef struct XScale { float d; int sums; } XScale;
static __device__ inline int sum_of(int sums) { return (short)sums + (sums >> 16); }

template <int K, int EIGHTS> struct Blocks {
    static constexpr int NT = EIGHTS, LOW = Kind<K>::bytes ? 32 : 16 /* bytes of a block */, BLOCKS = UNIT_ROW_BYTES / LOW;
    static constexpr int FINE = Kind<K>::fine, COARSE = Kind<K>::coarse;
    static constexpr int FINE_ROW = 16, COARSE_ROW = 4;
    static constexpr int SCALES = TILE_OUTS * (FINE_ROW + (COARSE ? COARSE_ROW : 0)), XQ = BLOCKS * NT * 32 * 8;
    static constexpr int X = XQ + BLOCKS * NT * 8 * (int)sizeof(XScale);
    static constexpr bool SHARES = true;

    /* Where piece `piece` of a row lies. */
    static __device__ int place(int row, int piece)
    {
        return row * UNIT_ROW_BYTES + (piece ^ (Kind<K>::bytes ? 2 * (row % 4) : row % 8)) * 16;
    }

    static __device__ void weights(uint8_t *stage, const Stream &s, const At &at)
    {
        const Product &p = s.p[at.which];
        int lane = threadIdx.x % 32, warp = threadIdx.x / 32, blocks = p.in / PLANE_BLOCK, first = at.chunk * BLOCKS;
        uint8_t *to = stage + warp * (UNIT_ROW_BYTES * WARP_OUTS);
        bool there = first + lane % 8 * 16 / LOW < blocks;
#pragma unroll
        for (int i = 0; i < WARP_OUTS / 4; i++) {
            int row = 4 * i + lane / 8;
            int64_t block = (int64_t)min(at.o + row, p.out - 1) * blocks + (there ? first : 0);
            copy_16(to + place(row, lane % 8), p.planes.low + block * LOW + (there ? lane % 8 * 16 : 0), there);
        }
        if (lane >= WARP_OUTS)
            return;
        int row = warp * WARP_OUTS + lane;
        int64_t block = (int64_t)min(at.o + lane, p.out - 1) * blocks;
        uint8_t *fine = stage + UNIT_BYTES + row * FINE_ROW;
#pragma unroll
        for (int i = 0; i < BLOCKS * FINE / 4; i++) {
            bool fine_there = first + i * 4 / FINE < blocks;
            copy_4(fine + 4 * i, p.planes.fine + block * FINE + (fine_there ? first * FINE + 4 * i : 0), fine_there);
        }
        if (COARSE)
            copy_4(stage + UNIT_BYTES + TILE_OUTS * FINE_ROW + row * COARSE_ROW, p.planes.coarse + (block + first) / 8 * COARSE,
                   true);
    }

    static __device__ void x(uint8_t *stage, const Stream &s, int chunk)
    {
        const Product &p = s.p[0];
        int blocks = p.in / PLANE_BLOCK, first = chunk * BLOCKS;
        uint8_t *to = stage + UNIT_BYTES + SCALES;
        for (int i = threadIdx.x; i < BLOCKS * NT * 32; i += STREAM_THREADS) {
            int lane = i % 32, n = i / 32 % NT, b = i / (32 * NT), row = min(8 * n + lane / 4, p.pairs - 1);
            bool there = first + b < blocks;
            const XBlock8 *from = p.rounded + (int64_t)row * blocks + (there ? first + b : 0);
            copy_8(to + i * 8, from->q + lane % 4 * 2, there);
        }
        for (int i = threadIdx.x; i < BLOCKS * NT * 8; i += STREAM_THREADS) {
            int b = i / (8 * NT), row = min(i % (8 * NT), p.pairs - 1);
            bool there = first + b < blocks;
            copy_8(to + XQ + i * 8, p.rounded + (int64_t)row * blocks + (there ? first + b : 0), there);
        }
    }

    /* A lane's weights of a block, of outputs g and g + 8 of a piece. */
    static __device__ void w_of(int *words, const uint8_t *rows, int piece, int b)
    {
        int lane = threadIdx.x % 32, t = lane % 4;
#pragma unroll
        for (int half = 0; half < 2; half++) {
            int row = 16 * piece + 8 * half + lane / 4;
            if (Kind<K>::bytes) {
                int2 v = *(const int2 *)(rows + place(row, 2 * b + t / 2) + t % 2 * 8);
                words[half] = v.x;
                words[2 + half] = v.y;
                continue;
            }
            int two[2];
            four_bits<K>(two, *(const unsigned *)(rows + place(row, b) + 4 * t));
            words[half] = two[0];
            words[2 + half] = two[1];
        }
    }

    /* Scale and min of a row of the tile in a block. */
    static __device__ float2 scales_of(const uint8_t *stage, int row, int b)
    {
        const uint8_t *fine = stage + UNIT_BYTES + row * FINE_ROW;
        unsigned dm = COARSE ? *(const unsigned *)(stage + UNIT_BYTES + TILE_OUTS * FINE_ROW + row * COARSE_ROW) : 0;
        return scale_and_min<K>(FINE == 1 ? fine[b] : *(const unsigned short *)(fine + 2 * b), dm);
    }

    /* Exact sums of integers over a block become floats. */
    static __device__ void add(float *sums, const int *dots, const float2 *scales, const XScale *x, bool both)
    {
#pragma unroll
        for (int i = 0; i < 4; i++) {
            if (i % 2 == 1 && !both)
                continue;
            int sum = Kind<K>::offset || Kind<K>::mins ? sum_of(x[i % 2].sums) : 0;
            float value = scales[i / 2].x * (float)(dots[i] - Kind<K>::offset * sum);
            if (Kind<K>::mins)
                value -= scales[i / 2].y * (float)sum;
            sums[i] = fmaf(x[i % 2].d, value, sums[i]);
        }
    }

    static __device__ void multiply(float (*sums)[NT][4], const uint8_t *stage, const Stream &s, const At &)
    {
        int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
        const uint8_t *rows = stage + warp * (UNIT_ROW_BYTES * WARP_OUTS), *x = stage + UNIT_BYTES + SCALES;
        bool both = s.p[0].pairs > 1;
#pragma unroll (NT == 1 ? BLOCKS : 2)
        for (int b = 0; b < BLOCKS; b++) {
            int w[STREAM_PIECES][4];
            float2 scales[STREAM_PIECES][2];
#pragma unroll
            for (int m = 0; m < STREAM_PIECES; m++) {
                w_of(w[m], rows, m, b);
                scales[m][0] = scales_of(stage, warp * WARP_OUTS + 16 * m + lane / 4, b);
                scales[m][1] = scales_of(stage, warp * WARP_OUTS + 16 * m + 8 + lane / 4, b);
            }
#pragma unroll
            for (int n = 0; n < NT; n++) {
                int2 q = *(const int2 *)(x + ((b * NT + n) * 32 + lane) * 8);
                const int words[2] = {q.x, q.y};
                const XScale *two = (const XScale *)(x + XQ) + (b * NT + n) * 8 + lane % 4 * 2;
                XScale both_x[2] = {two[0], two[1]};
#pragma unroll
                for (int m = 0; m < STREAM_PIECES; m++) {
                    int dots[4];
                    ints_multiply_32(dots, w[m], words, make_int2(0, 0));
                    add(sums[m][n], dots, scales[m], both_x, both);
                }
            }
        }
    }
};

template <int K> static void by_rows(const Stream &s, const CudaRun *g)
{
    switch (stream_eights(s.p[0].pairs)) {
    case 1: stream_launch<Blocks<K, 1>>(s, g); break;
    case 4: stream_launch<Blocks<K, 4>>(s, g); break;
    default: stream_launch<Blocks<K, 8>>(s, g); break;
    }
}

void stream_blocks(const Stream *s, WeightKind kind, const CudaRun *g)
{
    switch (kind) {
#define DO(K) case K: by_rows<K>(*s, g); break;
        EACH_STREAM_PLANE_KIND(DO)
#undef DO
    default: break;
    }
}

/* tile_cuda.h -- weights in planes meet many rows: tiles of 128 outputs by 128 rows, on tensor cores.
 *
 * A block of threads goes along k by 64. Each thread fetches 32 weights of an output and 32 activations of a row (in 8 bits)
 * while the tile before them is multiplied, and lays them out in shared memory, word after word for all outputs, so that
 * the lanes of a warp read from different banks. A warp has 32 outputs by 64 rows.
 *
 * Integers are multiplied exactly over the 32 k of a block, or over 16 where each half has a scale of its own. Sums begin
 * at 1.5 * 2^23 as a float has it, less what the offset of the weights makes: the bits of a sum are then a float already,
 * and one subtraction gives its value.
 */
#ifndef KERNELS_LINEAR_TILE_CUDA_H
#define KERNELS_LINEAR_TILE_CUDA_H

#include "kernels/linear/warp_products_cuda.h"
#include "kernels/linear/product_cuda.h"

enum {
    INTS_TILE = 128, INTS_BLOCKS = 2 /* of 32 k at a time */, INTS_THREADS = INTS_TILE * INTS_BLOCKS,
    INTS_PITCH = INTS_TILE + 8,
    INTS_M = 2, INTS_N = 8 /* pieces of 16 outputs, of 8 rows, of a warp */
};

typedef struct IntsTile {
    int w[INTS_BLOCKS][8][INTS_PITCH], x[INTS_BLOCKS][8][INTS_PITCH];
    float s[INTS_BLOCKS][2][INTS_TILE], m[INTS_BLOCKS][2][INTS_TILE];     /* scales and mins of halves */
    float d[INTS_BLOCKS][INTS_TILE], sums[INTS_BLOCKS][2][INTS_TILE];     /* of rows of x */
    int zero[INTS_BLOCKS][2][INTS_TILE];                                  /* what sums begin with */
} IntsTile;

/* What a thread fetches. */
typedef struct IntsPiece {
    Block w;
    XBlock8 x;
} IntsPiece;

template <int K> static __device__ inline void ints_fetch(IntsPiece *to, const Product &p, int o, int row, int b)
{
    int blocks = p.in / PLANE_BLOCK;
    bool there = b < blocks;
    b = there ? b : 0;
    block_load<K>(&to->w, p.planes, (int64_t)min(o, p.out - 1) * blocks + b);
    const int2 *from = (const int2 *)(p.rounded + (int64_t)min(row, p.pairs - 1) * blocks + b);
    int2 head = __ldg(from);
    to->x.d = there ? __int_as_float(head.x) : 0;
    to->x.sum[0] = (short)head.y, to->x.sum[1] = (short)(head.y >> 16);
#pragma unroll
    for (int i = 0; i < 4; i++) {
        int2 two = __ldg(from + 1 + i);
        to->x.q[2 * i] = two.x, to->x.q[2 * i + 1] = two.y;
    }
}

template <int K> static __device__ inline void ints_lay(IntsTile *t, const IntsPiece &piece, int at, int b)
{
    const int sums[2] = {piece.x.sum[0], piece.x.sum[1]};
#pragma unroll
    for (int i = 0; i < 8; i++)
        t->w[b][i][at] = piece.w.q[i], t->x[b][i][at] = piece.x.q[i];
    t->d[b][at] = piece.x.d;
#pragma unroll
    for (int h = 0; h < 1 + Kind<K>::halves; h++) {
        int sum = Kind<K>::halves ? sums[h] : sums[0] + sums[1];
        t->s[b][h][at] = piece.w.s[h];
        t->zero[b][h][at] = INTS_ZERO - Kind<K>::offset * sum;
        if (Kind<K>::mins)
            t->m[b][h][at] = piece.w.m[h], t->sums[b][h][at] = (float)sum;
    }
}

/* A warp's outputs in a block: words[piece]: of output g and g + 8, k 4 t on, then 16 + 4 t on; lane = 4 g + t. */
typedef struct IntsW {
    int words[INTS_M][4];
    float s[INTS_M][2][2], m[INTS_M][2][2];      /* [piece][half][output g, g + 8] */
} IntsW;

template <int K> static __device__ inline void ints_w(IntsW *w, const IntsTile &t, int b, int first)
{
    int lane = threadIdx.x % 32;
#pragma unroll
    for (int i = 0; i < INTS_M; i++)
#pragma unroll
        for (int upper = 0; upper < 2; upper++) {
            int o = first + 16 * i + 8 * upper + lane / 4;
            w->words[i][upper] = t.w[b][lane % 4][o];
            w->words[i][2 + upper] = t.w[b][4 + lane % 4][o];
#pragma unroll
            for (int h = 0; h < 1 + Kind<K>::halves; h++) {
                w->s[i][h][upper] = t.s[b][h][o];
                if (Kind<K>::mins)
                    w->m[i][h][upper] = t.m[b][h][o];
            }
        }
}

/* sums[piece of outputs][piece of rows]: output g, rows 2 t and 2 t + 1, then output g + 8. */
template <int K>
static __device__ inline void ints_block(float (*sums)[INTS_N][4], const IntsTile &t, int b, int first_o, int first_row)
{
    int lane = threadIdx.x % 32;
    IntsW w;
    ints_w<K>(&w, t, b, first_o);
#pragma unroll
    for (int n = 0; n < INTS_N; n++) {
        int row = first_row + 8 * n, two = row + lane % 4 * 2;
        const int x[2] = {t.x[b][lane % 4][row + lane / 4], t.x[b][4 + lane % 4][row + lane / 4]};
        float2 d = *(const float2 *)&t.d[b][two];
#pragma unroll
        for (int h = 0; h < 1 + Kind<K>::halves; h++) {
            int2 zero = *(const int2 *)&t.zero[b][h][two];
            float2 x_sum = Kind<K>::mins ? *(const float2 *)&t.sums[b][h][two] : make_float2(0, 0);
#pragma unroll
            for (int i = 0; i < INTS_M; i++) {
                int dot[4];
                if (Kind<K>::halves)
                    ints_multiply_16(dot, &w.words[i][2 * h], x[h], zero);
                else
                    ints_multiply_32(dot, w.words[i], x, zero);
#pragma unroll
                for (int j = 0; j < 4; j++) {
                    float part = w.s[i][h][j / 2] * (__int_as_float(dot[j]) - __int_as_float(INTS_ZERO));
                    if (Kind<K>::mins)
                        part -= w.m[i][h][j / 2] * (j % 2 ? x_sum.y : x_sum.x);
                    sums[i][n][j] = fmaf(j % 2 ? d.y : d.x, part, sums[i][n][j]);
                }
            }
        }
    }
}

template <int K> static __global__ void __launch_bounds__(INTS_THREADS, 2) tile_ints(Product p)
{
    extern __shared__ __align__(128) uint8_t room[];
    IntsTile &t = *(IntsTile *)room;
    previous();
    int o0 = blockIdx.x * INTS_TILE, r0 = blockIdx.y * INTS_TILE, at = threadIdx.x % INTS_TILE, b = threadIdx.x / INTS_TILE;
    int warp = threadIdx.x / 32, lane = threadIdx.x % 32, first_o = warp % 4 * 32, first_row = warp / 4 * 64;
    int blocks = p.in / PLANE_BLOCK;
    float sums[INTS_M][INTS_N][4] = {{{0}}};
    IntsPiece piece;
    ints_fetch<K>(&piece, p, o0 + at, r0 + at, b);
    for (int first = 0; first < blocks; first += INTS_BLOCKS) {
        __syncthreads();
        ints_lay<K>(&t, piece, at, b);
        __syncthreads();
        if (first + INTS_BLOCKS < blocks)
            ints_fetch<K>(&piece, p, o0 + at, r0 + at, first + INTS_BLOCKS + b);
#pragma unroll
        for (int i = 0; i < INTS_BLOCKS; i++)
            ints_block<K>(sums, t, i, first_o, first_row);
    }
#pragma unroll
    for (int i = 0; i < INTS_M; i++)
#pragma unroll
        for (int n = 0; n < INTS_N; n++)
#pragma unroll
            for (int j = 0; j < 4; j++) {
                int o = o0 + first_o + 16 * i + j / 2 * 8 + lane / 4, row = r0 + first_row + 8 * n + lane % 4 * 2 + j % 2;
                if (o < p.out && row < p.pairs)
                    put(p, row, 0, o, sums[i][n][j]);
            }
}

template <int K> static void tile_ints_run(const Product *p, const CudaRun *g)
{
    dim3 grid(blocks_for(p->out, INTS_TILE), blocks_for(p->pairs, INTS_TILE));
    cudaFuncSetAttribute(tile_ints<K>, cudaFuncAttributeMaxDynamicSharedMemorySize, (int)sizeof(IntsTile));
    LAUNCH(tile_ints<K>, grid, INTS_THREADS, sizeof(IntsTile), g, *p);
}

#endif

/* attend_products.h -- what a warp does with a tile: scores, their softmax, the sums of the values, and what it leaves.
 *
 * Products are of M times 16 keys and N times 8 queries. A thread has keys g and g + 8 of each 16 and queries i and i + 1 of
 * each 8 (attend_mma.h): score [m][n][2 h + e] is of key g + 8 h and query i + e.
 */
#ifndef KERNELS_ATTEND_ATTEND_PRODUCTS_H
#define KERNELS_ATTEND_ATTEND_PRODUCTS_H

#include "kernels/attend/attend_cores.h"

#ifdef __CUDACC__
template <int K, int PARTS, int M, int N, int UNROLL>
static __device__ inline void score_keys(float (*s)[N][4], const TileShape &t, unsigned keys, int first_eight)
{
    int lane = threadIdx.x % 32, tiles = t.queries / 8;
    const uint2 *q = (const uint2 *)(tile_memory + t.parts_at) + first_eight * 32 + lane;
    float sum[PARTS][M][N][4] = {};
    unsigned at = keys + lane % 16 * t.key_pitch + lane / 16 * 16;
#pragma unroll(UNROLL)
    for (int step = 0; step < t.steps; step++) {
        uint2 b[PARTS][N];
#pragma unroll
        for (int part = 0; part < PARTS; part++)
#pragma unroll
            for (int n = 0; n < N; n++)
                b[part][n] = q[((part * t.steps + step) * tiles + n) * 32];
#pragma unroll
        for (int m = 0; m < M; m++) {
            unsigned k[4];
            load_matrices(k, at + m * 16 * t.key_pitch + step * STEP * 2);
#pragma unroll
            for (int part = 0; part < PARTS; part++)
#pragma unroll
                for (int n = 0; n < N; n++)
                    multiply<K>(sum[part][m][n], k, b[part][n]);
        }
    }
#pragma unroll
    for (int m = 0; m < M; m++)
#pragma unroll
        for (int n = 0; n < N; n++)
#pragma unroll
            for (int i = 0; i < 4; i++) {
                float all = sum[PARTS - 1][m][n][i];
#pragma unroll
                for (int part = PARTS - 2; part >= 0; part--)
                    all += sum[part][m][n][i];
                s[m][n][i] = all;
            }
}

template <bool EXACT> static __device__ inline float tanh_of(float x)
{
    return EXACT ? tanhf(x) : 1 - __fdividef(2, power2(2 * LOG2_E * x) + 1);
}

/* Products become scores, in powers of two; what a query does not see is minus infinity. all: they see all these keys. */
template <int K, bool EXACT, int M, int N>
static __device__ inline void bend_scores(float (*s)[N][4], const Attention &a, const Query *queries, int j0, int hi, bool all)
{
    int lane = threadIdx.x % 32;
    if (all && K != W_F16 && a.how.softcap <= 0 && !a.slopes)
        return;
#pragma unroll
    for (int n = 0; n < N; n++)
#pragma unroll
        for (int e = 0; e < 2; e++) {
            const Query &q = queries[n * 8 + lane % 4 * 2 + e];
            int from = q.from, to = min(q.to, hi);
#pragma unroll
            for (int m = 0; m < M; m++)
#pragma unroll
                for (int h = 0; h < 2; h++) {
                    float x = s[m][n][2 * h + e];
                    int j = j0 + m * 16 + lane / 4 + 8 * h;
                    if (K == W_F16)
                        x *= q.factor;
                    if (a.how.softcap > 0)
                        x = a.how.softcap * LOG2_E * tanh_of<EXACT>(x);
                    if (a.slopes)
                        x += LOG2_E * lean(a, q.head, j, q.pos);
                    s[m][n][2 * h + e] = j >= from && j < to ? x : -INFINITY;
                }
        }
}

/* Of these keys, for each query: all lanes know it. */
template <int M, int N> static __device__ inline void largest_scores(float (*largest)[2], const float (*s)[N][4])
{
#pragma unroll
    for (int n = 0; n < N; n++)
#pragma unroll
        for (int e = 0; e < 2; e++) {
            float most = fmaxf(s[0][n][e], s[0][n][2 + e]);
#pragma unroll
            for (int m = 1; m < M; m++)
                most = fmaxf(most, fmaxf(s[m][n][e], s[m][n][2 + e]));
#pragma unroll
            for (int i = 4; i < 32; i *= 2)
                most = fmaxf(most, __shfl_xor_sync(0xffffffff, most, i));
            largest[n][e] = most;
        }
}

/* The running softmax of a thread's queries. total: of its own keys. */
template <int N> struct Softmax {
    float most[N][2], total[N][2];
    float older[N][2];         /* what was summed before is to be multiplied by this */
};

template <int N> static __device__ inline void begin_softmax(Softmax<N> *f)
{
#pragma unroll
    for (int n = 0; n < N; n++)
#pragma unroll
        for (int e = 0; e < 2; e++)
            f->most[n][e] = -INFINITY, f->total[n][e] = 0;
}

/* Scores become 2^(score - largest so far). */
template <int M, int N> static __device__ inline void soften(float (*s)[N][4], Softmax<N> *f, const float (*largest)[2])
{
#pragma unroll
    for (int n = 0; n < N; n++)
#pragma unroll
        for (int e = 0; e < 2; e++) {
            float most = fmaxf(f->most[n][e], largest[n][e]), base = most == -INFINITY ? 0 : most, sum = 0;
            f->older[n][e] = power2(f->most[n][e] - base);
#pragma unroll
            for (int m = 0; m < M; m++)
#pragma unroll
                for (int h = 0; h < 2; h++)
                    sum += s[m][n][2 * h + e] = power2(s[m][n][2 * h + e] - base);
            f->total[n][e] = fmaf(f->total[n][e], f->older[n][e], sum);
            f->most[n][e] = most;
        }
}

/* As the right factors of products with values. */
template <int K, int PARTS, int M, int N> static __device__ inline void split_powers(uint2 (*p)[M][N], const float (*s)[N][4])
{
#pragma unroll
    for (int m = 0; m < M; m++)
#pragma unroll
        for (int n = 0; n < N; n++) {
            float left[4] = {s[m][n][0], s[m][n][1], s[m][n][2], s[m][n][3]};
#pragma unroll
            for (int part = 0; part < PARTS; part++) {
                unsigned low = pair_of<K>(left[0], left[1]), high = pair_of<K>(left[2], left[3]);
                p[part][m][n] = make_uint2(turn(low), turn(high));
                left[0] -= first_of<K>(low), left[1] -= second_of<K>(low);
                left[2] -= first_of<K>(high), left[3] -= second_of<K>(high);
            }
        }
}

/* Where a lane's rows of the values begin, for load_turned(). */
static __device__ inline unsigned values_at(unsigned values, int pitch)
{
    int lane = threadIdx.x % 32;
    return values + (lane % 8 + lane / 16 * 8) * pitch + lane / 8 % 2 * 16;
}

/* 16 columns of the values. Tensor cores round sums towards zero: those of a tile are added to the others outside. */
template <int K, int PARTS, int M, int N>
static __device__ inline void sum_values(float (*sums)[4], const Softmax<N> &f, unsigned at, int pitch, const uint2 (*p)[M][N])
{
    float sum[N][4] = {};
#pragma unroll
    for (int m = 0; m < M; m++) {
        unsigned v[4];
        load_turned(v, at + m * 16 * pitch);
#pragma unroll
        for (int part = PARTS - 1; part >= 0; part--)
#pragma unroll
            for (int n = 0; n < N; n++)
                multiply<K>(sum[n], v, p[part][m][n]);
    }
#pragma unroll
    for (int n = 0; n < N; n++)
#pragma unroll
        for (int i = 0; i < 4; i++)
            sums[n][i] = fmaf(sums[n][i], f.older[n][i % 2], sum[n][i]);
}

/* ---- the end ---- */

/* Where a query's columns go, and what each is to be multiplied by: of y, or of this part of it, for fold_parts(). */
typedef struct Columns {
    float *at, factor;
    unsigned short *cut;       /* y goes there in parts; NULL: not so */
} Columns;

static __device__ inline Columns columns_of(const Attention &a, const Query &q, float most, float total, int part, bool tells)
{
    Columns c = {NULL, 1, NULL};
    if (a.count == 1) {
        int64_t column = (int64_t)q.head * a.value_width;
        c.at = row(a.y, q.row) + column;
        c.cut = a.cut ? a.cut + q.row * (int64_t)a.y.width + column : NULL;
        c.factor = 1 / (total + (a.sinks ? power2(a.sinks[q.head] * LOG2_E - most) : 0));
        return c;
    }
    c.at = a.parts + (((int64_t)q.row * a.heads + q.head) * a.count + part) * (a.value_width + 2) + 2;
    if (tells)
        c.at[-2] = most * LN_2, c.at[-1] = total;
    return c;
}

/* Of all lanes. */
template <int N> static __device__ inline void join_totals(Softmax<N> *f)
{
#pragma unroll
    for (int n = 0; n < N; n++)
#pragma unroll
        for (int e = 0; e < 2; e++)
#pragma unroll
            for (int i = 4; i < 32; i *= 2)
                f->total[n][e] += __shfl_xor_sync(0xffffffff, f->total[n][e], i);
}

/* sums: MT times 16 columns, the first at `first`, then every `stride` columns. */
template <int MT, int N>
static __device__ inline void write_columns(const Attention &a, const TileShape &t, const Query *queries, const Softmax<N> &f,
                                            float (*sums)[N][4], int first, int stride)
{
    int lane = threadIdx.x % 32;
#pragma unroll
    for (int n = 0; n < N; n++)
#pragma unroll
        for (int e = 0; e < 2; e++) {
            const Query &q = queries[n * 8 + lane % 4 * 2 + e];
            if (q.row < 0)
                continue;
            Columns c = columns_of(a, q, f.most[n][e], f.total[n][e], blockIdx.z, lane < 4);
#pragma unroll
            for (int mt = 0; mt < MT; mt++)
#pragma unroll
                for (int h = 0; h < 2; h++) {
                    int i = first + mt * stride + lane / 4 + 8 * h;
                    if (i < t.value_width)
                        put_y(a, c.at + i, c.cut + i, c.cut != NULL, sums[mt][n][2 * h + e] * c.factor);
                }
        }
}
#endif

#endif

/* wgmma_cuda.h of emulated.h: tiles that the copy engine brings, clusters, and products by four warps. */
#ifndef KERNELS_LINEAR_WGMMA_CUDA_H
#define KERNELS_LINEAR_WGMMA_CUDA_H

#include <cuda.h>
#include <vector>

#include "kernels/kit/async_cuda.h"

enum { SWIZZLE_ROW = 128, SWIZZLE_K = 64, SWIZZLE_ALIGN = 1024 };

void emulated_box(unsigned to, const CUtensorMap *, const int64_t *at, unsigned barrier);

static inline void tile_copy(void *to, const CUtensorMap *map, int x, int y, int z, Barrier *b, unsigned long long)
{
    const int64_t at[3] = {x, y, z};
    emulated_box(shared_place(to), map, at, shared_place(b));
}
static inline void tile_copy_to(unsigned blocks, void *to, const CUtensorMap *map, int x, int y, int z, Barrier *b,
                                unsigned long long hint)
{
    for (unsigned rank = 0; blocks >> rank; rank++)
        if (blocks >> rank & 1)
            emulated_in(rank, [=] { tile_copy(to, map, x, y, z, b, hint); });
}

static inline int cluster_rank() { return (int)emulated_rank(); }
static inline void cluster_meets() { emulated_cluster_meets(); }
static inline void barrier_arrive_at(unsigned b, int rank)
{
    emulated_in((unsigned)rank, [=] { barrier_arrive(b); });
}

/* Number k of a row of a tile, whose 16 bytes c lie at c ^ row within eight rows. */
template <bool F16> static inline float emulated_number(unsigned tile, int row, int k)
{
    unsigned skip = tile % SWIZZLE_ALIGN, c = skip / 16 + (unsigned)k / 8;
    unsigned at = tile - skip + (unsigned)row * SWIZZLE_ROW + (c ^ (unsigned)row % 8) * 16;
    unsigned short bits;
    memcpy(&bits, emulated_place(at, 16) + k % 8 * 2, 2);
    return F16 ? f32_of_f16(bits) : f32_of_bf16(bits);
}

static inline unsigned long long tile_place(const void *p) { return shared_place(p); }

/* This thread's sums: those of rows g and g + 8 of its warp's 16, in columns 2 t and 2 t + 1 of each eight. */
template <int N, bool F16 = false>
static inline void multiply_16(float *d, unsigned long long a, unsigned long long b, int adds)
{
    emulated_later([=] {
        int lane = threadIdx.x % 32, row = threadIdx.x / 32 % 4 * 16 + lane / 4;
        float x[2][16];
        for (int e = 0; e < 2; e++)
            for (int k = 0; k < 16; k++)
                x[e][k] = emulated_number<F16>((unsigned)a, row + 8 * e, k);
        for (int n = 0; n < N / 8; n++)
            for (int i = 0; i < 2; i++) {
                float sum[2] = {0, 0};
                for (int k = 0; k < 16; k++) {
                    float w = emulated_number<F16>((unsigned)b, 8 * n + lane % 4 * 2 + i, k);
                    sum[0] += x[0][k] * w, sum[1] += x[1][k] * w;
                }
                for (int e = 0; e < 2; e++)
                    d[4 * n + 2 * e + i] = (adds ? d[4 * n + 2 * e + i] : 0) + sum[e];
            }
    });
}

/* a as lane 4 g + t holds it, until the products are waited for. */
template <int N> static inline void multiply_16_held(float *d, const unsigned *a, unsigned long long b, int adds)
{
    uint32_t words[4] = {a[0], a[1], a[2], a[3]};
    const Lanes &all = emulated_give(words, 4);
    int lane = threadIdx.x % 32;
    std::vector<float> x(32);
    for (int e = 0; e < 2; e++)
        for (int k = 0; k < 16; k++)
            x[16 * e + k] = f32_of_f16((unsigned short)(all.of[lane / 4 * 4 + k % 8 / 2][e + k / 8 * 2] >> 16 * (k % 2)));
    emulated_later([=] {
        if (memcmp(words, a, sizeof words) != 0)
            emulated_stop("a register that is multiplied still has changed");
        for (int n = 0; n < N / 8; n++)
            for (int i = 0; i < 2; i++)
                for (int e = 0; e < 2; e++) {
                    float sum = 0;
                    for (int k = 0; k < 16; k++)
                        sum += x[16 * e + k] * emulated_number<true>((unsigned)b, 8 * n + lane % 4 * 2 + i, k);
                    d[4 * n + 2 * e + i] = (adds ? d[4 * n + 2 * e + i] : 0) + sum;
                }
    });
}

#endif

/* stream_loop_cuda.h -- what a block of threads does with its piece of the line (stream_cuda.h), for all formats.
 *
 * A Way says how units come and what is done with them:
 *
 *     NT                                     rows / 8
 *     SCALES, X                              bytes of a stage beside its weights
 *     SHARES                                 threads read what others copied
 *     weights(stage, s, at)                  starts the copies of a warp's rows
 *     x(stage, s, chunk)                     starts those of x, by all threads
 *     multiply(sums, stage, s, at)           adds a unit
 */
#ifndef KERNELS_LINEAR_STREAM_LOOP_CUDA_H
#define KERNELS_LINEAR_STREAM_LOOP_CUDA_H

#include "kernels/linear/stream_cuda.h"

/* A unit, as a warp sees it. */
typedef struct At {
    int which, o, chunk, tile;      /* product, the warp's first output in it, chunk of the row, tile of all */
} At;

static __device__ inline At at_unit(const Stream &s, int unit)
{
    At at;
    at.tile = unit / s.chunks;
    at.chunk = unit - at.tile * s.chunks;
    at.which = 0;
    while (at.which < PRODUCTS - 1 && at.tile >= s.tiles_end[at.which])
        at.which++;
    int tile = at.tile - (at.which ? s.tiles_end[at.which - 1] : 0);
    at.o = tile * TILE_OUTS + threadIdx.x / 32 * WARP_OUTS;
    return at;
}

/* Block b of n has the units from first_unit(b) on; block_of() is the one that has a unit. */
static __device__ inline int first_unit(const Stream &s, int b) { return s.units * b / (int)gridDim.x; }
static __device__ inline int block_of(const Stream &s, int unit) { return ((unit + 1) * (int)gridDim.x - 1) / s.units; }

/* ---- copies that go on beside the computing ---- */

static __device__ inline unsigned shared_at(const void *p) { return (unsigned)__cvta_generic_to_shared(p); }

/* `bytes` of 16 from memory, zeros for the others. */
static __device__ inline void copy_16(void *to, const void *from, bool there)
{
    asm volatile("cp.async.cg.shared.global.L2::128B [%0], [%1], 16, %2;" ::"r"(shared_at(to)), "l"(from), "r"(there ? 16 : 0)
                 : "memory");
}
static __device__ inline void copy_8(void *to, const void *from, bool there)
{
    asm volatile("cp.async.ca.shared.global [%0], [%1], 8, %2;" ::"r"(shared_at(to)), "l"(from), "r"(there ? 8 : 0)
                 : "memory");
}
static __device__ inline void copy_4(void *to, const void *from, bool there)
{
    asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"(shared_at(to)), "l"(from), "r"(there ? 4 : 0)
                 : "memory");
}
static __device__ inline void copies_end_group() { asm volatile("cp.async.commit_group;" ::: "memory"); }
/* Until at most `groups` of the last ones are on their way. */
static __device__ inline void copies_wait(int groups)
{
    switch (groups) {
    case 0: asm volatile("cp.async.wait_group 0;" ::: "memory"); break;
    case 1: asm volatile("cp.async.wait_group 1;" ::: "memory"); break;
    default: asm volatile("cp.async.wait_group 2;" ::: "memory"); break;      /* STAGES_MAX - 2 */
    }
}

/* ---- sums ---- */

/* Of a warp: sums[piece][eight][..]: output g, rows 2 t and 2 t + 1, then output g + 8, where lane = 4 g + t. */
template <int NT> static __device__ void put_sums(const Stream &s, const At &at, float (*sums)[NT][4])
{
    const Product &p = s.p[at.which];
    int lane = threadIdx.x % 32;
#pragma unroll
    for (int m = 0; m < STREAM_PIECES; m++)
#pragma unroll
        for (int n = 0; n < NT; n++)
#pragma unroll
            for (int i = 0; i < 4; i++) {
                int o = at.o + 16 * m + i / 2 * 8 + lane / 4, row = 8 * n + lane % 4 * 2 + i % 2;
                if (o < p.out && row < p.pairs)
                    put(p, row, 0, o, sums[m][n][i]);
            }
}

/* Where a block keeps the sums of a warp of its first tile, or of its last. */
template <int NT> static __device__ inline float4 *kept(const Stream &s, int block, int tile)
{
    int last = first_unit(s, block) / s.chunks != tile, warp = threadIdx.x / 32;
    return s.sums + ((size_t)(2 * block + last) * STREAM_WARPS + warp) * (STREAM_PIECES * NT * 32) + threadIdx.x % 32;
}

/* The warp of a tile that several blocks have. */
template <int NT> static __device__ void join_sums(const Stream &s, const At &at, float (*sums)[NT][4], int first, int last)
{
    float4 *own = kept<NT>(s, blockIdx.x, at.tile);
    unsigned *counter = &s.counters[first * STREAM_WARPS + threadIdx.x / 32], before = 0;
#pragma unroll
    for (int i = 0; i < STREAM_PIECES * NT; i++) {
        const float *v = sums[i / NT][i % NT];
        own[i * 32] = make_float4(v[0], v[1], v[2], v[3]);
    }
    __threadfence();
    __syncwarp();
    if (threadIdx.x % 32 == 0)
        before = atomicAdd(counter, 1);
    before = __shfl_sync(0xffffffff, before, 0);
    if (before != (unsigned)(last - first))
        return;
    __threadfence();
#pragma unroll
    for (int i = 0; i < STREAM_PIECES * NT * 4; i++)
        sums[i / 4 / NT][i / 4 % NT][i % 4] = 0;
#pragma unroll (NT == 1 ? 4 : 1)
    for (int b = first; b <= last; b++) {
        const float4 *from = kept<NT>(s, b, at.tile);
#pragma unroll
        for (int i = 0; i < STREAM_PIECES * NT; i++) {
            float4 v = __ldcg(from + i * 32);
            float *to = sums[i / NT][i % NT];
            to[0] += v.x, to[1] += v.y, to[2] += v.z, to[3] += v.w;
        }
    }
    put_sums<NT>(s, at, sums);
    if (threadIdx.x % 32 == 0)
        *counter = 0;
}

template <int NT> static __device__ void end_tile(const Stream &s, const At &at, float (*sums)[NT][4])
{
    int begin = at.tile * s.chunks, first = block_of(s, begin), last = block_of(s, begin + s.chunks - 1);
    if (first == last)
        put_sums<NT>(s, at, sums);
    else
        join_sums<NT>(s, at, sums, first, last);
#pragma unroll
    for (int i = 0; i < STREAM_PIECES * NT * 4; i++)
        sums[i / 4 / NT][i / 4 % NT][i % 4] = 0;
}

/* ---- the loop ---- */

template <class Way> static __host__ __device__ constexpr int stage_bytes() { return UNIT_BYTES + Way::SCALES + Way::X; }

template <class Way> static __global__ void __launch_bounds__(STREAM_THREADS, 1) stream(const __grid_constant__ Stream s)
{
    extern __shared__ __align__(128) uint8_t room[];
    previous_later();
    int unit = first_unit(s, blockIdx.x), end = first_unit(s, blockIdx.x + 1);
    int ahead = s.stages - 1, reads = 0, writes = ahead;
    for (int i = 0; i < ahead; i++)
        if (unit + i < end)
            Way::weights(room + i * stage_bytes<Way>(), s, at_unit(s, unit + i));
    previous_ended();
    for (int i = 0; i < ahead; i++) {
        if (unit + i < end)
            Way::x(room + i * stage_bytes<Way>(), s, at_unit(s, unit + i).chunk);
        copies_end_group();
    }
    float sums[STREAM_PIECES][Way::NT][4] = {{{0}}};
    for (; unit < end; unit++) {
        copies_wait(ahead - 1);
        if (Way::SHARES)
            __syncthreads();
        if (unit + ahead < end) {      /* into the stage that was read last */
            At next = at_unit(s, unit + ahead);
            uint8_t *stage = room + writes * stage_bytes<Way>();
            Way::weights(stage, s, next);
            Way::x(stage, s, next.chunk);
        }
        copies_end_group();
        At at = at_unit(s, unit);
        Way::multiply(sums, room + reads * stage_bytes<Way>(), s, at);
        if (at.chunk == s.chunks - 1 || unit + 1 == end)
            end_tile<Way::NT>(s, at, sums);
        reads = reads == ahead ? 0 : reads + 1;
        writes = writes == ahead ? 0 : writes + 1;
    }
}

template <class Way> static void stream_launch(Stream s, const CudaRun *g)
{
    int fit = (int)(g->shared_bytes / stage_bytes<Way>());
    s.stages = s.stages < fit ? s.stages : fit;
    size_t bytes = (size_t)s.stages * stage_bytes<Way>();
    int blocks = s.units / 2 < g->multiprocessors ? (int)(s.units / 2) : g->multiprocessors;
    cudaFuncSetAttribute(stream<Way>, cudaFuncAttributeMaxDynamicSharedMemorySize, (int)bytes);
    LAUNCH(stream<Way>, blocks > 1 ? blocks : 1, STREAM_THREADS, bytes, g, s);
}

#endif

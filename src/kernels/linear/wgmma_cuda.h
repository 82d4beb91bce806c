/* wgmma_cuda.h -- what only Hopper has: copies of tiles by an engine, barriers that count bytes, and products by four warps.
 *
 * Tiles in shared memory have rows of 128 bytes, 64 numbers of bf16, whose 16-byte pieces are swizzled as the copy engine
 * and the tensor cores agree on; they begin at multiples of 1,024 bytes. PTX ISA 8.0: cp.async.bulk.tensor, mbarrier, wgmma.
 */
#ifndef KERNELS_LINEAR_WGMMA_CUDA_H
#define KERNELS_LINEAR_WGMMA_CUDA_H

#include <cuda.h>

#include "kernels/kit/async_cuda.h"

#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ == 900 && !defined(__CUDA_ARCH_FEAT_SM90_ALL)
#error "What only Hopper has is in code for 90a: make CUDA_ARCHS=90a"
#endif

enum { SWIZZLE_ROW = 128, SWIZZLE_K = 64, SWIZZLE_ALIGN = 1024 };

/* ---- tiles ---- */

/* The tile whose first number is [z][y][x] of the map. */
static __device__ inline void tile_copy(void *to, const CUtensorMap *map, int x, int y, int z, Barrier *b,
                                        unsigned long long hint)
{
    asm volatile("cp.async.bulk.tensor.3d.shared::cluster.global.mbarrier::complete_tx::bytes.L2::cache_hint "
                 "[%0], [%1, {%3, %4, %5}], [%2], %6;"
                 :
                 : "r"(shared_place(to)), "l"(map), "r"(shared_place(b)), "r"(x), "r"(y), "r"(z), "l"(hint)
                 : "memory");
}
/* As tile_copy(), to the same place of those blocks of threads of the cluster whose bits are set, and their barriers. */
static __device__ inline void tile_copy_to(unsigned blocks, void *to, const CUtensorMap *map, int x, int y, int z, Barrier *b,
                                           unsigned long long hint)
{
    asm volatile("cp.async.bulk.tensor.3d.shared::cluster.global.mbarrier::complete_tx::bytes.multicast::cluster"
                 ".L2::cache_hint [%0], [%1, {%3, %4, %5}], [%2], %6, %7;"
                 :
                 : "r"(shared_place(to)), "l"(map), "r"(shared_place(b)), "r"(x), "r"(y), "r"(z), "h"((unsigned short)blocks),
                   "l"(hint)
                 : "memory");
}
static __device__ inline void map_fetch(const CUtensorMap *map)
{
    asm volatile("prefetch.tensormap [%0];" ::"l"(map) : "memory");
}

/* ---- clusters of blocks of threads ---- */

static __device__ inline int cluster_rank()
{
    int rank;
    asm("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
    return rank;
}
/* All threads of all its blocks, each warp as a whole. */
static __device__ inline void cluster_meets()
{
    asm volatile("barrier.cluster.arrive.relaxed.aligned;\nbarrier.cluster.wait.acquire.aligned;" ::: "memory");
}
/* At the barrier in the same place of another of its blocks. */
static __device__ inline void barrier_arrive_at(unsigned b, int rank)
{
    asm volatile("{ .reg .b32 there;\nmapa.shared::cluster.u32 there, %0, %1;\n"
                 "mbarrier.arrive.shared::cluster.b64 _, [there]; }" ::"r"(b), "r"(rank) : "memory");
}

/* ---- products of 64 rows of a by N rows of b, 16 k ---- */

static __device__ inline unsigned long long tile_place(const void *p)
{
    return (unsigned long long)(shared_place(p) >> 4 & 0x3fff) | 1ull << 16 | (unsigned long long)(SWIZZLE_ALIGN >> 4) << 32 |
           1ull << 62;
}
#define S1(i) "+f"(d[i])
#define S4(i) S1(i), S1(i + 1), S1(i + 2), S1(i + 3)
#define S16(i) S4(i), S4(i + 4), S4(i + 8), S4(i + 12)
#define S64(i) S16(i), S16(i + 16), S16(i + 32), S16(i + 48)
#define TEN(t) "%" #t "0, %" #t "1, %" #t "2, %" #t "3, %" #t "4, %" #t "5, %" #t "6, %" #t "7, %" #t "8, %" #t "9, "

/* d: 4 n + i of a lane, 4 g + t: output g (i < 2) or g + 8 of its warp's 16, row 8 n + 2 t + i % 2. */
template <int N> struct Multiplied;

#define MULTIPLY(N, SUMS, NUMBERS, A, B, ADDS)                                                                         \
    template <> struct Multiplied<N> {                                                                                 \
        template <bool F16> static __device__ void by(float *d, unsigned long long a, unsigned long long b, int adds)  \
        {                                                                                                              \
            if (F16)                                                                                                   \
                asm volatile("{\n.reg .pred adds;\nsetp.ne.b32 adds, " ADDS ", 0;\n"                                   \
                             "wgmma.mma_async.sync.aligned.m64n" #N "k16.f32.f16.f16 {" NUMBERS "}, " A ", " B         \
                             ", adds, 1, 1, 0, 0;\n}"                                                                  \
                             : SUMS                                                                                    \
                             : "l"(a), "l"(b), "r"(adds));                                                             \
            else                                                                                                       \
                asm volatile("{\n.reg .pred adds;\nsetp.ne.b32 adds, " ADDS ", 0;\n"                                   \
                             "wgmma.mma_async.sync.aligned.m64n" #N "k16.f32.bf16.bf16 {" NUMBERS "}, " A ", " B       \
                             ", adds, 1, 1, 0, 0;\n}"                                                                  \
                             : SUMS                                                                                    \
                             : "l"(a), "l"(b), "r"(adds));                                                             \
        }                                                                                                              \
    };
#define COMMA ,
MULTIPLY(8, S4(0), "%0, %1, %2, %3", "%4", "%5", "%6")
MULTIPLY(16, S4(0) COMMA S4(4), "%0, %1, %2, %3, %4, %5, %6, %7", "%8", "%9", "%10")
MULTIPLY(32, S16(0), TEN() "%10, %11, %12, %13, %14, %15", "%16", "%17", "%18")
MULTIPLY(64, S16(0) COMMA S16(16), TEN() TEN(1) TEN(2) "%30, %31", "%32", "%33", "%34")
MULTIPLY(96, S16(0) COMMA S16(16) COMMA S16(32), TEN() TEN(1) TEN(2) TEN(3) "%40, %41, %42, %43, %44, %45, %46, %47",
         "%48", "%49", "%50")
MULTIPLY(128, S64(0), TEN() TEN(1) TEN(2) TEN(3) TEN(4) TEN(5) "%60, %61, %62, %63", "%64", "%65", "%66")
MULTIPLY(160, S64(0) COMMA S16(64),
         TEN() TEN(1) TEN(2) TEN(3) TEN(4) TEN(5) TEN(6) "%70, %71, %72, %73, %74, %75, %76, %77, %78, %79",
         "%80", "%81", "%82")
MULTIPLY(192, S64(0) COMMA S16(64) COMMA S16(80),
         TEN() TEN(1) TEN(2) TEN(3) TEN(4) TEN(5) TEN(6) TEN(7) TEN(8) "%90, %91, %92, %93, %94, %95", "%96", "%97", "%98")
MULTIPLY(224, S64(0) COMMA S16(64) COMMA S16(80) COMMA S16(96),
         TEN() TEN(1) TEN(2) TEN(3) TEN(4) TEN(5) TEN(6) TEN(7) TEN(8) TEN(9) TEN(10) "%110, %111", "%112", "%113", "%114")
MULTIPLY(256, S64(0) COMMA S64(64),
         TEN() TEN(1) TEN(2) TEN(3) TEN(4) TEN(5) TEN(6) TEN(7) TEN(8) TEN(9) TEN(10) TEN(11)
         "%120, %121, %122, %123, %124, %125, %126, %127", "%128", "%129", "%130")
#undef MULTIPLY

/* The same of f16, where a is held by the four warps: lane 4 g + t of each has of outputs g, g + 8 two k from 2 t on, then the
 * same from 8 + 2 t on. Until products_wait() these registers stay as they are. */
template <int N> struct MultipliedHeld;
#define MULTIPLY(N, SUMS, NUMBERS, A, B, ADDS)                                                                         \
    template <> struct MultipliedHeld<N> {                                                                             \
        static __device__ inline void by(float *d, const unsigned *a, unsigned long long b, int adds)                  \
        {                                                                                                              \
            asm volatile("{\n.reg .pred adds;\nsetp.ne.b32 adds, " ADDS ", 0;\n"                                       \
                         "wgmma.mma_async.sync.aligned.m64n" #N "k16.f32.f16.f16 {" NUMBERS "}, {" A "}, " B           \
                         ", adds, 1, 1, 0;\n}"                                                                         \
                         : SUMS                                                                                        \
                         : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(adds));                             \
        }                                                                                                              \
    };
MULTIPLY(32, S16(0), TEN() "%10, %11, %12, %13, %14, %15", "%16, %17, %18, %19", "%20", "%21")
MULTIPLY(64, S16(0) COMMA S16(16), TEN() TEN(1) TEN(2) "%30, %31", "%32, %33, %34, %35", "%36", "%37")
#undef COMMA
#undef MULTIPLY

/* Numbers of bf16, or of f16. */
template <int N, bool F16 = false>
static __device__ inline void multiply_16(float *d, unsigned long long a, unsigned long long b, int adds)
{
    Multiplied<N>::template by<F16>(d, a, b, adds);
}
template <int N>
static __device__ inline void multiply_16_held(float *d, const unsigned *a, unsigned long long b, int adds)
{
    MultipliedHeld<N>::by(d, a, b, adds);
}

#endif

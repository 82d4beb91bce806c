/* attend_wgmma.h -- what attention asks of a Hopper GPU (compute capability 9.0): products by four warps together, and
 * tiles of the cache that a copy engine brings.
 *
 * A product adds [64, 16] . [16, N] to [64, N]. Sums are in registers: warp w of the four has rows 16 w and on, as
 * attend_mma.h says for 16 rows; sum [j / 8][2 h + e] is of row g + 8 h and column i + e of each 8. So may the left factor
 * be; the right one lies in shared memory in pieces of 128 bytes a row:
 *
 *     keys     a row is a column of the factor: 64 numbers that are multiplied and added    multiply_keys()
 *     values   a row is a row of the factor: 64 columns                                     multiply_values()
 *
 *     | rows of 128 bytes: numbers 0 to 63 of each row | rows of 128 bytes: numbers 64 to 127 | ...
 *
 * and within 8 rows the 16 bytes c of row r lie at c ^ r, so that 8 rows side by side meet all banks.
 */
#ifndef KERNELS_ATTEND_ATTEND_WGMMA_H
#define KERNELS_ATTEND_ATTEND_WGMMA_H

#include <cuda.h>

#include "kernels/attend/attend_mma.h"
#include "kernels/kit/async_cuda.h"

#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
#define HOPPER 1
#else
#define HOPPER 0
#endif

enum { ROW_BYTES = 128, ROW_NUMBERS = 64, EIGHT_ROWS = 8 * ROW_BYTES };

#if HOPPER
/* Where a factor begins in shared memory, `piece` bytes from 64 columns of it to the next (values only). */
typedef struct Factor { unsigned low, high; } Factor;
static __device__ inline Factor factor_at(unsigned address, unsigned piece)
{
    Factor f = {(address & 0x3ffff) >> 4 | (piece >> 4) << 16, 1u << 30 | EIGHT_ROWS >> 4};
    asm volatile("" : "+r"(f.low));      /* else many are computed long before they are needed */
    return f;
}
/* The same from some bytes on. */
static __device__ inline uint64_t from_byte(Factor f, unsigned skip) { return (uint64_t)f.high << 32 | (f.low + (skip >> 4)); }

#define SUMS_8(d, i) "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3]), "+f"(d[i + 4]), "+f"(d[i + 5]), \
                     "+f"(d[i + 6]), "+f"(d[i + 7])
#define SUMS_32(d, i) SUMS_8(d, i), SUMS_8(d, i + 8), SUMS_8(d, i + 16), SUMS_8(d, i + 24)
#define NAMES_32 "%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15," \
                 "%16,%17,%18,%19,%20,%21,%22,%23,%24,%25,%26,%27,%28,%29,%30,%31"
#define NAMES_64 NAMES_32 ",%32,%33,%34,%35,%36,%37,%38,%39,%40,%41,%42,%43,%44,%45,%46,%47," \
                 "%48,%49,%50,%51,%52,%53,%54,%55,%56,%57,%58,%59,%60,%61,%62,%63"

/* sums = (ADDS: sums +) a . b, of which b holds keys and a lies in shared memory, as keys do. */
template <int N, bool ADDS> static __device__ inline void multiply_keys(float *sums, uint64_t a, uint64_t b)
{
    static_assert(N == 64 || N == 128, "");
    if constexpr (N == 64)
        asm volatile("{ .reg .pred adds; setp.ne.b32 adds, %34, 0;\n"
                     "wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 {" NAMES_32 "}, %32, %33, adds, 1, 1, 0, 0; }"
                     : SUMS_32(sums, 0) : "l"(a), "l"(b), "n"(ADDS));
    else
        asm volatile("{ .reg .pred adds; setp.ne.b32 adds, %66, 0;\n"
                     "wgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16 {" NAMES_64 "}, %64, %65, adds, 1, 1, 0, 0; }"
                     : SUMS_32(sums, 0), SUMS_32(sums, 32) : "l"(a), "l"(b), "n"(ADDS));
}

/* sums = (ADDS: sums +) a . b, of which b holds values. */
template <int N, bool ADDS>
static __device__ inline void multiply_values(float *sums, const unsigned *a, uint64_t b)
{
    static_assert(N == 64 || N == 128, "");
    if constexpr (N == 64)
        asm volatile("{ .reg .pred adds; setp.ne.b32 adds, %37, 0;\n"
                     "wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 "
                     "{" NAMES_32 "}, {%32,%33,%34,%35}, %36, adds, 1, 1, 1; }"
                     : SUMS_32(sums, 0)
                     : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "n"(ADDS));
    else
        asm volatile("{ .reg .pred adds; setp.ne.b32 adds, %69, 0;\n"
                     "wgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16 "
                     "{" NAMES_64 "}, {%64,%65,%66,%67}, %68, adds, 1, 1, 1; }"
                     : SUMS_32(sums, 0), SUMS_32(sums, 32)
                     : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "n"(ADDS));
}

/* What products write, or read from, is not touched before this by the compiler either. */
template <int N> static __device__ inline void hold(float *x)
{
#pragma unroll
    for (int i = 0; i < N; i++)
        asm volatile("" : "+f"(x[i])::"memory");
}
template <int N> static __device__ inline void hold(unsigned *x)
{
#pragma unroll
    for (int i = 0; i < N; i++)
        asm volatile("" : "+r"(x[i])::"memory");
}

/* What a sum of powers depends on is computed before what follows, by a branch that is never taken: the compiler would else
 * wait for products first, and compute then. */
static __device__ inline void settle(float sum)
{
    if (sum < 0)
        asm volatile("nanosleep.u32 1;" ::: "memory");
}

/* Of a thread, from here on; all warps of the block of threads together have no more than before. */
template <int N> static __device__ inline void more_registers()
{
    asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(N));
}
template <int N> static __device__ inline void fewer_registers()
{
    asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(N));
}

/* At a barrier of threads_meet(), without waiting. */
static __device__ inline void warps_arrive(int barrier, int threads)
{
    asm volatile("bar.arrive %0, %1;" ::"r"(barrier), "r"(threads) : "memory");
}

/* ---- tiles ---- */

/* A box of the map's [blocks, rows, columns] is on its way; what is outside is zeros. */
static __device__ inline void copy_box(unsigned to, const CUtensorMap *map, int column, int row, int block, unsigned barrier)
{
    asm volatile("cp.async.bulk.tensor.3d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1, {%2, %3, %4}], [%5];"
                 ::"r"(to), "l"((uint64_t)map), "r"(column), "r"(row), "r"(block), "r"(barrier) : "memory");
}
/* The same of [blocks, pieces of 64 columns, rows, columns], all pieces. */
static __device__ inline void copy_pieces(unsigned to, const CUtensorMap *map, int row, int block, unsigned barrier)
{
    asm volatile("cp.async.bulk.tensor.4d.shared::cluster.global.mbarrier::complete_tx::bytes "
                 "[%0], [%1, {%2, %3, %2, %4}], [%5];"
                 ::"r"(to), "l"((uint64_t)map), "r"(0), "r"(row), "r"(block), "r"(barrier) : "memory");
}
static __device__ inline void put_word(unsigned at, unsigned word)
{
    asm volatile("st.shared.b32 [%0], %1;" ::"r"(at), "r"(word) : "memory");
}
static __device__ inline void put_zeros(unsigned at)      /* 16 bytes */
{
    asm volatile("st.shared.v4.b32 [%0], {%1, %1, %1, %1};" ::"r"(at), "r"(0) : "memory");
}
/* What was written in the ordinary way may be multiplied by. */
static __device__ inline void show_to_products() { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }
#endif

#endif

/* emulated.h -- CUDA C as a C++ compiler of the host takes it: kernels of the GPU run on a CPU, a fiber for each thread.
 *
 * Blocks of threads run one after another, those of a cluster together, and their threads in turns: a thread goes on until it
 * waits for others, at a barrier or at what a warp does together. Some warps stand still for a while now and then; what the
 * copy engine brings comes late and in any order, and four warps multiply when they wait for it, so that a wait that is missing,
 * or one for the wrong turn, shows. Shared memory is full of what is no number when a block begins.
 *
 * The headers beside this one stand in the place of those with the same names in src, whose functions are PTX; all
 * other sources are those of the GPU, unchanged. What this does not know: how fast, races that need two threads in the
 * same instruction, and whether a real copy engine takes a map.
 */
#ifndef TESTS_EMULATED_H
#define TESTS_EMULATED_H

#include <cmath>
#include <climits>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <functional>

#define __device__
#define __host__
#define __global__
#define __grid_constant__
#define __launch_bounds__(...)
#define __noinline__
#define __align__(n) __attribute__((aligned(n)))
#define __shared__ thread_local      /* all fibers are of one thread */

/* ---- the types and constants of the runtime ---- */

struct dim3 {
    unsigned x, y, z;
    dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};
struct int2 { int x, y; };
struct int4 { int x, y, z, w; };
struct uint2 { unsigned x, y; };
struct uint4 { unsigned x, y, z, w; };
struct float2 { float x, y; };
struct float4 { float x, y, z, w; };
inline int2 make_int2(int x, int y) { return {x, y}; }
inline uint2 make_uint2(unsigned x, unsigned y) { return {x, y}; }
inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {x, y, z, w}; }
inline float2 make_float2(float x, float y) { return {x, y}; }
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }

enum { cudaDevAttrMultiProcessorCount, cudaDevAttrMaxSharedMemoryPerBlockOptin, cudaFuncAttributeMaxDynamicSharedMemorySize };
enum { EMULATED_MULTIPROCESSORS = 4, EMULATED_SHARED = 227 << 10 };
inline int cudaGetDevice(int *device) { return *device = 0; }
inline int cudaDeviceGetAttribute(int *value, int what, int)
{
    *value = what == cudaDevAttrMultiProcessorCount ? EMULATED_MULTIPROCESSORS : EMULATED_SHARED;
    return 0;
}
template <class F> int cudaFuncSetAttribute(F *, int, int) { return 0; }

template <class T> T emulated_less(T a, T b) { return b < a ? b : a; }
inline int min(int a, int b) { return emulated_less(a, b); }
inline unsigned min(unsigned a, unsigned b) { return emulated_less(a, b); }
inline long long min(long long a, long long b) { return emulated_less(a, b); }
inline int max(int a, int b) { return a > b ? a : b; }
inline unsigned max(unsigned a, unsigned b) { return a > b ? a : b; }

/* ---- threads ---- */

/* Runs `body` as all threads of all blocks, of which so many neighbours are a cluster. */
void emulate(dim3 grid, unsigned threads, unsigned cluster, const std::function<void()> &body);
extern "C" void emulated_seed(uint64_t);      /* of what comes late, and who stands still */

struct Here { dim3 grid, block, thread; unsigned threads; };
const Here &emulated_here();
#define threadIdx (emulated_here().thread)
#define blockIdx (emulated_here().block)
#define gridDim (emulated_here().grid)
#define blockDim (dim3(emulated_here().threads))

void emulated_barrier(int number, unsigned threads);      /* waits until so many have come */
void emulated_until(const std::function<bool()> &);
void __syncthreads();
/* What each lane of the warp gives, up to WORDS: of all that are meant, until the next time but one. */
enum { WORDS = 6 };
struct Lanes { uint32_t of[32][WORDS]; };
const Lanes &emulated_give(const uint32_t *words, int n, unsigned lanes = 0xffffffff);

inline void __syncwarp(unsigned = 0xffffffff) { emulated_give(NULL, 0); }
template <class T> T emulated_lane(unsigned lanes, T x, int lane)
{
    uint32_t words[2] = {};
    memcpy(words, &x, sizeof x);
    memcpy(&x, emulated_give(words, 2, lanes).of[lane % 32], sizeof x);
    return x;
}
template <class T> T __shfl_sync(unsigned lanes, T x, int lane) { return emulated_lane(lanes, x, lane); }
template <class T> T __shfl_xor_sync(unsigned lanes, T x, int by)
{
    return emulated_lane(lanes, x, (int)(threadIdx.x % 32) ^ by);
}
template <class F> int emulated_fold(int x, F join)
{
    uint32_t word = (uint32_t)x;
    const Lanes &all = emulated_give(&word, 1);
    int joined = (int)all.of[0][0];
    for (int i = 1; i < 32; i++)
        joined = join(joined, (int)all.of[i][0], i);
    return joined;
}
inline int __reduce_max_sync(unsigned, int x) { return emulated_fold(x, [](int a, int b, int) { return max(a, b); }); }
inline int __reduce_min_sync(unsigned, int x) { return emulated_fold(x, [](int a, int b, int) { return min(a, b); }); }
inline unsigned __ballot_sync(unsigned, bool x)
{
    return (unsigned)emulated_fold(x, [](int a, int b, int i) { return (int)((unsigned)a | (unsigned)b << i); });
}
inline bool __any_sync(unsigned mask, bool x) { return __ballot_sync(mask, x) != 0; }

/* ---- single instructions ---- */

template <class T> T __ldg(const T *p) { return *p; }
inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int emulated_first_bit(int x) { return __builtin_ffs(x); }
#define __ffs emulated_first_bit
inline float __uint_as_float(unsigned x)
{
    float f;
    memcpy(&f, &x, sizeof f);
    return f;
}
inline float __int_as_float(int x) { return __uint_as_float((unsigned)x); }
inline int __float_as_int(float f) { return (int)__builtin_bit_cast(unsigned, f); }
inline unsigned __float_as_uint(float f)
{
    unsigned x;
    memcpy(&x, &f, sizeof x);
    return x;
}
using std::isnan;
#define __expf(x) expf(x)      /* the C library has one of that name */
inline float __fdividef(float a, float b) { return a / b; }
inline int __float2int_rn(float x) { return (int)lrintf(x); }
inline float __fmul_rn(float a, float b) { return a * b; }
inline float __fdiv_rn(float a, float b) { return a / b; }
inline float __fsub_rn(float a, float b) { return a - b; }
inline float rsqrtf(float x) { return 1 / sqrtf(x); }
inline unsigned atomicAdd(unsigned *p, unsigned x)
{
    unsigned before = *p;
    *p += x;
    return before;
}
inline unsigned atomicExch(unsigned *p, unsigned x)
{
    unsigned before = *p;
    *p = x;
    return before;
}
inline void __threadfence() {}
template <class T> void __stcg(T *p, T x) { *p = x; }
template <class T> T __ldcg(const T *p) { return *p; }
int __dp4a(int a, int b, int sum);
unsigned __byte_perm(unsigned a, unsigned b, unsigned which);

/* ---- shared memory, barriers that count bytes, and what copies bring (emulated.cpp) ---- */

unsigned emulated_address(const void *shared);
uint8_t *emulated_place(unsigned address, unsigned bytes);      /* stops the program where it lies outside */
void emulated_open(unsigned barrier, int arrivals);
void emulated_arrive(unsigned barrier, int bytes);
void emulated_wait(unsigned barrier, unsigned parity);
void emulated_come(unsigned barrier, unsigned to, const uint8_t *bytes, unsigned n);      /* later */
/* In another block of the cluster; where all its threads meet. */
unsigned emulated_rank();
void emulated_in(unsigned rank, const std::function<void()> &what);
void emulated_cluster_meets();
/* Memory between the kernels of a call, so large: a thread that touches it before previous_ended() stops the program, for the
 * kernel before may write it still. */
extern "C" void *emulated_scratch(size_t bytes);
void emulated_previous_ended();
[[noreturn]] void emulated_stop(const char *why);
/* What four warps multiply, as late as may be: when it is waited for. */
void emulated_later(const std::function<void()> &what);
void emulated_later_sent();
void emulated_later_wait(int left);
/* Copies of a thread: what it has sent in groups is there after it has waited. */
void emulated_copy_16(unsigned to, const void *from, bool there);
void emulated_copies_sent();
void emulated_copies_wait(int left);

#endif

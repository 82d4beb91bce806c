/* async_cuda.h -- what a Hopper GPU does beside its threads: copies into shared memory that tell a barrier how many bytes
 * have come, and products by four warps together. What is copied and multiplied stands where it is used. PTX ISA 8.0:
 * mbarrier, cp.async.bulk, wgmma.
 */
#ifndef KERNELS_KIT_ASYNC_CUDA_H
#define KERNELS_KIT_ASYNC_CUDA_H

#include "kernels/kit/cuda_kit.h"

static __device__ inline unsigned shared_place(const void *p) { return (unsigned)__cvta_generic_to_shared(p); }
/* What lies there, for kernels that are emulated with many blocks at once: those have no memory of their own at p. */
template <class T> static __device__ inline T shared_value(const void *p) { return *(const T *)p; }

/* ---- barriers, by their place in shared memory ---- */

typedef unsigned long long Barrier;

static __device__ inline void barrier_open(unsigned b, int arrivals)
{
    asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(b), "r"(arrivals) : "memory");
}
/* Then __syncthreads(). */
static __device__ inline void barriers_opened() { asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory"); }
static __device__ inline void barrier_arrive(unsigned b)
{
    asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(b) : "memory");
}
/* One arrival; the phase is over when so many bytes have come as well. */
static __device__ inline void barrier_expect(unsigned b, int bytes)
{
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(b), "r"(bytes) : "memory");
}
/* Until phases of this parity are over. */
static __device__ inline void barrier_wait(unsigned b, unsigned parity)
{
    asm volatile("{ .reg .pred over;\n"
                 "again: mbarrier.try_wait.parity.shared::cta.b64 over, [%0], %1;\n"
                 "@over bra done; bra again; done: }" ::"r"(b), "r"(parity) : "memory");
}

/* ---- copies in bulk ---- */

/* What is read once, and what is read again and again: hints to the L2 cache. */
static const unsigned long long READ_ONCE = 0x12f0000000000000, READ_AGAIN = 0x14f0000000000000;

/* Multiples of 16 bytes, from and to such a place. */
static __device__ inline void bulk_copy(void *to, const void *from, unsigned bytes, Barrier *b, unsigned long long hint)
{
    asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes.L2::cache_hint "
                 "[%0], [%1], %2, [%3], %4;" ::"r"(shared_place(to)), "l"(from), "r"(bytes), "r"(shared_place(b)), "l"(hint)
                 : "memory");
}

/* ---- products on their way ---- */

static __device__ inline void products_begin() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
static __device__ inline void products_sent() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }
/* All but the last SENT groups are done. */
template <int SENT> static __device__ inline void products_wait()
{
    asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(SENT) : "memory");
}

#endif

/* async_cuda.h of emulated.h. */
#ifndef KERNELS_KIT_ASYNC_CUDA_H
#define KERNELS_KIT_ASYNC_CUDA_H

#include "kernels/kit/cuda_kit.h"

static inline unsigned shared_place(const void *p) { return emulated_address(p); }
template <class T> static inline T shared_value(const void *p)
{
    T value;
    memcpy(&value, emulated_place(emulated_address(p), sizeof value), sizeof value);
    return value;
}

typedef unsigned long long Barrier;

static inline void barrier_open(unsigned b, int arrivals) { emulated_open(b, arrivals); }
static inline void barriers_opened() {}
static inline void barrier_arrive(unsigned b) { emulated_arrive(b, 0); }
static inline void barrier_expect(unsigned b, int bytes) { emulated_arrive(b, bytes); }
static inline void barrier_wait(unsigned b, unsigned parity) { emulated_wait(b, parity); }

static const unsigned long long READ_ONCE = 1, READ_AGAIN = 2;
static inline void bulk_copy(void *to, const void *from, unsigned bytes, Barrier *b, unsigned long long)
{
    emulated_come(shared_place(b), shared_place(to), (const uint8_t *)from, bytes);
}

static inline void products_begin() {}
static inline void products_sent() { emulated_later_sent(); }
template <int LEFT> static inline void products_wait() { emulated_later_wait(LEFT); }

#endif

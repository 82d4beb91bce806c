/* cuda_kernel.h -- how an operation is computed on an NVIDIA GPU.
 *
 * A kernel is a constant, as on the CPU (kernels/cpu_kernel.h), found by its weak name:
 *
 *     kernels/<op>/<op>.cu    const CudaKernel kernel_<op>_cuda
 *
 * run() looks at the call on the host and launches on the stream; tensors' data lie on the device, and nothing on the
 * host may read them. It neither allocates nor waits nor fails, and chooses by shapes only, never by data: what it
 * launched for a call is launched again for every equal call (devices/cuda/cuda_graph.c). What it needs in between is
 * scratch, one piece of memory, whose size is known from the shapes.
 *
 * Numbers: sums that the references take in f64 are taken in f64 where that costs nothing (norms), and in f32
 * where it would (products, attention, scans). Each stays within the tolerance of its contract.
 */
#ifndef KERNELS_CUDA_KERNEL_H
#define KERNELS_CUDA_KERNEL_H

#ifdef __cplusplus
extern "C" {
#endif

#include "core/op_call.h"

enum { CUDA_COUNTERS = 4096 };

/* Where a call runs. */
typedef struct CudaRun {
    void *stream;              /* cudaStream_t */
    void *scratch;
    unsigned *counters;        /* CUDA_COUNTERS on the device, zeros between kernels */
    int multiprocessors;
    size_t shared_bytes;       /* that a block of threads can have */
    struct Lt *lt;             /* kernels/linear/lt.h; NULL: not there */
    bool overlaps;             /* the GPU starts a kernel while the one before it ends */
    bool same;                 /* a row is computed in one way, however many there are */
    bool exact;                /* products keep activations as their contracts say; else bf16 is near enough */
    const float *in_parts;     /* the rows whose parts lie ready for products (kernels/linear/parts_cuda.h); NULL: none */
} CudaRun;

typedef struct CudaKernel {
    /* Why the call cannot be computed, or NULL: it can. NULL fn: all can. Asked while a step is planned. */
    const char *(*refuses)(const OpCall *);
    size_t (*scratch_bytes)(const OpCall *, const CudaRun *);      /* NULL: none */
    void (*run)(const OpCall *, const CudaRun *);
    /* This call and some that follow it, of `count`, in one launch: how many they were, 0: none. NULL: never. */
    int (*run_several)(const OpCall *, int count, const CudaRun *);
    /* This call, of an x that a norm still has to make, in the norm's launch. false: not so. NULL: never. */
    bool (*run_normed)(const OpCall *norm, const OpCall *, const CudaRun *);
} CudaKernel;

#ifdef __cplusplus
}
#endif

#endif

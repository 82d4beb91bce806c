/* cuda_parts.h -- what the files of this device share. */
#ifndef DEVICES_CUDA_CUDA_PARTS_H
#define DEVICES_CUDA_CUDA_PARTS_H

#include <cuda_runtime_api.h>

#include "core/device_stack.h"
#include "devices/cuda/cuda_device.h"
#include "devices/cuda/cuda_graph.h"
#include "kernels/kit/cuda_kernel.h"

enum { CUDA_STAGING_BYTES = 64 << 20, CUDA_WRITES_BYTES = 4 << 20 };
enum { CUDA_FETCHES = 2, CUDA_FETCH_BYTES = 1 << 20 };

typedef struct CudaRegion {
    struct CudaRegion *next;
    void *data;
} CudaRegion;

/* What is on its way to the host. */
typedef struct CudaFetch {
    uint8_t *pinned;
    cudaEvent_t there;
    void *host;                    /* where it goes; NULL: nothing is on its way */
    size_t bytes;
} CudaFetch;

typedef struct CudaDevice {
    Device device;                 /* first: a Device * of this kind is a CudaDevice * */
    char title[256];
    CudaRun run;                   /* the stream, the scratch */
    cudaStream_t stream;
    CudaRegion *regions;
    uint8_t *small;                /* what is left of the region that small takes share */
    size_t small_left;
    DeviceStack stack;
    size_t scratch_bytes, taken;
    bool no_graphs;
    char refusal[256];             /* of a kernel, while planning */
    CudaQueue queue;
    /* Two halves, filled in turn: the host fills one while the GPU reads the other. */
    uint8_t *staging, *raw;        /* pinned; on the device, for blocks that are taken apart */
    cudaEvent_t staged[2];
    /* Small writes are copied here first, so that the caller's memory is free at once. */
    uint8_t *writes;
    size_t writes_used;
    CudaFetch fetch[CUDA_FETCHES];
    uint64_t fetches;
    Error trouble;                 /* code OK: none */
} CudaDevice;

bool cuda_fine(CudaDevice *, cudaError_t, const char *doing);       /* notes the first trouble */
Err cuda_region(CudaDevice *, size_t bytes, void **out, Error *err);
Err cuda_upload(Device *, const char *name, Tensor host, WeightUse, Tensor *out, Error *err);

#endif

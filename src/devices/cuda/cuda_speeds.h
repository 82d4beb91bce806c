/* cuda_speeds.h -- what the GPU can do, measured: the limits that all other figures are held against. */
#ifndef DEVICES_CUDA_CUDA_SPEEDS_H
#define DEVICES_CUDA_CUDA_SPEEDS_H

#ifdef __cplusplus
extern "C" {
#endif

#include "core/device.h"

typedef struct CudaSpeeds {
    double read_bytes;         /* a second, of memory that no cache holds */
    double bf16_operations;    /* a second, of an 8192 x 8192 x 8192 product of random numbers; 0: no cuBLASLt */
    double upload_bytes;       /* a second, from pinned memory of the host */
    double memory_bytes;       /* that it has */
} CudaSpeeds;

/* The kernels of this program were compiled for the GPU in use. */
bool cuda_code_fits(void);
/* Takes some GiB for as long as it measures. */
Err cuda_speeds(Device *, CudaSpeeds *out, Error *err);
/* Fills memory of the GPU with random bf16 numbers from -1 to 1. */
void cuda_fill_random(void *to, size_t bytes, uint64_t seed, void *stream);

#ifdef __cplusplus
}
#endif

#endif

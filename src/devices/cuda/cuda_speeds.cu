/* cuda_speeds.cu -- see cuda_speeds.h. The best of some runs, timed by the GPU itself. */
#include <cuda_runtime_api.h>

extern "C" {
#include "core/device.h"
}
#include "devices/cuda/cuda_speeds.h"
#include "kernels/kit/cuda_kit.h"
#include "kernels/linear/lt.h"

enum { RUNS = 7, SIDE = 8192 };
static const size_t READ_BYTES = (size_t)4 << 30;

static __global__ void fill(uint2 *to, size_t n, uint64_t seed)
{
    for (size_t i = blockIdx.x * (size_t)blockDim.x + threadIdx.x; i < n; i += (size_t)gridDim.x * blockDim.x) {
        uint64_t z = seed + (i + 1) * 0x9e3779b97f4a7c15u;       /* SplitMix64 */
        z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
        z = (z ^ z >> 27) * 0x94d049bb133111ebu;
        unsigned short v[4];
        for (int j = 0; j < 4; j++)
            v[j] = bf16_of_f32((float)(short)(z >> 16 * j) / 32768.0f);
        to[i] = make_uint2(v[0] | (unsigned)v[1] << 16, v[2] | (unsigned)v[3] << 16);
    }
}

void cuda_fill_random(void *to, size_t bytes, uint64_t seed, void *stream)
{
    fill<<<1024, 256, 0, (cudaStream_t)stream>>>((uint2 *)to, bytes / sizeof(uint2), seed);
    cudaStreamSynchronize((cudaStream_t)stream);
}

static __global__ void read_all(const uint4 *from, size_t n, unsigned *out)
{
    unsigned sum = 0;
#pragma unroll 8
    for (size_t i = blockIdx.x * (size_t)blockDim.x + threadIdx.x; i < n; i += (size_t)gridDim.x * blockDim.x) {
        uint4 v = __ldcs(from + i);
        sum ^= v.x ^ v.y ^ v.z ^ v.w;
    }
    if (sum == 0x12345678)      /* so that nothing is left out */
        *out = sum;
}

bool cuda_code_fits(void)
{
    cudaFuncAttributes attributes;
    bool fits = cudaFuncGetAttributes(&attributes, read_all) == cudaSuccess;
    cudaGetLastError();
    return fits;
}

/* Seconds of the fastest run. */
template <typename What> static double best_seconds(cudaStream_t stream, What what)
{
    cudaEvent_t begin, end;
    double best = 1e30;
    cudaEventCreate(&begin);
    cudaEventCreate(&end);
    for (int i = 0; i < RUNS; i++) {
        float ms = 0;
        cudaEventRecord(begin, stream);
        what();
        cudaEventRecord(end, stream);
        cudaEventSynchronize(end);
        cudaEventElapsedTime(&ms, begin, end);
        if (i > 0 && ms / 1e3 < best)
            best = ms / 1e3;
    }
    cudaEventDestroy(begin);
    cudaEventDestroy(end);
    return best;
}

static double product_speed(uint8_t *memory, cudaStream_t stream)
{
    size_t matrix = (size_t)SIDE * SIDE * 2;
    Lt *lt = lt_open();
    if (!lt)
        return 0;
    LtProduct p = {memory, memory + matrix, (float *)(memory + 2 * matrix), SIDE, SIDE, SIDE, SIDE, false, NULL};
    double seconds = best_seconds(stream, [&] { lt_product(lt, &p, memory + 6 * matrix, stream); });
    cudaStreamSynchronize(stream);
    lt_close(lt);
    return 2.0 * SIDE * SIDE * SIDE / seconds;
}

static double upload_speed(void *memory, cudaStream_t stream)
{
    enum { BYTES = 256 << 20 };
    void *host;
    if (cudaMallocHost(&host, BYTES) != cudaSuccess) {
        cudaGetLastError();
        return 0;
    }
    cudaMemcpy(host, memory, BYTES, cudaMemcpyDeviceToHost);      /* random numbers */
    double seconds = best_seconds(stream, [&] { cudaMemcpyAsync(memory, host, BYTES, cudaMemcpyHostToDevice, stream); });
    cudaFreeHost(host);
    return BYTES / seconds;
}

Err cuda_speeds(Device *d, CudaSpeeds *out, Error *err)
{
    void *memory;
    size_t left = 0, all = 0;
    cudaStream_t stream;
    (void)d;
    cudaMemGetInfo(&left, &all);
    if (cudaMalloc(&memory, READ_BYTES) != cudaSuccess) {
        cudaGetLastError();
        return fail(err, NO_MEMORY, "the GPU has no 4 GiB left to measure with");
    }
    cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking);
    cuda_fill_random(memory, READ_BYTES, 1, stream);
    double seconds = best_seconds(stream, [&] {
        read_all<<<132 * 16, 512, 0, stream>>>((const uint4 *)memory, READ_BYTES / 16, (unsigned *)memory);
    });
    out->read_bytes = (double)READ_BYTES / seconds;
    out->bf16_operations = product_speed((uint8_t *)memory, stream);
    out->upload_bytes = upload_speed(memory, stream);
    out->memory_bytes = (double)all;
    cudaStreamDestroy(stream);
    cudaFree(memory);
    return OK;
}

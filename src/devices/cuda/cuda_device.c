/* cuda_device.c -- see cuda_device.h. */
#ifdef RIDGE_CUDA

#include "devices/cuda/cuda_device.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "devices/cuda/cuda_kernels.h"
#include "devices/cuda/cuda_parts.h"
#include "devices/cuda/cuda_speeds.h"
#include "kernels/linear/lt.h"
#include "kernels/op_spec.h"

enum { ALIGN = 256, SMALL = 64 << 10, SMALL_REGION = 4 << 20, OLDEST_MAJOR = 8 };

bool cuda_fine(CudaDevice *c, cudaError_t result, const char *doing)
{
    if (result == cudaSuccess)
        return true;
    if (c->trouble.code == OK)
        fail(&c->trouble, IO_FAILED, "%s failed while %s: %s. What was being computed is lost; start ridge again", c->title,
             doing, cudaGetErrorString(result));
    return false;
}

/* ---- memory ---- */

static Err no_room(CudaDevice *c, size_t bytes, Error *err)
{
    size_t left = 0, all = 0;
    cudaMemGetInfo(&left, &all);
    return fail(err, NO_MEMORY,
                "%s has no room for another %.2f GiB: %.2f GiB are taken, %.2f of %.2f GiB are left. A smaller cache fits "
                "(--context, fewer sequences, --cache-type f16), or weights of a smaller format",
                c->title, (double)bytes / (1 << 30), (double)c->taken / (1 << 30), (double)left / (1 << 30),
                (double)all / (1 << 30));
}

static Err map_region(CudaDevice *c, size_t bytes, void **out, Error *err)
{
    CudaRegion *region = malloc(sizeof *region);
    if (!region)
        return fail(err, NO_MEMORY, "no memory for a region");
    if (cudaMalloc(&region->data, bytes ? bytes : 1) != cudaSuccess) {
        cudaGetLastError();
        free(region);
        return no_room(c, bytes, err);
    }
    region->next = c->regions;
    c->regions = region;
    c->taken += bytes;
    *out = region->data;
    if (!cuda_fine(c, cudaMemsetAsync(region->data, 0, bytes, c->stream), "clearing memory"))
        return fail(err, c->trouble.code, "%s", c->trouble.text);
    return OK;
}

Err cuda_region(CudaDevice *c, size_t bytes, void **out, Error *err)
{
    size_t rounded;
    if (!round_up_fits(bytes ? bytes : 1, ALIGN, &rounded))
        return no_room(c, bytes, err);
    if (rounded > SMALL)
        return map_region(c, rounded, out, err);
    if (rounded > c->small_left) {
        void *region;
        TRY(map_region(c, SMALL_REGION, &region, err));
        c->small = region;
        c->small_left = SMALL_REGION;
    }
    *out = c->small;
    c->small += rounded;
    c->small_left -= rounded;
    return OK;
}

static size_t cuda_left(const Device *d)
{
    size_t left = 0, all;
    (void)d;
    return cudaMemGetInfo(&left, &all) == cudaSuccess ? left : SIZE_MAX;
}

static Err cuda_take(Device *d, size_t bytes, void **out, Error *err) { return cuda_region((CudaDevice *)d, bytes, out, err); }

static void *cuda_push(Device *d, size_t bytes) { return device_stack_push(&((CudaDevice *)d)->stack, bytes); }
static size_t cuda_mark(const Device *d) { return ((const CudaDevice *)d)->stack.used; }
static void cuda_release(Device *d, size_t mark) { device_stack_release(&((CudaDevice *)d)->stack, mark); }

static void cuda_plan_begin(Device *d)
{
    CudaDevice *c = (CudaDevice *)d;
    cuda_queue_send(c);
    device_stack_plan(&c->stack);
}

static Err cuda_plan_end(Device *d, Error *err)
{
    CudaDevice *c = (CudaDevice *)d;
    size_t bytes = device_stack_planned(&c->stack);
    if (c->refusal[0])
        return fail(err, UNSUPPORTED, "%s cannot run this: %s; use --device cpu", c->title, c->refusal);
    void *stack, *scratch;
    TRY(cuda_region(c, bytes, &stack, err));
    TRY(cuda_region(c, c->scratch_bytes, &scratch, err));
    c->stack.base = stack;
    c->run.scratch = scratch;
    return OK;
}

/* ---- computing ---- */

static void plan(CudaDevice *c, const CudaKernel *kernel, const OpCall *call)
{
    const char *refusal = kernel->refuses ? kernel->refuses(call) : NULL;
    if (refusal && !c->refusal[0]) {
        const Format *f = call->in[call->op == OP_EMBED || call->op == OP_CACHE_WRITE ? 0 : 1].format;
        if (call->op == OP_CACHE_WRITE)
            f = call->out[0].format;
        snprintf(c->refusal, sizeof c->refusal, "the operation '%s' %s%s%s", op_name(call->op), refusal, f ? ", " : "",
                 f ? f->name : "");
    }
    if (!refusal && kernel->scratch_bytes)
        c->scratch_bytes = (size_t)max_i64((int64_t)c->scratch_bytes, (int64_t)kernel->scratch_bytes(call, &c->run));
}

static void cuda_run(Device *d, const OpCall *call)
{
    CudaDevice *c = (CudaDevice *)d;
    const CudaKernel *kernel = cuda_kernel(call->op);
    if (!kernel) {
        const OpSpec *spec = op_spec(call->op);
        ASSERT(spec->compose);
        spec->compose(d, call);
    } else if (c->stack.planning)
        plan(c, kernel, call);
    else if (c->trouble.code == OK) {
        ASSERT(!kernel->scratch_bytes || kernel->scratch_bytes(call, &c->run) <= c->scratch_bytes);
        cuda_queue_put(c, call);
    }
}

/* ---- to and from the host ---- */

static void write_large(CudaDevice *c, void *to, const void *host, size_t bytes)
{
    cuda_fine(c, cudaMemcpyAsync(to, host, bytes, cudaMemcpyHostToDevice, c->stream), "writing");
    cuda_fine(c, cudaStreamSynchronize(c->stream), "writing");
}

static void cuda_write(Device *d, void *to, const void *host, size_t bytes)
{
    CudaDevice *c = (CudaDevice *)d;
    if (bytes == 0 || c->trouble.code != OK)
        return;
    cuda_queue_send(c);
    size_t rounded = (bytes + 63) / 64 * 64;
    if (rounded > CUDA_WRITES_BYTES / 2) {
        write_large(c, to, host, bytes);
        return;
    }
    if (c->writes_used + rounded > CUDA_WRITES_BYTES) {      /* the ring is full: what it holds must have arrived */
        cuda_fine(c, cudaStreamSynchronize(c->stream), "writing");
        c->writes_used = 0;
    }
    memcpy(c->writes + c->writes_used, host, bytes);
    cuda_fine(c, cudaMemcpyAsync(to, c->writes + c->writes_used, bytes, cudaMemcpyHostToDevice, c->stream), "writing");
    c->writes_used += rounded;
}

static void cuda_read(Device *d, void *host, const void *from, size_t bytes)
{
    CudaDevice *c = (CudaDevice *)d;
    cuda_queue_send(c);
    if (bytes > 0 && c->trouble.code == OK)
        cuda_fine(c, cudaMemcpyAsync(host, from, bytes, cudaMemcpyDeviceToHost, c->stream), "reading");
    cuda_fine(c, cudaStreamSynchronize(c->stream), "computing");
    if (c->trouble.code != OK)
        memset(host, 0xFF, bytes);
    c->writes_used = 0;
}

/* Through pinned memory, in two halves; what has no room there is waited for at once. */
static uint64_t cuda_fetch(Device *d, void *host, const void *from, size_t bytes)
{
    CudaDevice *c = (CudaDevice *)d;
    CudaFetch *f = &c->fetch[++c->fetches % CUDA_FETCHES];
    ASSERT(!f->host);
    if (bytes > CUDA_FETCH_BYTES || c->trouble.code != OK) {
        cuda_read(d, host, from, bytes);
        return c->fetches;
    }
    cuda_queue_send(c);
    cuda_fine(c, cudaMemcpyAsync(f->pinned, from, bytes, cudaMemcpyDeviceToHost, c->stream), "reading");
    cuda_fine(c, cudaEventRecord(f->there, c->stream), "reading");
    f->host = host;
    f->bytes = bytes;
    return c->fetches;
}

static void cuda_await(Device *d, uint64_t fetched)
{
    CudaDevice *c = (CudaDevice *)d;
    CudaFetch *f = &c->fetch[fetched % CUDA_FETCHES];
    if (!f->host)
        return;
    cuda_fine(c, cudaEventSynchronize(f->there), "computing");
    if (c->trouble.code == OK)
        memcpy(f->host, f->pinned, f->bytes);
    else
        memset(f->host, 0xFF, f->bytes);
    f->host = NULL;
}

static void cuda_copy(Device *d, void *to, const void *from, size_t bytes)
{
    CudaDevice *c = (CudaDevice *)d;
    cuda_queue_send(c);
    cuda_fine(c, cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, c->stream), "copying");
}

static const Error *cuda_trouble(const Device *d)
{
    const CudaDevice *c = (const CudaDevice *)d;
    return c->trouble.code == OK ? NULL : &c->trouble;
}

/* ---- opening and closing ---- */

static void cuda_close(Device *d)
{
    CudaDevice *c = (CudaDevice *)d;
    if (c->stream)
        cudaStreamSynchronize(c->stream);
    cuda_queue_close(&c->queue);
    lt_close(c->run.lt);
    for (CudaRegion *r = c->regions, *next; r; r = next) {
        next = r->next;
        cudaFree(r->data);
        free(r);
    }
    cudaFreeHost(c->staging);
    cudaFreeHost(c->writes);
    for (int i = 0; i < CUDA_FETCHES; i++) {
        cudaFreeHost(c->fetch[i].pinned);
        if (c->fetch[i].there)
            cudaEventDestroy(c->fetch[i].there);
    }
    for (int i = 0; i < 2; i++)
        if (c->staged[i])
            cudaEventDestroy(c->staged[i]);
    if (c->stream)
        cudaStreamDestroy(c->stream);
    free(c);
}

static const DeviceCalls cuda_calls = {
    .run = cuda_run,
    .upload = cuda_upload,
    .take = cuda_take,
    .push = cuda_push,
    .mark = cuda_mark,
    .release = cuda_release,
    .plan_begin = cuda_plan_begin,
    .plan_end = cuda_plan_end,
    .write = cuda_write,
    .read = cuda_read,
    .copy = cuda_copy,
    .fetch = cuda_fetch,
    .await = cuda_await,
    .left = cuda_left,
    .trouble = cuda_trouble,
    .close = cuda_close,
};

bool cuda_is_there(void)
{
    int count = 0;
    bool there = cudaGetDeviceCount(&count) == cudaSuccess && count > 0;
    cudaGetLastError();
    return there;
}

static Err choose_gpu(CudaDevice *c, const CudaOptions *options, Error *err)
{
    int count = 0, driver = 0;
    struct cudaDeviceProp properties;
    cudaError_t result = cudaGetDeviceCount(&count);
    cudaDriverGetVersion(&driver);
    if (result == cudaErrorInsufficientDriver && driver > 0)
        return fail(err, UNSUPPORTED, "the NVIDIA driver is too old: it knows CUDA %d.%d, and this ridge needs %d.%d. Update "
                    "the driver, or use --device cpu", driver / 1000, driver % 1000 / 10, CUDART_VERSION / 1000,
                    CUDART_VERSION % 1000 / 10);
    if (result != cudaSuccess || count == 0)
        return fail(err, UNSUPPORTED, "no NVIDIA GPU is here (%s): install its driver, or use --device cpu",
                    result == cudaSuccess ? "the driver finds none" : cudaGetErrorString(result));
    if (options->index < 0 || options->index >= count)
        return fail(err, BAD_ARGUMENT, "there is no GPU %d: this machine has %d, counted from 0", options->index, count);
    result = cudaGetDeviceProperties(&properties, options->index);
    if (result != cudaSuccess)
        return fail(err, UNSUPPORTED, "GPU %d does not answer: %s", options->index, cudaGetErrorString(result));
    if (properties.major < OLDEST_MAJOR)
        return fail(err, UNSUPPORTED, "%s has compute capability %d.%d, and ridge needs 8.0 or later (A100, H100, H200): use "
                    "--device cpu", properties.name, properties.major, properties.minor);
    snprintf(c->title, sizeof c->title, "%s", properties.name);
    c->run.multiprocessors = properties.multiProcessorCount;
    c->run.shared_bytes = properties.sharedMemPerBlockOptin;
    c->run.overlaps = properties.major >= 9;
    return OK;
}

static Err prepare(CudaDevice *c, const CudaOptions *options, Error *err)
{
    void *raw, *counters;
    TRY(choose_gpu(c, options, err));
    c->run.same = options->same;
    c->run.exact = options->exact || options->same;
    c->no_graphs = options->no_graphs;
    if (!cuda_queue_open(&c->queue))
        return fail(err, NO_MEMORY, "no memory for a queue of operations");
    if (!cuda_fine(c, cudaSetDevice(options->index), "opening") ||
        !cuda_fine(c, cudaStreamCreateWithFlags(&c->stream, cudaStreamNonBlocking), "opening") ||
        !cuda_fine(c, cudaMallocHost((void **)&c->staging, CUDA_STAGING_BYTES), "taking pinned memory") ||
        !cuda_fine(c, cudaMallocHost((void **)&c->writes, CUDA_WRITES_BYTES), "taking pinned memory"))
        return fail(err, UNSUPPORTED, "%s", c->trouble.text);
    if (!cuda_code_fits())
        return fail(err, UNSUPPORTED, "this ridge was not compiled for %s: compile it on this machine, or anywhere with make "
                    "CUDA_ARCHS=\"80 90a\"; or use --device cpu", c->title);
    for (int i = 0; i < 2; i++)
        if (!cuda_fine(c, cudaEventCreateWithFlags(&c->staged[i], cudaEventDisableTiming), "opening"))
            return fail(err, UNSUPPORTED, "%s", c->trouble.text);
    for (int i = 0; i < CUDA_FETCHES; i++)
        if (!cuda_fine(c, cudaMallocHost((void **)&c->fetch[i].pinned, CUDA_FETCH_BYTES), "taking pinned memory") ||
            !cuda_fine(c, cudaEventCreateWithFlags(&c->fetch[i].there, cudaEventDisableTiming), "opening"))
            return fail(err, UNSUPPORTED, "%s", c->trouble.text);
    c->run.stream = c->stream;
    c->run.lt = lt_open();
    TRY(cuda_region(c, CUDA_STAGING_BYTES, &raw, err));
    c->raw = raw;
    TRY(cuda_region(c, CUDA_COUNTERS * sizeof *c->run.counters, &counters, err));
    c->run.counters = counters;
    return OK;
}

Err cuda_device_open(const CudaOptions *options, Device **out, Error *err)
{
    CudaDevice *c = calloc(1, sizeof *c);
    if (!c)
        return fail(err, NO_MEMORY, "no memory for a device");
    c->device = (Device){.calls = &cuda_calls, .name = "cuda", .apart = true};
    c->stack.align = ALIGN;
    Err result = prepare(c, options, err);
    if (result != OK) {
        cuda_close(&c->device);
        return result;
    }
    *out = &c->device;
    return OK;
}

const char *cuda_device_title(const Device *d) { return ((const CudaDevice *)d)->title; }

#endif

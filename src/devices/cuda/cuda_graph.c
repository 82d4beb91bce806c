/* cuda_graph.c -- see cuda_graph.h. */
#ifdef RIDGE_CUDA

#include "devices/cuda/cuda_graph.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "devices/cuda/cuda_kernels.h"
#include "devices/cuda/cuda_parts.h"

bool cuda_queue_open(CudaQueue *q)
{
    *q = (CudaQueue){.calls = calloc(CUDA_QUEUE_CALLS, sizeof(OpCall))};
    return q->calls != NULL;
}

_Static_assert(offsetof(Tensor, near) + sizeof(int32_t) == sizeof(Tensor) && offsetof(OpCall, out) == sizeof(Op) + 4,
               "padding holds what was on the stack: no step would be found again");

static void drop(CudaGraph *g)
{
    if (g->exec)
        cudaGraphExecDestroy(g->exec);
    free(g->calls);
    *g = (CudaGraph){0};
}

void cuda_queue_close(CudaQueue *q)
{
    for (int i = 0; i < CUDA_GRAPHS; i++)
        drop(&q->graphs[i]);
    free(q->calls);
}

/* FNV-1a by words (Fowler, Noll & Vo 1991). Calls are copied whole, so that equal ones have equal bytes. */
static uint64_t hash_calls(const OpCall *calls, int count)
{
    uint64_t hash = 0xcbf29ce484222325u, word;
    const uint8_t *bytes = (const uint8_t *)calls;
    for (size_t i = 0; i + sizeof word <= (size_t)count * sizeof *calls; i += sizeof word) {
        memcpy(&word, bytes + i, sizeof word);
        hash = (hash ^ word) * 0x100000001b3u;
        hash ^= hash >> 29;
    }
    return hash;
}

static void launch_all(CudaDevice *c)
{
    for (int i = 0, n; i < c->queue.count; i += n) {
        const OpCall *calls = &c->queue.calls[i];
        const CudaKernel *kernel = cuda_kernel(calls->op);
        n = kernel->run_several ? kernel->run_several(calls, c->queue.count - i, &c->run) : 0;
        if (n == 0) {
            kernel->run(calls, &c->run);
            n = 1;
        }
    }
    cuda_fine(c, cudaGetLastError(), "launching");
}

static CudaGraph *find(CudaQueue *q, uint64_t hash)
{
    for (int i = 0; i < CUDA_GRAPHS; i++) {
        CudaGraph *g = &q->graphs[i];
        if (g->exec && g->hash == hash && g->count == q->count &&
            !memcmp(g->calls, q->calls, (size_t)q->count * sizeof(OpCall)))
            return g;
    }
    return NULL;
}

static bool came_before(CudaQueue *q, uint64_t hash)
{
    uint64_t *seen = &q->seen[hash % CUDA_SEEN];
    bool before = *seen == hash;
    *seen = hash;
    return before;
}

static CudaGraph *oldest(CudaQueue *q)
{
    CudaGraph *g = &q->graphs[0];
    for (int i = 1; i < CUDA_GRAPHS; i++)
        if (q->graphs[i].used < g->used)
            g = &q->graphs[i];
    return g;
}

/* NULL: the driver would not; then the calls are launched one by one. */
static CudaGraph *record(CudaDevice *c, uint64_t hash)
{
    CudaQueue *q = &c->queue;
    CudaGraph *g = oldest(q);
    cudaGraph_t graph = NULL;
    drop(g);
    if (cudaStreamBeginCapture(c->stream, cudaStreamCaptureModeThreadLocal) != cudaSuccess)
        return NULL;
    launch_all(c);
    if (cudaStreamEndCapture(c->stream, &graph) != cudaSuccess || !graph)
        return NULL;
    bool made = cudaGraphInstantiate(&g->exec, graph, 0) == cudaSuccess;
    cudaGraphDestroy(graph);
    g->calls = made ? malloc((size_t)q->count * sizeof(OpCall)) : NULL;
    if (!g->calls) {
        drop(g);
        return NULL;
    }
    memcpy(g->calls, q->calls, (size_t)q->count * sizeof(OpCall));
    g->count = q->count;
    g->hash = hash;
    return g;
}

void cuda_queue_send(CudaDevice *c)
{
    CudaQueue *q = &c->queue;
    if (q->count == 0)
        return;
    CudaGraph *g = NULL;
    if (!c->no_graphs && q->count > 1) {
        uint64_t hash = hash_calls(q->calls, q->count);
        g = find(q, hash);
        if (!g && came_before(q, hash))
            g = record(c, hash);
    }
    if (g) {
        g->used = ++q->clock;
        cuda_fine(c, cudaGraphLaunch(g->exec, c->stream), "launching a step");
    } else
        launch_all(c);
    q->count = 0;
}

void cuda_queue_put(CudaDevice *c, const OpCall *call)
{
    if (c->queue.count == CUDA_QUEUE_CALLS)
        cuda_queue_send(c);
    memcpy(&c->queue.calls[c->queue.count++], call, sizeof *call);
    if (c->no_graphs)
        cuda_queue_send(c);
}

#endif

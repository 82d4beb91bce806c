/* lt.c -- see lt.h. What the library proposes for a shape is tried once, and the fastest kept. */
#ifdef RIDGE_CUDA

#include "kernels/linear/lt.h"

#include <cublasLt.h>
#include <cuda_runtime_api.h>
#include <dlfcn.h>
#include <stdlib.h>

enum { PLANS = 1024, WAYS = 8, TRIES = 3 };

typedef struct LtPlan {
    int out, in, n, state;     /* state 0: free, 1: there is a way, 2: there is none */
    int64_t y_step;
    bool rounds, twice;
    cublasLtMatrixLayout_t a, b, d;
    cublasLtMatmulAlgo_t algorithm;
} LtPlan;

#define LT_CALLS(DO)                                                                                                   \
    DO(cublasLtCreate) DO(cublasLtDestroy) DO(cublasLtMatmul) DO(cublasLtMatmulAlgoGetHeuristic)                        \
    DO(cublasLtMatmulDescCreate) DO(cublasLtMatmulDescDestroy) DO(cublasLtMatmulDescSetAttribute)                       \
    DO(cublasLtMatrixLayoutCreate) DO(cublasLtMatrixLayoutDestroy) DO(cublasLtMatrixLayoutSetAttribute)                 \
    DO(cublasLtMatmulPreferenceCreate)                                                                                 \
    DO(cublasLtMatmulPreferenceDestroy) DO(cublasLtMatmulPreferenceSetAttribute)

struct Lt {
    void *library;
#define DO(name) __typeof__(name) *name;
    LT_CALLS(DO)
#undef DO
    cublasLtHandle_t handle;
    cublasLtMatmulDesc_t how;
    cublasLtMatmulPreference_t wish;
    LtPlan plans[PLANS];
};

static bool find_calls(Lt *lt)
{
    static const char *const names[] = {"libcublasLt.so.13", "libcublasLt.so.12", "libcublasLt.so"};
    for (size_t i = 0; i < sizeof names / sizeof *names && !lt->library; i++)
        lt->library = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
    if (!lt->library)
        return false;
#define DO(name)                                                                                                       \
    if (!(lt->name = (__typeof__(name) *)dlsym(lt->library, #name)))                                                   \
        return false;
    LT_CALLS(DO)
#undef DO
    return true;
}

static bool prepare(Lt *lt)
{
    const cublasOperation_t turned = CUBLAS_OP_T;
    const size_t workspace = LT_WORKSPACE_BYTES;
    return lt->cublasLtCreate(&lt->handle) == CUBLAS_STATUS_SUCCESS &&
           lt->cublasLtMatmulDescCreate(&lt->how, CUBLAS_COMPUTE_32F, CUDA_R_32F) == CUBLAS_STATUS_SUCCESS &&
           lt->cublasLtMatmulDescSetAttribute(lt->how, CUBLASLT_MATMUL_DESC_TRANSA, &turned, sizeof turned) ==
               CUBLAS_STATUS_SUCCESS &&
           lt->cublasLtMatmulPreferenceCreate(&lt->wish) == CUBLAS_STATUS_SUCCESS &&
           lt->cublasLtMatmulPreferenceSetAttribute(lt->wish, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &workspace,
                                                    sizeof workspace) == CUBLAS_STATUS_SUCCESS;
}

Lt *lt_open(void)
{
    Lt *lt = calloc(1, sizeof *lt);
    if (lt && find_calls(lt) && prepare(lt))
        return lt;
    lt_close(lt);
    return NULL;
}

void lt_close(Lt *lt)
{
    if (!lt)
        return;
    for (int i = 0; i < PLANS && lt->cublasLtMatrixLayoutDestroy; i++)
        if (lt->plans[i].state) {
            lt->cublasLtMatrixLayoutDestroy(lt->plans[i].a);
            lt->cublasLtMatrixLayoutDestroy(lt->plans[i].b);
            lt->cublasLtMatrixLayoutDestroy(lt->plans[i].d);
        }
    if (lt->wish)
        lt->cublasLtMatmulPreferenceDestroy(lt->wish);
    if (lt->how)
        lt->cublasLtMatmulDescDestroy(lt->how);
    if (lt->handle)
        lt->cublasLtDestroy(lt->handle);
    free(lt);      /* the library stays open: its threads may still end */
}

/* How far the second of two is from the first. */
static void set_step(Lt *lt, cublasLtMatrixLayout_t layout, int64_t step)
{
    lt->cublasLtMatrixLayoutSetAttribute(layout, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, &step, sizeof step);
}

static bool multiply(Lt *lt, const LtPlan *plan, const cublasLtMatmulAlgo_t *way, const LtProduct *p, void *workspace,
                     void *stream)
{
    const float one = 1, keep = p->adds ? 1 : 0;
    if (p->twice) {
        set_step(lt, plan->a, p->w_other);
        set_step(lt, plan->d, p->y_other);
    }
    return lt->cublasLtMatmul(lt->handle, lt->how, &one, p->w, plan->a, p->x, plan->b, &keep, p->y, plan->d, p->y, plan->d,
                              way, workspace, LT_WORKSPACE_BYTES, stream) == CUBLAS_STATUS_SUCCESS;
}

/* The least of some runs, in ms. */
static float time_of(Lt *lt, const LtPlan *plan, const cublasLtMatmulAlgo_t *way, const LtProduct *p, void *workspace,
                     void *stream, cudaEvent_t begin, cudaEvent_t end)
{
    float least = 1e30f, ms;
    for (int i = 0; i < TRIES; i++) {
        cudaEventRecord(begin, stream);
        if (!multiply(lt, plan, way, p, workspace, stream))
            return 1e30f;
        cudaEventRecord(end, stream);
        cudaEventSynchronize(end);
        if (cudaEventElapsedTime(&ms, begin, end) == cudaSuccess && ms < least)
            least = ms;
    }
    return least;
}

/* The fastest of the proposals; while a graph is recorded nothing can be timed, and the first is taken. */
static int choose(Lt *lt, const LtPlan *plan, cublasLtMatmulHeuristicResult_t *found, int count, const LtProduct *p,
                  void *workspace, void *stream)
{
    enum cudaStreamCaptureStatus recording = cudaStreamCaptureStatusNone;
    cudaEvent_t begin, end;
    int best = 0;
    float least = 1e30f;
    LtProduct trial = *p;
    trial.y = p->trial ? p->trial : p->y;
    trial.adds = false;
    if ((p->adds && !p->trial) || cudaStreamIsCapturing(stream, &recording) != cudaSuccess ||
        recording != cudaStreamCaptureStatusNone)
        return 0;
    cudaEventCreate(&begin);
    cudaEventCreate(&end);
    for (int i = 0; i < count; i++) {
        float ms = time_of(lt, plan, &found[i].algo, &trial, workspace, stream, begin, end);
        if (ms < least)
            least = ms, best = i;
    }
    cudaEventDestroy(begin);
    cudaEventDestroy(end);
    return best;
}

/* To the library a matrix of rows is one of columns: y^T [out, n] = w [out, in] x^T [in, n]. */
static void ask(Lt *lt, LtPlan *plan, const LtProduct *p, void *workspace, void *stream)
{
    cublasLtMatmulHeuristicResult_t found[WAYS];
    int count = 0;
    lt->cublasLtMatrixLayoutCreate(&plan->a, CUDA_R_16BF, (uint64_t)plan->in, (uint64_t)plan->out, plan->in);
    lt->cublasLtMatrixLayoutCreate(&plan->b, CUDA_R_16BF, (uint64_t)plan->in, (uint64_t)plan->n, plan->in);
    lt->cublasLtMatrixLayoutCreate(&plan->d, plan->rounds ? CUDA_R_16BF : CUDA_R_32F, (uint64_t)plan->out, (uint64_t)plan->n,
                                   plan->y_step);
    if (p->twice) {
        const int32_t two = 2;
        const cublasLtMatrixLayout_t layouts[] = {plan->a, plan->b, plan->d};
        const int64_t steps[] = {p->w_other, 0, p->y_other};
        for (int i = 0; i < 3; i++) {
            lt->cublasLtMatrixLayoutSetAttribute(layouts[i], CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, &two, sizeof two);
            set_step(lt, layouts[i], steps[i]);
        }
    }
    bool fine = lt->cublasLtMatmulAlgoGetHeuristic(lt->handle, lt->how, plan->a, plan->b, plan->d, plan->d, lt->wish, WAYS,
                                                   found, &count) == CUBLAS_STATUS_SUCCESS && count > 0;
    plan->state = fine ? 1 : 2;
    if (fine)
        plan->algorithm = found[choose(lt, plan, found, count, p, workspace, stream)].algo;
}

static LtPlan *plan_of(Lt *lt, const LtProduct *p, void *workspace, void *stream)
{
    uint32_t at = (uint32_t)p->out * 2654435761u ^ (uint32_t)p->in * 40503u ^ (uint32_t)p->n * 97u ^ (uint32_t)p->y_step;
    for (int i = 0; i < PLANS; i++, at++) {
        LtPlan *plan = &lt->plans[at % PLANS];
        if (plan->state == 0) {
            *plan = (LtPlan){.out = p->out, .in = p->in, .n = p->n, .y_step = p->y_step, .rounds = p->rounds,
                             .twice = p->twice};
            ask(lt, plan, p, workspace, stream);
            return plan;
        }
        if (plan->out == p->out && plan->in == p->in && plan->n == p->n && plan->y_step == p->y_step &&
            plan->rounds == p->rounds && plan->twice == p->twice)
            return plan;
    }
    return NULL;
}

bool lt_product(Lt *lt, const LtProduct *p, void *workspace, void *stream)
{
    LtPlan *plan = plan_of(lt, p, workspace, stream);
    return plan && plan->state == 1 && multiply(lt, plan, &plan->algorithm, p, workspace, stream);
}

#endif

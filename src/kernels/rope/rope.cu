/* rope.cu -- see rope.h. A thread turns a pair. Queries, keys, and the writing of keys and values that follows are one
 * launch: what they take is the launching. */
#include "kernels/cache_write/cache_write_cuda.h"

static __device__ inline void turn(float *head, const float *cosines, int i, int half, bool interleaved)
{
    float *a = head + (interleaved ? 2 * i : i), *b = interleaved ? a + 1 : a + half;
    double p = *a, q = *b;
    *a = (float)(p * cosines[i] - q * cosines[half + i]);
    *b = (float)(q * cosines[i] + p * cosines[half + i]);
}

static __global__ void turn_rows(Rows x, Rows angles, int width, bool interleaved)
{
    previous();
    int half = angles.width / 2, heads = x.width / width;
    for (int n = blockIdx.y * blockDim.x + threadIdx.x; n < heads * half; n += gridDim.y * blockDim.x)
        turn(row(x, blockIdx.x) + n / half * width, row(angles, blockIdx.x), n % half, half, interleaved);
}

/* A block of threads has a head of a row: of q, then of k, then of v. */
template <int K> static __global__ void turn_and_write(Rows q, Rows k, Rows angles, int width, bool interleaved, Write w)
{
    previous();
    int heads = q.width / width, kv_heads = w.pool[0].heads, h = blockIdx.y, half = angles.width / 2;
    bool is_q = h < heads;
    h -= is_q ? 0 : heads;
    if (is_q || h < kv_heads)
        for (int i = threadIdx.x; i < half; i += blockDim.x)
            turn(row(is_q ? q : k, blockIdx.x) + h * width, row(angles, blockIdx.x), i, half, interleaved);
    if (is_q)
        return;
    __syncthreads();
    if (h < kv_heads)
        write_head<K>(w, w.pool[0], blockIdx.x, h);
    else
        write_head<K>(w, w.pool[1], blockIdx.x, h - kv_heads);
}

static void run(const OpCall *c, const CudaRun *g)
{
    Rows x = rows_of(c->out[0]);
    LAUNCH(turn_rows, dim3(x.rows, blocks_for(x.width, 2048)), 256, 0, g, x, rows_of(c->in[0]),
           innermost_of(c->out[0]), c->rope.interleaved);
}

/* q and k turned by the same angles, then k and some v written. */
static bool belong_together(const OpCall *c)
{
    const OpCall *k = c + 1, *write = c + 2;
    return k->op == OP_ROPE && write->op == OP_CACHE_WRITE && !tensor_is_none(write->in[1]) &&
           k->in[0].data == c->in[0].data && k->in[0].row_elems == c->in[0].row_elems &&
           k->rope.interleaved == c->rope.interleaved && k->out[0].data != c->out[0].data &&
           innermost_of(k->out[0]) == innermost_of(c->out[0]) && write->in[0].data == k->out[0].data &&
           write->in[0].row_elems == k->out[0].row_elems && write->in[1].data != k->out[0].data &&
           write->in[1].data != c->out[0].data && write->in[0].dim[0] == c->out[0].dim[0] &&
           write->out[0].dim[3] == innermost_of(k->out[0]);
}

static int run_several(const OpCall *c, int count, const CudaRun *g)
{
    enum { TOGETHER = 3 };
    if (count < TOGETHER || !belong_together(c))
        return 0;
    Write w = write_of(c + 2);
    Rows q = rows_of(c->out[0]), k = rows_of(c[1].out[0]);
    int width = innermost_of(c->out[0]);
    dim3 grid(q.rows, q.width / width + w.pool[0].heads + w.pool[1].heads);
    switch (weight_kind(c[2].out[0].format)) {
#define DO(K)                                                                                                          \
    case K:                                                                                                            \
        LAUNCH(turn_and_write<K>, grid, 64, 0, g, q, k, rows_of(c->in[0]), width, c->rope.interleaved, w);             \
        return TOGETHER;
        EACH_PLAIN_KIND(DO)
#undef DO
    default: return 0;
    }
}

CUDA_KERNEL(rope, NULL, NULL, run, run_several)

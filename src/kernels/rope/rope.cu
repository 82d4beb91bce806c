/* rope.cu -- see rope.h. Queries, keys, and the writing of keys and values that follows are one launch, in which a thread has
 * eight values of a head: what they take is the launching where rows are few, and memory where they are many. */
#include "kernels/cache_write/cache_write_cuda.h"

/* x a - y b, right to 1.5 units of the last place: what is lost of y b is added again (Kahan; Jeannerod et al. 2013). */
static __device__ inline float difference(float x, float a, float y, float b)
{
    float product = __fmul_rn(y, b), lost = fmaf(-y, b, product);
    return __fadd_rn(fmaf(x, a, -product), lost);
}
static __device__ inline void turn(float *a, float *b, float cosine, float sine)
{
    float p = *a, q = *b;
    *a = difference(p, cosine, q, sine);
    *b = difference(q, cosine, -p, sine);
}

static __global__ void turn_rows(Rows x, Rows angles, int width, bool interleaved)
{
    previous();
    int half = angles.width / 2, heads = x.width / width;
    const float *cosines = row(angles, blockIdx.x);
    for (int n = blockIdx.y * blockDim.x + threadIdx.x; n < heads * half; n += gridDim.y * blockDim.x) {
        int i = n % half;
        float *head = row(x, blockIdx.x) + n / half * width, *a = head + (interleaved ? 2 * i : i);
        turn(a, interleaved ? a + 1 : a + half, cosines[i], cosines[half + i]);
    }
}

/* ---- queries, keys, values ---- */

typedef struct Turn {
    Rows q, k, angles;
    Write w;
    int width;
    bool interleaved;
} Turn;

enum { EIGHT = 8, TURN_THREADS = 128 };

/* Of a head's values these eight: pairs, or neighbours that stay as they are. */
typedef struct Eight {
    int a, b;                  /* of four values each */
    int angle;                 /* of the first pair; -1: they stay */
} Eight;

static __device__ inline Eight eight_of(const Turn &t, int i, bool turns)
{
    int half = t.angles.width / 2;
    Eight apart = {4 * i, 4 * i + half, 4 * i}, together = {8 * i, 8 * i + 4, turns && 4 * i < half ? 4 * i : -1};
    return together.angle < 0 || t.interleaved ? together : apart;
}

static __device__ inline void turn_eight(float4 *a, float4 *b, float4 c, float4 s, bool interleaved)
{
    if (interleaved) {
        turn(&a->x, &a->y, c.x, s.x), turn(&a->z, &a->w, c.y, s.y);
        turn(&b->x, &b->y, c.z, s.z), turn(&b->z, &b->w, c.w, s.w);
    } else {
        turn(&a->x, &b->x, c.x, s.x), turn(&a->y, &b->y, c.y, s.y);
        turn(&a->z, &b->z, c.z, s.z), turn(&a->w, &b->w, c.w, s.w);
    }
}

/* The heads of a row: of q, then of k, then of v. */
template <int K> static __global__ void turn_and_write(const __grid_constant__ Turn t)
{
    previous();
    int n = blockIdx.y * blockDim.x + threadIdx.x, per_head = t.width / EIGHT, h = n / per_head, r = blockIdx.x;
    int heads = t.q.width / t.width, kv_heads = t.w.pool[0].heads;
    bool is_q = h < heads, is_v = h >= heads + kv_heads;
    const Pool &pool = t.w.pool[is_v];
    Eight at = eight_of(t, n % per_head, !is_v);
    h -= is_q ? 0 : is_v ? heads + kv_heads : heads;
    if ((is_q && at.angle < 0) || (is_v && h >= pool.heads))
        return;
    float *x = row(is_q ? t.q : is_v ? pool.x : t.k, r) + h * t.width;
    const float *cosines = row(t.angles, r) + max(at.angle, 0);
    int position = t.w.positions[r], sequence = t.w.row_seq[r];
    float4 a = *(float4 *)(x + at.a), b = *(float4 *)(x + at.b);
    float4 c = *(const float4 *)cosines, s = *(const float4 *)(cosines + t.angles.width / 2);
    uint8_t *to = is_q ? NULL : block_at(t.w, pool, sequence, position);
    if (at.angle >= 0) {
        turn_eight(&a, &b, c, s, t.interleaved);
        *(float4 *)(x + at.a) = a;
        *(float4 *)(x + at.b) = b;
    }
    if (!is_q) {
        int64_t first = value_at(pool, h, position);
        put_four_values<K>(to, first + at.a, a);
        put_four_values<K>(to, first + at.b, b);
    }
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
           write->in[1].data != c->out[0].data && write->in[0].dim[0] == c->out[0].dim[0];
}

/* Whether a thread can have eight values. */
static bool in_eights(const Turn &t)
{
    bool fine = t.width % EIGHT == 0 && t.angles.width % EIGHT == 0 && in_fours(t.q) && in_fours(t.k) && in_fours(t.angles);
    for (const Pool &p : t.w.pool)
        fine = fine && p.width == t.width && in_fours(p.x) && (uintptr_t)p.at % 16 == 0 && p.block_bytes % 16 == 0;
    return fine;
}

static int run_several(const OpCall *c, int count, const CudaRun *g)
{
    enum { TOGETHER = 3 };
    if (count < TOGETHER || !belong_together(c))
        return 0;
    Turn t = {rows_of(c->out[0]), rows_of(c[1].out[0]), rows_of(c->in[0]), write_of(c + 2), innermost_of(c->out[0]),
              c->rope.interleaved};
    int heads = t.q.width / t.width + t.w.pool[0].heads + t.w.pool[1].heads;
    if (!in_eights(t))
        return 0;
    dim3 grid(t.q.rows, blocks_for(heads * (t.width / EIGHT), TURN_THREADS));
    switch (weight_kind(c[2].out[0].format)) {
#define DO(K) case K: LAUNCH(turn_and_write<K>, grid, TURN_THREADS, 0, g, t); return TOGETHER;
        EACH_PLAIN_KIND(DO)
#undef DO
    default: return 0;
    }
}

CUDA_KERNEL(rope, NULL, NULL, run, run_several)

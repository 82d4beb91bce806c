/* rope.cu -- see rope.h. Queries, keys, and the writing of keys and values that follows are one launch, in which a thread has
 * eight values of a head: what they take is the launching where rows are few, and memory where they are many. */
#include "kernels/cache_write/cache_write_cuda.h"
#include "kernels/kit/later_calls.h"
#include "kernels/rope/turn_cuda.h"

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
    Sums from[TURNED];
    float *to[TURNED];         /* NULL: nobody reads it */
    int64_t step[TURNED];      /* of `to`, from row to row */
    bool moves;                /* from elsewhere */
    Rows angles;
    Write w;
    int rows, heads, kv_heads, width;
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

/* A block of threads has some heads of a row: those of q, then of k, then of v. */
template <int K, int HOW> static __global__ void turn_and_write(const __grid_constant__ Turn t)
{
    previous();
    int h = blockIdx.y * blockDim.y + threadIdx.y, r = blockIdx.x;
    int which = h < t.heads ? 0 : h < t.heads + t.kv_heads ? 1 : 2;
    h -= which == 0 ? 0 : which == 1 ? t.heads : t.heads + t.kv_heads;
    if (which == 2 && h >= t.kv_heads)
        return;
    Eight at = eight_of(t, threadIdx.x, which < 2);
    const Sums &from = t.from[which];
    const float *cosines = row(t.angles, r) + max(at.angle, 0);
    int head = h * t.width, end = head + t.width;
    float4 a = joined<HOW, true>(from, r, head + at.a, end), b = joined<HOW, true>(from, r, head + at.b, end);
    float4 c = *(const float4 *)cosines, s = *(const float4 *)(cosines + t.angles.width / 2);
    int position = t.w.positions[r], sequence = t.w.row_seq[r];
    a = with_bias(a, from, head + at.a, end);
    b = with_bias(b, from, head + at.b, end);
    if (at.angle >= 0)
        turn_eight(&a, &b, c, s, t.interleaved);
    if (t.to[which] && (t.moves || at.angle >= 0)) {
        float *to = t.to[which] + r * t.step[which] + head;
        *(float4 *)(to + at.a) = a;
        *(float4 *)(to + at.b) = b;
    }
    if (which == 0)
        return;
    const Pool &pool = t.w.pool[which - 1];
    uint8_t *block = block_at(t.w, pool, sequence, position);
    int64_t first = value_at(pool, h, position);
    put_four_values<K>(block, first + at.a, a);
    put_four_values<K>(block, first + at.b, b);
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
    return c->op == OP_ROPE && k->op == OP_ROPE && write->op == OP_CACHE_WRITE && !tensor_is_none(write->in[1]) &&
           k->in[0].data == c->in[0].data && k->in[0].row_elems == c->in[0].row_elems &&
           k->rope.interleaved == c->rope.interleaved && k->out[0].data != c->out[0].data &&
           innermost_of(k->out[0]) == innermost_of(c->out[0]) && same_rows(write->in[0], k->out[0]) &&
           write->in[1].data != k->out[0].data && write->in[1].data != c->out[0].data &&
           write->in[0].dim[0] == c->out[0].dim[0];
}

/* Whether a thread can have eight values. */
static bool in_eights(const OpCall *c)
{
    Write w = write_of(c + 2);
    Rows angles = rows_of(c->in[0]);
    int width = innermost_of(c->out[0]);
    bool fine = width % EIGHT == 0 && width <= EIGHT * TURN_THREADS;
    fine = fine && angles.width % EIGHT == 0 && in_fours(angles) && in_fours(rows_of(c->out[0]));
    for (const Pool &p : w.pool)
        fine = fine && in_fours(p) && p.width == width && p.heads == w.pool[0].heads;
    return fine && weight_kind(c[2].out[0].format) < W_PLAIN_KINDS;
}

bool turn_comes(const OpCall *c, int count) { return count >= TURN_CALLS && belong_together(c) && in_eights(c); }

static Turn turn_of(const OpCall *c, int count, const Sums *from)
{
    Turn t = {};
    const Tensor x[TURNED] = {c->out[0], c[1].out[0], c[2].in[1]};
    for (int i = 0; i < TURNED; i++) {
        Sums here = {tensor_f32(x[i]), x[i].row_elems, 0, NULL, SUMS_WHOLE};
        bool read = i == 0 || is_read_later(c + TURN_CALLS, count - TURN_CALLS, x[i]);
        t.from[i] = from ? from[i] : here;
        t.to[i] = read ? tensor_f32(x[i]) : NULL;
        t.step[i] = x[i].row_elems;
    }
    t.moves = from != NULL;
    t.angles = rows_of(c->in[0]);
    t.w = write_of(c + 2);
    t.rows = c->out[0].dim[0];
    t.width = innermost_of(c->out[0]);
    t.heads = (int)(tensor_width(c->out[0]) / t.width);
    t.kv_heads = t.w.pool[0].heads;
    t.interleaved = c->rope.interleaved;
    return t;
}

template <int K> static void launch(const Turn &t, const CudaRun *g)
{
    dim3 threads(t.width / EIGHT, TURN_THREADS / (t.width / EIGHT));
    dim3 grid(t.rows, blocks_for(t.heads + 2 * t.kv_heads, threads.y));
    switch (t.from->how) {
    case SUMS_WHOLE: LAUNCH((turn_and_write<K, SUMS_WHOLE>), grid, threads, 0, g, t); break;
    case SUMS_NEAR: LAUNCH((turn_and_write<K, SUMS_NEAR>), grid, threads, 0, g, t); break;
    default: LAUNCH((turn_and_write<K, SUMS_APART>), grid, threads, 0, g, t);
    }
}

void turn_run(const OpCall *c, int count, const Sums *from, const CudaRun *g)
{
    Turn t = turn_of(c, count, from);
    switch (weight_kind(c[2].out[0].format)) {
#define DO(K) case K: launch<K>(t, g); break;
        EACH_PLAIN_KIND(DO)
#undef DO
    default: break;
    }
}

static int run_several(const OpCall *c, int count, const CudaRun *g)
{
    if (!turn_comes(c, count))
        return 0;
    turn_run(c, count, NULL, g);
    return TURN_CALLS;
}

CUDA_KERNEL(rope, NULL, NULL, run, run_several)

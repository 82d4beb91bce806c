/* linear3.cu -- see linear3.h. Few rows: the three products are one launch, so that the GPU is full from the first to the
 * last of them. Many rows: one after another; and where q and k are turned next and k and v written to the cache, they go
 * there as the library leaves them, by way of the scratch:
 *
 *     | what a product needs | q | k | v |
 */
#include "kernels/kit/later_calls.h"
#include "kernels/linear/flow.h"
#include "kernels/linear/hopper_cuda.h"
#include "kernels/linear/pairs_cuda.h"
#include "kernels/linear3/linear3.h"
#include "kernels/rope/turn_cuda.h"

enum { PIECE_ALIGN = 256 };

typedef struct Three {
    Product p[LINEAR3];
    WeightKind kind[LINEAR3];
    bool alike, in_parts;      /* of the same kind; which takes x in parts */
    size_t product_bytes, y_bytes[LINEAR3];
} Three;

static size_t whole_pieces(size_t bytes) { return (bytes + PIECE_ALIGN - 1) / PIECE_ALIGN * PIECE_ALIGN; }

static Three three_of(const OpCall *c, const CudaRun *g)
{
    Three t = {};
    for (int i = 0; i < LINEAR3; i++) {
        OpCall one = *c;
        one.op = OP_LINEAR;
        one.out[0] = c->out[i];
        one.in[1] = c->in[1 + i];
        one.in[2] = c->in[1 + LINEAR3 + i];
        t.p[i] = product_of_linear(&one, g);
        t.kind[i] = weight_kind(one.in[1].format);
        size_t bytes = whole_pieces(products_scratch(&t.p[i], 1, t.kind[i], g));
        t.product_bytes = bytes > t.product_bytes ? bytes : t.product_bytes;
        t.y_bytes[i] = whole_pieces((size_t)parts_rows(&t.p[i], g) * (size_t)t.p[i].out * sizeof(float));
    }
    t.alike = t.kind[0] == t.kind[1] && t.kind[1] == t.kind[2];
    if (t.alike)
        t.product_bytes = whole_pieces(products_scratch(t.p, LINEAR3, t.kind[0], g));
    t.in_parts = t.alike && parts_place(t.p, LINEAR3, t.kind[0], g);
    return t;
}

static size_t bytes_of(const OpCall *c, const CudaRun *g)
{
    Three t = three_of(c, g);
    return t.product_bytes + (t.in_parts ? t.y_bytes[0] + t.y_bytes[1] + t.y_bytes[2] : 0);
}

static size_t scratch_bytes(const OpCall *c, const CudaRun *g)
{
    OpCall before = pairs_before(c);
    size_t own = bytes_of(c, g), fewer = bytes_of(&before, g);
    return own > fewer ? own : fewer;
}

static void run(const OpCall *c, const CudaRun *g)
{
    Three t = three_of(c, g);
    if (t.alike)
        products_run(t.p, LINEAR3, t.kind[0], g);
    else
        for (int i = 0; i < LINEAR3; i++)
            products_run(&t.p[i], 1, t.kind[i], g);
}

static bool are_turned(const OpCall *c, int count)
{
    return count > TURN_CALLS && turn_comes(c + 1, count - 1) && same_rows(c[1].out[0], c->out[0]) &&
           same_rows(c[2].out[0], c->out[1]) && same_rows(c[3].in[1], c->out[2]);
}

/* Each for itself, k and v in the order in which their weights lie: two of equal shape are one call then. */
static void run_each(Three *t, uint8_t *y, Sums *sums, const CudaRun *g)
{
    int order[LINEAR3] = {0, 1, 2};
    if (t->p[2].w < t->p[1].w)
        order[1] = 2, order[2] = 1;
    for (int i : order) {
        t->p[i].y = (float *)y;
        y += t->y_bytes[i];
        t->p[i].y_step = t->p[i].out;
        t->p[i].loose = true;
    }
    bool apart = products_run(t->p, LINEAR3, t->kind[0], g);
    for (int i = 0; i < LINEAR3; i++)
        sums[i] = sums_of(t->p[i], apart, g);
}

/* Weights that lie one behind the other are one matrix. */
static bool is_one_matrix(const Three &t, int *order)
{
    for (int i = 0; i < LINEAR3; i++) {
        int before = 0;
        for (int j = 0; j < LINEAR3; j++)
            before += t.p[j].w < t.p[i].w || (t.p[j].w == t.p[i].w && j < i);
        order[before] = i;
    }
    for (int i = 1; i < LINEAR3; i++) {
        const Product &a = t.p[order[i - 1]], &b = t.p[order[i]];
        if (a.row_bytes != b.row_bytes || b.w != a.w + a.out * a.row_bytes)
            return false;
    }
    return true;
}

static void run_one(const Three &t, const int *order, uint8_t *y, Sums *sums, const CudaRun *g)
{
    Product all = t.p[order[0]];
    all.out = t.p[0].out + t.p[1].out + t.p[2].out;
    all.y = (float *)y, all.y_step = all.out;
    all.bias = NULL, all.loose = true;
    Sums whole = sums_of(all, products_run(&all, 1, t.kind[0], g), g);
    int64_t column = 0;
    for (int i = 0; i < LINEAR3; i++) {
        const Product &p = t.p[order[i]];
        sums[order[i]] = whole;
        sums[order[i]].at = y + column * (whole.how == SUMS_NEAR ? 2 : sizeof(float));
        sums[order[i]].bias = p.bias;
        column += p.out;
    }
}

static int run_several(const OpCall *c, int count, const CudaRun *g)
{
    Three t = three_of(c, g);
    Sums sums[LINEAR3];
    int order[LINEAR3];
    if (!t.in_parts || !are_turned(c, count))
        return 0;
    uint8_t *y = (uint8_t *)g->scratch + t.product_bytes;
    if (is_one_matrix(t, order) && t.p->pairs > HOPPER_ROWS && parts_want_company(t.p, g))
        run_one(t, order, y, sums, g);
    else
        run_each(&t, y, sums, g);
    turn_run(c + 1, count - 1, sums, g);
    return 1 + TURN_CALLS;
}

static bool run_normed(const OpCall *norm, const OpCall *c, const CudaRun *g)
{
    Three t = three_of(c, g);
    FlowBeside beside = {norm, NULL};
    if (!t.alike || !flow_takes(t.p, LINEAR3, t.kind[0], &beside, g))
        return false;
    flow_run(t.p, LINEAR3, t.kind[0], &beside, g);
    return true;
}

static const char *refuses(const OpCall *c)
{
    for (int i = 0; i < LINEAR3; i++)
        if (product_refuses(c->in[1 + i]))
            return product_refuses(c->in[1 + i]);
    return NULL;
}

CUDA_KERNEL(linear3, refuses, scratch_bytes, run, run_several, run_normed)

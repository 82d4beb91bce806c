/* parts.cu -- see parts_cuda.h. */
#include "kernels/linear/hopper_cuda.h"
#include "kernels/linear/lt.h"
#include "kernels/linear/pairs_cuda.h"
#include "kernels/linear/parts_cuda.h"

enum { FEWEST_ROWS = 2 };

static bool by_library(const Product *p, WeightKind kind, const CudaRun *g)
{
    return g->lt && !g->same && kind == W_BF16 && p->k == 0 && p->pairs >= FEWEST_ROWS && p->in % 8 == 0 && p->out % 8 == 0 &&
           p->row_bytes == 2 * (int64_t)p->in && (uintptr_t)p->w % 16 == 0;
}

/* Few enough rows: the house's own kernel. */
static bool by_hopper(const Product *p, WeightKind kind, const CudaRun *g)
{
    return !g->same && kind == W_BF16 && p->pairs >= FEWEST_ROWS && hopper_takes(p, 1, g);
}
static bool in_parts(const Product *p, WeightKind kind, const CudaRun *g)
{
    return by_hopper(p, kind, g) || by_library(p, kind, g);
}

/* Rounded up, so that the library is asked about few numbers of rows; what the rows above hold does not matter. */
int parts_rows(const Product *p, const CudaRun *g)
{
    int n = p->pairs * parts_of(g), unit = n <= 64 ? 16 : n <= 256 ? 32 : 128;
    return (n + unit - 1) / unit * unit;
}

static size_t x_bytes(const Product *p, const CudaRun *g)
{
    return ((size_t)parts_rows(p, g) * (size_t)p->in * 2 + 255) / 256 * 256;
}

/* For these rows or fewer, which the house's kernel may take: steps between those that were planned for come too. */
size_t parts_scratch(const Product *p, WeightKind kind, const CudaRun *g)
{
    Product few = *p;
    few.pairs = p->pairs < HOPPER_ROWS ? p->pairs : HOPPER_ROWS;
    size_t y_bytes = p->loose || !by_library(p, kind, g) ? 0 : (size_t)parts_rows(p, g) * (size_t)p->out * sizeof(float);
    size_t sums_bytes = by_hopper(&few, kind, g) ? hopper_scratch(&few, g) : 0;
    if (!in_parts(p, kind, g) && sums_bytes == 0)
        return 0;
    return LT_WORKSPACE_BYTES + x_bytes(p, g) + (y_bytes > sums_bytes ? y_bytes : sums_bytes);
}

static unsigned short *place(const CudaRun *g) { return (unsigned short *)((uint8_t *)g->scratch + LT_WORKSPACE_BYTES); }

unsigned short *parts_place(const Product *p, int n, WeightKind kind, const CudaRun *g)
{
    if (pairs_take(p, n, kind, g))
        return NULL;
    for (int i = 0; i < n; i++)
        if (!in_parts(&p[i], kind, g))
            return NULL;
    return place(g);
}

unsigned short *parts_place_of(const OpCall *c, const CudaRun *g)
{
    Product p[PRODUCTS];
    WeightKind kind[PRODUCTS];
    int n = products_of(c, p, kind, g);
    for (int i = 1; i < n; i++)
        if (kind[i] != kind[0])
            return NULL;
    return n > 0 ? parts_place(p, n, kind[0], g) : NULL;
}

extern "C" {
extern const CudaKernel kernel_linear_cuda __attribute__((weak)), kernel_linear3_cuda __attribute__((weak)),
    kernel_gated_mlp_cuda __attribute__((weak));
}

int parts_run_calls(const OpCall *c, int count, const CudaRun *g)
{
    CudaRun ready = *g;
    ready.in_parts = tensor_f32(c->in[0]);
    const CudaKernel &kernel = c->op == OP_LINEAR ? kernel_linear_cuda :
                               c->op == OP_LINEAR3 ? kernel_linear3_cuda : kernel_gated_mlp_cuda;
    int several = kernel.run_several ? kernel.run_several(c, count, &ready) : 0;
    if (several == 0)
        kernel.run(c, &ready);
    return several ? several : 1;
}

/* ---- before and after the library ---- */

template <bool WIDE> static __global__ void cut_rows(Rows x, unsigned short *to, int parts)
{
    previous();
    int i = four_begin();
    if (i < x.width)
        put_parts(to + blockIdx.x * (int64_t)x.width + i, (int64_t)x.rows * x.width, parts,
                  four_at<WIDE>(row(x, blockIdx.x), i, x.width));
}

void parts_cut(const Product *p, unsigned short *to, const CudaRun *g)
{
    Rows x = {(float *)p->x, p->x_step, p->pairs, p->in};
    if (in_fours(x))
        LAUNCH(cut_rows<true>, grid_of_fours(x), EACH_THREADS, 0, g, x, to, parts_of(g));
    else
        LAUNCH(cut_rows<false>, grid_of_fours(x), EACH_THREADS, 0, g, x, to, parts_of(g));
}

template <int HOW, bool WIDE> static __global__ void join_rows(Rows y, Sums sums, bool adds)
{
    previous();
    int i = four_begin();
    if (i >= y.width)
        return;
    float *to = row(y, blockIdx.x);
    float4 sum = joined<HOW, true>(sums, blockIdx.x, i, y.width), before = make_float4(0, 0, 0, 0);
    if (adds)
        before = four_at<WIDE>(to, i, y.width);
    put_four<WIDE>(to, i, y.width, with_bias(sum, sums, i, y.width) + before);
}

static void join(const Product *p, const float *from, const CudaRun *g)
{
    Rows y = {p->y, p->y_step, p->pairs, p->out};
    Sums sums = {from, p->out, (int64_t)p->pairs * p->out, p->bias, g->exact ? SUMS_APART : SUMS_WHOLE};
    bool wide = in_fours(y);
#define DO(HOW, WIDE)                                                                                                  \
    if (sums.how == HOW && wide == WIDE)                                                                               \
        LAUNCH((join_rows<HOW, WIDE>), grid_of_fours(y), EACH_THREADS, 0, g, y, sums, p->adds)
    DO(SUMS_APART, true);
    DO(SUMS_APART, false);
    DO(SUMS_WHOLE, true);
    DO(SUMS_WHOLE, false);
#undef DO
}

/* The rows that were only there in parts. */
static __global__ void uncut_rows(Rows x, const unsigned short *from, int parts)
{
    previous();
    EACH(i, x) {
        float sum = 0;
        for (int part = parts - 1; part >= 0; part--)
            sum += f32_of_bf16(from[((int64_t)part * x.rows + blockIdx.x) * x.width + i]);
        row(x, blockIdx.x)[i] = sum;
    }
}

/* The library may write y itself. */
static bool joins_nothing(const Product *p, const CudaRun *g)
{
    return p->loose || (parts_of(g) == 1 && !p->bias && p->y_step == p->out && parts_rows(p, g) == p->pairs &&
                        (uintptr_t)p->y % 16 == 0);
}

/* The parts of x, which are cut unless they are there. */
static unsigned short *x_in_parts(const Product *p, const CudaRun *g)
{
    if (p->x != g->in_parts)
        parts_cut(p, place(g), g);
    return place(g);
}

static float *sums_place(const Product *p, const CudaRun *g) { return (float *)((uint8_t *)place(g) + x_bytes(p, g)); }

bool parts_run_few(const Product *p, int n, WeightKind kind, const CudaRun *g)
{
    for (int i = 0; i < n; i++)
        if (!by_hopper(&p[i], kind, g))
            return false;
    hopper_run(p, n, x_in_parts(p, g), parts_of(g), sums_place(p, g), g);
    return true;
}

bool parts_run_mlp(const Product *both, const Product *down, WeightKind kind, Activation act, unsigned short *h,
                   const CudaRun *g)
{
    if (!by_hopper(&both[0], kind, g) || !by_hopper(&both[1], kind, g) || !by_hopper(down, kind, g))
        return false;
    hopper_gate(both, act, x_in_parts(both, g), parts_of(g), h, g);
    hopper_run(down, 1, h, parts_of(g), sums_place(both, g), g);
    return true;
}

bool parts_want_company(const Product *p, const CudaRun *g)
{
    enum { ROWS_MOST = 512 };
    return parts_rows(p, g) <= ROWS_MOST;
}

/* The first two of so many products can be one call: loose ones of equal shape whose weights lie in the order of what they
 * make. */
static bool go_together(const Product *p, int left, const CudaRun *g)
{
    return left > 1 && p[0].loose && p[1].loose && p[0].out == p[1].out && parts_want_company(p, g) &&
           (p[0].w < p[1].w) == (p[0].y < p[1].y) && ((uintptr_t)p[0].w - (uintptr_t)p[1].w) % 16 == 0;
}

/* One of them, or two. sums: where y goes that must not go to y itself. */
static LtProduct product_of_lt(const Product *p, int n, const unsigned short *x, float *sums, const CudaRun *g)
{
    const Product *a = p, *b = p + n - 1;
    if (b->w < a->w)
        b = p, a = p + n - 1;
    bool whole = joins_nothing(a, g), rounds = a->loose && !g->exact;
    float *y = whole ? a->y : sums;
    LtProduct l = {a->w, x, y, a->out, a->out, a->in, parts_rows(a, g), whole && a->adds, rounds, n > 1};
    l.w_other = (b->w - a->w) / 2;
    l.y_other = ((uint8_t *)b->y - (uint8_t *)a->y) / (rounds ? 2 : (int)sizeof(float));
    l.trial = a->loose ? a->y : sums;
    return l;
}

bool parts_run(const Product *p, int n, const CudaRun *g)
{
    unsigned short *x = x_in_parts(p, g);
    Rows rows = {(float *)p->x, p->x_step, p->pairs, p->in};
    float *sums = sums_place(p, g);
    for (int i = 0, together; i < n; i += together) {
        together = go_together(&p[i], n - i, g) ? 2 : 1;
        LtProduct product = product_of_lt(&p[i], together, x, sums, g);
        if (!lt_product(g->lt, &product, g->scratch, g->stream)) {
            if (p->x == g->in_parts)
                LAUNCH(uncut_rows, grid_of(rows), EACH_THREADS, 0, g, rows, x, parts_of(g));
            return false;
        }
        if (!joins_nothing(&p[i], g))
            join(&p[i], sums, g);
    }
    return true;
}

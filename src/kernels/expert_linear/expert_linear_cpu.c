/* expert_linear_cpu.c -- see expert_linear.h and linear/product.h.
 *
 *     sort, prepare | products
 *
 * Between the bars all threads wait for each other. Pairs of a row and an expert are sorted by expert, each pair's row
 * of x is prepared straight into its place, and an expert's product writes its results where the pairs have them in y:
 *
 *     ids      5 2 | 2 7 | 5 2            scratch   | start of each expert | y of each place | rows of x |
 *     places   3 0 | 1 5 | 4 2            expert 2: places 0 to 2, expert 5: 3 and 4, expert 7: 5
 *
 * Where each i has its own matrix and x is read as it is, nothing is copied: the rows of i lie at even distances.
 *
 * The products are split over threads by work: PRODUCT_UNIT outputs of an expert cost its rows, and READING for its
 * weights. All units of all experts lie one after another; a thread takes those that begin in its part of the sum. So
 * one row and eight experts use all threads as evenly as many rows do.
 */
#include "kernels/expert_linear/expert_linear.h"

#include <string.h>

#include "kernels/linear/product.h"

enum { READING = 4 };   /* reading a weight takes as long as multiplying so many rows by it, or longer */

typedef struct Plan {
    ExpertShape shape;
    XKind kind;
    size_t row_bytes;         /* of a prepared row */
    bool in_place;
    int64_t *starts;          /* [experts + 2]: the last places belong to pairs that compute nothing */
    int64_t *y_at;            /* [pairs] */
    uint8_t *x;               /* [pairs] prepared rows */
} Plan;

static Plan plan_of(const OpCall *c, void *scratch)
{
    Plan p = {.shape = expert_shape(c), .kind = TIERED(x_kind)(c->in[EXPERT_W], 1), .starts = scratch};
    p.row_bytes = (TIERED(x_row_bytes)(p.kind, p.shape.in) + 63) & ~(size_t)63;
    p.in_place = p.kind == X_AS_IS && tensor_is_none(c->in[EXPERT_IDS]);
    p.y_at = p.starts + p.shape.experts + 2;
    size_t bytes = ((size_t)p.shape.experts + 2 + (size_t)p.shape.pairs) * sizeof *p.starts;
    p.x = (uint8_t *)scratch + ((bytes + 63) & ~(size_t)63);
    return p;
}

static size_t scratch_bytes(const OpCall *c)
{
    Plan p = plan_of(c, NULL);
    return (size_t)p.x + (p.in_place ? 0 : (size_t)p.shape.pairs * p.row_bytes);
}

static bool takes(const OpCall *c) { return product_takes(c->in[EXPERT_W]); }

static int64_t threads(const OpCall *c)
{
    ExpertShape s = expert_shape(c);
    return s.pairs * s.in * s.out / PRODUCTS_PER_THREAD;
}

/* ---- sort and prepare ---- */

/* next[e]: where the pairs of expert e begin. */
static void find_starts(const OpCall *c, const ExpertShape *s, int64_t *next)
{
    memset(next, 0, ((size_t)s->experts + 2) * sizeof *next);
    for (int64_t pair = 0; pair < s->pairs; pair++)
        next[expert_of(c, s, pair) + 1]++;
    for (int32_t e = 0; e <= s->experts; e++)
        next[e + 1] += next[e];
}

static void prepare_row(const OpCall *c, const Plan *p, int64_t pair, uint8_t *to)
{
    const float *x = expert_x(c, &p->shape, pair);
    if (p->kind == X_AS_IS)
        memcpy(to, x, (size_t)p->shape.in * sizeof *x);
    else
        TIERED(prepare)(tensor_of((void *)x, &format_f32, 1, p->shape.in), &c->in[EXPERT_W], 1, to, (CpuPart){.count = 1});
}

/* Each thread counts for itself, and fills the places of its own pairs. A row that several experts read is prepared
 * once and then copied. */
static void sort_and_prepare(const OpCall *c, const Plan *p, CpuPart part)
{
    const ExpertShape *s = &p->shape;
    int64_t next[EXPERTS_MAX + 2];
    find_starts(c, s, next);
    if (part.index == 0)
        memcpy(p->starts, next, ((size_t)s->experts + 2) * sizeof *next);
    Range mine = part_range(part, s->pairs, 1);
    int64_t row = -1;
    const uint8_t *prepared = NULL;
    for (int64_t pair = 0; pair < mine.to; pair++) {
        int32_t e = expert_of(c, s, pair);
        int64_t place = next[e]++;
        if (pair < mine.from)
            continue;
        p->y_at[place] = expert_y(c, s, pair);
        if (p->in_place || e == s->experts)
            continue;
        uint8_t *to = p->x + (size_t)place * p->row_bytes;
        if (!s->own_x && row == pair / s->k)
            memcpy(to, prepared, p->row_bytes);
        else
            prepare_row(c, p, pair, to);
        row = pair / s->k;
        prepared = to;
    }
}

/* ---- products ---- */

static Tensor matrix_of(Tensor w, int32_t e)
{
    Tensor one = tensor_of(NULL, w.format, w.dim[1], w.dim[2]);
    one.packing = w.packing;
    size_t bytes = tensor_bytes(one);
    if (w.packing == PACKING_PANELS)
        bytes = (size_t)panel_count(w.dim[1]) * TIERED(panel_find)(w.format)->bytes(w.dim[2]);
    one.data = (uint8_t *)w.data + (size_t)e * bytes;
    return one;
}

static void multiply(const OpCall *c, const Plan *p, int32_t e, Range outputs)
{
    const ExpertShape *s = &p->shape;
    Tensor bias = c->in[EXPERT_BIAS], x = c->in[EXPERT_X];
    int64_t from = p->starts[e];
    Product product = {.y = c->out[0], .w = matrix_of(c->in[EXPERT_W], e), .y_at = p->y_at + from};
    product.x = (Prepared){p->kind, p->x + (size_t)from * p->row_bytes, p->row_bytes, p->starts[e + 1] - from};
    if (p->in_place)
        product.x = (Prepared){p->kind, (uint8_t *)expert_x(c, s, e), (size_t)x.row_elems * sizeof(float), s->rows};
    if (!tensor_is_none(bias))
        product.bias = tensor_vector(tensor_f32(bias) + (int64_t)e * s->out, &format_f32, s->out);
    TIERED(product)(&product, outputs);
}

static int64_t unit_cost(const Plan *p, int32_t e)
{
    int64_t rows = p->starts[e + 1] - p->starts[e];
    return rows ? rows + READING : 0;
}

/* Units of an expert, which begin `at`, that begin before `end`. */
static int64_t units_before(int64_t end, int64_t at, int64_t cost, int64_t units)
{
    return end <= at ? 0 : min_i64(units, ceil_div(end - at, cost));
}

static void multiply_share(const OpCall *c, const Plan *p, CpuPart part)
{
    const ExpertShape *s = &p->shape;
    int64_t units = ceil_div(s->out, PRODUCT_UNIT), sum = 0, at = 0;
    for (int32_t e = 0; e < s->experts; e++)
        sum += unit_cost(p, e) * units;
    Range mine = part_range(part, sum, 1);
    for (int32_t e = 0; e < s->experts && at < mine.to; e++) {
        int64_t cost = unit_cost(p, e);
        if (!cost)
            continue;
        int64_t from = units_before(mine.from, at, cost, units), to = units_before(mine.to, at, cost, units);
        if (from < to)
            multiply(c, p, e, (Range){from * PRODUCT_UNIT, min_i64(to * PRODUCT_UNIT, s->out)});
        at += cost * units;
    }
}

static void clear_rest(const OpCall *c, const Plan *p, CpuPart part)
{
    int64_t from = p->starts[p->shape.experts];
    Range mine = part_range(part, p->shape.pairs - from, 1);
    for (int64_t i = mine.from; i < mine.to; i++)
        memset(tensor_f32(c->out[0]) + p->y_at[from + i], 0, (size_t)p->shape.out * sizeof(float));
}

static void run(const OpCall *c, int phase, CpuPart part)
{
    Plan p = plan_of(c, part.scratch);
    if (phase == 0) {
        sort_and_prepare(c, &p, part);
        return;
    }
    multiply_share(c, &p, part);
    clear_rest(c, &p, part);
}

const CpuKernel TIERED(kernel_expert_linear) = {
    .takes = takes, .phases = 2, .scratch_bytes = scratch_bytes, .threads = threads, .run = run,
};

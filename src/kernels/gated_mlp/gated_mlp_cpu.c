/* gated_mlp_cpu.c -- see gated_mlp.h and linear/product.h.
 *
 *     scratch    | x, prepared for gate and up | h, prepared for down |
 */
#include "kernels/gated_mlp/gated_mlp.h"

#include "kernels/kit/vmath.h"
#include "kernels/linear/product.h"

enum { WORK_H, WORK_DOWN };
enum { GATES = PRODUCT_ROWS * PRODUCT_UNIT, COLUMNS_MOST = 4 * PRODUCT_UNIT };

/* Columns of gate and of up at once: the fewer rows, the more, for a sequence of tiles begins anew with nothing fetched. */
static int64_t columns_of(XKind kind, int64_t rows)
{
    return kind == X_TILES ? min_i64(PRODUCT_ROWS / min_i64(rows, PRODUCT_ROWS) * PRODUCT_UNIT, COLUMNS_MOST) : PRODUCT_UNIT;
}

static bool takes(const OpCall *c)
{
    return product_takes(c->in[MLP_GATE]) && product_takes(c->in[MLP_UP]) && product_takes(c->in[MLP_DOWN]);
}

static int64_t threads(const OpCall *c) { return product_threads(c->in[MLP_X].dim[0], &c->in[MLP_GATE], 3); }

static size_t h_offset(const OpCall *c)
{
    return (TIERED(prepared_bytes)(c->in[MLP_X], &c->in[MLP_GATE], 2) + 63) & ~(size_t)63;
}

static Prepared h_of(const OpCall *c, void *scratch)
{
    int64_t rows = c->in[MLP_X].dim[0];
    XKind kind = TIERED(x_kind)(c->in[MLP_DOWN], rows);
    return (Prepared){kind, (uint8_t *)scratch + h_offset(c), TIERED(x_row_bytes)(kind, c->in[MLP_DOWN].dim[1]), rows};
}

static size_t scratch_bytes(const OpCall *c)
{
    Prepared h = h_of(c, NULL);
    return h_offset(c) + h.row_bytes * (size_t)x_rows(h.kind, h.count);
}

/* What gate and up gave for some rows and columns. */
typedef struct Gates {
    float *gate, *up;
    int64_t width;         /* of a row of both */
} Gates;

/* act(gate) * up of a group of rows, up to 32 columns from `from` on, as the loops for down read them. */
static void make_h(const Prepared *to, Activation act, Gates g, Range rows, int64_t from, int64_t n)
{
    float h[TILED_ROWS][PRODUCT_UNIT];
    for (int64_t r = 0; r < rows.to - rows.from; r++)
        for (int64_t i = 0, at = r * g.width; i < PRODUCT_UNIT; i += LANES)
            vf_store(h[r] + i, vf_mul(vf_activate(act, vf_load(g.gate + at + i)), vf_load(g.up + at + i)));
    TIERED(x_put)(to, rows, from, h[0], PRODUCT_UNIT, n);
}

static void make_all_of_h(const Prepared *to, Activation act, Gates g, int64_t from, int64_t end)
{
    for (int64_t k = from; k < end; k += PRODUCT_UNIT, g.gate += PRODUCT_UNIT, g.up += PRODUCT_UNIT)
        for (int64_t r = 0; r < to->count; r += TILED_ROWS) {
            Range group = {r, r + TILED_ROWS < to->count ? r + TILED_ROWS : to->count};
            Gates of_group = {g.gate + r * g.width, g.up + r * g.width, g.width};
            make_h(to, act, of_group, group, k, end - k < PRODUCT_UNIT ? end - k : PRODUCT_UNIT);
        }
}

/* Columns [from, end) of h, columns_of() at most, of up to PRODUCT_ROWS rows. */
static void part_of_h(const OpCall *c, Prepared h, Prepared x_gate, Prepared x_up, int64_t from, int64_t end)
{
    float gate[GATES], up[GATES];
    int32_t rows = (int32_t)h.count, width = (int32_t)((end - from + PRODUCT_UNIT - 1) / PRODUCT_UNIT * PRODUCT_UNIT);
    if (end - from < width) {   /* the last columns: what lies beyond is computed as well, and dropped */
        memset(gate, 0, (size_t)rows * (size_t)width * sizeof *gate);
        memset(up, 0, (size_t)rows * (size_t)width * sizeof *up);
    }
    Product to_gate = {.y = tensor_of(gate, &format_f32, rows, width), .y_from = from, .x = x_gate,
                       .w = c->in[MLP_GATE], .bias = c->in[MLP_GATE_BIAS]};
    Product to_up = {.y = tensor_of(up, &format_f32, rows, width), .y_from = from, .x = x_up,
                     .w = c->in[MLP_UP], .bias = c->in[MLP_UP_BIAS]};
    TIERED(product_pair)(&to_gate, &to_up, (Range){from, end});
    make_all_of_h(&h, c->activation, (Gates){gate, up, width}, from, end);
}

static Prepared some_rows(Prepared x, int64_t from, int64_t n)
{
    return (Prepared){x.kind, x.rows + (size_t)from * x.row_bytes, x.row_bytes, n};
}

/* A piece is some columns of up to PRODUCT_ROWS rows. */
static void make_all_h(const OpCall *c, CpuPart part)
{
    Prepared h = h_of(c, part.scratch);
    Prepared x_gate = TIERED(prepared)(c->in[MLP_X], &c->in[MLP_GATE], 2, 0, part.scratch);
    Prepared x_up = TIERED(prepared)(c->in[MLP_X], &c->in[MLP_GATE], 2, 1, part.scratch);
    int64_t columns = columns_of(x_gate.kind, h.count);
    for (int i = 0; i < part_owners(part); i++) {
        CpuPart owner = part_owner(part, i);
        Range range = part_range(owner, c->in[MLP_GATE].dim[0], PRODUCT_UNIT);
        int64_t n = ceil_div(range.to - range.from, columns);
        Share share = part_share(owner, WORK_H, n * ceil_div(h.count, PRODUCT_ROWS));
        for (int64_t piece; (piece = share_take(&share)) >= 0;) {
            int64_t r = piece / n * PRODUCT_ROWS, at = range.from + piece % n * columns;
            int64_t rows = min_i64(h.count - r, PRODUCT_ROWS), end = min_i64(range.to, at + columns);
            part_of_h(c, some_rows(h, r, rows), some_rows(x_gate, r, rows), some_rows(x_up, r, rows), at, end);
        }
    }
}

static void run(const OpCall *c, int phase, CpuPart part)
{
    if (phase == 0) {
        TIERED(prepare)(c->in[MLP_X], &c->in[MLP_GATE], 2, part.scratch, part);
    } else if (phase == 1) {
        make_all_h(c, part);
    } else {
        Product p = {.y = c->out[0], .w = c->in[MLP_DOWN], .bias = c->in[MLP_DOWN_BIAS], .adds = c->reads_out};
        p.x = h_of(c, part.scratch);
        TIERED(product_shared)(&p, part, WORK_DOWN);
    }
}

const CpuKernel TIERED(kernel_gated_mlp) = {
    .takes = takes, .phases = 3, .scratch_bytes = scratch_bytes, .threads = threads, .run = run,
};

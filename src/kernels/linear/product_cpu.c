/* product_cpu.c -- see product.h. */
#include "kernels/linear/product.h"

#include "formats/a8/a8.h"
#include "kernels/linear/tile.h"

enum {
    ROWS_AT_ONCE = 128,          /* of x that meet an expanded part of two panels */
    PART_BYTES = 20 << 10,       /* of it: it stays in the first-level cache */
    DECODED_K = 256,             /* of plain rows: the largest block of a format */
};

/* ---- preparing ---- */

static bool is_quantised(const Format *activation) { return activation != &format_f32; }

/* As a8.h says: the same bits as a8_encode(). */
static void prepare_block(XBlock *b, const float *x)
{
    Vf lo = vf_load(x), hi = vf_load(x + 16);
    Vi magnitude = vi_all(INT32_MAX);
    int32_t largest = vi_most(vi_max(vi_and(vf_bits(lo), magnitude), vi_and(vf_bits(hi), magnitude)));
    float amax;
    memcpy(&amax, &largest, sizeof amax);
    if (largest >= 0x7f800000 || amax < A8_AMAX_MIN) {
        *b = (XBlock){.d = largest >= 0x7f800000 ? __builtin_nanf("") : 0};
        for (int i = 0; i < 3; i++)
            b->dsum[i] = b->d;
        return;
    }
    Vf inverse = vf_all(127 / amax);
    Vi q0 = vi_of_f(vf_mul(lo, inverse)), q1 = vi_of_f(vf_mul(hi, inverse));
    int32_t sum0 = vi_sum(q0), sum1 = vi_sum(q1);
    float d = amax / 127;
    *b = (XBlock){.d = d,
                  .start = {DOT_START(sum0 + sum1), DOT_START(sum0), DOT_START(sum1)},
                  .dsum = {d * (float)(sum0 + sum1), d * (float)sum0, d * (float)sum1}};
    vi_to_i8(b->q, q0);
    vi_to_i8(b->q + 16, q1);
}

size_t TIERED(prepared_bytes)(Tensor w, int64_t rows)
{
    if (!is_quantised(w.format->activation))
        return 0;
    return (size_t)rows * (size_t)(w.dim[1] / PANEL_BLOCK) * sizeof(XBlock);
}

Prepared TIERED(prepared)(Tensor x, Tensor w, void *memory)
{
    if (is_quantised(w.format->activation))
        return (Prepared){memory, (size_t)(w.dim[1] / PANEL_BLOCK) * sizeof(XBlock), x.dim[0]};
    return (Prepared){x.data, format_row_bytes(&format_f32, x.row_elems), x.dim[0]};
}

void TIERED(prepare)(Tensor x, Tensor w, void *memory, CpuPart part)
{
    if (!is_quantised(w.format->activation))
        return;
    int64_t blocks = w.dim[1] / PANEL_BLOCK;
    Range range = part_range(part, blocks * x.dim[0], 1);
    for (int64_t i = range.from; i < range.to; i++) {
        const float *row = tensor_row(x, i / blocks);
        prepare_block((XBlock *)memory + i, row + i % blocks * PANEL_BLOCK);
    }
}

/* ---- from sums to y ---- */

/* y of one row, PANEL_ROWS outputs from `output` on, of which the last panel may have fewer. */
static void finish(const Product *p, int64_t row, int64_t output, const float *sums)
{
    int64_t left = p->y.dim[1] - output;
    int n = left < PANEL_ROWS ? (int)left : PANEL_ROWS;
    if (n <= 0)
        return;
    float *y = (float *)tensor_row(p->y, row) + output;
    Vf v = vf_load(sums);
    if (!tensor_is_none(p->bias))
        v = vf_add(v, vf_load_n((const float *)p->bias.data + output, n));
    if (p->adds)
        v = vf_add(v, vf_load_n(y, n));
    vf_store_n(y, v, n);
}

/* ---- few rows: each panel is read once, as it lies in memory ---- */

static void product_few(const Product *p, const Panel *kind, int64_t from, int64_t to)
{
    float sums[PANEL_ROWS_OF_X][PANEL_STREAMS][PANEL_ROWS];
    size_t bytes = kind->bytes(p->w.dim[1]);
    int rows = (int)p->x.count;
    for (int64_t first = from; first < to; first += PANEL_STREAMS) {
        int panels = (int)(to - first < PANEL_STREAMS ? to - first : PANEL_STREAMS);
        PanelJob job = {.x = p->x.rows, .x_row_bytes = p->x.row_bytes, .width = p->w.dim[1], .sums = sums[0][0]};
        for (int i = 0; i < panels; i++)
            job.panel[i] = (const uint8_t *)p->w.data + (size_t)(first + i) * bytes;
        kind->few(&job, rows, panels);
        for (int r = 0; r < rows; r++)
            for (int i = 0; i < panels; i++)
                finish(p, r, (first + i) * PANEL_ROWS, sums[r][i]);
    }
}

/* ---- many rows: two panels are expanded, a part of k at a time, and meet all rows ---- */

#define TILE(name, call)                                  \
    static void name(const Tile *t, int rows)             \
    {                                                     \
        switch (rows) {                                   \
        case 1: call(1); break;                           \
        case 2: call(2); break;                           \
        case 3: call(3); break;                           \
        default: call(TILE_ROWS); break;                  \
        }                                                 \
    }
#define INT_1_0(rows) int_tile(t, rows, 1, 0)
#define INT_1_1(rows) int_tile(t, rows, 1, 1)
#define INT_2_0(rows) int_tile(t, rows, 2, 0)
#define INT_2_2(rows) int_tile(t, rows, 2, 2)
TILE(tile_1_0, INT_1_0)
TILE(tile_1_1, INT_1_1)
TILE(tile_2_0, INT_2_0)
TILE(tile_2_2, INT_2_2)

static void tile_float(const Tile *t, int rows)
{
    switch (rows) {
    case 1: float_tile(t, 1); break;
    case 2: float_tile(t, 2); break;
    case 3: float_tile(t, 3); break;
    case 4: float_tile(t, 4); break;
    case 5: float_tile(t, 5); break;
    case 6: float_tile(t, 6); break;
    case 7: float_tile(t, 7); break;
    default: float_tile(t, FLOAT_TILE_ROWS); break;
    }
}

typedef void TileRun(const Tile *, int rows);

static TileRun *tile_for(int scales, int mins)
{
    if (scales == 0)
        return tile_float;
    if (scales == 1)
        return mins ? tile_1_1 : tile_1_0;
    return mins ? tile_2_2 : tile_2_0;
}

/* Two panels of the weight, k in [from, to): expanded from panels, or decoded from plain rows. */
static void expand_part(uint8_t *const out[], const Product *p, const Panel *kind, int64_t panel, int64_t from, int64_t to)
{
    int64_t last = panel_count(p->w.dim[0]) - 1;
    for (int i = 0; i < TILE_PANELS; i++) {
        int64_t at = panel + i < last ? panel + i : last;
        kind->expand(out[i], (const uint8_t *)p->w.data + (size_t)at * kind->bytes(p->w.dim[1]), from, to);
    }
}

static void product_many(const Product *p, const Panel *kind, int64_t panel)
{
    _Alignas(64) uint8_t expanded[TILE_PANELS][PART_BYTES / TILE_PANELS];
    _Alignas(64) float sums[ROWS_AT_ONCE][TILE_PANELS][PANEL_ROWS];
    uint8_t *const out[TILE_PANELS] = {expanded[0], expanded[1]};
    TileRun *run = tile_for(kind->scales, kind->mins);
    int tile_rows = kind->scales ? TILE_ROWS : FLOAT_TILE_ROWS;
    int64_t width = p->w.dim[1], step = PART_BYTES / TILE_PANELS / (int64_t)panel_expanded_bytes(kind) * PANEL_BLOCK;
    size_t x_bytes = kind->scales ? sizeof(XBlock) / PANEL_BLOCK : sizeof(float);   /* of one k */
    for (int64_t first = 0; first < p->x.count; first += ROWS_AT_ONCE) {
        int64_t rows = p->x.count - first < ROWS_AT_ONCE ? p->x.count - first : ROWS_AT_ONCE;
        const uint8_t *x = (const uint8_t *)p->x.rows + (size_t)first * p->x.row_bytes;
        memset(sums, 0, (size_t)rows * sizeof sums[0]);
        for (int64_t k = 0; k < width; k += step) {
            int64_t end = k + step < width ? k + step : width;
            expand_part(out, p, kind, panel, k, end);
            for (int64_t r = 0; r < rows; r += tile_rows) {
                Tile tile = {.w = {out[0], out[1]}, .x = x + (size_t)r * p->x.row_bytes + (size_t)k * x_bytes,
                             .x_row_bytes = p->x.row_bytes, .k = (int)(end - k), .sums = sums[r][0]};
                run(&tile, (int)(rows - r < tile_rows ? rows - r : tile_rows));
            }
        }
        for (int64_t r = 0; r < rows; r++)
            for (int i = 0; i < TILE_PANELS; i++)
                finish(p, first + r, (panel + i) * PANEL_ROWS, sums[r][i]);
    }
}

bool TIERED(product_takes)(Tensor w) { return w.packing == PACKING_PANELS && TIERED(panel_find)(w.format); }

void TIERED(product)(const Product *p, Range outputs)
{
    const Panel *kind = TIERED(panel_find)(p->w.format);
    int64_t from = outputs.from / PANEL_ROWS, to = panel_count(outputs.to);
    if (p->x.count <= PANEL_ROWS_OF_X) {
        product_few(p, kind, from, to);
        return;
    }
    for (int64_t panel = from; panel < to; panel += TILE_PANELS)
        product_many(p, kind, panel);
}

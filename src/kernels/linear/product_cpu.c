/* product_cpu.c -- see product.h. */
#include "kernels/linear/product.h"

#include "kernels/linear/near.h"

enum {
    FEW_ROWS = 16,               /* up to which expanding a panel does not pay */
    PART_BYTES = 30 << 10,       /* of two expanded panels: they stay in the first-level cache */
    DECODED_K = 256,             /* of plain rows at a time: a multiple of every format's block */
    DECODED_BYTES = DECODED_K * PANEL_ROWS * sizeof(float),
};

/* ---- from sums to y ---- */

static float *place_of(const Product *p, int64_t row, int64_t output)
{
    float *y = p->y_at ? (float *)p->y.data + p->y_at[row] : tensor_row(p->y, row);
    return y + output - p->y_from;
}

/* y of one row, PANEL_ROWS outputs from `output` on, of which the last panel may have fewer. */
static void finish(const Product *p, int64_t row, int64_t output, const float *sums)
{
    int64_t left = p->w.dim[0] - output;
    int n = left < PANEL_ROWS ? (int)left : PANEL_ROWS;
    if (n <= 0)
        return;
    float *y = place_of(p, row, output);
    Vf v = vf_load(sums);
    if (!tensor_is_none(p->bias))
        v = vf_add(v, vf_load_n((const float *)p->bias.data + output, n));
    if (p->adds)
        v = vf_add(v, vf_load_n(y, n));
    vf_store_n(y, v, n);
}

/* ---- two runs over the same x side by side, the second no longer than the first: memory that is read in two places at
 * once is up to 1.8 times as fast ---- */

/* Panels that are read one after another. */
typedef struct Run {
    const Product *p;
    int64_t from, to;
} Run;

static int64_t run_panels(Run r) { return r.to - r.from; }
static const void *run_panel(Run r, const Panel *kind, int64_t i)
{
    return (const uint8_t *)r.p->w.data + (size_t)(r.from + i) * kind->bytes(r.p->w.dim[1]);
}

/* ---- few rows, or weights that are floats: each panel is read as it lies in memory, and stays near ---- */

/* Where results will go is asked for before: stores go one after another, and each would wait for its line, behind all that is
 * asked for of weights. */
static void product_few_rows(const PanelJob *job, const Panel *kind, const Run *runs, int n, int64_t i, Range rows)
{
    int count = (int)(rows.to - rows.from);
    for (int r = 0; r < count; r++)
        for (int s = 0; s < n; s++)
            prefetch_to_write(place_of(runs[s].p, rows.from + r, (runs[s].from + i) * PANEL_ROWS));
    kind->few(job, count, n);
    for (int r = 0; r < count; r++)
        for (int s = 0; s < n; s++)
            finish(runs[s].p, rows.from + r, (runs[s].from + i) * PANEL_ROWS,
                   job->sums + (r * PANEL_STREAMS + s) * PANEL_ROWS);
}

static void product_few(const Panel *kind, const Run runs[PANEL_STREAMS], Share *share)
{
    float sums[PANEL_ROWS_OF_X * PANEL_STREAMS * PANEL_ROWS];
    Prepared x = runs[0].p->x;
    int64_t width = runs[0].p->w.dim[1];
    for (int64_t i; (i = share_take(share)) >= 0;) {
        PanelJob job = {.x_row_bytes = x.row_bytes, .width = width, .sums = sums};
        int n = i < run_panels(runs[1]) ? 2 : 1;
        for (int s = 0; s < n; s++)
            job.panel[s] = run_panel(runs[s], kind, i);
        for (int64_t at = 0; at < x.count; at += PANEL_ROWS_OF_X) {
            Range rows = {at, x.count - at < PANEL_ROWS_OF_X ? x.count : at + PANEL_ROWS_OF_X};
            job.x = x.rows + (size_t)at * x.row_bytes;
            product_few_rows(&job, kind, runs, n, i, rows);
        }
    }
}

/* ---- many rows, by tiles ---- */

/* The i-th panel of each run; where one has none left, one that is there, in vain. */
static void find_panels(const void *panels[PANEL_STREAMS], const Panel *kind, const Run runs[PANEL_STREAMS], int64_t i)
{
    for (int s = 0; s < PANEL_STREAMS; s++) {
        int64_t last = panel_count(runs[s].p->w.dim[0]) - 1 - runs[s].from;
        panels[s] = run_panel(runs[s], kind, i < last ? i : last);
    }
}

/* Rows of x that meet all panels, before the next do: they stay in the second-level cache. */
static Range row_block(const Product *p, int64_t i)
{
    return (Range){i * PRODUCT_ROWS, min_i64(p->x.count, (i + 1) * PRODUCT_ROWS)};
}
static int64_t row_blocks(const Product *p) { return ceil_div(p->x.count, PRODUCT_ROWS); }

/* A piece is two panels and a block of rows; pieces of the same rows are one sequence. */
static void product_tiled(const Panel *kind, const Run runs[PANEL_STREAMS], Share *share)
{
    TileBuffer buffer;
    _Alignas(64) float sums[PRODUCT_ROWS][PANEL_STREAMS][PANEL_ROWS];
    Prepared x = runs[0].p->x;
    int64_t n = run_panels(runs[0]), before = -1;
    TileJob job = {.group_bytes = TILED_ROWS * x.row_bytes, .blocks = (int)(runs[0].p->w.dim[1] / PANEL_BLOCK),
                   .sums = sums[0][0], .buffer = &buffer};
    for (int64_t piece = share_take(share), next; piece >= 0; before = piece, piece = next) {
        int64_t i = piece % n;
        next = share_take(share);
        Range rows = row_block(runs[0].p, piece / n);
        job.x = x.rows + (size_t)rows.from * x.row_bytes;
        job.rows = (int)x_tiled_rows(rows.to - rows.from);
        job.groups = (int)(x_rows(X_TILES, rows.to - rows.from) / TILED_ROWS);
        job.first = before < 0 || before / n != piece / n;
        job.last = next < 0 || next / n != piece / n;
        find_panels(job.panel, kind, runs, i);
        find_panels(job.next, kind, runs, job.last ? i : next % n);
        kind->tiles(&job);
        for (int64_t r = rows.from; r < rows.to; r++)
            for (int s = 0; s < PANEL_STREAMS && i < run_panels(runs[s]); s++)
                finish(runs[s].p, r, (runs[s].from + i) * PANEL_ROWS, sums[r - rows.from][s]);
    }
}

/* ---- many rows, or plain rows of w: two panels are expanded, a part of k at a time, and meet PRODUCT_ROWS
 * rows of x ---- */

/* Of two panels. */
static void finish_rows(const Product *p, int64_t panel, Range rows, float sums[][TILE_PANELS][PANEL_ROWS])
{
    for (int64_t r = rows.from; r < rows.to; r++)
        for (int i = 0; i < TILE_PANELS; i++)
            finish(p, r, (panel + i) * PANEL_ROWS, sums[r - rows.from][i]);
}

typedef void TileRun(const Tile *, int rows);

#define TILE(name, call)                        \
    static void name(const Tile *t, int rows)   \
    {                                           \
        switch (rows) {                         \
        case 1: call(1); break;                 \
        case 2: call(2); break;                 \
        case 3: call(3); break;                 \
        case 4: call(4); break;                 \
        case 5: call(TILE_ROWS - 1); break;     \
        default: call(TILE_ROWS); break;        \
        }                                       \
    }
#define FLOATS(rows) float_tile(t, rows)
#define INT_1_0(rows) int_tile(t, rows, 1, 0)
#define INT_1_1(rows) int_tile(t, rows, 1, 1)
#define INT_2_0(rows) int_tile(t, rows, 2, 0)
#define INT_2_2(rows) int_tile(t, rows, 2, 2)
TILE(tile_floats, FLOATS)
TILE(tile_1_0, INT_1_0)
TILE(tile_1_1, INT_1_1)
TILE(tile_2_0, INT_2_0)
TILE(tile_2_2, INT_2_2)

static TileRun *const tiles[3][3] = {   /* by scales, by mins */
    [0] = {[0] = tile_floats}, [1] = {[0] = tile_1_0, [1] = tile_1_1}, [2] = {[0] = tile_2_0, [2] = tile_2_2},
};

/* Plain rows as panels of f32, [k][16]. */
static void decode_part(uint8_t *out, Tensor w, int64_t panel, int64_t from, int64_t to)
{
    float row[DECODED_K], *at = (float *)out;
    for (int lane = 0; lane < PANEL_ROWS; lane++) {
        int64_t o = panel * PANEL_ROWS + lane;
        if (o < w.dim[0]) {
            const uint8_t *blocks = tensor_row(w, o);
            w.format->decode(row, blocks + format_row_bytes(w.format, from), (size_t)(to - from));
        } else {
            memset(row, 0, sizeof row);
        }
        for (int64_t k = 0; k < to - from; k++)
            at[k * PANEL_ROWS + lane] = row[k];
    }
}

/* A part of k of two panels. The second of the last two may not exist: then nobody reads it. */
static void expand_part(uint8_t out[][DECODED_BYTES], const Product *p, const Panel *kind, int64_t panel, Range k)
{
    int64_t panels = panel_count(p->w.dim[0]);
    for (int i = 0; i < TILE_PANELS && panel + i < panels; i++) {
        if (kind)
            kind->expand(out[i], (const uint8_t *)p->w.data + (size_t)(panel + i) * kind->bytes(p->w.dim[1]), k.from, k.to);
        else
            decode_part(out[i], p->w, panel + i, k.from, k.to);
    }
}

/* Adds what a part of k gives to the sums of some rows. kind has integers, or is NULL: decoded f32. */
static void tile_rows(const Product *p, const Panel *kind, uint8_t w[][DECODED_BYTES], Range k, Range rows, float *sums)
{
    TileRun *run = kind ? tiles[kind->scales][kind->mins] : tile_floats;
    bool floats = !kind || !kind->scales;
    size_t skip = floats ? (size_t)k.from * sizeof(float) : (size_t)k.from / PANEL_BLOCK * sizeof(XBlock);
    for (int64_t r = rows.from; r < rows.to; r += TILE_ROWS) {
        Tile tile = {.w = {w[0], w[1]}, .x = p->x.rows + (size_t)r * p->x.row_bytes + skip, .x_row_bytes = p->x.row_bytes,
                     .k = (int)(k.to - k.from), .sums = sums + (r - rows.from) * TILE_PANELS * PANEL_ROWS};
        run(&tile, (int)(rows.to - r < TILE_ROWS ? rows.to - r : TILE_ROWS));
    }
}

/* Some rows, at most PRODUCT_ROWS, against two panels. */
static void product_many_rows(const Product *p, const Panel *kind, int64_t panel, Range rows)
{
    _Alignas(64) uint8_t w[TILE_PANELS][DECODED_BYTES];
    _Alignas(64) float sums[PRODUCT_ROWS][TILE_PANELS][PANEL_ROWS];
    int64_t width = p->w.dim[1], step = DECODED_K;
    if (kind)
        step = PART_BYTES / TILE_PANELS / (int64_t)panel_expanded_bytes(kind) * PANEL_BLOCK;
    memset(sums, 0, (size_t)(rows.to - rows.from) * sizeof sums[0]);
    for (int64_t from = 0; from < width; from += step) {
        Range k = {from, from + step < width ? from + step : width};
        expand_part(w, p, kind, panel, k);
        tile_rows(p, kind, w, k, rows, sums[0][0]);
    }
    finish_rows(p, panel, rows, sums);
}

/* ---- many rows, rounded to bf16 ---- */

#ifdef TIER_avx512
static void product_near_rows(const Product *p, const Panel *kind, int64_t panel, Range rows)
{
    _Alignas(64) uint8_t w[TILE_PANELS][NEAR_K / PANEL_BLOCK * NEAR_BLOCK_BYTES];
    _Alignas(64) float sums[PRODUCT_ROWS][TILE_PANELS][PANEL_ROWS];
    int64_t width = p->w.dim[1], panels = panel_count(p->w.dim[0]);
    near_begin();
    for (int64_t from = 0; from < width; from += NEAR_K) {
        int64_t to = min_i64(from + NEAR_K, width);
        for (int i = 0; i < TILE_PANELS && panel + i < panels; i++)
            kind->pairs(w[i], (const uint8_t *)p->w.data + (size_t)(panel + i) * kind->bytes(width), from, to);
        Near near = {.w = {w[0], w[1]}, .group_bytes = TILED_ROWS * p->x.row_bytes, .first = from == 0, .sums = sums[0][0],
                     .x = p->x.rows + (size_t)rows.from * p->x.row_bytes + (size_t)(from / PANEL_BLOCK) * NEAR_BLOCK_BYTES,
                     .blocks = (int)((to - from) / PANEL_BLOCK)};
        near_rows(&near, (int)(rows.to - rows.from));
    }
    near_end();
    finish_rows(p, panel, rows, sums);
}
#else
static void product_near_rows(const Product *p, const Panel *kind, int64_t panel, Range rows)
{
    (void)p, (void)kind, (void)panel, (void)rows;
    ASSERT(false);
}
#endif

static const Panel *panel_of(const Product *p)
{
    return p->w.packing == PACKING_PANELS ? TIERED(panel_find)(p->w.format) : NULL;
}

/* Rows enough to expand weights for, without tiles; or weights that have to be decoded. Floats are, where a processor has so
 * few registers that few rows meet a weight that was made a float for them. */
static bool expands(const Product *p, const Panel *kind)
{
    return !kind || p->x.kind == X_PAIRS ||
           (p->x.kind != X_TILES && p->x.count > FEW_ROWS && (kind->scales || VF_REGISTERS < 32));
}

/* What product_run() takes at once. */
static int64_t run_pieces(const Panel *kind, const Run *r)
{
    int64_t pairs = ceil_div(run_panels(*r), PANEL_STREAMS);
    return pairs * (expands(r->p, kind) || r->p->x.kind == X_TILES ? row_blocks(r->p) : 1);
}

static void product_side_by_side(const Panel *kind, const Run runs[PANEL_STREAMS], Share *share)
{
    if (runs[0].p->x.kind == X_TILES)
        product_tiled(kind, runs, share);
    else
        product_few(kind, runs, share);
}

static void product_run(const Panel *kind, Run r, Share *share)
{
    int64_t pairs = ceil_div(run_panels(r), PANEL_STREAMS), half = r.from + pairs;
    if (!expands(r.p, kind)) {
        product_side_by_side(kind, (Run[]){{r.p, r.from, half}, {r.p, half, r.to}}, share);
        return;
    }
    void (*many)(const Product *, const Panel *, int64_t panel, Range rows) =
        r.p->x.kind == X_PAIRS ? product_near_rows : product_many_rows;
    for (int64_t piece; (piece = share_take(share)) >= 0;)
        many(r.p, kind, r.from + piece % pairs * TILE_PANELS, row_block(r.p, piece / pairs));
}

static Run run_of(const Product *p, Range outputs) { return (Run){p, outputs.from / PANEL_ROWS, panel_count(outputs.to)}; }

void TIERED(product)(const Product *p, Range outputs)
{
    const Panel *kind = panel_of(p);
    Run r = run_of(p, outputs);
    Share all = {.end = run_pieces(kind, &r)};
    product_run(kind, r, &all);
}

void TIERED(product_shared)(const Product *p, CpuPart part, int work)
{
    const Panel *kind = panel_of(p);
    for (int i = 0; i < part_owners(part); i++) {
        CpuPart owner = part_owner(part, i);
        Run r = run_of(p, part_range(owner, p->w.dim[0], PRODUCT_UNIT));
        Share share = part_share(owner, work, run_pieces(kind, &r));
        product_run(kind, r, &share);
    }
}

void TIERED(product_pair)(const Product *a, const Product *b, Range outputs)
{
    const Panel *kind = panel_of(a);
    if (kind == panel_of(b) && a->x.rows == b->x.rows && !expands(a, kind)) {
        Run runs[] = {run_of(a, outputs), run_of(b, outputs)};
        bool tiled = a->x.kind == X_TILES;
        Share all = {.end = run_panels(runs[0]) * (tiled ? row_blocks(a) : 1)};
        product_side_by_side(kind, runs, &all);
        return;
    }
    TIERED(product)(a, outputs);
    TIERED(product)(b, outputs);
}

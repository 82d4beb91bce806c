/* prepare_cpu.c -- activations as the loops of products read them: see product.h. */
#include "formats/a8/a8.h"
#include "kernels/kit/simd.h"
#include "kernels/kit/transpose.h"
#include "kernels/linear/product.h"

#ifdef TIER_amx
static bool takes_tiles(Tensor w, int64_t rows)
{
    const Panel *kind = TIERED(panel_find)(w.format);
    return kind->tiles && rows >= kind->tiles_from && w.dim[1] % (2 * PANEL_BLOCK) == 0;
}
#else
static bool takes_tiles(Tensor w, int64_t rows) { return (void)w, (void)rows, false; }
#endif

#ifdef TIER_avx512
/* Without tiles integers multiply four at a time, and bf16 two. */
static bool takes_pairs(Tensor w, int64_t rows)
{
#ifndef TIER_amx
    if (w.format->activation != &format_f32)
        return false;
#endif
    const Panel *kind = w.near && w.packing == PACKING_PANELS ? TIERED(panel_find)(w.format) : NULL;
    return kind && kind->pairs && rows >= NEAR_ROWS && w.dim[1] % PANEL_BLOCK == 0;
}

static void x_pairs(const Prepared *p, int64_t row, int64_t k, const float *x)
{
    size_t group = (size_t)(row / TILED_ROWS * TILED_ROWS) * p->row_bytes, lane = (size_t)(row % TILED_ROWS);
    uint8_t *to = p->rows + group + ((size_t)(k / PANEL_BLOCK) * TILED_ROWS + lane) * XPAIRS_BYTES;
    _mm512_storeu_si512(to, (__m512i)_mm512_cvtne2ps_pbh(vf_load(x + LANES), vf_load(x)));
}
#else
static bool takes_pairs(Tensor w, int64_t rows) { return (void)w, (void)rows, false; }
static void x_pairs(const Prepared *p, int64_t row, int64_t k, const float *x) { (void)p, (void)row, (void)k, (void)x; }
#endif

XKind TIERED(x_kind)(Tensor w, int64_t rows)
{
    if (takes_pairs(w, rows))
        return X_PAIRS;
    if (w.format->activation == &format_f32)
        return X_AS_IS;
    ASSERT(w.format->activation == &format_a8);
    if (w.packing != PACKING_PANELS)
        return X_ROUNDED;
    return takes_tiles(w, rows) ? X_TILES : X_BLOCKS;
}

size_t TIERED(x_row_bytes)(XKind kind, int64_t width)
{
    size_t blocks = (size_t)width / PANEL_BLOCK;
    return kind == X_BLOCKS  ? blocks * sizeof(XBlock)
           : kind == X_TILES ? blocks * (sizeof(XTile) / TILED_ROWS)
           : kind == X_PAIRS ? blocks * XPAIRS_BYTES
                             : (size_t)width * sizeof(float);
}

/* ---- 32 elements ---- */

/* As a8.h says: the same bits as from a8_encode(). */
static void x_block(XBlock *b, const float *x)
{
    Vf x0 = vf_load(x), x1 = vf_load(x + 16);
    Vi magnitude = vi_all(INT32_MAX);
    int32_t largest = vi_most(vi_max(vi_and(vf_bits(x0), magnitude), vi_and(vf_bits(x1), magnitude)));
    float amax;
    memcpy(&amax, &largest, sizeof amax);
    if (largest >= 0x7f800000 || amax < A8_AMAX_MIN) {
        float d = largest >= 0x7f800000 ? __builtin_nanf("") : 0;
        *b = (XBlock){.d = d, .dsum = {d, d, d}};
        return;
    }
    Vf inverse = vf_all(127 / amax);
    Vi q0 = vi_of_f(vf_mul(x0, inverse)), q1 = vi_of_f(vf_mul(x1, inverse));
    int32_t sum0 = vi_sum(q0), sum1 = vi_sum(q1), sum = sum0 + sum1;
    vi_to_i8(b->q, q0);
    vi_to_i8(b->q + 16, q1);
    b->d = amax / 127;
    b->start[0] = DOT_START(sum);
    b->start[1] = DOT_START(sum0);
    b->start[2] = DOT_START(sum1);
    b->dsum[0] = b->d * (float)sum;
    b->dsum[1] = b->d * (float)sum0;
    b->dsum[2] = b->d * (float)sum1;
    b->unused = 0;
}

/* As decoded from the block. */
static void x_round(float *to, const float *x)
{
    XBlock b;
    x_block(&b, x);
    for (int i = 0; i < PANEL_BLOCK; i += LANES)
        vf_store(to + i, vf_mul(vf_all(b.d), vf_of_i(vi_of_i8(b.q + i))));
}

static void x_lane(XTile *tile, int64_t lane, const float *x)
{
    XBlock b;
    x_block(&b, x);
    memcpy(tile->q[lane], b.q, sizeof b.q);
    tile->d[lane] = b.d;
    tile->dsum[lane] = b.dsum[0];
}

/* The largest magnitudes of 16 rows, a row in each lane. */
static Vi x_largest(const float *x, int64_t stride)
{
    Vf m[TILED_ROWS];
    UNROLL
    for (int r = 0; r < TILED_ROWS; r++) {
        Vi a = vf_bits(vf_abs(vf_load(x + r * stride))), b = vf_bits(vf_abs(vf_load(x + r * stride + LANES)));
        m[r] = vf_of_bits(vi_max(a, b));
    }
    vf_transpose(m);
    Vi largest = vf_bits(m[0]);
    UNROLL
    for (int r = 1; r < TILED_ROWS; r++)
        largest = vi_max(largest, vf_bits(m[r]));
    return largest;
}

/* 16 rows at once: what is one number of a row is one vector of all. The same bits as row by row. */
static void x_tile(XTile *tile, const float *x, int64_t stride)
{
    Vi largest = x_largest(x, stride);
    Vf amax = vf_of_bits(largest), sums[TILED_ROWS];
    float inverse[TILED_ROWS];
    Vm finite = vi_equal(vi_min(largest, vi_all(0x7f7fffff)), largest), none = vf_less(amax, vf_all(A8_AMAX_MIN));
    Vf d = vf_pick(none, vf_zero(), vf_div(amax, vf_all(127)));
    vf_store(tile->d, vf_pick(finite, d, vf_all(__builtin_nanf(""))));
    vf_store(inverse, vf_pick(finite, vf_pick(none, vf_zero(), vf_div(vf_all(127), amax)), vf_zero()));
    UNROLL
    for (int r = 0; r < TILED_ROWS; r++) {
        Vf by = vf_all(inverse[r]);   /* an infinity times 0 becomes INT_MIN, of which a byte is 0 as well */
        Vi q0 = vi_of_f(vf_mul(vf_load(x + r * stride), by)), q1 = vi_of_f(vf_mul(vf_load(x + r * stride + LANES), by));
        vi_to_i8(tile->q[r], q0);
        vi_to_i8(tile->q[r] + LANES, q1);
        sums[r] = vf_of_bits(vi_add(q0, q1));
    }
    vf_transpose(sums);
    Vi sum = vf_bits(sums[0]);
    UNROLL
    for (int r = 1; r < TILED_ROWS; r++)
        sum = vi_add(sum, vf_bits(sums[r]));
    vf_store(tile->dsum, vf_mul(vf_load(tile->d), vf_of_i(sum)));
}

/* A group of rows, of which some may be missing. */
static void x_group(XTile *tile, const float *x, int64_t stride, int64_t rows)
{
    static const float nothing[PANEL_BLOCK];
    if (rows == TILED_ROWS) {
        x_tile(tile, x, stride);
        return;
    }
    for (int64_t r = 0; r < TILED_ROWS; r++)
        x_lane(tile, r, r < rows ? x + r * stride : nothing);
}

static void x_row(const Prepared *p, int64_t row, int64_t k, const float *x, int64_t n)
{
    uint8_t *at = p->rows + (size_t)row * p->row_bytes;
    switch (p->kind) {
    case X_PAIRS: x_pairs(p, row, k, x); break;
    case X_BLOCKS: x_block((XBlock *)at + k / PANEL_BLOCK, x); break;
    case X_ROUNDED: x_round((float *)at + k, x); break;
    default: memcpy((float *)at + k, x, (size_t)n * sizeof *x); break;
    }
}

void TIERED(x_put)(const Prepared *p, Range rows, int64_t k, const float *x, int64_t stride, int64_t n)
{
    if (p->kind == X_TILES) {
        XTile *group = (XTile *)(p->rows + (size_t)rows.from * p->row_bytes);
        x_group(group + k / PANEL_BLOCK, x, stride, rows.to - rows.from);
        return;
    }
    for (int64_t row = rows.from; row < rows.to; row++)
        x_row(p, row, k, x + (row - rows.from) * stride, n);
}

/* ---- rows: in memory all of one kind, then all of the next, of the kinds that some weight reads ---- */

static bool has_kind(XKind kind, int64_t rows, const Tensor *weights, int n)
{
    for (int i = 0; i < n; i++)
        if (TIERED(x_kind)(weights[i], rows) == kind)
            return true;
    return false;
}

static size_t kind_offset(XKind kind, Tensor x, const Tensor *weights, int n)
{
    size_t offset = 0;
    for (XKind before = X_BLOCKS; before < kind; before++)
        if (has_kind(before, x.dim[0], weights, n))
            offset += (size_t)x_rows(before, x.dim[0]) * TIERED(x_row_bytes)(before, tensor_width(x));
    return offset;
}

static Prepared prepared_as(XKind kind, Tensor x, const Tensor *weights, int n, void *memory)
{
    return (Prepared){kind, (uint8_t *)memory + kind_offset(kind, x, weights, n),
                      TIERED(x_row_bytes)(kind, tensor_width(x)), x.dim[0]};
}

size_t TIERED(prepared_bytes)(Tensor x, const Tensor *weights, int n) { return kind_offset(X_KINDS, x, weights, n); }

/* Block by block; 16 rows of an XTile by one thread, since they share lines of the cache. */
static void prepare_kind(const Prepared *to, Tensor x, CpuPart part)
{
    int64_t of_row = tensor_width(x) / PANEL_BLOCK, at_once = to->kind == X_TILES ? TILED_ROWS : 1;
    Range range = part_range(part, of_row * ((x.dim[0] + at_once - 1) / at_once), 1);
    for (int64_t i = range.from; i < range.to; i++) {
        int64_t row = i / of_row * at_once, end = row + at_once, k = i % of_row * PANEL_BLOCK;
        Range rows = {row, end < x.dim[0] ? end : x.dim[0]};
        TIERED(x_put)(to, rows, k, (const float *)tensor_row(x, row) + k, x.row_elems, PANEL_BLOCK);
    }
}

void TIERED(prepare)(Tensor x, const Tensor *weights, int n, void *memory, CpuPart part)
{
    for (XKind kind = X_BLOCKS; kind < X_KINDS; kind++)
        if (has_kind(kind, x.dim[0], weights, n)) {
            Prepared to = prepared_as(kind, x, weights, n, memory);
            prepare_kind(&to, x, part);
        }
}

Prepared TIERED(prepared)(Tensor x, const Tensor *weights, int n, int i, void *memory)
{
    XKind kind = TIERED(x_kind)(weights[i], x.dim[0]);
    if (kind == X_AS_IS)
        return (Prepared){kind, x.data, format_row_bytes(&format_f32, x.row_elems), x.dim[0]};
    return prepared_as(kind, x, weights, n, memory);
}

#include "kernel_case_parts.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/choose/choose.h"
#include "kernels/kit/kv_rows.h"
#include "kernels/kit/rows.h"

enum { GUARD = 128, GUARD_BYTE = 0xA7, POISON = 0xFF /* NaN, or -1 */ };

/* Chance */

/* Steele, Lea & Flood 2014 (SplitMix64): millions of numbers a test, so a quick one. */
static uint64_t bits(KernelCase *c)
{
    uint64_t z = c->random += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

int32_t below(KernelCase *c, int32_t n) { return (int32_t)(bits(c) % (uint64_t)n); }
bool one_in(KernelCase *c, int32_t n) { return below(c, n) == 0; }

/* Mostly next to a power of two, where loops have their seams. */
int32_t size_up_to(KernelCase *c, int32_t most)
{
    static const int32_t edges[] = {1,  2,  3,  5, 7, 8, 9, 15, 16, 17, 31, 32, 33,
                                    47, 48, 63, 64, 65, 100, 127, 128, 129, 255, 257};
    int32_t n = one_in(c, 4) ? 1 + below(c, most) : edges[below(c, COUNT_OF(edges))];
    return n <= most ? n : 1 + n % most;
}

static int32_t of_blocks(int32_t n, const Format *f)      /* at least one block */
{
    return (n + f->block_elems - 1) / f->block_elems * f->block_elems;
}

float normal(KernelCase *c)      /* nearly: a sum of four uniforms */
{
    uint64_t word = bits(c);
    int32_t sum = -2 * 65535;
    for (int i = 0; i < 4; i++)
        sum += (int32_t)(word >> 16 * i & 65535);
    return (float)sum * (1.7320508f / 65536);
}

/* Memory */

static Tensor take(KernelCase *c, const Format *f, int32_t rows, int64_t width, int32_t gap)
{
    ASSERT(c->pieces < CASE_PIECES);
    CasePiece *p = &c->piece[c->pieces++];
    Tensor t = tensor_of(NULL, f, rows, (int32_t)width);
    t.row_elems = width + (int64_t)gap * f->block_elems;
    p->bytes = (size_t)rows * format_row_bytes(f, t.row_elems) + 2 * GUARD;
    p->start = aligned_alloc(64, (p->bytes + 63) / 64 * 64);
    p->before = malloc(p->bytes);
    p->may_change = calloc(1, p->bytes);
    ASSERT(p->start && p->before && p->may_change);
    memset(p->start, GUARD_BYTE, p->bytes);
    t.data = p->start + GUARD;
    return t;
}

/* Encoding is slow: where many blocks are wanted, some are encoded and each place gets one of them. */
enum { ENCODED_ELEMS = 4096, ENCODED_BYTES_MAX = 4 * ENCODED_ELEMS };
typedef struct Encoded {
    const Format *format;
    int32_t blocks;
    uint8_t data[ENCODED_BYTES_MAX];
} Encoded;

static Encoded encode_some(KernelCase *c, const Format *f, int64_t elems, float size)
{
    Encoded e = {.format = f, .blocks = (int32_t)(min_i64(elems, ENCODED_ELEMS) / f->block_elems)};
    float values[ENCODED_ELEMS];
    ASSERT(e.blocks * f->block_bytes <= ENCODED_BYTES_MAX);
    for (int i = 0; i < e.blocks * f->block_elems; i++)
        values[i] = one_in(c, 40) ? 0 : size * normal(c);
    f->encode(e.data, values, (size_t)(e.blocks * f->block_elems), NULL);
    return e;
}

static void draw_row(KernelCase *c, const Encoded *e, uint8_t *row, int64_t width)
{
    for (int64_t i = 0; i < width; i += e->format->block_elems, row += e->format->block_bytes)
        memcpy(row, e->data + below(c, e->blocks) * e->format->block_bytes, (size_t)e->format->block_bytes);
}

static void fill(KernelCase *c, Tensor t, float size)
{
    Encoded e = encode_some(c, t.format, tensor_elems(t), size);
    for (int32_t r = 0; r < t.dim[0]; r++)
        draw_row(c, &e, tensor_row(t, r), tensor_width(t));
}

Tensor floats(KernelCase *c, int32_t rows, int32_t width, float size)
{
    Tensor t = take(c, &format_f32, rows, width, one_in(c, 2) ? 1 + below(c, 20) : 0);
    fill(c, t, size);
    return t;
}

Tensor vector(KernelCase *c, int32_t n, float size)
{
    Tensor t = take(c, &format_f32, 1, n, 0);
    fill(c, t, size);
    return tensor_vector(t.data, &format_f32, n);
}

Tensor vector_or_none(KernelCase *c, int32_t n)
{
    return one_in(c, 3) ? (Tensor){0} : vector(c, n, 1);
}

Tensor numbers(KernelCase *c, int32_t n)
{
    return tensor_vector(take(c, &format_i32, 1, n, 0).data, &format_i32, n);
}

static Tensor numbers_below(KernelCase *c, int32_t n, int32_t limit)
{
    Tensor t = numbers(c, n);
    for (int32_t i = 0; i < n; i++)
        tensor_i32(t)[i] = below(c, limit);
    return t;
}

/* A matrix, or where `experts` is not 0 so many, one after another: in plain rows in the call and, where the format
 * has them, in panels in the fast call. */
static void matrices(KernelCase *c, int input, int32_t experts, int32_t out, int32_t in, bool in_panels)
{
    int32_t n = experts ? experts : 1;
    const Panel *panel = in_panels ? cpu_panel(c->format, cpu_best_tier()) : NULL;
    Tensor w = take(c, c->format, n * out, in, 0);
    fill(c, w, 1);
    c->call.in[input] = c->packed[input] = experts ? tensor_3d(w.data, c->format, n, out, in) : w;
    if (!panel)
        return;
    size_t bytes = panel->bytes(in);
    int32_t of_one = (int32_t)panel_count(out);
    Tensor p = take(c, &format_f32, n * of_one, (int64_t)(bytes / sizeof(float)), 0);
    memset(p.data, 0, tensor_bytes(p));
    for (int32_t i = 0; i < n; i++)
        for (int32_t o = 0; o < out; o += PANEL_ROWS)
            panel->pack(tensor_row(p, i * of_one + o / PANEL_ROWS), tensor_row(w, i * out + o), tensor_row_bytes(w),
                        out - o < PANEL_ROWS ? out - o : PANEL_ROWS, in);
    c->packed[input].data = p.data;
    c->packed[input].packing = PACKING_PANELS;
}
static void matrix(KernelCase *c, int input, int32_t out, int32_t in, bool in_panels)
{
    matrices(c, input, 0, out, in, in_panels);
}

void say(KernelCase *c, const char *format, ...)
{
    size_t used = strlen(c->what);
    va_list args;
    va_start(args, format);
    vsnprintf(c->what + used, sizeof c->what - used, format, args);
    va_end(args);
}

/* A case for each operation */

/* y and inputs of one shape; y may be the first input. */
static void make_elementwise(KernelCase *c, int inputs, bool in_place)
{
    int32_t width = size_up_to(c, 300);
    c->rows = size_up_to(c, 9);
    for (int i = 0; i < inputs; i++) {
        c->call.in[i] = floats(c, c->rows, width, one_in(c, 3) ? 20 : 2);
        c->ins_by_row |= 1u << i;
    }
    bool same = in_place && one_in(c, 2);
    c->call.out[0] = same ? c->call.in[0] : floats(c, c->rows, width, 1);
    c->outs_by_row = 1;
    c->rows_alone = true;
    say(c, "rows %d, width %d%s", c->rows, width, same ? ", in place" : "");
}

/* Sometimes input `i` becomes one row for all. */
static void maybe_one_row(KernelCase *c, int i)
{
    if (!one_in(c, 3))
        return;
    c->call.in[i] = vector(c, (int32_t)tensor_width(c->call.in[i]), 2);
    c->ins_by_row &= ~(1u << i);
    say(c, ", one row for all");
}

static void make_add(KernelCase *c)
{
    make_elementwise(c, 1, false);
    maybe_one_row(c, 0);
    c->call.factor = one_in(c, 2) ? 1 : normal(c);
}
static void make_clamp(KernelCase *c)
{
    make_elementwise(c, 1, true);
    c->call.clamp.low = one_in(c, 4) ? -INFINITY : -fabsf(normal(c));
    c->call.clamp.high = one_in(c, 4) ? INFINITY : fabsf(normal(c));
}
static void make_fill(KernelCase *c)
{
    make_elementwise(c, 0, false);
    c->call.factor = one_in(c, 2) ? 0 : normal(c);
}
static void make_xielu(KernelCase *c)
{
    make_elementwise(c, 1, true);
    c->call.xielu = (Xielu){fabsf(normal(c)), 0.5f + fabsf(normal(c)), 0.5f, -1e-6f};
}
static void make_keep_above(KernelCase *c)
{
    make_elementwise(c, 1, true);
    Tensor x = c->call.in[0];
    for (int32_t r = 0; r < c->rows; r++)
        for (int32_t i = 0; i < x.dim[1]; i++)
            c->typical = fmaxf(c->typical, fabsf(((float *)tensor_row(x, r))[i]));
    c->call.factor = one_in(c, 4) ? 0 : normal(c);
}
static void make_scale(KernelCase *c)
{
    make_elementwise(c, 1, true);
    c->call.factor = normal(c);
}
static void make_activate(KernelCase *c)
{
    make_elementwise(c, 1, true);
    c->typical = 0.01f;
    c->call.activation = (Activation)below(c, ACTIVATIONS);
    say(c, ", function %d", c->call.activation);
}
static void make_gate(KernelCase *c)
{
    make_elementwise(c, 2, true);
    if (one_in(c, 3)) {
        int32_t values = 1 + below(c, 5), share = size_up_to(c, 70);
        c->call.in[0] = floats(c, c->rows, values, 2);
        c->call.in[1] = floats(c, c->rows, values * share, 2);
        c->call.out[0] = one_in(c, 2) ? c->call.in[1] : floats(c, c->rows, values * share, 1);
        say(c, ", or %d values for %d neighbours each", values, share);
    }
    if (c->call.out[0].data != c->call.in[0].data)
        maybe_one_row(c, 0);
    c->typical = 0.01f;
    c->call.activation = (Activation)below(c, ACTIVATIONS);
    say(c, ", function %d", c->call.activation);
}

static void make_limited_gate(KernelCase *c)
{
    make_elementwise(c, 2, true);
    c->call.limited_gate = (LimitedGate){.limit = one_in(c, 2) ? 7 : 1, .alpha = 1.702f, .shift = 1};
}

static void make_norm(KernelCase *c, int vectors)
{
    int32_t heads = one_in(c, 2) ? 1 : 1 + below(c, 4), width = size_up_to(c, 300);
    c->rows = size_up_to(c, 9);
    Tensor x = floats(c, c->rows, heads * width, 2),
           y = one_in(c, 2) ? x : floats(c, c->rows, heads * width, 1);
    c->call.in[0] = heads > 1 ? tensor_heads(x, heads) : x;
    c->call.out[0] = heads > 1 ? tensor_heads(y, heads) : y;
    for (int i = 0; i < vectors; i++)
        c->call.in[1 + i] = vector_or_none(c, width);
    c->call.eps = one_in(c, 2) ? 1e-5f : 1e-2f;
    c->ins_by_row = c->outs_by_row = 1;
    c->rows_alone = true;
    say(c, "rows %d, heads %d, width %d", c->rows, heads, width);
}
static void make_rms_norm(KernelCase *c)
{
    make_norm(c, 1);
    if (one_in(c, 3))
        c->call.in[1] = vector(c, (int32_t)tensor_width(c->call.in[0]), 1);
}
static void make_layer_norm(KernelCase *c) { make_norm(c, 2); }

static void make_match_rms(KernelCase *c)
{
    make_norm(c, 0);
    c->call.in[1] = floats(c, c->rows, size_up_to(c, 300), 2);
    c->ins_by_row = 3;
}

static void make_embed(KernelCase *c)
{
    int32_t width = of_blocks(size_up_to(c, 300), c->format), vocabulary = size_up_to(c, 40);
    c->rows = size_up_to(c, 9);
    matrix(c, 0, vocabulary, width, one_in(c, 2));
    c->call.embed.short_table = one_in(c, 3);
    c->call.in[1] = numbers_below(c, c->rows, c->call.embed.short_table ? 2 * vocabulary : vocabulary);
    c->call.out[0] = floats(c, c->rows, width, 1);
    c->call.embed.factor = one_in(c, 2) ? 1 : 3.7f;
    c->ins_by_row = 2;
    c->outs_by_row = 1;
    c->rows_alone = true;
    say(c, "rows %d, width %d, vocabulary %d", c->rows, width, vocabulary);
}

static void make_take_rows(KernelCase *c)
{
    int32_t width = size_up_to(c, 300), from = size_up_to(c, 40);
    c->rows = size_up_to(c, 9);
    c->call.in[0] = floats(c, from, width, 1);
    c->call.in[1] = numbers_below(c, c->rows, from);
    c->call.out[0] = floats(c, c->rows, width, 1);
    c->ins_by_row = 2;
    c->outs_by_row = 1;
    c->rows_alone = true;
    say(c, "rows %d of %d, width %d", c->rows, from, width);
}

static void make_rope_angles(KernelCase *c)
{
    int32_t dims = 2 * (1 + size_up_to(c, 64));
    RopeAngles *a = &c->call.angles;
    *a = (RopeAngles){.kind = (RopeKind)below(c, 3),
                      .dims = dims,
                      .original_length = 1000,
                      .base = 1e4f,
                      .factor = 4,
                      .magnitude = one_in(c, 2) ? 1 : 1.2f,
                      .magnitude_long = 1.5f};
    c->rows = size_up_to(c, 9);
    c->call.in[0] = numbers_below(c, c->rows, 1000000);
    c->call.in[1] = numbers_below(c, c->rows, 2000);
    c->call.in[2] = floats(c, a->kind == ROPE_LONG ? 2 : 1, dims / 2, 0.5f);
    c->call.out[0] = floats(c, c->rows, dims, 1);
    c->ins_by_row = 3;
    c->outs_by_row = 1;
    c->rows_alone = true;
    say(c, "rows %d, dims %d, kind %d", c->rows, dims, a->kind);
}

static void make_position_scale(KernelCase *c)
{
    make_elementwise(c, 0, false);
    c->call.in[0] = numbers_below(c, c->rows, 1000000);
    c->ins_by_row = 1;
    c->call.reads_out = true;
    c->call.position_scale = (PositionScale){normal(c), 1 + size_up_to(c, 9000), below(c, 2)};
}

static void make_rope(KernelCase *c)
{
    int32_t heads = 1 + below(c, 4), dims = 2 * size_up_to(c, 70),
            width = dims + (one_in(c, 2) ? below(c, 40) : 0);
    c->rows = size_up_to(c, 9);
    c->call.reads_out = true;
    c->call.out[0] = tensor_heads(floats(c, c->rows, heads * width, 2), heads);
    c->call.in[0] = floats(c, c->rows, dims, 1);
    for (int32_t r = 0; r < c->rows; r++)
        for (int32_t i = 0; i < dims / 2; i++) {
            float *row = tensor_row(c->call.in[0], r), angle = row[i];
            row[i] = cosf(angle);
            row[i + dims / 2] = sinf(angle);
        }
    c->call.rope.interleaved = one_in(c, 2);
    c->ins_by_row = c->outs_by_row = 1;
    c->rows_alone = true;
    say(c, "rows %d, heads %d, dims %d of %d, %s", c->rows, heads, dims, width,
        c->call.rope.interleaved ? "neighbours" : "halves");
}

/* Products */

/* Sometimes as many rows as prompts have, which a GPU multiplies in ways of their own, and sizes that these ways take. */
static bool is_prompt(KernelCase *c) { return one_in(c, c->format->block_elems > 1 ? 4 : 6); }
static int32_t prompt_rows(KernelCase *c)
{
    return c->format->block_elems > 1 ? 200 + below(c, 200) : one_in(c, 2) ? 1024 + below(c, 60) : 65 + below(c, 200);
}
static int32_t prompt_width(KernelCase *c) { return of_blocks(16 * size_up_to(c, 12), c->format); }

static void make_linear(KernelCase *c)
{
    bool prompt = is_prompt(c);
    int32_t in = prompt ? prompt_width(c) : of_blocks(size_up_to(c, 600), c->format);
    int32_t out = prompt ? prompt_width(c) / 2 : size_up_to(c, 140);
    c->rows = prompt ? prompt_rows(c) : size_up_to(c, 40);
    c->call.reads_out = one_in(c, 2);
    c->call.in[0] = floats(c, c->rows, in, 1);
    matrix(c, 1, out, in, true);
    c->call.in[2] = vector_or_none(c, out);
    c->call.out[0] = floats(c, c->rows, out, 1);
    c->ins_by_row = c->outs_by_row = 1;
    c->rows_alone = true;
    c->typical = sqrtf((float)in);
    say(c, "rows %d, %d to %d%s", c->rows, in, out, c->call.reads_out ? ", added" : "");
}

static void make_linear3(KernelCase *c)
{
    bool prompt = is_prompt(c);
    int32_t in = prompt ? prompt_width(c) : of_blocks(size_up_to(c, 600), c->format);
    c->rows = prompt ? prompt_rows(c) : size_up_to(c, 20);
    c->call.in[0] = floats(c, c->rows, in, 1);
    say(c, "rows %d, %d to", c->rows, in);
    for (int i = 0; i < 3; i++) {
        int32_t out = prompt ? prompt_width(c) / 2 : size_up_to(c, 100);
        matrix(c, 1 + i, out, in, true);
        c->call.in[4 + i] = vector_or_none(c, out);
        c->call.out[i] = floats(c, c->rows, out, 1);
        say(c, " %d", out);
    }
    c->ins_by_row = 1;
    c->outs_by_row = 7;
    c->rows_alone = true;
    c->typical = sqrtf((float)in);
}

static void make_gated_mlp(KernelCase *c)
{
    bool prompt = is_prompt(c);
    int32_t width = prompt ? prompt_width(c) : of_blocks(size_up_to(c, 300), c->format);
    int32_t between = prompt ? prompt_width(c) : of_blocks(size_up_to(c, 300), c->format);
    c->rows = prompt ? prompt_rows(c) : size_up_to(c, 20);
    c->call.reads_out = true;
    c->call.activation = (Activation)(prompt ? SILU : below(c, ACTIVATIONS));
    c->call.in[0] = floats(c, c->rows, width, 1 / sqrtf((float)width));
    matrix(c, 1, between, width, true);
    matrix(c, 2, between, width, true);
    matrix(c, 3, width, between, true);
    for (int i = 0; i < 3; i++)
        c->call.in[4 + i] = vector_or_none(c, i < 2 ? between : width);
    c->call.out[0] = floats(c, c->rows, width, 1);
    c->ins_by_row = c->outs_by_row = 1;
    c->rows_alone = true;
    c->typical = sqrtf((float)between);
    say(c, "rows %d, width %d, between %d, function %d", c->rows, width, between, c->call.activation);
}

/* Experts */

static void make_route(KernelCase *c)
{
    int32_t groups = one_in(c, 3) ? 1 + below(c, 8) : 0, experts = size_up_to(c, 300);
    Router *r = &c->call.router;
    *r = (Router){.score = (RouterScore)below(c, SCORE_SPARSEMIXER + 1),
                  .norm = (RouterNorm)below(c, ROUTER_NORM_L2 + 1),
                  .norm_eps = one_in(c, 2) ? 1e-6f : 0,
                  .norm_min = one_in(c, 3) ? 0.3f : 0,
                  .factor = one_in(c, 2) ? 1 : 2.5f,
                  .jitter = 0.05f};
    if (groups && r->score != SCORE_SPARSEMIXER) {
        experts = groups * (1 + below(c, 20));
        r->groups = groups;
        r->groups_used = 1 + below(c, groups);
        r->group_top = 1 + below(c, 2);
    }
    int32_t most = groups && r->groups ? experts / groups * r->groups_used : experts, k = 1 + below(c, most < 9 ? most : 9);
    c->rows = size_up_to(c, 9);
    c->call.in[0] = floats(c, c->rows, experts, 2);
    if (r->score != SCORE_SPARSEMIXER && one_in(c, 2))
        c->call.in[1] = vector(c, experts, 0.3f);
    if (one_in(c, 4))
        c->call.in[2] = vector(c, experts, 1);
    c->call.out[0] = take(c, &format_i32, c->rows, k, below(c, 3));
    c->call.out[1] = floats(c, c->rows, k, 1);
    c->ins_by_row = 1;
    c->outs_by_row = 3;
    c->rows_alone = true;
    say(c, "rows %d, %d of %d experts, score %d, norm %d, %d groups", c->rows, k, experts, r->score, r->norm, r->groups);
}

/* In some cases all rows choose one expert; some experts nobody chooses. */
static Tensor choices(KernelCase *c, int32_t k, int32_t limit)
{
    Tensor ids = take(c, &format_i32, c->rows, k, below(c, 3));
    int32_t only = one_in(c, 4) ? below(c, limit) : -1;
    for (int32_t r = 0; r < c->rows; r++)
        for (int32_t i = 0; i < k; i++)
            ((int32_t *)tensor_row(ids, r))[i] = only >= 0 ? only : below(c, limit);
    return ids;
}

static void make_expert_linear(KernelCase *c)
{
    bool prompt = is_prompt(c), heads = one_in(c, 4), own = one_in(c, 2);
    int32_t in = prompt ? prompt_width(c) : of_blocks(size_up_to(c, 300), c->format);
    int32_t out = prompt ? prompt_width(c) : size_up_to(c, 70), experts = size_up_to(c, prompt ? 4 : 9);
    int32_t k = heads ? experts : 1 + below(c, 5);
    c->rows = prompt ? 64 * experts / k + below(c, 100) : one_in(c, 6) ? 150 / k : size_up_to(c, 20);
    Tensor x = floats(c, c->rows, own ? k * in : in, 1);
    c->call.in[0] = own ? tensor_heads(x, k) : x;
    matrices(c, 1, experts, out, in, true);
    if (one_in(c, 2)) {
        c->call.in[2] = take(c, &format_f32, experts, out, 0);
        fill(c, c->call.in[2], 1);
    }
    if (!heads)
        c->call.in[3] = choices(c, k, one_in(c, 4) ? experts + 3 : experts);
    c->call.out[0] = tensor_heads(floats(c, c->rows, k * out, 1), k);
    c->ins_by_row = heads ? 1 : 9;
    c->outs_by_row = 1;
    c->rows_alone = true;
    c->typical = sqrtf((float)in);
    say(c, "rows %d, %d of %d experts, %d to %d%s%s", c->rows, k, experts, in, out, heads ? ", no ids" : "",
        own ? ", x for each" : "");
}

static void make_combine(KernelCase *c)
{
    int32_t width = size_up_to(c, 600), k = 1 + below(c, 9), experts = 1 + below(c, 8);
    c->rows = size_up_to(c, 9);
    c->call.reads_out = true;
    c->call.in[0] = tensor_heads(floats(c, c->rows, k * width, 1), k);
    c->ins_by_row = 1;
    if (!one_in(c, 4)) {
        c->call.in[1] = floats(c, c->rows, k, 1);
        c->ins_by_row |= 2;
    }
    if (one_in(c, 3)) {
        c->call.in[2] = choices(c, k, experts + 4);
        c->call.in[3] = floats(c, c->rows, width, 1);
        c->call.combine.experts = experts;
        c->ins_by_row |= 12;
    }
    c->call.out[0] = floats(c, c->rows, width, 1);
    c->outs_by_row = 1;
    c->rows_alone = true;
    c->typical = 1;
    say(c, "rows %d, %d experts, width %d", c->rows, k, width);
}

/* Choosing */

/* Logits with equals among them, some that are impossible. */
static void draw_logits(KernelCase *c, Tensor logits)
{
    bool coarse = one_in(c, 3), impossible = one_in(c, 3);
    for (int32_t r = 0; r < logits.dim[0]; r++)
        for (int32_t i = 0; i < logits.dim[1]; i++) {
            float *z = (float *)tensor_row(logits, r) + i;
            *z = coarse ? rintf(*z) : *z;
            *z = impossible && one_in(c, 3) ? -INFINITY : *z;
        }
    if (one_in(c, 20))
        *(float *)tensor_row(logits, below(c, logits.dim[0])) = NAN;
}

static ChooseHow draw_how(KernelCase *c, int32_t rows, int32_t vocabulary)
{
    ChooseHow how = {.row = below(c, rows), .mask = -1, .scale = one_in(c, 4) ? 0 : 1 / (0.05f + fabsf(normal(c))),
                     .top_k = one_in(c, 2) ? 0 : 1 + below(c, one_in(c, 2) ? 40 : 2 * vocabulary), .top_p = 1, .typical_p = 1,
                     .repeat = 1.3f, .presence = 0.4f, .frequency = 0.7f, .unit = (double)below(c, 1 << 30) / (1 << 30),
                     .best = one_in(c, 2) ? CHOOSE_NO_LOGPROBS : below(c, CHOOSE_BEST_MAX + 1)};
    if (one_in(c, 2))
        how.top_p = (float)below(c, 1000) / 1000;
    if (one_in(c, 3))
        how.min_p = (float)below(c, 300) / 1000;
    if (one_in(c, 3))
        how.typical_p = (float)below(c, 1000) / 1000;
    return how;
}

/* Each row has edits of its own: of neighbouring ids, so that none comes twice. */
static void draw_edits(KernelCase *c, ChooseHow *how, ChooseEdit *edits, int32_t first, int32_t room, int32_t vocabulary)
{
    int32_t id = below(c, vocabulary), count = one_in(c, 3) ? 0 : 1 + below(c, room);
    how->edit = first;
    how->edits = count < vocabulary ? count : vocabulary;
    for (int32_t i = 0; i < how->edits; i++)
        edits[first + i] = (ChooseEdit){(id + i) % vocabulary, one_in(c, 5) ? -INFINITY : one_in(c, 2) ? normal(c) : 0,
                                        one_in(c, 2), one_in(c, 2) ? 0 : below(c, 5)};
}

static void make_choose(KernelCase *c)
{
    enum { EDITS = 30 };
    int32_t vocabulary = one_in(c, 3) ? 1 + below(c, 5000) : size_up_to(c, 300), from = size_up_to(c, 6);
    c->rows = size_up_to(c, 9);
    Tensor logits = floats(c, from, vocabulary, one_in(c, 2) ? 3 : 30);
    draw_logits(c, logits);
    Tensor hows = take(c, &format_i32, c->rows, HOW_WORDS, 2 * below(c, 2));
    Tensor edits = take(c, &format_i32, c->rows * EDITS, EDIT_WORDS, 0);
    Tensor masks = take(c, &format_i32, from, (vocabulary + 31) / 32, below(c, 2));
    memset(edits.data, 0, tensor_bytes(edits));
    for (int32_t r = 0; r < from; r++)
        for (int32_t i = 0; i < masks.dim[1]; i++)
            ((int32_t *)tensor_row(masks, r))[i] = (int32_t)bits(c);
    for (int32_t r = 0; r < c->rows; r++) {
        ChooseHow how = draw_how(c, from, vocabulary);
        draw_edits(c, &how, edits.data, r * EDITS, EDITS, vocabulary);
        how.mask = one_in(c, 3) ? below(c, from) : -1;
        memcpy(tensor_row(hows, r), &how, sizeof how);
    }
    c->call.in[CHOOSE_LOGITS] = logits;
    c->call.in[CHOOSE_HOWS] = hows;
    c->call.in[CHOOSE_EDITS] = edits;
    c->call.in[CHOOSE_MASKS] = masks;
    c->call.out[0] = take(c, &format_i32, c->rows, CHOSEN_WORDS, 2 * below(c, 2));
    c->ins_by_row = 1u << CHOOSE_HOWS;
    c->outs_by_row = 1;
    c->rows_alone = true;
    say(c, "rows %d of %d, vocabulary %d", c->rows, from, vocabulary);
}

/* The cache */

typedef struct CaseCache {
    int32_t seqs, kv_heads, block_tokens, table_blocks;
    int32_t key_width, value_width;                /* value_width 0: a latent */
    int32_t length[4];          /* positions known after the step; the step's rows are the last ones */
    int32_t rows_of[4];
    Tensor k, v, tables, positions, row_seq;
} CaseCache;

/* Each block belongs to one sequence at most, in no order. What nobody wrote is NaN. */
static void make_cache(KernelCase *c, CaseCache *m)
{
    int32_t blocks = 1;
    m->table_blocks = 1;
    for (int32_t s = 0; s < m->seqs; s++) {
        int32_t used = (m->length[s] + m->block_tokens - 1) / m->block_tokens;
        m->table_blocks = used > m->table_blocks ? used : m->table_blocks;
        blocks += used;
        c->rows += m->rows_of[s];
    }
    m->table_blocks += below(c, 3);
    Tensor k = take(c, c->format, blocks, (int64_t)m->kv_heads * m->block_tokens * m->key_width, 0);
    m->k = tensor_4d(k.data, c->format, blocks, m->kv_heads, m->block_tokens, m->key_width);
    memset(k.data, POISON, tensor_bytes(k));
    if (m->value_width > 0) {
        Tensor v = take(c, c->format, blocks, (int64_t)m->kv_heads * m->block_tokens * m->value_width, 0);
        m->v = tensor_4d(v.data, c->format, blocks, m->kv_heads, m->block_tokens, m->value_width);
        memset(v.data, POISON, tensor_bytes(v));
    }
    m->tables = take(c, &format_i32, m->seqs, m->table_blocks, below(c, 2));
    m->positions = numbers(c, c->rows);
    m->row_seq = numbers(c, c->rows);
    int32_t next = 0, row = 0;
    for (int32_t s = 0; s < m->seqs; s++) {
        int32_t *table = tensor_row(m->tables, s);
        for (int32_t i = 0; i < m->table_blocks; i++)
            table[i] = i * m->block_tokens < m->length[s] ? blocks - 1 - next++ : -1;
        for (int32_t i = 0; i < m->rows_of[s]; i++, row++) {
            tensor_i32(m->positions)[row] = m->length[s] - m->rows_of[s] + i;
            tensor_i32(m->row_seq)[row] = s;
        }
    }
}

static void choose_sequences(KernelCase *c, CaseCache *m, int32_t rows_max, int32_t past_max)
{
    m->seqs = 1 + below(c, 3);
    m->block_tokens = 1 << below(c, 7);
    m->kv_heads = 1 + below(c, 3);
    for (int32_t s = 0; s < m->seqs; s++) {
        m->rows_of[s] = size_up_to(c, rows_max);
        m->length[s] = m->rows_of[s] + below(c, past_max);
    }
}

static void make_cache_write(KernelCase *c)
{
    CaseCache m = {0};
    choose_sequences(c, &m, 9, 60);
    m.key_width = of_blocks(size_up_to(c, 130), c->format);
    m.value_width = one_in(c, 4) ? 0 : of_blocks(size_up_to(c, 130), c->format);
    make_cache(c, &m);
    c->call.reads_out = true;
    c->call.out[0] = m.k;
    c->call.out[1] = m.v;
    c->call.in[0] = tensor_heads(floats(c, c->rows, m.kv_heads * m.key_width, 3), m.kv_heads);
    if (m.value_width > 0)
        c->call.in[1] = tensor_heads(floats(c, c->rows, m.kv_heads * m.value_width, 3), m.kv_heads);
    c->call.in[2] = m.tables;
    c->call.in[3] = m.positions;
    c->call.in[4] = m.row_seq;
    c->ins_by_row = 1 | (m.value_width > 0 ? 2 : 0) | 8 | 16;
    c->rows_alone = true;
    say(c, "rows %d, %d heads of %d and %d, blocks of %d", c->rows, m.kv_heads, m.key_width,
        m.value_width, m.block_tokens);
}

static void write_past(KernelCase *c, const CaseCache *m, Tensor pool)
{
    Encoded e = encode_some(c, pool.format, tensor_elems(pool), 1);
    for (int32_t s = 0; s < m->seqs; s++)
        for (int32_t j = 0; j < m->length[s]; j++)
            for (int32_t h = 0; h < m->kv_heads; h++)
                draw_row(c, &e, kv_row(pool, tensor_row(m->tables, s), h, j), pool.dim[3]);
}

/* Blocks that no row can see any more are given back. */
static void drop_unseen(const CaseCache *m, int32_t window)
{
    for (int32_t s = 0; s < m->seqs && window > 0; s++)
        for (int32_t i = 0; (i + 1) * m->block_tokens <= m->length[s] - m->rows_of[s] - window + 1; i++)
            ((int32_t *)tensor_row(m->tables, s))[i] = -1;
}

enum { LATENT_KEY = 576, LATENT_VALUE = 512, PRODUCTS_MOST = 6000000 };      /* widths of DeepSeek's */

/* Those that models have, which fast kernels are made for, or any. The width of y. */
static int32_t choose_widths(KernelCase *c, CaseCache *m, bool far)
{
    static const int32_t usual[] = {16, 64, 64, 80, 96, 128, 128, 256};
    bool is_usual = one_in(c, 2);
    int32_t most = far ? 33 : 130, key = is_usual ? usual[below(c, COUNT_OF(usual))] : size_up_to(c, most);
    m->key_width = of_blocks(key, c->format);
    if (!one_in(c, 5))
        return m->value_width = is_usual && !one_in(c, 5) ? m->key_width : of_blocks(size_up_to(c, most), c->format);
    if (!one_in(c, 3))
        return of_blocks(is_usual ? m->key_width / 2 : 1 + m->key_width / 2, c->format);
    m->key_width = LATENT_KEY;
    return LATENT_VALUE;
}

static void make_attend(KernelCase *c)
{
    static const int32_t groups[] = {1, 1, 2, 3, 4, 5, 8, 16, 33};
    CaseCache m = {0};
    bool served = one_in(c, 4);                                 /* as a step of many sequences: a row of each, many heads */
    bool far = one_in(c, served ? 2 : 4), many = !far && one_in(c, 4);      /* over several segments of the past; rows */
    choose_sequences(c, &m, served ? 1 : far ? 3 : many ? 100 : 20, far ? 1200 : 90);
    int32_t y_width = choose_widths(c, &m, far);
    if (served) {
        y_width = m.key_width = m.value_width = 64 << below(c, 2);
        m.block_tokens = 16 << below(c, 3);
        m.kv_heads = 1 + below(c, far ? 4 : 48);
    }
    int32_t group = groups[below(c, COUNT_OF(groups))];
    int64_t products = 0;      /* of a head: what the reference takes its time for */
    for (int32_t s = 0; s < m.seqs; s++)
        products += (int64_t)m.rows_of[s] * m.length[s] * m.kv_heads * (m.key_width + y_width);
    while (group > 1 && products * group > PRODUCTS_MOST)
        group /= 2;
    int32_t heads = m.kv_heads * group;
    make_cache(c, &m);
    write_past(c, &m, m.k);
    if (m.value_width > 0)
        write_past(c, &m, m.v);
    Attend *a = &c->call.attend;
    *a = (Attend){.scale = (one_in(c, 3) ? 4 : 1) / sqrtf((float)m.key_width),
                  .softcap = one_in(c, 4) ? 5 : 0,
                  .window = one_in(c, served ? 9 : 3) ? size_up_to(c, 700) : 0,
                  .chunk = one_in(c, served ? 15 : 5) ? size_up_to(c, 100) : 0,
                  .bidirectional = one_in(c, 5)};
    drop_unseen(&m, a->window);
    Tensor q = floats(c, c->rows, heads * m.key_width, 1);
    c->call.in[0] = tensor_heads(q, heads);
    c->call.out[0] = tensor_heads(
        y_width == m.key_width && one_in(c, 2) ? q : floats(c, c->rows, heads * y_width, 1), heads);
    Tensor ins[] = {m.k, m.v, m.tables, m.positions, m.row_seq, vector_or_none(c, heads), {0}};
    memcpy(c->call.in + 1, ins, sizeof ins);
    if (one_in(c, 4)) {
        c->call.in[7] = vector(c, heads, 0.05f);
        a->coarse = one_in(c, 2) ? 0.7f : 0;
    }
    c->ins_by_row = 1 | 16 | 32;
    c->outs_by_row = 1;
    c->rows_alone = !a->bidirectional;
    say(c,
        "rows %d of %d sequences, heads %d over %d, widths %d and %d, blocks of %d, window %d, chunk %d%s",
        c->rows, m.seqs, heads, m.kv_heads, m.key_width, y_width, m.block_tokens, a->window, a->chunk,
        a->bidirectional ? ", both ways" : "");
}

/* What there is */

static bool any_product(const Format *f) { return f->activation && f->encode; }
static bool any_cache(const Format *f) { return any_product(f) && f->block_elems <= 32; }

static const struct Maker {
    void (*make)(KernelCase *);
    bool (*varies)(const Format *);     /* NULL: F32 only */
} makers[OP_COUNT] = {
    [OP_EMBED] = {make_embed, any_product},
    [OP_LINEAR] = {make_linear, any_product},
    [OP_LINEAR3] = {make_linear3, any_product},
    [OP_GATED_MLP] = {make_gated_mlp, any_product},
    [OP_RMS_NORM] = {make_rms_norm, NULL},
    [OP_LAYER_NORM] = {make_layer_norm, NULL},
    [OP_ROPE_ANGLES] = {make_rope_angles, NULL},
    [OP_ROPE] = {make_rope, NULL},
    [OP_CACHE_WRITE] = {make_cache_write, any_cache},
    [OP_ATTEND] = {make_attend, any_cache},
    [OP_ACTIVATE] = {make_activate, NULL},
    [OP_GATE] = {make_gate, NULL},
    [OP_LIMITED_GATE] = {make_limited_gate, NULL},
    [OP_ADD] = {make_add, NULL},
    [OP_SCALE] = {make_scale, NULL},
    [OP_CLAMP] = {make_clamp, NULL},
    [OP_FILL] = {make_fill, NULL},
    [OP_XIELU] = {make_xielu, NULL},
    [OP_KEEP_ABOVE] = {make_keep_above, NULL},
    [OP_MATCH_RMS] = {make_match_rms, NULL},
    [OP_POSITION_SCALE] = {make_position_scale, NULL},
    [OP_TAKE_ROWS] = {make_take_rows, NULL},
    [OP_CONV] = {make_conv, NULL},
    [OP_SELECTIVE_SCAN] = {make_selective_scan, NULL},
    [OP_DECAY_SCAN] = {make_decay_scan, NULL},
    [OP_ROUTE] = {make_route, NULL},
    [OP_CHOOSE] = {make_choose, NULL},
    [OP_EXPERT_LINEAR] = {make_expert_linear, any_product},
    [OP_COMBINE] = {make_combine, NULL},
    [OP_LINEAR_SCAN] = {make_linear_scan, NULL},
    [OP_DELTA_SCAN] = {make_delta_scan, NULL},
    [OP_WKV_SCAN] = {make_wkv_scan, NULL},
    [OP_MLSTM_SCAN] = {make_mlstm_scan, NULL},
    [OP_TAYLOR_SCAN] = {make_taylor_scan, NULL},
    [OP_COMPLEX_SCAN] = {make_complex_scan, NULL},
    [OP_SHIFT_SCAN] = {make_shift_scan, NULL},
    [OP_DISCRETISE] = {make_discretise, NULL},
};

bool kernel_case_exists(Op op) { return makers[op].make != NULL; }

bool kernel_case_varies(Op op, const Format *f)
{
    return makers[op].varies ? makers[op].varies(f) : f == &format_f32;
}

/* Of an operation with a state, the second output is the slots: only those that are a sequence's `to` change. */
static bool writes_slot(const KernelCase *c, int32_t slot)
{
    if (!c->state_from)
        return true;
    Tensor to = c->call.in[c->state_from + 1];
    for (int64_t s = 0; s < tensor_elems(to); s++)
        if (tensor_i32(to)[s] == slot)
            return true;
    return false;
}

static void mark_outputs(KernelCase *c)
{
    for (int o = 0; o < OP_OUTS; o++) {
        Tensor t = c->call.out[o];
        for (int i = 0; i < c->pieces && !tensor_is_none(t); i++) {
            CasePiece *p = &c->piece[i];
            if ((uint8_t *)t.data < p->start || (uint8_t *)t.data >= p->start + p->bytes)
                continue;
            for (int32_t r = 0; r < t.dim[0]; r++)
                if (o == 0 || writes_slot(c, r))
                    memset(p->may_change + ((uint8_t *)tensor_row(t, r) - p->start), 1, tensor_row_bytes(t));
        }
    }
}

void kernel_case_init(KernelCase *c, Op op, const Format *format, uint64_t seed)
{
    memset(c, 0, sizeof *c);
    c->call.op = op;
    c->format = format;
    c->random = seed * OP_COUNT + op;
    say(c, "%s %s, seed %llu: ", op_name(op), format->name, (unsigned long long)seed);
    makers[op].make(c);
    mark_outputs(c);
    c->fast = c->call;
    for (int i = 0; i < OP_INS; i++)
        if (!tensor_is_none(c->packed[i]))
            c->fast.in[i] = c->packed[i];
    for (int i = 0; i < c->pieces; i++)
        memcpy(c->piece[i].before, c->piece[i].start, c->piece[i].bytes);
}

void kernel_case_deinit(KernelCase *c)
{
    for (int i = 0; i < c->pieces; i++) {
        free(c->piece[i].start);
        free(c->piece[i].before);
        free(c->piece[i].may_change);
    }
}

void kernel_case_reset(KernelCase *c)
{
    for (int i = 0; i < c->pieces; i++)
        memcpy(c->piece[i].start, c->piece[i].before, c->piece[i].bytes);
}

void kernel_case_run(KernelCase *c, const CpuKernel *kernel, const OpCall *call, int parts, bool backwards)
{
    size_t bytes = kernel->scratch_bytes ? kernel->scratch_bytes(call) : 0,
           room = (bytes + 127) / 64 * 64 + GUARD;
    uint8_t *scratch = aligned_alloc(64, room);
    ASSERT(scratch);
    memset(scratch, POISON, bytes);
    memset(scratch + bytes, GUARD_BYTE, room - bytes);
    for (int phase = 0; phase < kernel->phases; phase++)
        for (int i = 0; i < parts; i++)
            kernel->run(call, phase, (CpuPart){backwards ? parts - 1 - i : i, parts, scratch, NULL, 0, c->near});
    for (size_t i = bytes; i < room; i++)
        ASSERT(scratch[i] == GUARD_BYTE);
    free(scratch);
}

void kernel_case_run_reference(KernelCase *c)
{
    Device *device;
    OpCall call = c->call;
    Error err;
    ASSERT(cpu_device_open(&(CpuOptions){.tier = TIER_REFERENCE, .threads = 1}, &device, &err) == OK);
    device->calls->plan_begin(device);
    device_run(device, &call);
    ASSERT(device->calls->plan_end(device, &err) == OK);
    device_run(device, &call);
    device_close(device);
}

static Tensor rows_of(Tensor t, int32_t from, int32_t rows)
{
    if (t.dims > 1)
        return tensor_rows(t, from, rows);
    return tensor_vector((uint8_t *)t.data + format_row_bytes(t.format, from), t.format, rows);
}

int32_t kernel_case_together(const KernelCase *c, int32_t from, int32_t most)
{
    int32_t rows = 1;
    const int32_t *sequence = c->state_from ? tensor_i32(c->call.in[c->state_from + 2]) : NULL;
    while (rows < most && from + rows < c->rows && (!sequence || sequence[from + rows] == sequence[from]))
        rows++;
    return rows;
}

/* The rows' sequence becomes the only one; it goes on from where its earlier rows have left their state. */
static void continue_state(const KernelCase *c, OpCall *call, int32_t from, int32_t rows)
{
    static int32_t first[100];       /* zeros: the sequence of each row */
    int at = c->state_from;
    const int32_t *sequences = tensor_i32(c->call.in[at + 2]);
    int32_t sequence = sequences[from];
    bool begins = from == 0 || sequences[from - 1] != sequence;
    ASSERT(rows <= (int32_t)COUNT_OF(first));
    call->in[at] = rows_of(c->call.in[begins ? at : at + 1], sequence, 1);
    call->in[at + 1] = rows_of(c->call.in[at + 1], sequence, 1);
    call->in[at + 2] = tensor_vector(first, &format_i32, rows);
}

OpCall kernel_case_rows(const KernelCase *c, int32_t from, int32_t rows)
{
    OpCall call = c->fast;
    for (int i = 0; i < OP_OUTS; i++)
        if (c->outs_by_row >> i & 1)
            call.out[i] = rows_of(call.out[i], from, rows);
    for (int i = 0; i < OP_INS; i++)
        if (c->ins_by_row >> i & 1)
            call.in[i] = rows_of(call.in[i], from, rows);
    if (c->state_from)
        continue_state(c, &call, from, rows);
    return call;
}

uint8_t *kernel_case_outputs(const KernelCase *c, size_t *bytes)
{
    uint8_t *all = NULL;
    *bytes = 0;
    for (int o = 0; o < OP_OUTS; o++) {
        Tensor t = c->call.out[o];
        if (tensor_is_none(t))
            continue;
        all = realloc(all, *bytes + tensor_bytes(t));
        ASSERT(all);
        for (int32_t r = 0; r < t.dim[0]; r++, *bytes += tensor_row_bytes(t))
            memcpy(all + *bytes, tensor_row(t, r), tensor_row_bytes(t));
    }
    return all;
}

bool kernel_case_intact(const KernelCase *c)
{
    for (int i = 0; i < c->pieces; i++) {
        const CasePiece *p = &c->piece[i];
        bool same = memcmp(p->start, p->before, p->bytes) == 0;
        for (size_t at = 0; !same && at < p->bytes; at++)
            if (p->start[at] != p->before[at] && !p->may_change[at]) {
                fprintf(stderr, "%s: piece %d changed at byte %zu of %zu\n", c->what, i, at, p->bytes);
                return false;
            }
    }
    return true;
}

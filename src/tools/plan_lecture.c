#include "tools/plan_lecture.h"

#include <stdlib.h>

#include "base/checked.h"
#include "core/ops.h"

enum { NUMBER_BYTES = 2, BLOCK_TOKENS = 16 };
static char nowhere[64];

Err lecture_of(PlanModel *p, const Machine *m, int32_t context, Lecture *out, Error *err)
{
    const Tally *t;
    TRY(plan_step(p, (PlanStep){.sequences = 1, .rows = 1, .past = context - 1}, format_find("BF16"), &t, err));
    *out = (Lecture){.parameters = (double)p->model->parameters - p->vector_parameters, .cache = t->total.cache_bytes,
                     .intensity = machine_ridge_point(m)};
    return OK;
}

LectureBatch lecture_batch(const Lecture *l, const Machine *m, int32_t batch)
{
    LectureBatch b = {.batch = batch, .memory = NUMBER_BYTES * l->parameters + batch * l->cache};
    b.latency = b.memory / m->bytes_per_second;
    b.throughput = batch / b.latency;
    b.fits = m->memory_bytes == 0 || b.memory <= m->memory_bytes;
    return b;
}

/* ---- single operations ---- */

typedef struct Bench { Device *tally; const Format *numbers; } Bench;

static Err begin(Bench *b, Error *err)
{
    Device *paper;
    b->numbers = format_find("BF16");
    TRY(paper_open(&paper, err));
    if (tally_open(paper, &b->tally, err) == OK)
        return OK;
    device_close(paper);
    return err->code;
}

/* A device's activations are F32, of which the lecture's have half the size. */
static double end(Bench *b)
{
    OpCost c = tally_read(b->tally)->total;
    device_close(b->tally);
    return c.operations / (c.weight_bytes + c.cache_bytes + c.activation_bytes * NUMBER_BYTES / sizeof(float));
}

Err lecture_product(int32_t B, int32_t D, int32_t F, double *out, Error *err)
{
    Bench b;
    TRY(begin(&b, err));
    op_linear(b.tally, device_f32(b.tally, B, F), device_f32(b.tally, B, D), tensor_of(nowhere, b.numbers, F, D), NONE);
    *out = end(&b);
    return OK;
}

Err lecture_mlp(int32_t B, int32_t T, int32_t D, int32_t F, double *out, Error *err)
{
    Bench b;
    TRY(begin(&b, err));
    Tensor up = tensor_of(nowhere, b.numbers, F, D), down = tensor_of(nowhere, b.numbers, D, F);
    Tensor y = device_f32(b.tally, B * T, D), x = like(b.tally, y);
    op_gated_mlp_add(b.tally, y, x, up, up, down, NONE, NONE, NONE, SILU);
    *out = end(&b);
    return OK;
}

/* T rows at the end of S positions; all rows see all, as the lecture counts, or each what is before it. */
static Err attend(Device *d, const Format *numbers, int32_t S, int32_t T, int32_t heads, int32_t width, bool all, Error *err)
{
    int32_t blocks = (int32_t)ceil_div(S, BLOCK_TOKENS), *table = calloc(2 * (size_t)T, sizeof *table);
    if (!table)
        return fail(err, NO_MEMORY, "no memory for %d rows", T);
    KvView kv = {.positions = tensor_vector(table, &format_i32, T), .row_seq = tensor_vector(table + T, &format_i32, T)};
    kv.tables = tensor_of(nowhere, &format_i32, 1, blocks);
    kv.k = kv.v = tensor_4d(nowhere, numbers, blocks, heads, BLOCK_TOKENS, width);
    for (int32_t r = 0; r < T; r++)
        table[r] = S - T + r;
    Tensor q = tensor_heads(device_f32(d, T, heads * width), heads);
    op_attend(d, q, q, &kv, NONE, NONE, (Attend){.scale = 1, .bidirectional = all});
    free(table);
    return OK;
}

Err lecture_attention(int32_t S, int32_t T, int32_t heads, int32_t width, double *out, Error *err)
{
    Bench b;
    TRY(begin(&b, err));
    Err result = attend(b.tally, b.numbers, S, T, heads, width, true, err);
    *out = end(&b);
    return result;
}

static Err operations(int32_t S, int32_t T, int32_t heads, int32_t width, double *sum, Error *err)
{
    Bench b;
    TRY(begin(&b, err));
    Err result = attend(b.tally, b.numbers, S, T, heads, width, false, err);
    *sum += tally_read(b.tally)->total.operations;
    device_close(b.tally);
    return result;
}

Err lecture_generation(int32_t T, int32_t heads, int32_t width, LectureCost *out, Error *err)
{
    *out = (LectureCost){0};
    for (int32_t t = 1; t <= T; t++) {
        TRY(operations(t, 1, heads, width, &out->cached, err));
        TRY(operations(t, t, heads, width, &out->uncached, err));
    }
    return OK;
}

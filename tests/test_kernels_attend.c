/* Attention over a long past: the bits of a row do not depend on how the prompt was cut into chunks, on
 * the blocks of the cache, on other sequences, or on whether segments of the past wait in scratch.
 * Protects all that assumes batch invariance: shared prefixes, preemption, speculation. */
#include "test.h"

#include <math.h>

#include "base/checked.h"
#include "devices/cpu/cpu_tiers.h"
#include "kernels/op_spec.h"

enum { POSITIONS = 1100, KV_HEADS = 2, HEADS = 6, WIDTH_MAX = 32, SEQS = 3, HEADS_NEAR = 16 };

static int32_t width = 24;   /* of a head: whole blocks of the cache's format */
static int32_t head_count = HEADS;
static bool near;            /* factors are rounded to bf16, where the tier can */

typedef struct Setup {
    const char *format;
    int32_t block_tokens, chunk, seqs;    /* seqs > 1: the others have rows in each step as well */
    int32_t spare_blocks;                 /* room in the tables that is never used */
    int parts;
    Attend how;
} Setup;

typedef struct World {
    Setup setup;
    const CpuKernel *kernel;
    Tensor k, v, tables;
    float *values;           /* of all keys and values: [SEQS][POSITIONS][KV_HEADS][2][width] */
    float *q, *y;            /* [SEQS][POSITIONS][head_count][width] */
} World;

static float made_up(uint64_t n)
{
    n = (n + 1) * 0x9e3779b97f4a7c15;
    n = (n ^ n >> 31) * 0xbf58476d1ce4e5b9;
    return (float)(int32_t)(n >> 32) * 0x1p-30f;
}

static Tensor new_pool(const Setup *s, int32_t blocks)
{
    const Format *f = format_find(s->format);
    Tensor t = tensor_4d(NULL, f, blocks, KV_HEADS, s->block_tokens, width);
    t.data = malloc(tensor_bytes(t));
    assert_non_null(t.data);
    memset(t.data, 0xFF, tensor_bytes(t));
    return t;
}

static void open_world(World *w, Setup setup, int tier)
{
    int32_t used = (int32_t)ceil_div(POSITIONS, setup.block_tokens);
    size_t q_elems = (size_t)SEQS * POSITIONS * head_count * width;
    *w = (World){.setup = setup, .kernel = cpu_kernel(OP_ATTEND, (CpuTier)tier)};
    w->k = new_pool(&setup, SEQS * used);
    w->v = new_pool(&setup, SEQS * used);
    w->tables = tensor_of(NULL, &format_i32, SEQS, used + setup.spare_blocks);
    w->tables.data = malloc(tensor_bytes(w->tables));
    w->q = malloc(q_elems * sizeof(float));
    w->y = calloc(q_elems, sizeof(float));
    assert_true(w->tables.data && w->q && w->y);
    for (size_t i = 0; i < q_elems; i++)
        w->q[i] = made_up(i);
    for (int32_t s = 0; s < SEQS; s++)
        for (int32_t b = 0; b < w->tables.dim[1]; b++)
            ((int32_t *)tensor_row(w->tables, s))[b] = b < used ? (b * 7 + 3) % used * SEQS + s : -1;
}

static void close_world(World *w)
{
    free(w->k.data);
    free(w->v.data);
    free(w->tables.data);
    free(w->q);
    free(w->y);
}

/* The rows of one step are those of [from, to) of sequence 0 and, with company, as many of the others,
 * each a little further on. */
typedef struct Rows { int32_t n, position[SEQS * POSITIONS], seq[SEQS * POSITIONS]; } Rows;

static void write_cache(World *w, const Rows *rows)
{
    size_t elems = (size_t)rows->n * KV_HEADS * width;
    float *k = malloc(elems * sizeof *k), *v = malloc(elems * sizeof *v);
    for (size_t i = 0; i < elems; i++) {
        size_t row = i / (KV_HEADS * width), in_row = i % (KV_HEADS * width);
        uint64_t place =
            ((uint64_t)rows->seq[row] * POSITIONS + (uint64_t)rows->position[row]) * 1000 + in_row;
        k[i] = made_up(place + 77777777);
        v[i] = made_up(place + 99999999999);
    }
    OpCall call = {.op = OP_CACHE_WRITE,
                   .out = {w->k, w->v},
                   .in = {tensor_of(k, &format_f32, rows->n, KV_HEADS * width),
                          tensor_of(v, &format_f32, rows->n, KV_HEADS * width), w->tables,
                          tensor_vector((void *)rows->position, &format_i32, rows->n),
                          tensor_vector((void *)rows->seq, &format_i32, rows->n)}};
    cpu_kernel(OP_CACHE_WRITE, TIER_REFERENCE)->run(&call, 0, (CpuPart){.count = 1});
    free(k);
    free(v);
}

static void attend(World *w, const Rows *rows)
{
    size_t row_elems = head_count * width;
    float *q = malloc((size_t)rows->n * row_elems * sizeof *q),
          *y = malloc((size_t)rows->n * row_elems * sizeof *y);
    for (int32_t r = 0; r < rows->n; r++)
        memcpy(q + (size_t)r * row_elems,
               w->q + ((size_t)rows->seq[r] * POSITIONS + (size_t)rows->position[r]) * row_elems,
               row_elems * sizeof *q);
    OpCall call = {.op = OP_ATTEND,
                   .attend = w->setup.how,
                   .out = {tensor_3d(y, &format_f32, rows->n, head_count, width)},
                   .in = {tensor_3d(q, &format_f32, rows->n, head_count, width), w->k, w->v, w->tables,
                          tensor_vector((void *)rows->position, &format_i32, rows->n),
                          tensor_vector((void *)rows->seq, &format_i32, rows->n)}};
    void *scratch = malloc(w->kernel->scratch_bytes(&call) + 1);
    for (int phase = 0; phase < w->kernel->phases; phase++)
        for (int part = w->setup.parts - 1; part >= 0; part--)
            w->kernel->run(&call, phase, (CpuPart){part, w->setup.parts, scratch, NULL, 0, near});
    for (int32_t r = 0; r < rows->n; r++)
        memcpy(w->y + ((size_t)rows->seq[r] * POSITIONS + (size_t)rows->position[r]) * row_elems,
               y + (size_t)r * row_elems, row_elems * sizeof *y);
    free(scratch);
    free(q);
    free(y);
}

static float *outputs(Setup setup, int tier)     /* of sequence 0: [POSITIONS][head_count][width] */
{
    World w;
    static Rows rows;
    open_world(&w, setup, tier);
    for (int32_t from = 0; from < POSITIONS; from += setup.chunk) {
        rows.n = 0;
        for (int32_t s = 0; s < setup.seqs; s++)
            for (int32_t p = from; p < from + setup.chunk && p < POSITIONS; p++) {
                rows.position[rows.n] = p;
                rows.seq[rows.n++] = s;
            }
        write_cache(&w, &rows);
        attend(&w, &rows);
    }
    size_t bytes = sizeof(float) * POSITIONS * head_count * width;
    float *y = malloc(bytes);
    memcpy(y, w.y, bytes);
    close_world(&w);
    return y;
}

static void same_outputs(const float *a, Setup setup, int tier, const char *what)
{
    float *b = outputs(setup, tier);
    for (int32_t i = 0; i < POSITIONS * head_count * width; i++)
        if (memcmp(&a[i], &b[i], sizeof *a) != 0) {
            print_error("%s, %s: position %d, head %d differs\n", what, cpu_tier_name((CpuTier)tier),
                        i / (head_count * width), i / width % head_count);
            assert_true(false);
        }
    free(b);
}

static const Attend hows[] = {
    {.scale = 0.5f},
    {.scale = 0.5f, .window = 70},
    {.scale = 0.5f, .chunk = 600, .softcap = 3},
};

static const Setup plain = {.block_tokens = 16, .chunk = POSITIONS, .seqs = 1, .parts = 1};
static const struct { const char *what; Setup setup; } others[] = {
    {"chunks of 64", {NULL, 16, 64, 1, .parts = 1}},
    {"chunks of 7, blocks of 64, two threads", {NULL, 64, 7, 1, .parts = 2}},
    {"one by one, blocks of 5, three threads", {NULL, 5, 1, 1, .parts = 3}},
    {"chunks of 33 in company", {NULL, 2048, 33, SEQS, .parts = 3}},
    {"so much room that nothing waits", {NULL, 16, 8, 1, .spare_blocks = 1 << 16, .parts = 2}},
};

static void nothing_changes_a_bit(const char *format, int32_t head_width, Attend how)
{
    width = head_width;
    for (int tier = TIER_REFERENCE + 1; tier <= (int)cpu_best_tier(); tier++) {
        Setup setup = plain;
        setup.format = format;
        setup.how = how;
        float *whole = outputs(setup, tier);
        for (size_t k = 0; k < COUNT_OF(others); k++) {
            setup = others[k].setup;
            setup.format = format;
            setup.how = how;
            same_outputs(whole, setup, tier, others[k].what);
        }
        free(whole);
    }
}

static void neither_chunks_nor_blocks_nor_company_change_a_bit(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(hows); i++)
        nothing_changes_a_bit("F16", 24, hows[i]);
}

static void nor_do_they_where_the_cache_has_8_bits(void **state)
{
    (void)state;
    nothing_changes_a_bit("F8_E4M3", 24, hows[0]);
    nothing_changes_a_bit("Q8_0", 32, hows[1]);
}

/* With --products bf16, where that rounds (kernels/attend/attend_near.h). */
static void nor_do_they_where_factors_are_rounded(void **state)
{
    (void)state;
    near = true;
    head_count = HEADS_NEAR;
    nothing_changes_a_bit("F16", 24, hows[1]);
    nothing_changes_a_bit("BF16", 32, hows[0]);
    nothing_changes_a_bit("Q8_0", 32, hows[2]);
    near = false;
    head_count = HEADS;
}

/* All numbers of 8 bits are read as their format decodes them, which random ones would hardly show of the smallest. A row that
 * sees itself only has its value as the result. */
static void every_byte_of_fp8_is_read_as_its_format_says(void **state)
{
    (void)state;
    enum { ROWS = 4, COLUMNS = 64 };
    uint8_t bytes[ROWS][COLUMNS];
    float expected[ROWS][COLUMNS], y[ROWS][COLUMNS];
    int32_t positions[ROWS] = {0}, seqs[ROWS], table[ROWS];
    for (int i = 0; i < ROWS * COLUMNS; i++)
        bytes[i / COLUMNS][i % COLUMNS] = (uint8_t)i;
    for (int i = 0; i < ROWS; i++)
        seqs[i] = table[i] = i;
    const Format *fp8 = format_find("F8_E4M3");
    fp8->decode(&expected[0][0], bytes, sizeof bytes);
    float q[ROWS][COLUMNS] = {0};
    Tensor cache = tensor_4d(bytes, fp8, ROWS, 1, 1, COLUMNS);
    OpCall call = {.op = OP_ATTEND, .attend = hows[0], .out = {tensor_3d(y, &format_f32, ROWS, 1, COLUMNS)},
                   .in = {tensor_3d(q, &format_f32, ROWS, 1, COLUMNS), cache, cache, tensor_of(table, &format_i32, ROWS, 1),
                          tensor_vector(positions, &format_i32, ROWS), tensor_vector(seqs, &format_i32, ROWS)}};
    for (int i = 0; i < ROWS * COLUMNS; i++)
        if (expected[i / COLUMNS][i % COLUMNS] != expected[i / COLUMNS][i % COLUMNS])      /* NaN: as a key it would be everywhere */
            bytes[i / COLUMNS][i % COLUMNS] = 0, expected[i / COLUMNS][i % COLUMNS] = 0;
    for (int tier = TIER_REFERENCE + 1; tier <= (int)cpu_best_tier(); tier++) {
        cpu_kernel(OP_ATTEND, (CpuTier)tier)->run(&call, 0, (CpuPart){.count = 1});
        for (int i = 0; i < ROWS * COLUMNS; i++)
            assert_float_equal(y[i / COLUMNS][i % COLUMNS], expected[i / COLUMNS][i % COLUMNS], 0);
    }
}

static void few_rows_with_a_long_past_keep_several_threads_busy(void **state)
{
    (void)state;
    if (cpu_best_tier() == TIER_REFERENCE)
        skip();
    int32_t position = 4000, seq = 0, table[256] = {0};
    float q[HEADS * WIDTH_MAX], k[1];
    OpCall call = {
        .op = OP_ATTEND,
        .attend = hows[0],
        .out = {tensor_3d(q, &format_f32, 1, HEADS, width)},
        .in = {tensor_3d(q, &format_f32, 1, HEADS, width),
               tensor_4d(k, &format_f32, 9, KV_HEADS, 16, width),
               tensor_4d(k, &format_f32, 9, KV_HEADS, 16, width), tensor_of(table, &format_i32, 1, 256),
               tensor_vector(&position, &format_i32, 1), tensor_vector(&seq, &format_i32, 1)}};
    const CpuKernel *kernel = cpu_kernel(OP_ATTEND, cpu_best_tier());
    assert_true(kernel->scratch_bytes(&call) > 0);
    assert_true(kernel->threads(&call) >= 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(neither_chunks_nor_blocks_nor_company_change_a_bit),
        cmocka_unit_test(nor_do_they_where_the_cache_has_8_bits),
        cmocka_unit_test(nor_do_they_where_factors_are_rounded),
        cmocka_unit_test(every_byte_of_fp8_is_read_as_its_format_says),
        cmocka_unit_test(few_rows_with_a_long_past_keep_several_threads_busy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

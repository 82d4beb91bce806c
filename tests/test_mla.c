/* Latent attention keeps a latent and never expands it. Here the same layer is computed the other way: every key and
 * value written out for each head, in f64, from the tensors of a checkpoint. Both must agree, for a prompt at once and
 * for a token at a time. */
#include "test.h"

#include <math.h>

#include "devices/cpu/cpu_device.h"
#include "model/mla.h"
#include "model/model_open.h"

enum { ROWS = 20, BLOCK_TOKENS = 8, BLOCKS = 3 };
#define FIXTURE "tests/fixtures/hf/deepseek_v3"
#define LAYER "model.layers.0.self_attn."

typedef struct World {
    Checkpoint checkpoint;
    Device *device;
    Model *model;
    const MlaShape *m;
    const MlaWeights *w;
    float *x;                  /* [ROWS, D] */
    double *expected;          /* [ROWS, D] */
} World;

static void must(Err code, const Error *err)
{
    if (code != OK)
        print_error("%s\n", err->text);
    assert_int_equal(code, OK);
}

/* ---- written out ---- */

static double *tensor(const World *w, const char *name)
{
    const StoreTensor *t = store_find(w->checkpoint.store, name);
    assert_non_null(t);
    size_t n = (size_t)store_tensor_elems(t);
    float *narrow = malloc(n * sizeof *narrow);
    double *wide = malloc(n * sizeof *wide);
    t->format->decode(narrow, t->bytes.data, n);
    for (size_t i = 0; i < n; i++)
        wide[i] = narrow[i];
    free(narrow);
    return wide;
}

/* y = x w^T, w: [out, in] */
static double *product(const double *x, const double *w, int rows, int out, int in)
{
    double *y = calloc((size_t)(rows * out), sizeof *y);
    for (int r = 0; r < rows; r++)
        for (int o = 0; o < out; o++)
            for (int i = 0; i < in; i++)
                y[r * out + o] += x[r * in + i] * w[o * in + i];
    return y;
}

/* The first `width` of each row of `step`. */
static void norm(double *x, const double *gain, int rows, int width, int step, double eps)
{
    for (int r = 0; r < rows; r++) {
        double sum = 0;
        for (int i = 0; i < width; i++)
            sum += x[r * step + i] * x[r * step + i];
        for (int i = 0; i < width; i++)
            x[r * step + i] *= gain[i] / sqrt(sum / width + eps);
    }
}

static void turn(double *x, int width, int position)
{
    for (int i = 0; i < width / 2; i++) {
        double angle = position * pow(10000, -2.0 * i / width), a = x[2 * i], b = x[2 * i + 1];
        x[2 * i] = a * cos(angle) - b * sin(angle);
        x[2 * i + 1] = a * sin(angle) + b * cos(angle);
    }
}

/* Head h of row r over rows 0 .. r: keys [nope | turned], values, all of them expanded. */
static void head(const MlaShape *m, const double *q, const double *kept, const double *expanded, int r, int h, double *out)
{
    int each = m->P + m->V, C = m->C, R = m->R;
    double p[ROWS], sum = 0;
    const double *query = q + (r * m->N + h) * (m->P + R);
    for (int j = 0; j <= r; j++) {
        const double *key = expanded + (j * m->N + h) * each, *turned = kept + j * (C + R) + C;
        double s = 0;
        for (int i = 0; i < m->P; i++)
            s += query[i] * key[i];
        for (int i = 0; i < R; i++)
            s += query[m->P + i] * turned[i];
        p[j] = exp(s / sqrt(m->P + R));
        sum += p[j];
    }
    for (int i = 0; i < m->V; i++) {
        out[i] = 0;
        for (int j = 0; j <= r; j++)
            out[i] += p[j] / sum * expanded[(j * m->N + h) * each + m->P + i];
    }
}

static double *written_out(const World *w)
{
    const MlaShape *m = w->m;
    int wide = m->P + m->R, each = m->P + m->V;
    double *x = malloc(sizeof *x * (size_t)(ROWS * m->D));
    for (int i = 0; i < ROWS * m->D; i++)
        x[i] = w->x[i];
    double *names[] = {tensor(w, LAYER "q_a_proj.weight"), tensor(w, LAYER "q_a_layernorm.weight"),
                       tensor(w, LAYER "q_b_proj.weight"), tensor(w, LAYER "kv_a_proj_with_mqa.weight"),
                       tensor(w, LAYER "kv_a_layernorm.weight"), tensor(w, LAYER "kv_b_proj.weight"),
                       tensor(w, LAYER "o_proj.weight")};
    double *a = product(x, names[0], ROWS, m->A, m->D);
    norm(a, names[1], ROWS, m->A, m->A, 1e-6);
    double *q = product(a, names[2], ROWS, m->N * wide, m->A), *kept = product(x, names[3], ROWS, m->C + m->R, m->D);
    norm(kept, names[4], ROWS, m->C, m->C + m->R, 1e-6);
    double *latents = malloc(sizeof *latents * (size_t)(ROWS * m->C)), *out = malloc(sizeof *out * (size_t)(ROWS * m->N * m->V));
    for (int r = 0; r < ROWS; r++) {
        memcpy(latents + r * m->C, kept + r * (m->C + m->R), sizeof *latents * (size_t)m->C);
        turn(kept + r * (m->C + m->R) + m->C, m->R, r);
        for (int h = 0; h < m->N; h++)
            turn(q + (r * m->N + h) * wide + m->P, m->R, r);
    }
    double *expanded = product(latents, names[5], ROWS, m->N * each, m->C);
    for (int r = 0; r < ROWS; r++)
        for (int h = 0; h < m->N; h++)
            head(m, q, kept, expanded, r, h, out + (r * m->N + h) * m->V);
    double *y = product(out, names[6], ROWS, m->D, m->N * m->V), *rest[] = {x, a, q, kept, latents, out, expanded};
    for (size_t i = 0; i < COUNT_OF(names); i++)
        free(names[i]);
    for (size_t i = 0; i < COUNT_OF(rest); i++)
        free(rest[i]);
    return y;
}

/* ---- as the engine computes it ---- */

static Tensor on_device(Device *d, const Format *f, int32_t rows, int32_t width, const void *host)
{
    Error err = {0};
    void *data;
    Tensor t = tensor_of(NULL, f, rows, width);
    must(d->calls->take(d, tensor_bytes(t), &data, &err), &err);
    t.data = data;
    if (host)
        d->calls->write(d, data, host, tensor_bytes(t));
    return t;
}

/* Rows [from, from + rows) of the one sequence; y: [rows, D]. */
static void layer(const World *w, const KvView *past, Tensor x, Tensor positions, Tensor row_seq, int from, int rows, Tensor y)
{
    Device *d = w->device;
    const DecoderShape *m = decoder_shape(&w->model->shape);
    const DecoderWeights *weights = w->model->weights;
    size_t mark = device_mark(d);
    KvView view = *past;
    view.positions = tensor_vector(tensor_i32(positions) + from, &format_i32, rows);
    view.row_seq = tensor_vector(tensor_i32(row_seq) + from, &format_i32, rows);
    Step step = {.rows = rows, .seqs = 1, .positions = view.positions, .lengths = view.positions, .layers = &view};
    Pass pass = {.step = &step};
    pass.angles[0] = device_f32(d, rows, w->m->R);
    op_rope_angles(d, pass.angles[0], step.positions, step.lengths, weights->inv_freq[0], m->rope[0].angles);
    Tensor out = tensor_rows(y, from, rows);
    op_fill(d, out, 0);
    part_mla.forward(w->m, w->w, d, &pass, 0, out, tensor_rows(x, from, rows));
    device_release(d, mark);
}

static void agrees_in_steps_of(World *w, int rows)
{
    Device *d = w->device;
    Error err = {0};
    const MlaShape *m = w->m;
    int32_t table[BLOCKS] = {2, 0, 1}, positions[ROWS], seq[ROWS] = {0};
    for (int i = 0; i < ROWS; i++)
        positions[i] = i;
    KvView past = {.tables = on_device(d, &format_i32, 1, BLOCKS, table)};
    past.k = on_device(d, &format_f32, BLOCKS, BLOCK_TOKENS * (m->C + m->R), NULL);
    past.k = tensor_4d(past.k.data, &format_f32, BLOCKS, 1, BLOCK_TOKENS, m->C + m->R);
    Tensor x = on_device(d, &format_f32, ROWS, m->D, w->x), y = on_device(d, &format_f32, ROWS, m->D, NULL);
    Tensor at = on_device(d, &format_i32, 1, ROWS, positions), of = on_device(d, &format_i32, 1, ROWS, seq);
    d->calls->plan_begin(d);
    layer(w, &past, x, at, of, 0, rows, y);
    must(d->calls->plan_end(d, &err), &err);
    for (int from = 0; from < ROWS; from += rows)
        layer(w, &past, x, at, of, from, rows, y);
    float *got = malloc(tensor_bytes(y));
    d->calls->read(d, got, y.data, tensor_bytes(y));
    for (int i = 0; i < ROWS * m->D; i++)
        assert_true(fabs(got[i] - w->expected[i]) < 1e-5);
    free(got);
}

static void open_world(World *w, CpuTier tier)
{
    Error err = {0};
    *w = (World){0};
    must(checkpoint_open(&w->checkpoint, FIXTURE, &err), &err);
    must(cpu_device_open(&(CpuOptions){.tier = tier, .threads = 2}, &w->device, &err), &err);
    must(model_open(&w->checkpoint, w->device, NULL, &w->model, &err), &err);
    const Branch *branch = &decoder_shape(&w->model->shape)->layer[0].stage[0].branch[0];
    assert_ptr_equal(branch->part, &part_mla);
    w->m = branch->shape;
    w->w = ((const DecoderWeights *)w->model->weights)->layer[0][0][0].part;
    w->x = malloc(sizeof *w->x * (size_t)(ROWS * w->m->D));
    for (int i = 0; i < ROWS * w->m->D; i++)
        w->x[i] = sinf((float)(i * i % 1009));
    w->expected = written_out(w);
}

static void close_world(World *w)
{
    free(w->x);
    free(w->expected);
    model_close(w->model);
    device_close(w->device);
    checkpoint_close(&w->checkpoint);
}

static void absorbed_and_expanded_agree(CpuTier tier, int rows)
{
    World w;
    open_world(&w, tier);
    agrees_in_steps_of(&w, rows);
    close_world(&w);
}

static void a_prompt_at_once_is_as_if_written_out(void **state)
{
    (void)state;
    absorbed_and_expanded_agree(TIER_REFERENCE, ROWS);
    absorbed_and_expanded_agree(TIER_BEST, ROWS);
}

static void a_token_at_a_time_is_as_if_written_out(void **state)
{
    (void)state;
    absorbed_and_expanded_agree(TIER_REFERENCE, 1);
    absorbed_and_expanded_agree(TIER_BEST, 1);
}

static void what_is_kept_is_the_latent_and_the_turned_part(void **state)
{
    (void)state;
    World w;
    open_world(&w, TIER_BEST);
    const KvLayer *kept = &w.model->kv.layer[0];
    assert_int_equal(kept->kind, KV_FULL);
    assert_int_equal(kept->heads * (kept->key_width + kept->value_width), w.m->C + w.m->R);
    close_world(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_prompt_at_once_is_as_if_written_out),
        cmocka_unit_test(a_token_at_a_time_is_as_if_written_out),
        cmocka_unit_test(what_is_kept_is_the_latent_and_the_turned_part),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

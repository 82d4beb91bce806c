/* gpu.c -- how fast the GPU computes a model's steps, without a file of weights and without an engine.
 *
 *     build/bench/gpu                                        the limits of the GPU: bytes read, bf16 products
 *     build/bench/gpu DIRECTORY [-f FORMAT] [-c CONTEXT] [-b BATCH,...] [-p ROWS,...]
 *
 * DIRECTORY is a checkpoint whose tensors are never read (a file with holes will do): matrices are filled on the GPU
 * with random numbers of the format, as the cache is. -b: a step of so many sequences with CONTEXT positions each, all
 * different; -p: a prompt of so many rows. A line of JSON for each: the median of some steps, one after the other, with the
 * most likely tokens chosen and brought to the host, and the share of what was measured as possible.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/trace_events.h"
#include "core/ops.h"
#include "devices/cuda/cuda_device.h"
#include "devices/cuda/cuda_speeds.h"
#include "devices/watch/watch.h"
#include "engine/engine.h"
#include "formats/planes.h"
#include "kernels/choose/choose.h"
#include "model/package.h"

enum { RUNS = 15, PROMPT_RUNS = 5, WARM = 3, BLOCK_TOKENS = 16, LIST_MAX = 16, SEQUENCES_MAX = 512 };

/* Below the model: uploads become random numbers. */
typedef struct RandomDevice {
    Device device;
    const Format *format;      /* of the matrices */
    uint64_t seed;
} RandomDevice;

static Err random_upload(Device *d, const char *name, Tensor host, WeightUse use, Tensor *out, Error *err)
{
    RandomDevice *r = (RandomDevice *)d;
    (void)name;
    void *data;
    *out = host;
    out->row_elems = tensor_width(host);
    out->format = use == USE_VECTOR ? &format_f32 : r->format;
    bool planes = use != USE_VECTOR && weight_kind(r->format) >= W_PLAIN_KINDS;
    out->packing = planes ? PACKING_PLANES : PACKING_ROWS;
    size_t bytes = planes ? planes_bytes(weight_kind(r->format), tensor_elems(host)) : tensor_bytes(*out);
    TRY(d->inner->calls->take(d->inner, bytes, &data, err));
    out->data = data;
    d->inner->calls->read(d->inner, NULL, NULL, 0);      /* it was being cleared */
    if (use != USE_VECTOR) {
        cuda_fill_random(data, bytes, r->seed++, NULL);
        return OK;
    }
    float *ones = malloc(bytes);
    for (size_t i = 0; ones && i < bytes / sizeof *ones; i++)
        ones[i] = 1;
    d->inner->calls->write(d->inner, data, ones, bytes);
    d->inner->calls->read(d->inner, ones, data, sizeof *ones);
    free(ones);
    return OK;
}

static Device *random_device(RandomDevice *r, Device *inner, const Format *format)
{
    *r = (RandomDevice){.format = format, .seed = 1};
    static DeviceCalls own;
    own = *inner->calls;
    own.upload = random_upload;
    r->device = (Device){.calls = &own, .name = "random", .inner = inner};
    return &r->device;
}

typedef struct World {
    Device *gpu;
    Tensor logits, hows, chosen;
    KvView views[LAYERS_MAX];
    EngineModel model;
    const Model *m;
    int32_t *host, *numbers;   /* of a step: on the host, on the GPU */
    int32_t rows_max, context;
    CudaSpeeds speeds;
    Device *tally;
} World;

static Err take(World *w, size_t bytes, void **out, Error *err) { return w->gpu->calls->take(w->gpu, bytes, out, err); }

/* Pools for so many positions, full of random numbers. */
static Err make_cache(World *w, int64_t positions, Error *err)
{
    int32_t blocks = (int32_t)ceil_div(positions, BLOCK_TOKENS);
    const Format *f = format_find("BF16");
    for (int l = 0; l < w->m->kv.layers; l++) {
        const KvLayer *layer = &w->m->kv.layer[l];
        size_t key = (size_t)blocks * BLOCK_TOKENS * (size_t)(layer->heads * layer->key_width) * 2;
        size_t value = (size_t)blocks * BLOCK_TOKENS * (size_t)(layer->heads * layer->value_width) * 2;
        void *k, *v;
        TRY(take(w, key, &k, err));
        TRY(take(w, value, &v, err));
        w->gpu->calls->read(w->gpu, NULL, NULL, 0);
        cuda_fill_random(k, key, 1000 + (uint64_t)l, NULL);
        cuda_fill_random(v, value, 2000 + (uint64_t)l, NULL);
        w->views[l].k = tensor_4d(k, f, blocks, layer->heads, BLOCK_TOKENS, layer->key_width);
        w->views[l].v = tensor_4d(v, f, blocks, layer->heads, BLOCK_TOKENS, layer->value_width);
    }
    return OK;
}

/* `seqs` sequences with rows / seqs rows each, which are their last ones of `length` positions. */
static Step step_of(World *w, int32_t rows, int32_t seqs, int32_t outs, int32_t length)
{
    int32_t blocks = (int32_t)ceil_div(length, BLOCK_TOKENS), at = 0, each = rows / seqs;
    int32_t *tokens = w->host, *positions = tokens + rows, *row_seq = positions + rows, *lengths = row_seq + rows;
    int32_t *out_rows = lengths + rows, *tables = out_rows + outs;
    for (int32_t r = 0; r < rows; r++) {
        tokens[r] = (int32_t)((uint32_t)r * 2654435761u % (uint32_t)w->m->shape.V);
        positions[r] = length - each + r % each;
        row_seq[r] = r / each;
        lengths[r] = length;
    }
    for (int32_t o = 0; o < outs; o++)
        out_rows[o] = (o + 1) * (rows / outs) - 1;
    for (int32_t i = 0; i < seqs * blocks; i++)
        tables[i] = i;
    at = 4 * rows + outs + seqs * blocks;
    w->gpu->calls->write(w->gpu, w->numbers, w->host, (size_t)at * sizeof(int32_t));
    int32_t *n = w->numbers;
    Step s = {.rows = rows, .seqs = seqs, .outs = outs, .layers = w->views,
              .tokens = tensor_vector(n, &format_i32, rows), .positions = tensor_vector(n + rows, &format_i32, rows),
              .row_seq = tensor_vector(n + 2 * rows, &format_i32, rows),
              .lengths = tensor_vector(n + 3 * rows, &format_i32, rows),
              .out_rows = tensor_vector(n + 4 * rows, &format_i32, outs)};
    for (int l = 0; l < w->m->kv.layers; l++) {
        w->views[l].tables = tensor_of(n + 4 * rows + outs, &format_i32, seqs, blocks);
        w->views[l].positions = s.positions;
        w->views[l].row_seq = s.row_seq;
    }
    return s;
}

static void forward(World *w, const Step *s)
{
    size_t mark = device_mark(w->tally);
    w->model.forward(w->model.model, w->tally, s, tensor_rows(w->logits, 0, s->outs));
    op_choose(w->tally, tensor_rows(w->chosen, 0, s->outs), w->logits, tensor_rows(w->hows, 0, s->outs), NONE, NONE);
    device_release(w->tally, mark);
}

static int by_value(const void *a, const void *b) { return *(const double *)a < *(const double *)b ? -1 : 1; }

/* As the engine does it: a step is queued while the one before it computes, whose tokens are waited for then. */
static void measure(World *w, int32_t rows, int32_t seqs, int32_t length, const char *format)
{
    static Chosen answers[2][SEQUENCES_MAX];
    const Chosen *answer = answers[0];
    double seconds[RUNS], last = 0;
    uint64_t fetched[2];
    OpCost cost = {0};
    int runs = rows > seqs ? PROMPT_RUNS : RUNS;
    for (int i = 0; i <= WARM + runs; i++) {
        if (i < WARM + runs) {
            tally_reset(w->tally);
            Step s = step_of(w, rows, seqs, seqs, length);
            forward(w, &s);
            cost = tally_read(w->tally)->total;
            fetched[i % 2] = device_fetch(w->gpu, answers[i % 2], w->chosen.data, (size_t)seqs * sizeof **answers);
        }
        if (i == 0)
            continue;
        device_await(w->gpu, fetched[(i - 1) % 2]);
        double now = clock_seconds();
        if (i > WARM)
            seconds[i - 1 - WARM] = now - last;
        last = now;
    }
    qsort(seconds, (size_t)runs, sizeof *seconds, by_value);
    double t = seconds[runs / 2], bytes = cost.weight_bytes + cost.cache_bytes;
    printf("{\"format\": \"%s\", \"rows\": %d, \"sequences\": %d, \"context\": %d, \"ms\": %.3f, \"ms_least\": %.3f, "
           "\"tokens_per_second\": %.1f, \"tb_per_second\": %.3f, \"share_of_read\": %.3f, \"tflops\": %.1f, "
           "\"share_of_bf16\": %.3f, \"finite\": %s}\n",
           format, rows, seqs, length, 1e3 * t, 1e3 * seconds[0], rows / t, bytes / t / 1e12,
           bytes / t / w->speeds.read_bytes, cost.operations / t / 1e12, cost.operations / t / w->speeds.bf16_operations,
           answer[0].broken < 0 ? "true" : "false");
    fflush(stdout);
}

static Err make_logits(World *w, Error *err)
{
    static ChooseHow how[SEQUENCES_MAX];
    void *data;
    for (int32_t i = 0; i < SEQUENCES_MAX; i++)
        how[i] = (ChooseHow){.row = i, .mask = -1, .best = CHOOSE_NO_LOGPROBS};
    TRY(take(w, (size_t)SEQUENCES_MAX * (size_t)w->m->shape.V * sizeof(float), &data, err));
    w->logits = tensor_of(data, &format_f32, SEQUENCES_MAX, w->m->shape.V);
    TRY(take(w, sizeof how, &data, err));
    w->hows = tensor_of(data, &format_i32, SEQUENCES_MAX, HOW_WORDS);
    w->gpu->calls->write(w->gpu, data, how, sizeof how);
    TRY(take(w, SEQUENCES_MAX * sizeof(Chosen), &data, err));
    w->chosen = tensor_of(data, &format_i32, SEQUENCES_MAX, CHOSEN_WORDS);
    return OK;
}

static Err plan(World *w, const int32_t *shapes, int count, Error *err)
{
    w->gpu->calls->plan_begin(w->gpu);
    for (int i = 0; i < count; i++) {
        Step s = {.rows = shapes[2 * i], .seqs = shapes[2 * i + 1], .outs = shapes[2 * i + 1], .layers = w->views,
                  .tokens = tensor_vector(w->numbers, &format_i32, shapes[2 * i])};
        int32_t blocks = (int32_t)ceil_div(w->context, BLOCK_TOKENS);
        s.positions = s.row_seq = s.lengths = s.tokens;
        s.out_rows = tensor_vector(w->numbers, &format_i32, s.outs);
        for (int l = 0; l < w->m->kv.layers; l++) {
            w->views[l].tables = tensor_of(w->numbers, &format_i32, s.seqs, blocks);
            w->views[l].positions = w->views[l].row_seq = s.positions;
        }
        forward(w, &s);
    }
    return w->gpu->calls->plan_end(w->gpu, err);
}

typedef struct Options {
    const char *directory, *format;
    int32_t context, batch[LIST_MAX], prompt[LIST_MAX];
    int batches, prompts;
    bool fast, trace, same;
} Options;

static int read_list(char *text, int32_t *out)
{
    int n = 0;
    for (char *at = strtok(text, ","); at && n < LIST_MAX; at = strtok(NULL, ","))
        out[n++] = atoi(at);
    return n;
}

static Options options_of(int argc, char **argv)
{
    Options o = {.directory = argc > 1 ? argv[1] : NULL, .format = "BF16", .context = 1024};
    for (int i = 2; i < argc; i++)
        if (!strcmp(argv[i], "--fast"))
            o.fast = true;
        else if (!strcmp(argv[i], "--trace"))
            o.trace = true;
        else if (!strcmp(argv[i], "--same"))
            o.same = true;
        else if (i + 1 < argc && !strcmp(argv[i], "-f"))
            o.format = argv[++i];
        else if (i + 1 < argc && !strcmp(argv[i], "-c"))
            o.context = atoi(argv[++i]);
        else if (i + 1 < argc && !strcmp(argv[i], "-b"))
            o.batches = read_list(argv[++i], o.batch);
        else if (i + 1 < argc && !strcmp(argv[i], "-p"))
            o.prompts = read_list(argv[++i], o.prompt);
    return o;
}

static Err run_all(World *w, const Options *o, Error *err)
{
    Package package;
    RandomDevice random;
    Model *model;
    Device *tracer = NULL;
    int32_t shapes[4 * LIST_MAX], count = 0;
    int64_t positions = 0, numbers = 0;
    const Format *format = format_find(o->format);
    if (!format)
        return fail(err, BAD_ARGUMENT, "no format %s", o->format);
    TRY(package_open(&package, o->directory, err));
    TRY(model_open(&package.checkpoint, random_device(&random, w->gpu, format), NULL, &model, err));
    w->m = model;
    w->model = engine_model(model);
    TRY(tally_open(w->gpu, &w->tally, err));
    if (o->trace) {
        TRY(trace_open(w->gpu, NULL, &tracer, err));
        TRY(tally_open(tracer, &w->tally, err));
    }
    w->context = o->context;
    for (int i = 0; i < o->batches + o->prompts; i++) {
        int32_t rows = i < o->batches ? o->batch[i] : o->prompt[i - o->batches], seqs = i < o->batches ? rows : 1;
        shapes[count++] = rows, shapes[count++] = seqs;
        int64_t all = i < o->batches ? (int64_t)rows * (o->context + BLOCK_TOKENS) : rows + BLOCK_TOKENS;
        positions = max_i64(positions, all);
        numbers = max_i64(numbers, 5 * (int64_t)rows + all);
        w->context = (int32_t)max_i64(w->context, i < o->batches ? 0 : rows);
    }
    void *data;
    w->host = calloc((size_t)numbers, sizeof(int32_t));
    TRY(take(w, (size_t)numbers * sizeof(int32_t), &data, err));
    w->numbers = data;
    TRY(make_cache(w, positions, err));
    TRY(make_logits(w, err));
    TRY(plan(w, shapes, count / 2, err));
    for (int i = 0; i < o->batches; i++)
        measure(w, o->batch[i], o->batch[i], o->context, o->format);
    for (int i = 0; i < o->prompts; i++)
        measure(w, o->prompt[i], 1, o->prompt[i], o->format);
    if (tracer)
        trace_print(tracer, NULL, stdout);
    const Error *trouble = device_trouble(w->gpu);
    return trouble ? fail(err, trouble->code, "%s", trouble->text) : OK;
}

int main(int argc, char **argv)
{
    static World w;
    Error err;
    Options o = options_of(argc, argv);
    if (cuda_device_open(&(CudaOptions){.exact = !o.fast, .same = o.same}, &w.gpu, &err) != OK ||
        cuda_speeds(w.gpu, &w.speeds, &err) != OK) {
        fprintf(stderr, "gpu: %s\n", err.text);
        return 1;
    }
    printf("{\"gpu\": \"%s\", \"read_gb_per_second\": %.1f, \"bf16_tflops\": %.1f, \"products\": \"%s\"}\n",
           cuda_device_title(w.gpu), w.speeds.read_bytes / 1e9, w.speeds.bf16_operations / 1e12,
           o.same ? "same" : o.fast ? "bf16" : "exact");
    if (o.directory && run_all(&w, &o, &err) != OK) {
        fprintf(stderr, "gpu: %s\n", err.text);
        return 1;
    }
    return 0;
}

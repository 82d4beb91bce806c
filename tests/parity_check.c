#include "parity_check.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cache/kv_report.h"
#include "devices/cpu/cpu_device.h"
#include "devices/cuda/cuda_device.h"
#include "engine/engine.h"
#include "model/package.h"
#include "parity_refine.h"
#include "tools/convert.h"

enum { PROMPTS_MAX = 16, TOKENS_MAX = 512, GREEDY_MAX = 64 };
static const double NEAR = 1.0 / 64;

typedef struct Prompt {
    int32_t ids[TOKENS_MAX], count;
    const json_t *greedy, *margins; /* margins NULL: one number for all steps, or our own */
    double margin; /* 0: not told */
    const StoreTensor *expected; /* logits of the last rows of the prompt ... */
    int32_t first, rows; /* ... these rows of the tensor */
    float *logits;
    Request *request;
    int32_t got[GREEDY_MAX], got_count;
    double got_margin[GREEDY_MAX];
} Prompt;

typedef struct Fixture {
    char folder[PATH_MAX]; /* what is opened: links to the fixture, or a GGUF made of it */
    Package package;
    Device *device;
    Model *model;
    Engine *engine;
    Store *expected;
    json_t *plan;
    Prompt prompts[PROMPTS_MAX];
    int count;
} Fixture;

/* ---- what is expected ---- */

/* row: the only one in the tensor that is this prompt's; -1: all are. */
static Err add_prompt(Fixture *f, const json_t *ids, const json_t *greedy, const char *tensor, int32_t row, Error *err)
{
    Prompt *p = &f->prompts[f->count++];
    ASSERT(f->count <= PROMPTS_MAX && json_array_size(ids) <= TOKENS_MAX && json_array_size(greedy) <= GREEDY_MAX);
    *p = (Prompt){.count = (int32_t)json_array_size(ids), .greedy = greedy, .first = row < 0 ? 0 : row};
    for (int32_t i = 0; i < p->count; i++)
        p->ids[i] = (int32_t)json_integer_value(json_array_get(ids, (size_t)i));
    p->expected = store_find(f->expected, tensor);
    if (!p->expected || p->count == 0 || json_array_size(greedy) == 0)
        return fail(err, BAD_FILE, "the fixture has no tensor '%s', or no prompt or tokens for it", tensor);
    int64_t rows = store_tensor_elems(p->expected) / f->model->shape.V;
    p->rows = row < 0 ? (int32_t)rows : 1;
    ASSERT(p->first + p->rows <= rows);
    p->logits = calloc((size_t)p->rows * (size_t)f->model->shape.V, sizeof(float));
    return p->logits ? OK : fail(err, NO_MEMORY, "no memory for logits");
}

static Err add_part(Fixture *f, const char *name, const char *tensor, Error *err)
{
    const json_t *part = json_object_get(f->plan, name);
    TRY(add_prompt(f, json_object_get(part, "input_ids"), json_object_get(part, "greedy"), tensor, -1, err));
    f->prompts[f->count - 1].margins = json_object_get(part, "greedy_margins");
    return OK;
}

static Err add_batch(Fixture *f, Error *err)
{
    size_t i;
    json_t *ids, *batch = json_object_get(f->plan, "batch");
    json_array_foreach(json_object_get(batch, "input_ids"), i, ids)
    {
        const json_t *greedy = json_array_get(json_object_get(batch, "greedy"), i);
        TRY(add_prompt(f, ids, greedy, "batch_logits_last", (int32_t)i, err));
    }
    return OK;
}

static Err add_ragged(Fixture *f, Error *err)
{
    size_t i;
    json_t *part;
    json_array_foreach(json_object_get(f->plan, "ragged"), i, part)
    {
        char tensor[64];
        snprintf(tensor, sizeof tensor, "ragged%zu_logits_last", i);
        TRY(add_prompt(f, json_object_get(part, "input_ids"), json_object_get(part, "greedy"), tensor, -1, err));
        f->prompts[f->count - 1].margin = json_number_value(json_object_get(part, "min_margin"));
    }
    return OK;
}

/* ---- running ---- */

static Err submit_all(Fixture *f, Error *err)
{
    for (int i = 0; i < f->count; i++) {
        Prompt *p = &f->prompts[i];
        RequestOptions options = {.prompt = p->ids,
                                  .prompt_count = p->count,
                                  .max_tokens = (int32_t)json_array_size(p->greedy),
                                  .sampling = sampler_options_greedy(),
                                  .prompt_logprobs = true,
                                  .logits = p->logits,
                                  .score_from = p->count - p->rows};
        options.sampling.logprobs = 2;
        TRY(engine_submit(f->engine, &options, &p->request, err));
    }
    return OK;
}

static void take_token(Prompt *p, const Sampled *token)
{
    p->got_margin[p->got_count] =
        token->best_count > 1 ? (double)token->best[0].logprob - (double)token->best[1].logprob : INFINITY;
    p->got[p->got_count++] = token->id;
}

static Err run_all(Fixture *f, Error *err)
{
    int open = f->count;
    Event event;
    TRY(submit_all(f, err));
    while (open) {
        engine_step(f->engine);
        for (int i = 0; i < f->count; i++)
            while (request_next(f->prompts[i].request, &event)) {
                Prompt *p = &f->prompts[i];
                if (event.kind == EVENT_TOKEN)
                    take_token(p, &event.token);
                if (event.kind == EVENT_END && event.reason == END_ERROR)
                    return fail(err, BAD_FILE, "%s", request_error(p->request));
                open -= event.kind == EVENT_END;
            }
    }
    return OK;
}

static double margin_of(const Prompt *p, int32_t step)
{
    if (p->margins)
        return json_number_value(json_array_get(p->margins, (size_t)step));
    return p->margin > 0 ? p->margin : step < p->got_count ? p->got_margin[step] : INFINITY;
}

static double largest_logit(const Prompt *p, int32_t V)
{
    double largest = 0;
    for (int64_t i = 0; i < (int64_t)p->rows * V; i++) {
        float value;
        memcpy(&value, p->expected->bytes.data + 4 * ((int64_t)p->first * V + i), 4);
        largest = fmax(largest, fabs((double)value));
    }
    return largest;
}

static void judge(const Prompt *p, int32_t V, ParityResult *result)
{
    for (int64_t i = 0; i < (int64_t)p->rows * V; i++) {
        float value;
        memcpy(&value, p->expected->bytes.data + 4 * ((int64_t)p->first * V + i), 4);
        double difference = fabs((double)value - (double)p->logits[i]);
        result->worst = fmax(result->worst, isnan(difference) ? INFINITY : difference);
    }
    for (int32_t i = 0; i < (int32_t)json_array_size(p->greedy); i++) {
        if (margin_of(p, i) <= 2 * result->tolerance)
            return; /* a near tie: from here on another text is as good */
        result->tokens_checked++;
        result->tokens_right +=
            i < p->got_count && p->got[i] == json_integer_value(json_array_get(p->greedy, (size_t)i));
    }
}

/* The kinds of cache that the prompts went through. */
static void name_kept(const Model *m, char *out, size_t bytes)
{
    KvReport *r = malloc(sizeof *r);
    size_t used = 0;
    if (r && kv_report_init(r, &m->shape, &m->kv, &format_f32, NULL) == OK)
        for (int32_t i = 0; i < r->lines && used < bytes; i++)
            used += (size_t)snprintf(out + used, bytes - used, "%s%s", i ? ", " : "", r->line[i].kind);
    free(r);
}

/* ---- opening ---- */

static Err link_files(const char *directory, const char *folder, bool hub, Error *err)
{
    static const char *const files[][2] = {{"model.safetensors", "model.safetensors"}, {"config.json", "config.json"}};
    char from[PATH_MAX], to[PATH_MAX + 32], resolved[PATH_MAX];
    if (!realpath(directory, resolved))
        return fail(err, NOT_FOUND, "%s: is not there", directory);
    for (size_t i = 0; i < COUNT_OF(files); i++) {
        const char *name = hub && i == 1 ? "config.hub.json" : files[i][0];
        if (snprintf(from, sizeof from, "%s/%s", resolved, name) >= (int)sizeof from)
            return fail(err, BAD_ARGUMENT, "%s: is too long a path", directory);
        snprintf(to, sizeof to, "%s/%s", folder, files[i][1]);
        if (symlink(from, to) != 0)
            return fail(err, IO_FAILED, "%s: cannot be linked", from);
    }
    return OK;
}

static void remove_files(const char *folder)
{
    static const char *const names[] = {"model.safetensors", "config.json", "model.gguf"};
    char path[PATH_MAX + 32];
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        unlink(path);
    }
    rmdir(folder);
}

/* Replaces the open checkpoint by a GGUF made of it. */
static Err through_gguf(Fixture *f, Error *err)
{
    char path[PATH_MAX + 32];
    ConvertReport report;
    snprintf(path, sizeof path, "%s/model.gguf", f->folder);
    ConvertOptions options = {.format = &format_f32, .threads = 1};
    TRY(convert_model(&f->package, &options, path, NULL, &report, err));
    package_close(&f->package);
    return package_open(&f->package, path, err);
}

static Err open_fixture(Fixture *f, const char *directory, const ParityWay *way, Error *err)
{
    char path[PATH_MAX];
    TRY(link_files(directory, f->folder, way->hub, err));
    TRY(package_open(&f->package, f->folder, err));
    if (way->gguf)
        TRY(through_gguf(f, err));
    TRY(way->gpu ? cuda_device_open(&(CudaOptions){.exact = !way->near}, &f->device, err)
                 : cpu_device_open(&(CpuOptions){.tier = way->tier, .threads = 2}, &f->device, err));
    TRY(model_open(&f->package.checkpoint, f->device, NULL, &f->model, err));
    snprintf(path, sizeof path, "%s/expected.json", directory);
    TRY(json_read_file(path, 16 << 20, &f->plan, err));
    snprintf(path, sizeof path, "%s/expected.safetensors", directory);
    TRY(store_open(path, &f->expected, err));
    if (f->model->shape.bidirectional) /* has a loop of its own */
        return OK;
    EngineOptions options = engine_options_default();
    options.sequences = PROMPTS_MAX;
    options.rows = way->rows;
    options.logit_rows = PROMPTS_MAX;
    options.block_tokens = way->block_tokens;
    options.cache_format = &format_f32;
    EngineModel model = engine_model(f->model);
    return engine_new(&f->engine, &options, &model, f->device, err);
}

static Err check(Fixture *f, const char *directory, const ParityWay *way, ParityResult *result, Error *err)
{
    TRY(open_fixture(f, directory, way, err));
    name_kept(f->model, result->kept, sizeof result->kept);
    result->tolerance = fmax(1e-3, 10 * json_number_value(json_object_get(f->plan, "fp32_vs_fp64_max_abs")));
    if (f->model->shape.bidirectional)
        return parity_refine(f->model, f->device, f->plan, f->expected, way, result, err);
    TRY(add_part(f, "short", "short_logits", err));
    TRY(add_part(f, "long", "long_logits_tail", err));
    TRY(add_batch(f, err));
    TRY(add_ragged(f, err));
    TRY(run_all(f, err));
    for (int i = 0; way->near && i < f->count; i++)
        result->tolerance = fmax(result->tolerance, NEAR * largest_logit(&f->prompts[i], f->model->shape.V));
    for (int i = 0; i < f->count; i++)
        judge(&f->prompts[i], f->model->shape.V, result);
    return OK;
}

static void close_fixture(Fixture *f)
{
    for (int i = 0; i < f->count; i++) {
        request_close(f->prompts[i].request);
        free(f->prompts[i].logits);
    }
    engine_free(f->engine);
    json_decref(f->plan);
    store_free(f->expected);
    model_close(f->model);
    device_close(f->device);
    package_close(&f->package);
    remove_files(f->folder);
}

/* NULL: there is this way. */
static const char *no_such_way(const char *directory, const ParityWay *way)
{
    char path[PATH_MAX];
    Checkpoint c;
    snprintf(path, sizeof path, "%s/config.hub.json", directory);
    if (way->hub && !file_exists(path))
        return "there is only one config";
    if (!way->gguf || checkpoint_open(&c, directory, NULL) != OK)
        return NULL;
    const Arch *arch = arch_find(c.keys.family);
    bool has = !arch || arch_gguf_name(arch, c.keys.family);
    checkpoint_close(&c);
    return has ? NULL : "GGUF has no name for this family";
}

Err parity_check(const char *directory, const ParityWay *way, ParityResult *result, Error *err)
{
    *result = (ParityResult){.absent = no_such_way(directory, way)};
    if (result->absent)
        return OK;
    Fixture *f = calloc(1, sizeof *f);
    if (!f)
        return fail(err, NO_MEMORY, "no memory for a fixture");
    snprintf(f->folder, sizeof f->folder, "/tmp/ridge-parity-XXXXXX");
    Err code = mkdtemp(f->folder) ? check(f, directory, way, result, err)
                                  : fail(err, IO_FAILED, "/tmp: no folder can be made");
    close_fixture(f);
    free(f);
    if (code != UNSUPPORTED || !way->gguf || !strstr(err->text, "GGUF has no word for it"))
        return code;
    result->absent = "GGUF has no word for what this config says";
    return OK;
}

bool parity_is_good(const ParityResult *r)
{
    return r->absent || (r->worst <= r->tolerance && r->tokens_right == r->tokens_checked && r->tokens_checked > 0);
}

#include "parity_refine.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/diffusion.h"

enum { TOKENS_MAX = 512, TEXTS_MAX = 16 };

typedef struct Text {
    int32_t ids[TOKENS_MAX], count, rows; /* rows: the last ones, whose logits are expected */
    const StoreTensor *expected;
    int64_t first; /* where they begin in it */
    float *logits;
} Text;

typedef struct Texts {
    Text text[TEXTS_MAX];
    int count;
} Texts;

static int32_t read_ids(const json_t *list, int32_t *out)
{
    int32_t count = (int32_t)json_array_size(list);
    ASSERT(count <= TOKENS_MAX);
    for (int32_t i = 0; i < count; i++)
        out[i] = (int32_t)json_integer_value(json_array_get(list, (size_t)i));
    return count;
}

/* rows 0: as many as the tensor has. */
static Err add(Texts *all, const json_t *ids, const Store *expected, const char *tensor, int32_t row, int32_t rows,
               int32_t V, Error *err)
{
    Text *t = &all->text[all->count++];
    ASSERT(all->count <= TEXTS_MAX);
    *t = (Text){.expected = store_find(expected, tensor), .first = (int64_t)row * V};
    if (!t->expected)
        return fail(err, BAD_FILE, "the fixture has no tensor '%s'", tensor);
    t->count = read_ids(ids, t->ids);
    t->rows = rows ? rows : (int32_t)(store_tensor_elems(t->expected) / V);
    t->logits = calloc((size_t)t->rows * (size_t)V, sizeof(float));
    return t->logits ? OK : fail(err, NO_MEMORY, "no memory for logits");
}

static Err list_texts(Texts *all, const json_t *plan, const Store *expected, int32_t V, Error *err)
{
    static const char *const parts[][2] = {
        {"short", "short_logits"}, {"masked", "masked_logits"}, {"long", "long_logits_tail"}};
    size_t i;
    json_t *ids;
    for (i = 0; i < COUNT_OF(parts); i++) {
        ids = json_object_get(json_object_get(plan, parts[i][0]), "input_ids");
        TRY(add(all, ids, expected, parts[i][1], 0, 0, V, err));
    }
    json_array_foreach(json_object_get(json_object_get(plan, "batch"), "input_ids"), i, ids)
        TRY(add(all, ids, expected, "batch_logits_last", (int32_t)i, 1, V, err));
    return OK;
}

static Err judge_logits(Diffusion *d, const Texts *all, int32_t V, ParityResult *result, Error *err)
{
    DiffusionText texts[TEXTS_MAX];
    for (int i = 0; i < all->count; i++) {
        const Text *t = &all->text[i];
        texts[i] = (DiffusionText){t->ids, t->count, t->count - t->rows, t->logits};
    }
    TRY(diffusion_logits(d, texts, all->count, err));
    for (int i = 0; i < all->count; i++)
        for (int64_t e = 0; e < (int64_t)all->text[i].rows * V; e++) {
            float value;
            memcpy(&value, all->text[i].expected->bytes.data + 4 * (all->text[i].first + e), 4);
            double difference = fabs((double)value - all->text[i].logits[e]);
            result->worst = fmax(result->worst, isnan(difference) ? INFINITY : difference);
        }
    return OK;
}

static int32_t number(const json_t *plan, const char *name)
{
    return (int32_t)json_integer_value(json_object_get(plan, name));
}

/* Refined twice at once, so that a batch is part of what is checked; each step's tokens count. */
static Err judge_tokens(Diffusion *d, const json_t *plan, ParityResult *result, Error *err)
{
    int32_t prompt[TOKENS_MAX];
    RefineOptions options = {.prompt = prompt,
                             .prompt_count = read_ids(json_object_get(plan, "prompt"), prompt),
                             .length = number(plan, "gen_length"),
                             .block = number(plan, "block_length"),
                             .steps = number(plan, "steps"),
                             .remask = REMASK_LOW_CONFIDENCE,
                             .sampling = sampler_options_greedy()};
    const json_t *after = json_object_get(plan, "after_each_step");
    Refinement *r[2];
    if (options.steps != (int32_t)json_array_size(after))
        return fail(err, BAD_FILE, "the fixture says %d steps and lists %zu", options.steps, json_array_size(after));
    TRY(diffusion_begin(d, &options, &r[0], err));
    TRY(diffusion_begin(d, &options, &r[1], err));
    while (diffusion_step(d))
        for (int i = 0; i < 2; i++) {
            const json_t *tokens = json_array_get(after, (size_t)r[i]->step - 1);
            if (r[i]->error.code != OK)
                return fail(err, BAD_FILE, "%s", r[i]->error.text);
            for (int32_t t = 0; t < r[i]->total; t++) {
                result->tokens_checked++;
                result->tokens_right += r[i]->tokens[t] == json_integer_value(json_array_get(tokens, (size_t)t));
            }
        }
    diffusion_end(d, r[0]);
    diffusion_end(d, r[1]);
    return OK;
}

static Err check_shape(const Model *m, const json_t *plan, Error *err)
{
    if (m->shape.mask_id != number(plan, "mask_token_id") || m->shape.logits_shift != number(plan, "logits_shift"))
        return fail(err, BAD_FILE, "mask %d and shift %d are read, %d and %d expected", m->shape.mask_id,
                    m->shape.logits_shift, number(plan, "mask_token_id"), number(plan, "logits_shift"));
    return OK;
}

Err parity_refine(const Model *m, Device *device, const json_t *plan, const Store *expected, const ParityWay *way,
                  ParityResult *result, Error *err)
{
    Diffusion *d = NULL;
    Texts all = {.count = 0};
    int32_t least = 160; /* a step holds a whole text: the longest here, whatever rows the way asks for */
    DiffusionOptions options = {.sequences = TEXTS_MAX,
                                .context = least,
                                .rows = least + way->rows,
                                .logit_rows = 64,
                                .block_tokens = way->block_tokens,
                                .cache_format = &format_f32};
    EngineModel model = engine_model(m);
    TRY(check_shape(m, plan, err));
    Err code = diffusion_new(&d, &options, &model, device, err);
    if (code == OK)
        code = list_texts(&all, plan, expected, m->shape.V, err);
    if (code == OK)
        code = judge_logits(d, &all, m->shape.V, result, err);
    if (code == OK)
        code = judge_tokens(d, json_object_get(plan, "denoise"), result, err);
    for (int i = 0; i < all.count; i++)
        free(all.text[i].logits);
    diffusion_free(d);
    return code;
}

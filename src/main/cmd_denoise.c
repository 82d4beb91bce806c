/* cmd_denoise.c -- ridge denoise: measures a diffusion model. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file_map.h"
#include "main/refine.h"
#include "main/sampling_flags.h"
#include "main/session.h"
#include "tools/denoise.h"
#include "tools/score_lines.h"

typedef struct DenoiseFlags {
    const char *file, *jsonl, *suffix;
    int32_t every, first, limit, batch;
    bool json;
} DenoiseFlags;

typedef struct Tasks {
    DenoiseTask *task;
    Encoding *prompt, *expected;     /* of each */
    int32_t count, capacity, longest, longest_answer;
} Tasks;

enum { WINDOW = 256, EVERY = 7, FIRST = 3, BATCH = 16 };

#define AT(field) offsetof(DenoiseFlags, field)
static const Flag own_flags[] = {
    {"--file", "-f", "FILE", FLAG_TEXT, AT(file),
     "the loss on this text: in windows of --context tokens (256) some are masked, and all others given", 0, 0, 0, 0},
    {"--every", NULL, "N", FLAG_INT, AT(every), "of a window, one position in N is masked (7) ...", 2, 1 << 20, 0, 0},
    {"--first", NULL, "I", FLAG_INT, AT(first), "... from this one on (3)", 1, 1 << 20, 0, 0},
    {"--jsonl", NULL, "FILE", FLAG_TEXT, AT(jsonl),
     "answer the prompts of this file, exactly and with the cache: {\"prompt\", \"expected\"} in each line; an answer is "
     "as long as the expected one, or -n tokens",
     0, 0, 0, 0},
    {"--suffix", NULL, "TEXT", FLAG_TEXT, AT(suffix), "known text behind each answer", 0, 0, 0, 0},
    {"--limit", NULL, "N", FLAG_INT, AT(limit), "the first N prompts only; 0: all", 0, 1 << 30, 0, 0},
    {"--batch", NULL, "N", FLAG_INT, AT(batch), "answers that are refined at once (16)", 1, 1024, 0, 0},
    {"--json", NULL, NULL, FLAG_SWITCH, AT(json), "print one JSON object", 0, 0, 0, 0},
};

/* ---- the loss ---- */

static Err print_loss(const InfillSum *sum, const DenoiseFlags *flags, int32_t window, Error *err)
{
    double nats = sum->nats / (double)sum->tokens;
    if (flags->json)
        printf("{\"windows\": %lld, \"context\": %d, \"masked_tokens\": %lld, \"nats_per_masked_token\": %.6f}\n",
               (long long)sum->windows, window, (long long)sum->tokens, nats);
    else
        printf("%lld windows of %d tokens, %lld masked (one in %d): %.5f nats per masked token\n", (long long)sum->windows,
               window, (long long)sum->tokens, flags->every, nats);
    return stdout_flush(err);
}

static Err run_loss(Session *s, ModelFlags model, const DenoiseFlags *flags, Error *err)
{
    FileMap file;
    Encoding text;
    InfillSum sum;
    DiffusionOptions options = diffusion_options_default();
    int32_t window = model.context ? model.context : WINDOW;
    Infill how = {window, flags->every, flags->first};
    options.context = options.logit_rows = window;
    TRY(session_open_diffusion(s, &model, options, err));
    TRY(file_map_init(&file, flags->file, err));
    Err result = tokenizer_encode(s->package.tokenizer, file.span, ENCODE_PARSE_SPECIAL, &text, err);
    if (result == OK)
        result = denoise_infill(s->diffusion, &s->model->shape, &how, text.ids, (int64_t)text.count, &sum, err);
    encoding_deinit(&text);
    file_map_deinit(&file);
    TRY(result);
    return print_loss(&sum, flags, window, err);
}

/* ---- answers ---- */

static void tasks_deinit(Tasks *t)
{
    for (int32_t i = 0; i < t->count; i++) {
        encoding_deinit(&t->prompt[i]);
        encoding_deinit(&t->expected[i]);
        free(t->task[i].answer);
    }
    free(t->task);
    free(t->prompt);
    free(t->expected);
}

static Err tasks_grow(Tasks *t, Error *err)
{
    if (t->count < t->capacity)
        return OK;
    int32_t capacity = t->capacity ? 2 * t->capacity : 256;
    DenoiseTask *task = realloc(t->task, (size_t)capacity * sizeof *task);
    t->task = task ? task : t->task;
    Encoding *prompt = realloc(t->prompt, (size_t)capacity * sizeof *prompt);
    t->prompt = prompt ? prompt : t->prompt;
    Encoding *expected = realloc(t->expected, (size_t)capacity * sizeof *expected);
    t->expected = expected ? expected : t->expected;
    if (!task || !prompt || !expected)
        return fail(err, NO_MEMORY, "no memory for %d tasks", capacity);
    t->capacity = capacity;
    return OK;
}

/* length NOT_GIVEN: that of the expected answer. */
static Err add_task(Tasks *t, const Session *s, const ScoreLine *line, int32_t length, Error *err)
{
    TRY(tasks_grow(t, err));
    int32_t i = t->count++;
    t->task[i] = (DenoiseTask){.prompt = NULL};
    t->prompt[i] = t->expected[i] = (Encoding){0};
    TRY(tokenizer_encode(s->package.tokenizer, line->prompt, ENCODE_PARSE_SPECIAL, &t->prompt[i], err));
    TRY(tokenizer_encode(s->package.tokenizer, line->text, ENCODE_PARSE_SPECIAL, &t->expected[i], err));
    t->task[i] = (DenoiseTask){.prompt = t->prompt[i].ids, .prompt_count = (int32_t)t->prompt[i].count,
                               .expected = t->expected[i].ids, .expected_count = (int32_t)t->expected[i].count,
                               .length = length == NOT_GIVEN ? (int32_t)t->expected[i].count : length};
    DenoiseTask *task = &t->task[i];
    if (task->length < 1)
        return fail(err, BAD_ARGUMENT, "an answer of %d tokens; it must have at least one", task->length);
    task->answer = calloc((size_t)task->length, sizeof *task->answer);
    t->longest_answer = task->length > t->longest_answer ? task->length : t->longest_answer;
    int32_t total = task->prompt_count + task->length;
    t->longest = total > t->longest ? total : t->longest;
    return task->answer ? OK : fail(err, NO_MEMORY, "no memory for an answer of %d tokens", task->length);
}

static Err read_tasks(Tasks *t, const Session *s, const DenoiseFlags *flags, int32_t length, Error *err)
{
    FileMap file;
    TRY(file_map_init(&file, flags->jsonl, err));
    ScoreLines lines = {.name = flags->jsonl, .rest = file.span};
    Err result = OK;
    for (bool more = true; result == OK && (!flags->limit || t->count < flags->limit);) {
        ScoreLine line;
        result = score_lines_next(&lines, &line, &more, err);
        if (result != OK || !more)
            break;
        result = add_task(t, s, &line, length, err);
        score_line_deinit(&line);
    }
    file_map_deinit(&file);
    if (result == OK && t->count == 0)
        return fail(err, BAD_FILE, "%s: has no task", flags->jsonl);
    return result;
}

/* One way to compute, and how its answers compare with the exact ones. */
typedef struct Way {
    const char *name;
    RefineCache cache;
    DenoiseFigures figures;
    int64_t same_tokens, same_answers;
} Way;

static void compare(Way *way, const Tasks *t, const int32_t *exact)
{
    for (int32_t i = 0; i < t->count; exact += t->task[i++].length) {
        const DenoiseTask *task = &t->task[i];
        int32_t same = 0;
        for (int32_t j = 0; j < task->length; j++)
            same += task->answer[j] == exact[j];
        way->same_tokens += same;
        way->same_answers += same == task->length;
    }
}

static int32_t *keep_answers(const Tasks *t)
{
    size_t at = 0, all = 1;
    for (int32_t i = 0; i < t->count; i++)
        all += (size_t)t->task[i].length;
    int32_t *kept = malloc(all * sizeof *kept);
    for (int32_t i = 0; kept && i < t->count; at += (size_t)t->task[i++].length)
        memcpy(kept + at, t->task[i].answer, (size_t)t->task[i].length * sizeof *kept);
    return kept;
}

static Err run_ways(Session *s, const Tasks *t, RefineOptions o, Way *ways, int count, Error *err)
{
    int32_t *exact = NULL;
    Err result = OK;
    for (int i = 0; i < count && result == OK; i++) {
        o.cache = ways[i].cache;
        result = denoise_tasks(s->diffusion, t->task, t->count, &o, &ways[i].figures, err);
        if (result == OK && i == 0 && !(exact = keep_answers(t)))
            result = fail(err, NO_MEMORY, "no memory for %d answers", t->count);
        if (result == OK)
            compare(&ways[i], t, exact);
    }
    free(exact);
    return result;
}

static double share(int64_t part, int64_t whole) { return whole ? 100.0 * (double)part / (double)whole : 0; }

static void print_table(const Way *ways, int count, const Tasks *t)
{
    printf("cache    answers    right     steps  rows/step  ms/token  tokens as exact  answers as exact\n");
    for (int i = 0; i < count; i++) {
        const DenoiseFigures *f = &ways[i].figures;
        printf("%-8s %7d %6.1f %% %9lld %10.1f %9.3f %14.1f %% %15.1f %%\n", ways[i].name, t->count,
               share(f->right, f->questions), (long long)f->steps, (double)f->rows / (double)f->steps,
               1e3 * f->seconds / (double)f->tokens, share(ways[i].same_tokens, f->tokens),
               share(ways[i].same_answers, t->count));
    }
}

static void print_ways_json(const Way *ways, int count, const Tasks *t)
{
    json_t *list = json_array();
    for (int i = 0; i < count; i++) {
        const DenoiseFigures *f = &ways[i].figures;
        json_array_append_new(
            list, json_pack("{s:s, s:i, s:I, s:I, s:I, s:f, s:f, s:f, s:f}", "cache", ways[i].name, "answers", t->count,
                            "right", (json_int_t)f->right, "tokens", (json_int_t)f->tokens, "steps", (json_int_t)f->steps,
                            "rows_per_step", (double)f->rows / (double)f->steps, "ms_per_token",
                            1e3 * f->seconds / (double)f->tokens, "tokens_as_exact",
                            share(ways[i].same_tokens, f->tokens) / 100, "answers_as_exact",
                            share(ways[i].same_answers, t->count) / 100));
    }
    json_dumpf(list, stdout, JSON_COMPACT);
    putchar('\n');
    json_decref(list);
}

static Err start(Session *s, const ModelFlags *model, const Tasks *t, const RefineOptions *o, const DenoiseFlags *flags,
                 Error *err)
{
    DiffusionOptions d = diffusion_options_default();
    int32_t limit = session_context(s, model);
    d.sequences = flags->batch;
    d.context = t->longest + o->suffix_count;
    if (d.context > limit)
        return fail(err, NO_MEMORY, "the longest prompt, answer and suffix have %d tokens; the context is %d", d.context,
                    limit);
    d.rows = d.context * flags->batch;
    d.logit_rows = (o->block ? o->block : t->longest_answer) * flags->batch;
    return session_open_diffusion(s, model, d, err);
}

static Err answer(Session *s, const ModelFlags *model, const DenoiseFlags *flags, const RefineFlags *how,
                  const SamplingOptions *sampling, Tasks *t, const Encoding *suffix, Error *err)
{
    Way ways[] = {{.name = "none", .cache = REFINE_EXACT}, {.name = "prefix", .cache = REFINE_PREFIX}};
    RefineOptions o = {.suffix = suffix->ids, .suffix_count = (int32_t)suffix->count, .sampling = sampling->sampler,
                       .block = how->block == NOT_GIVEN ? 0 : how->block, .steps = how->steps == NOT_GIVEN ? 0 : how->steps,
                       .remask = how->remask == NOT_GIVEN ? REMASK_LOW_CONFIDENCE : (Remask)how->remask,
                       .remask_temperature = isnan(how->remask_temperature) ? 0 : how->remask_temperature};
    TRY(start(s, model, t, &o, flags, err));
    TRY(run_ways(s, t, o, ways, COUNT_OF(ways), err));
    (flags->json ? print_ways_json : print_table)(ways, COUNT_OF(ways), t);
    return stdout_flush(err);
}

static Err run_tasks(Session *s, const ModelFlags *model, const DenoiseFlags *flags, const RefineFlags *how,
                     const SamplingFlags *sampling, Error *err)
{
    Tasks t = {0};
    Encoding suffix = {0};
    SamplingOptions options;
    SamplerDefaults greedy = {.options = sampler_options_greedy(), .max_tokens = -1};
    TRY(sampling_options(sampling, &greedy, s->model->shape.V, &options, err));
    Err result = read_tasks(&t, s, flags, sampling->max_tokens, err);
    if (result == OK && flags->suffix)
        result = tokenizer_encode(s->package.tokenizer, span_text(flags->suffix), ENCODE_PARSE_SPECIAL, &suffix, err);
    if (result == OK)
        result = answer(s, model, flags, how, &options, &t, &suffix, err);
    encoding_deinit(&suffix);
    tasks_deinit(&t);
    return result;
}

/* ---- the command ---- */

static Err work(const ModelFlags *model, const DenoiseFlags *flags, const RefineFlags *how, const SamplingFlags *sampling,
                Error *err)
{
    Session s;
    Error closing;
    if (!flags->file == !flags->jsonl)
        return fail(err, BAD_ARGUMENT, "give -f TEXT for the loss, or --jsonl FILE for answers");
    TRY(session_open_model(&s, model, err));
    Err result = OK;
    if (!s.model->shape.bidirectional)
        result = fail(err, BAD_ARGUMENT, "family '%s' is no diffusion model; `ridge score` measures it", s.model->shape.family);
    else if (!s.package.tokenizer)
        result = fail(err, BAD_ARGUMENT, "%s: has no tokenizer", s.package.path);
    if (result == OK)
        result = flags->file ? run_loss(&s, *model, flags, err) : run_tasks(&s, model, flags, how, sampling, err);
    Err closed = session_close(&s, result == OK ? err : &closing);
    return result == OK ? closed : result;
}

static int run(int argc, char **argv);
enum { DENOISE_REFINE_FLAGS = CHAT_REFINE_FLAGS - 1 }; /* the cache is what is compared */
static const FlagGroup groups[] = {FLAG_GROUP("what to measure", own_flags, NULL),
                                   {REFINE_TITLE, refine_flags, DENOISE_REFINE_FLAGS, NULL},
                                   {"sampling", sampling_flags, SAMPLING_FLAGS, NULL},
                                   MODEL_GROUP(NULL),
                                   {0}};
const Command command_denoise = {
    .name = "denoise",
    .arguments = "-m MODEL (-f TEXT | --jsonl FILE) [options]",
    .summary = "how well a diffusion model fills in, and what its cache changes",
    .description =
        "Measures a diffusion model (LLaDA, Dream). -f gives the loss on a text: every 7th token is masked and all others "
        "are given. --jsonl answers prompts twice, computing the whole text in each step and with the prefix cache, and "
        "tells how many answers are right, how fast each way is, and how many tokens and answers agree with the exact "
        "ones. Answers are greedy unless --temperature says otherwise; without -n the length of the expected answer is "
        "given to the model, which finds it as one block, a token a step.",
    .examples = "  ridge denoise -m llada -f book.txt\n"
                "  ridge denoise -m llada --jsonl questions.jsonl -n 64 --block-length 16 --steps 32\n",
    .groups = groups,
    .run = run,
};

static int run(int argc, char **argv)
{
    Error err;
    DenoiseFlags flags = {.every = EVERY, .first = FIRST, .batch = BATCH};
    RefineFlags how = refine_flags_none();
    SamplingFlags sampling = sampling_flags_none();
    ModelFlags model = model_flags_default();
    int status, word_count;
    const FlagGroup filled[] = {FLAG_GROUP("what to measure", own_flags, &flags),
                                {REFINE_TITLE, refine_flags, DENOISE_REFINE_FLAGS, &how},
                                {"sampling", sampling_flags, SAMPLING_FLAGS, &sampling},
                                MODEL_GROUP(&model),
                                {0}};
    if (!command_begin(&command_denoise, filled, argc, argv, NULL, 0, &word_count, &status))
        return status;
    return work(&model, &flags, &how, &sampling, &err) == OK ? 0 : command_fail(&err);
}

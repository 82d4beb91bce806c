/* cmd_logits.c -- ridge logits: what the model says, as numbers. For people who port a model. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "main/id_list.h"
#include "main/session.h"
#include "store/safetensors_write.h"

typedef struct LogitsFlags {
    const char *ids, *ids_file, *out;
    int32_t last, greedy, chunk;
    bool json;
} LogitsFlags;

typedef struct Result {
    IdList prompt;
    int32_t kept; /* rows of logits: those of the prompt's last positions */
    float *logits; /* [kept, V] */
    int32_t *greedy, greedy_count;
} Result;

#define AT(field) offsetof(LogitsFlags, field)
static const Flag own_flags[] = {
    {"--ids", NULL, "1,2,3", FLAG_TEXT, AT(ids), "the prompt, as token ids", 0, 0, 0, 0},
    {"--ids-file", NULL, "FILE", FLAG_TEXT, AT(ids_file), "the same, from a file: numbers with commas or spaces", 0, 0,
     0, 0},
    {"--last", NULL, "K", FLAG_INT, AT(last), "logits of the last K positions only; 0: of all", 0, 1 << 28, 0, 0},
    {"--greedy", NULL, "N", FLAG_INT, AT(greedy), "then the N likeliest tokens, one after another", 0, 1 << 28, 0, 0},
    {"--chunk", NULL, "C", FLAG_INT, AT(chunk), "positions of the prompt that are computed in one step", 1, 1 << 20, 0,
     0},
    {"--out", "-o", "FILE", FLAG_TEXT, AT(out), "write a safetensors file: logits [K, V] F32, ids and greedy I32", 0, 0,
     0, 0},
    {"--json", NULL, NULL, FLAG_SWITCH, AT(json), "print {\"ids\", \"logits\", \"greedy\"}", 0, 0, 0, 0},
};

static Err load_ids(Result *r, const LogitsFlags *flags, Error *err)
{
    if (flags->ids && flags->ids_file)
        return fail(err, BAD_ARGUMENT, "give --ids or --ids-file, not both");
    Buf text;
    TRY(text_input(flags->ids, flags->ids_file, &text, err));
    Err result = id_list_read(&r->prompt, text.data, INT32_MAX, err);
    buf_deinit(&text);
    if (result == OK && r->prompt.count == 0)
        return fail(err, BAD_ARGUMENT, "the prompt is empty; give token ids with --ids or --ids-file");
    return result;
}

static Err take_room(Result *r, const LogitsFlags *flags, int32_t V, Error *err)
{
    r->kept = flags->last && flags->last < r->prompt.count ? flags->last : r->prompt.count;
    r->logits = malloc((size_t)r->kept * (size_t)V * sizeof *r->logits);
    r->greedy = malloc(((size_t)flags->greedy + 1) * sizeof *r->greedy);
    if (!r->logits || !r->greedy)
        return fail(err, NO_MEMORY, "no memory for logits of %d positions of %d values; --last K keeps fewer", r->kept,
                    V);
    return OK;
}

static Err compute(Session *s, const LogitsFlags *flags, Result *r, Error *err)
{
    RequestOptions options = {.prompt = r->prompt.ids,
                              .prompt_count = r->prompt.count,
                              .max_tokens = flags->greedy,
                              .sampling = sampler_options_greedy(),
                              .prompt_logprobs = true,
                              .score_from = r->prompt.count - r->kept,
                              .logits = r->logits};
    Request *request;
    TRY(engine_submit(s->engine, &options, &request, err));
    Event event;
    Err result = OK;
    while (!request_ended(request)) {
        if (!request_next(request, &event)) {
            engine_step(s->engine);
            continue;
        }
        if (event.kind == EVENT_TOKEN)
            r->greedy[r->greedy_count++] = event.token.id;
        if (event.kind == EVENT_END && event.reason == END_ERROR)
            result = fail(err, BAD_FILE, "%s", request_error(request));
    }
    request_close(request);
    return result;
}

/* A model that sees both ways: one step holds all. */
static Err compute_whole(Session *s, const ModelFlags *model, const LogitsFlags *flags, Result *r, Error *err)
{
    if (flags->greedy)
        return fail(err, BAD_ARGUMENT, "--greedy: family '%s' is a diffusion model and continues nothing token by token; "
                    "`ridge run` refines an answer", s->model->shape.family);
    DiffusionOptions options = diffusion_options_default();
    options.context = r->prompt.count;
    options.logit_rows = r->kept;
    TRY(session_open_diffusion(s, model, options, err));
    DiffusionText text = {r->prompt.ids, r->prompt.count, r->prompt.count - r->kept, r->logits};
    return diffusion_logits(s->diffusion, &text, 1, err);
}

static void print_ids(const char *name, const int32_t *ids, int32_t n)
{
    printf("\"%s\": [", name);
    for (int32_t i = 0; i < n; i++)
        printf("%s%d", i ? ", " : "", ids[i]);
    fputs("]", stdout);
}

static void print_json(const Result *r, int32_t V)
{
    fputs("{", stdout);
    print_ids("ids", r->prompt.ids, r->prompt.count);
    fputs(", \"logits\": [", stdout);
    for (int32_t row = 0; row < r->kept; row++) {
        fputs(row ? ",\n[" : "\n[", stdout);
        for (int32_t i = 0; i < V; i++)
            printf("%s%.9g", i ? ", " : "", r->logits[(size_t)row * (size_t)V + (size_t)i]);
        fputs("]", stdout);
    }
    fputs("],\n", stdout);
    print_ids("greedy", r->greedy, r->greedy_count);
    fputs("}\n", stdout);
}

static Err write_file(const Result *r, const char *path, int32_t V, Error *err)
{
    SafetensorsItem tensors[] = {
        {.name = "logits", .format = &format_f32, .dim = {r->kept, V}, .dims = 2, .data = r->logits},
        {.name = "ids", .format = &format_i32, .dim = {r->prompt.count}, .dims = 1, .data = r->prompt.ids},
        {.name = "greedy", .format = &format_i32, .dim = {r->greedy_count}, .dims = 1, .data = r->greedy},
    };
    return safetensors_write(path, tensors, r->greedy_count ? 3 : 2, NULL, 0, err);
}

static Err answer(Session *s, const ModelFlags *model, const EngineOptions *engine, const LogitsFlags *flags, Result *r,
                  Error *err)
{
    int32_t V = s->model->shape.V;
    for (int32_t i = 0; i < r->prompt.count; i++)
        if (r->prompt.ids[i] >= V)
            return fail(err, BAD_ARGUMENT, "%d is not a token; the vocabulary has %d", r->prompt.ids[i], V);
    TRY(take_room(r, flags, V, err));
    if (s->model->shape.bidirectional) {
        TRY(compute_whole(s, model, flags, r, err));
    } else {
        TRY(session_open_engine(s, model, *engine, err));
        TRY(compute(s, flags, r, err));
    }
    if (flags->json) {
        print_json(r, V);
        TRY(stdout_flush(err));
    }
    return flags->out ? write_file(r, flags->out, V, err) : OK;
}

/* Without --context the sequence may be as long as the prompt and the tokens after it, whatever length the
 * model was trained for: rotations that stretch are to be seen beyond it. */
static Err work(ModelFlags *model, const LogitsFlags *flags, Error *err)
{
    Session s;
    Result r = {0};
    EngineOptions engine = engine_options_default();
    engine.sequences = 1;
    engine.rows = engine.logit_rows = flags->chunk;
    if (!flags->json && !flags->out)
        return fail(err, BAD_ARGUMENT, "say where the logits go: --json prints them, -o FILE.safetensors writes them");
    Err result = load_ids(&r, flags, err);
    if (result == OK) {
        if (!model->context)
            model->context = r.prompt.count + flags->greedy;
        result = session_open_model(&s, model, err);
    }
    if (result == OK) {
        result = answer(&s, model, &engine, flags, &r, err);
        Err closed = session_close(&s, result == OK ? err : NULL);
        result = result == OK ? closed : result;
    }
    id_list_deinit(&r.prompt);
    free(r.logits);
    free(r.greedy);
    return result;
}

static int run(int argc, char **argv);
static const FlagGroup groups[] = {FLAG_GROUP("options", own_flags, NULL), MODEL_GROUP(NULL), {0}};
const Command command_logits = {
    .name = "logits",
    .arguments = "-m MODEL --ids 1,2,3 (--json | -o OUT.safetensors)",
    .summary = "the numbers behind an answer: logits of each position, then greedy tokens",
    .description =
        "Computes a prompt given as token ids and gives the F32 logits of each position. Weights are used as they are "
        "stored and the cache is F32, so the numbers can be held against another program's.",
    .examples = "  ridge logits --ids 1,452,214 --last 1 --greedy 8 --json\n"
                "  ridge logits -m checkpoint --ids-file prompt.txt --chunk 7 --tier reference -o out.safetensors\n",
    .groups = groups,
    .run = run,
};

static int run(int argc, char **argv)
{
    Error err;
    int status, word_count;
    LogitsFlags flags = {.chunk = 512};
    ModelFlags model = model_flags_default();
    model.cache_type = 1; /* f32 */
    const FlagGroup filled[] = {FLAG_GROUP("options", own_flags, &flags), MODEL_GROUP(&model), {0}};
    if (!command_begin(&command_logits, filled, argc, argv, NULL, 0, &word_count, &status))
        return status;
    return work(&model, &flags, &err) == OK ? 0 : command_fail(&err);
}

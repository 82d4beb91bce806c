/* cmd_recall.c -- ridge recall: what a model finds again of what it has read, beside what it keeps. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cache/kv_report.h"
#include "main/bar.h"
#include "main/session.h"
#include "store/store.h"
#include "tools/recall.h"

enum { WINDOW = 512, ROWS = 512, LOGIT_ROWS = 128 };
enum { FORM_AUTO, FORM_CHAT, FORM_PLAIN };
static const size_t TASKS_BYTES_MAX = (size_t)1 << 30;

typedef struct RecallFlags {
    FlagList models;
    FlagInts pairs;
    const char *file, *loss;
    int32_t cases, queries, form;
    uint64_t seed;
    bool print, json;
} RecallFlags;

#define AT(field) offsetof(RecallFlags, field)
static const Flag own_flags[] = {
    {"--model", "-m", "MODEL", FLAG_LIST, AT(models),
     .help = "checkpoint directory or .gguf file; may be given several times; without it the default model"},
    {"--pairs", NULL, "N,...", FLAG_INTS, AT(pairs), .min = 1, .max = RECALL_PAIRS_MAX,
     .help = "lengths of the lists (4,8,16,32)"},
    {"--cases", NULL, "N", FLAG_INT, AT(cases), .min = 1, .max = RECALL_CASES_MAX, .help = "questions for each length (64)"},
    {"--queries", NULL, "N", FLAG_INT, AT(queries), .min = 1, .max = RECALL_PAIRS_MAX,
     .help = "of them to one list, which is read once for all (4)"},
    {"--seed", NULL, "N", FLAG_SEED, AT(seed), .help = "of the lists (1)"},
    {"--template", NULL, "FORM", FLAG_CHOICE, AT(form), .choices = "auto,chat,plain",
     .help = "how the task is told: chat, in the model's template; plain text; or auto, by whether there is a template"},
    {"--file", "-f", "FILE", FLAG_TEXT, AT(file),
     .help = "ask these tasks instead: a {\"pairs\", \"prompt\", \"expected\"} in each line"},
    {"--loss", NULL, "FILE", FLAG_TEXT, AT(loss),
     .help = "score this text as well, in windows of 512 tokens as `ridge score` does by default"},
    {"--print", NULL, NULL, FLAG_SWITCH, AT(print), .help = "print the tasks, a JSON object in each line, and ask nothing"},
    {"--json", NULL, NULL, FLAG_SWITCH, AT(json), .help = "print a JSON object for each model"},
};

/* ---- the tasks ---- */

static Err make_tasks(const RecallFlags *flags, const Package *package, Buf *out, Error *err)
{
    ChatTemplate *chat = NULL;
    if (flags->form != FORM_PLAIN)
        TRY(chat_prompt_template(package, &chat, err));
    if (flags->form == FORM_CHAT && !chat)
        return fail(err, BAD_ARGUMENT, "--template chat: %s has no template", package->path);
    RecallPlan plan = {.sizes = flags->pairs.count, .cases = flags->cases, .queries = flags->queries, .seed = flags->seed,
                       .package = package, .chat = chat};
    memcpy(plan.pairs, flags->pairs.value, (size_t)plan.sizes * sizeof *plan.pairs);
    Err result = recall_write(&plan, out, err);
    chat_template_free(chat);
    return result;
}

/* Prints what would be asked. Plain text needs no model. */
static Err print_tasks(const RecallFlags *flags, Error *err)
{
    Package package = {0};
    Buf tasks;
    if (flags->file)
        return fail(err, BAD_ARGUMENT, "--print shows the tasks that are made; those of -f are in the file");
    if (flags->form != FORM_PLAIN)
        TRY(package_open(&package, flags->models.count ? flags->models.item[0] : NULL, err));
    buf_init(&tasks, TASKS_BYTES_MAX);
    Err result = make_tasks(flags, &package, &tasks, err);
    if (result == OK)
        fwrite(tasks.data, 1, tasks.bytes, stdout);
    buf_deinit(&tasks);
    if (flags->form != FORM_PLAIN)
        package_close(&package);
    return result == OK ? stdout_flush(err) : result;
}

/* ---- the table ---- */

typedef struct Row {
    char name[64];
    int64_t token_bytes, fixed_bytes;
    RecallScore recall;
    ScoreSum loss;
} Row;

static void print_json(const RecallFlags *flags, const Row *row)
{
    json_t *recall = json_array();
    for (int i = 0; i < row->recall.sizes; i++) {
        const RecallCount *c = &row->recall.of[i];
        json_array_append_new(recall, json_pack("{s:I, s:I, s:I, s:f}", "pairs", (json_int_t)c->pairs, "cases",
                                                (json_int_t)c->count, "right", (json_int_t)c->right, "accuracy",
                                                (double)c->right / (double)c->count));
    }
    json_t *out = json_pack("{s:s, s:I, s:I, s:o, s:f}", "model", row->name, "cache_bytes_per_token",
                            (json_int_t)row->token_bytes, "cache_bytes_fixed", (json_int_t)row->fixed_bytes, "recall",
                            recall, "accuracy", (double)row->recall.right / (double)row->recall.count);
    if (flags->loss)
        json_object_update_new(out, json_pack("{s:f, s:f}", "nats_per_token", score_figures(&row->loss).nats_per_token,
                                              "bits_per_byte", score_figures(&row->loss).bits_per_byte));
    json_dumpf(out, stdout, JSON_COMPACT | JSON_REAL_PRECISION(9));
    putchar('\n');
    json_decref(out);
}

static void print_head(const RecallFlags *flags, const Row *row)
{
    printf("| %-16s | %16s | %14s |", "model", "bytes per token", "bytes fixed");
    if (flags->loss)
        printf(" %10s |", "nats/token");
    for (int i = 0; i < row->recall.sizes; i++)
        printf(" %3lld pairs |", (long long)row->recall.of[i].pairs);
    printf("\n| ---------------- | ---------------: | -------------: |%s", flags->loss ? " ---------: |" : "");
    for (int i = 0; i < row->recall.sizes; i++)
        fputs(" --------: |", stdout);
    putchar('\n');
}

static void print_row(const RecallFlags *flags, const Row *row)
{
    printf("| %-16s | %16lld | %14lld |", row->name, (long long)row->token_bytes, (long long)row->fixed_bytes);
    if (flags->loss)
        printf(" %10.3f |", score_figures(&row->loss).nats_per_token);
    for (int i = 0; i < row->recall.sizes; i++)
        printf(" %7.1f %% |", 100 * (double)row->recall.of[i].right / (double)row->recall.of[i].count);
    putchar('\n');
}

/* ---- a model ---- */

typedef struct Asker {
    const RecallFlags *flags;
    Session session;
    ScoreReader reader;
    Bar bar;
    int64_t tasks;
} Asker;

static void report_recall(void *context, const RecallScore *so_far)
{
    Asker *a = context;
    char text[64];
    snprintf(text, sizeof text, "%.1f %% right", 100 * (double)so_far->right / (double)so_far->count);
    bar_show(&a->bar, so_far->count, a->tasks, text);
}

static void report_loss(void *context, int64_t done, int64_t total, const ScoreSum *so_far)
{
    Asker *a = context;
    char text[64];
    snprintf(text, sizeof text, "%.4f nats/token", score_figures(so_far).nats_per_token);
    bar_show(&a->bar, done, total, text);
}

static Err measure_loss(Asker *a, Row *row, Error *err)
{
    FileMap file;
    ScoreText text;
    ScoreWindows w = {WINDOW, WINDOW, 1};
    TRY(file_map_init(&file, a->flags->loss, err));
    Err result = score_text_init(&text, &a->reader, file.span, err);
    file_map_deinit(&file);
    TRY(result);
    a->bar = bar_start("scoring");
    result = score_windows_check(&w, engine_longest(a->session.engine), err);
    if (result == OK && text.count < WINDOW)
        result = fail(err, BAD_ARGUMENT, "%s: has %d tokens, less than one window of %d", a->flags->loss, text.count, WINDOW);
    if (result == OK)
        result = score_windows(a->session.engine, &text, &w, (ScoreProgress){report_loss, a}, NULL, &row->loss, err);
    bar_hide(&a->bar);
    score_text_deinit(&text);
    return result;
}

/* The engine has room for the longest task, not for the longest text that the model could read. */
static Err open_engine(Asker *a, const ModelFlags *model, ScoreLines lines, Error *err)
{
    EngineOptions engine = engine_options_default();
    const SpecialTokens *specials = tokenizer_specials(a->session.package.tokenizer);
    int32_t own = a->session.model->shape.context;
    a->reader = (ScoreReader){a->session.package.tokenizer, specials->add_bos ? specials->bos : TOKEN_NONE, false};
    TRY(recall_measure(lines, &a->reader, &a->tasks, &engine.context, err));
    if (a->flags->loss && engine.context < WINDOW)
        engine.context = WINDOW;
    if (engine.context > own && !model->context)
        return fail(err, BAD_ARGUMENT, "%s: the longest task takes %d tokens, and the model was trained for %d: give fewer "
                    "--pairs, or --context %d to go beyond", a->session.package.path, engine.context, own, engine.context);
    engine.sequences = SCORE_BATCH;
    engine.rows = ROWS;
    engine.logit_rows = LOGIT_ROWS;
    return session_open_engine(&a->session, model, engine, err);
}

static Err ask_tasks(Asker *a, const ModelFlags *model, const char *name, Span tasks, Row *row, Error *err)
{
    ScoreLines lines = {.name = name, .rest = tasks};
    TRY(open_engine(a, model, lines, err));
    if (a->flags->loss)
        TRY(measure_loss(a, row, err));
    a->bar = bar_start("asking");
    Err result = recall_run(a->session.engine, &a->reader, &lines, (RecallProgress){report_recall, a}, &row->recall, err);
    bar_hide(&a->bar);
    return result;
}

static Err ask_file(Asker *a, const ModelFlags *model, Row *row, Error *err)
{
    FileMap file;
    TRY(file_map_init(&file, a->flags->file, err));
    Err result = ask_tasks(a, model, a->flags->file, file.span, row, err);
    file_map_deinit(&file);
    return result;
}

static Err ask_made(Asker *a, const ModelFlags *model, Row *row, Error *err)
{
    Buf tasks;
    buf_init(&tasks, TASKS_BYTES_MAX);
    Err result = make_tasks(a->flags, &a->session.package, &tasks, err);
    if (result == OK)
        result = ask_tasks(a, model, "recall", buf_span(&tasks), row, err);
    buf_deinit(&tasks);
    return result;
}

static Err describe(const Session *s, Row *row, Error *err)
{
    KvReport *kept = malloc(sizeof *kept);
    if (!kept)
        return fail(err, NO_MEMORY, "no memory for a report");
    Err result = kv_report_init(kept, &s->model->shape, &s->model->kv, format_find("F16"), err);
    row->token_bytes = kept->all.token_bytes;
    row->fixed_bytes = kept->all.fixed_bytes;
    free(kept);
    const Store *store = s->package.checkpoint.store;
    const char *path = store_gguf(store) ? store_file(store, 0)->path : s->package.path;
    size_t bytes = strlen(path);
    while (bytes > 1 && path[bytes - 1] == '/')
        bytes--;
    size_t first = bytes;
    while (first > 0 && path[first - 1] != '/')
        first--;
    snprintf(row->name, sizeof row->name, "%.*s", (int)(bytes - first), path + first);
    return result;
}

static Err measure_model(const char *path, const RecallFlags *flags, ModelFlags model, Row *row, Error *err)
{
    Asker a = {.flags = flags};
    Error closing;
    *row = (Row){0};
    model.model = path;
    TRY(session_open_model(&a.session, &model, err));
    Err result = a.session.package.tokenizer ? describe(&a.session, row, err)
                                             : fail(err, BAD_ARGUMENT, "%s: has no tokenizer", a.session.package.path);
    if (result == OK)
        result = (flags->file ? ask_file : ask_made)(&a, &model, row, err);
    Err closed = session_close(&a.session, result == OK ? err : &closing);
    return result == OK ? closed : result;
}

static Err measure_all(const RecallFlags *flags, const ModelFlags *model, Error *err)
{
    for (int i = 0; i < (flags->models.count ? flags->models.count : 1); i++) {
        Row row;
        TRY(measure_model(flags->models.count ? flags->models.item[i] : NULL, flags, *model, &row, err));
        if (flags->json) {
            print_json(flags, &row);
        } else {
            if (i == 0)
                print_head(flags, &row);
            print_row(flags, &row);
        }
        TRY(stdout_flush(err));
    }
    return OK;
}

/* ---- the command ---- */

static int run(int argc, char **argv);
/* The model comes from this command's own list, which allows several. */
static const FlagGroup groups[] = {FLAG_GROUP("options", own_flags, NULL),
                                   {"model", model_flags + 1, MODEL_FLAG_COUNT - 1, NULL}, {0}};
const Command command_recall = {
    .name = "recall",
    .arguments = "[-m MODEL ...] [--pairs N,...] [options]",
    .summary = "how much of a list a model can look up again, and what it keeps for that",
    .description =
        "Makes lists of n names with a four-digit code each, asks for the code of one of them, and counts how often greedy "
        "decoding gives exactly that code and ends: associative recall (Arora et al. 2023). Attention that sees all of the "
        "list can answer for any n; a window loses what is behind it, and a state of fixed size holds so many pairs and no "
        "more. Beside the accuracy stands what that costs: bytes of cache (16 bits a number; states 32) for each token and "
        "in all, and with --loss how well the model predicts a text.\n\n"
        "--print writes the tasks as JSON lines for another program; `ridge score --jsonl` and -f read them.",
    .examples = "  ridge recall\n  ridge recall -m a -m b -m c --loss book.txt\n"
                "  ridge recall --print --template plain --pairs 64 > tasks.jsonl\n",
    .groups = groups,
    .run = run,
};

static int run(int argc, char **argv)
{
    Error err;
    RecallFlags flags = {.pairs = {4, {4, 8, 16, 32}}, .cases = 64, .queries = 4, .seed = 1};
    ModelFlags model = model_flags_default();
    int status, word_count;
    const FlagGroup filled[] = {FLAG_GROUP("options", own_flags, &flags),
                                {"model", model_flags + 1, MODEL_FLAG_COUNT - 1, &model}, {0}};
    if (!command_begin(&command_recall, filled, argc, argv, NULL, 0, &word_count, &status))
        return status;
    Err result = flags.print ? print_tasks(&flags, &err) : measure_all(&flags, &model, &err);
    return result == OK ? 0 : command_fail(&err);
}

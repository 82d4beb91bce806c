/* cmd_score.c -- ridge score: how well a model predicts given text. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "main/bar.h"
#include "main/session.h"
#include "tools/score.h"

typedef struct ScoreFlags {
    const char *text, *file, *jsonl, *by;
    int32_t stride, score_from;
    bool bos, no_bos, plain, json, tokens;
} ScoreFlags;

enum { WINDOW = 512, GROUPS_MAX = 64, ROWS = 512, LOGIT_ROWS = 128 };

#define AT(field) offsetof(ScoreFlags, field)
static const Flag own_flags[] = {
    {"--prompt", "-p", "TEXT", FLAG_TEXT, AT(text), "score this text, as one window", 0, 0, 0, 0},
    {"--file", "-f", "FILE", FLAG_TEXT, AT(file), "score this text, in windows; without it and -p, standard input", 0, 0,
     0, 0},
    {"--jsonl", NULL, "FILE", FLAG_TEXT, AT(jsonl),
     "do the tasks of this file: {\"prompt\", \"continuation\"} or {\"prompt\", \"expected\"} in each line", 0, 0, 0, 0},
    {"--stride", NULL, "N", FLAG_INT, AT(stride), "tokens from one window to the next; 0: the window, no overlap", 0,
     INT32_MAX, 0, 0},
    {"--score-from", NULL, "N", FLAG_INT, AT(score_from), "first token of a window that is scored; 1: all that can be", 1,
     INT32_MAX, 0, 0},
    {"--bos", NULL, NULL, FLAG_SWITCH, AT(bos),
     "begin each window with the model's begin of text; without both: where its tokenizer does so", 0, 0, 0, 0},
    {"--no-bos", NULL, NULL, FLAG_SWITCH, AT(no_bos), "do not", 0, 0, 0, 0},
    {"--no-parse-special", NULL, NULL, FLAG_SWITCH, AT(plain),
     "take \"<|im_end|>\" in the text for those letters, not for the token", 0, 0, 0, 0},
    {"--tokens", NULL, NULL, FLAG_SWITCH, AT(tokens), "print the log-probability of each token", 0, 0, 0, 0},
    {"--by", NULL, "FIELD", FLAG_TEXT, AT(by), "with --jsonl: count right answers by the values of this field", 0, 0, 0, 0},
    {"--json", NULL, NULL, FLAG_SWITCH, AT(json), "print JSON; with --jsonl a line for each task, then one for all", 0, 0,
     0, 0},
};

typedef struct Scorer {
    const ScoreFlags *flags;
    Session session;
    ScoreReader reader;
    Bar bar;
} Scorer;

/* ---- progress ---- */

static void report_windows(void *context, int64_t done, int64_t total, const ScoreSum *sum)
{
    Scorer *s = context;
    char so_far[64];
    snprintf(so_far, sizeof so_far, "%.4f nats/token", score_figures(sum).nats_per_token);
    bar_show(&s->bar, done, total, so_far);
}

/* ---- a text ---- */

static json_t *real_or_null(double x) { return isfinite(x) ? json_real(x) : json_null(); }

static void print_line(json_t *object)
{
    json_dumpf(object, stdout, JSON_COMPACT | JSON_REAL_PRECISION(9));
    putchar('\n');
    json_decref(object);
}

static json_t *token_list(const ScoreText *text, const float *logprobs)
{
    json_t *list = json_array();
    for (int32_t i = 0; i < text->count; i++)
        if (!isnan(logprobs[i]))
            json_array_append_new(list, json_pack("{s:i, s:i, s:f}", "at", i, "id", text->ids[i], "logprob",
                                                  (double)logprobs[i]));
    return list;
}

static void print_text_json(const Scorer *s, const ScoreText *text, const ScoreWindows *w, const ScoreSum *sum,
                            const float *logprobs)
{
    ScoreFigures f = score_figures(sum);
    json_t *out = json_pack(
        "{s:I, s:I, s:i, s:i, s:i, s:b, s:I, s:I, s:f, s:o, s:f, s:o, s:f}", "tokens_in_file",
        (json_int_t)(text->count - (s->reader.bos != TOKEN_NONE)), "windows", (json_int_t)score_windows_count(w, text->count),
        "context", w->context, "stride", w->stride, "score_from", w->score_from, "bos", s->reader.bos != TOKEN_NONE,
        "scored_tokens", (json_int_t)sum->tokens, "scored_bytes", (json_int_t)sum->bytes, "nats_per_token",
        f.nats_per_token, "bits_per_byte", real_or_null(f.bits_per_byte), "perplexity", f.perplexity, "perplexity_error",
        real_or_null(f.perplexity_error), "seconds", clock_seconds() - s->bar.started);
    if (logprobs)
        json_object_set_new(out, "tokens", token_list(text, logprobs));
    print_line(out);
}

static void print_text(const Scorer *s, const ScoreText *text, const ScoreWindows *w, const ScoreSum *sum,
                       const float *logprobs)
{
    ScoreFigures f = score_figures(sum);
    for (int32_t i = 0; logprobs && i < text->count; i++)
        if (!isnan(logprobs[i])) {
            Span piece = tokenizer_piece(s->reader.tokenizer, text->ids[i]);
            printf("%8d %7d  %9.4f  %.*s\n", i, text->ids[i], (double)logprobs[i], (int)piece.bytes, (const char *)piece.data);
        }
    printf("%lld windows of %d tokens, stride %d, scored from token %d, %s BOS: %lld tokens, %lld bytes\n",
           (long long)score_windows_count(w, text->count), w->context, w->stride, w->score_from,
           s->reader.bos != TOKEN_NONE ? "with" : "without", (long long)sum->tokens, (long long)sum->bytes);
    printf("log-probability  %.4f\nnats per token   %.5f\nbits per byte    %.5f\nperplexity       %.4f +- %.4f\n", -sum->nats,
           f.nats_per_token, f.bits_per_byte, f.perplexity, f.perplexity_error);
}

static Err score_and_print(Scorer *s, const ScoreText *text, const ScoreWindows *w, Error *err)
{
    ScoreSum sum;
    float *logprobs = NULL;
    if (text->count < 2)
        return fail(err, BAD_ARGUMENT, "the text has %d tokens; nothing comes before the first, so it takes two to score one",
                    text->count);
    TRY(score_windows_check(w, engine_longest(s->session.engine), err));
    if (text->count < w->context)
        return fail(err, BAD_ARGUMENT, "the text has %d tokens, less than one window of %d: make it smaller with --context",
                    text->count, w->context);
    if (s->flags->tokens) {
        logprobs = malloc((size_t)text->count * sizeof *logprobs);
        if (!logprobs)
            return fail(err, NO_MEMORY, "no memory for %d log-probabilities", text->count);
        for (int32_t i = 0; i < text->count; i++)
            logprobs[i] = NAN;
    }
    Err result = score_windows(s->session.engine, text, w, (ScoreProgress){report_windows, s}, logprobs, &sum, err);
    bar_hide(&s->bar);
    if (result == OK)
        (s->flags->json ? print_text_json : print_text)(s, text, w, &sum, logprobs);
    free(logprobs);
    return result;
}

static Err run_text(Scorer *s, int32_t window, Error *err)
{
    Buf input;
    ScoreText text;
    Err result = text_input(s->flags->text, s->flags->file, &input, err);
    if (result == OK)
        result = score_text_init(&text, &s->reader, buf_span(&input), err);
    buf_deinit(&input);
    TRY(result);
    ScoreWindows w = {.context = s->flags->text ? text.count : window, .score_from = s->flags->score_from};
    w.stride = s->flags->stride ? s->flags->stride : w.context;
    result = score_and_print(s, &text, &w, err);
    score_text_deinit(&text);
    return result;
}

/* ---- tasks ---- */

typedef struct Group {
    char name[64];
    int64_t right, count;
} Group;

typedef struct Tally {
    ScoreSum sum;               /* of the continuations */
    int64_t pairs, greedy, questions, right;
    Group group[GROUPS_MAX];
    int groups;
} Tally;

static Err count_group(Tally *t, const char *field, const json_t *object, bool right, Error *err)
{
    const json_t *value = json_object_get(object, field);
    char name[sizeof t->group[0].name] = "(none)";
    int i = 0;
    if (json_is_string(value))
        snprintf(name, sizeof name, "%s", json_string_value(value));
    else if (json_is_integer(value))
        snprintf(name, sizeof name, "%lld", (long long)json_integer_value(value));
    while (i < t->groups && strcmp(t->group[i].name, name))
        i++;
    if (i == GROUPS_MAX)
        return fail(err, LIMIT_REACHED, "--by %s: has more than %d values", field, GROUPS_MAX);
    if (i == t->groups) {
        t->groups++;
        memcpy(t->group[i].name, name, sizeof name);
    }
    t->group[i].count++;
    t->group[i].right += right;
    return OK;
}

static Err count_task(Scorer *s, Tally *t, const ScoreTask *task, const ScoreLine *line, Error *err)
{
    if (task->is_question) {
        t->questions++;
        t->right += task->is_right;
    } else {
        t->pairs++;
        t->greedy += task->is_greedy;
        score_sum_add(&t->sum, &task->sum);
    }
    bool right = task->is_question ? task->is_right : task->is_greedy;
    return s->flags->by ? count_group(t, s->flags->by, line->object, right, err) : OK;
}

static void print_task_json(const ScoreTask *task, const ScoreLine *line)
{
    json_t *out = json_object(), *id = json_object_get(line->object, "id");
    json_object_set(out, "id", id ? id : json_null());
    json_object_set_new(out, "line", json_integer(line->number));
    if (task->is_question) {
        json_t *answer = json_stringn(task->answer.data, task->answer.bytes);     /* NULL: ends amid a character */
        json_object_set_new(out, "right", json_boolean(task->is_right));
        json_object_set_new(out, "answer", answer ? answer : json_null());
    } else {
        json_t *each = json_array();
        for (int32_t i = 0; i < task->text.count - task->first; i++)
            json_array_append_new(each, json_real((double)task->logprobs[i]));
        json_object_set_new(out, "logprob", json_real(-task->sum.nats));
        json_object_set_new(out, "logprob_per_token", json_real(-task->sum.nats / (double)task->sum.tokens));
        json_object_set_new(out, "logprob_per_byte", real_or_null(-task->sum.nats / (double)task->sum.bytes));
        json_object_set_new(out, "is_greedy", json_boolean(task->is_greedy));
        json_object_set_new(out, "logprobs", each);
    }
    print_line(out);
}

static void print_task(const ScoreTask *task, const ScoreLine *line)
{
    const char *id = json_string_value(json_object_get(line->object, "id"));
    char number[32];
    snprintf(number, sizeof number, "line %lld", (long long)line->number);
    if (!task->is_question)
        printf("%-20s %10.4f  %9.4f a token%s\n", id ? id : number, -task->sum.nats,
               -task->sum.nats / (double)task->sum.tokens, task->is_greedy ? "  greedy" : "");
    else if (!task->is_right)
        printf("%-20s wrong: %.*s\n", id ? id : number, (int)task->answer.bytes, task->answer.data);
}

static void print_tally(const Scorer *s, const Tally *t)
{
    if (s->flags->json) {
        json_t *out = json_pack("{s:f}", "seconds", clock_seconds() - s->bar.started), *by = json_object();
        if (t->questions)
            json_object_update_new(out, json_pack("{s:I, s:I, s:f}", "questions", (json_int_t)t->questions, "right",
                                                  (json_int_t)t->right, "accuracy",
                                                  (double)t->right / (double)t->questions));
        if (t->pairs)
            json_object_update_new(out, json_pack("{s:I, s:I, s:f}", "pairs", (json_int_t)t->pairs, "greedy",
                                                  (json_int_t)t->greedy, "nats_per_token",
                                                  score_figures(&t->sum).nats_per_token));
        for (int i = 0; i < t->groups; i++)
            json_object_set_new(by, t->group[i].name, json_real((double)t->group[i].right / (double)t->group[i].count));
        if (t->groups)
            json_object_set(out, "by", by);
        json_decref(by);
        print_line(out);
        return;
    }
    if (t->questions)
        printf("%lld of %lld right: %.2f%%\n", (long long)t->right, (long long)t->questions,
               100 * (double)t->right / (double)t->questions);
    if (t->pairs)
        printf("%lld continuations, %lld greedy, %.5f nats per token\n", (long long)t->pairs, (long long)t->greedy,
               score_figures(&t->sum).nats_per_token);
    for (int i = 0; i < t->groups; i++)
        printf("  %s %s: %lld of %lld, %.2f%%\n", s->flags->by, t->group[i].name, (long long)t->group[i].right,
               (long long)t->group[i].count, 100 * (double)t->group[i].right / (double)t->group[i].count);
}

static Err do_batch(Scorer *s, ScoreBatch *b, Tally *tally, Error *err)
{
    TRY(score_tasks(s->session.engine, s->reader.tokenizer, b->task, b->count, err));
    bar_hide(&s->bar);
    for (int i = 0; i < b->count; i++) {
        TRY(count_task(s, tally, &b->task[i], &b->line[i], err));
        (s->flags->json ? print_task_json : print_task)(&b->task[i], &b->line[i]);
    }
    return OK;
}

static Err run_tasks(Scorer *s, Error *err)
{
    FileMap file;
    Tally tally = {0};
    TRY(file_map_init(&file, s->flags->jsonl, err));
    ScoreLines lines = {.name = s->flags->jsonl, .rest = file.span};
    Err result = OK;
    for (bool more = true; more && result == OK;) {
        ScoreBatch batch = {0};
        result = score_batch_read(&batch, &lines, &s->reader, &more, err);
        if (result == OK)
            result = do_batch(s, &batch, &tally, err);
        score_batch_deinit(&batch);
        if (result == OK && file.span.bytes && more)
            bar_show(&s->bar, (int64_t)(file.span.bytes - lines.rest.bytes), (int64_t)file.span.bytes, "bytes");
    }
    bar_hide(&s->bar);
    file_map_deinit(&file);
    TRY(result);
    if (tally.questions + tally.pairs == 0)
        return fail(err, BAD_FILE, "%s: has no task", s->flags->jsonl);
    print_tally(s, &tally);
    return OK;
}

/* ---- the command ---- */

static Err choose_bos(Scorer *s, Error *err)
{
    const SpecialTokens *specials = tokenizer_specials(s->reader.tokenizer);
    if (s->flags->bos && s->flags->no_bos)
        return fail(err, BAD_ARGUMENT, "give --bos or --no-bos, not both");
    if (s->flags->bos && specials->bos == TOKEN_NONE)
        return fail(err, BAD_ARGUMENT, "--bos: the tokenizer of this model has no begin of text");
    s->reader.bos = s->flags->bos || (specials->add_bos && !s->flags->no_bos) ? specials->bos : TOKEN_NONE;
    return OK;
}

static Err work(ModelFlags model, const ScoreFlags *flags, Error *err)
{
    Scorer s = {.flags = flags};
    EngineOptions engine = engine_options_default();
    bool windows = !flags->text && !flags->jsonl;
    if (flags->jsonl && (flags->text || flags->file))
        return fail(err, BAD_ARGUMENT, "give a text or --jsonl, not both");
    if (windows && model.context == 0)
        model.context = WINDOW;
    engine.sequences = SCORE_BATCH;
    engine.rows = ROWS;
    engine.logit_rows = LOGIT_ROWS;
    TRY(session_open(&s.session, &model, engine, err));
    s.reader = (ScoreReader){s.session.package.tokenizer, TOKEN_NONE, flags->plain};
    s.bar = bar_start("scoring");
    Err result = s.reader.tokenizer ? choose_bos(&s, err)
                                    : fail(err, BAD_ARGUMENT, "%s: has no tokenizer", s.session.package.path);
    if (result == OK)
        result = flags->jsonl ? run_tasks(&s, err) : run_text(&s, model.context, err);
    Error closing;
    Err closed = session_close(&s.session, result == OK ? err : &closing);
    TRY(result);
    TRY(closed);
    return stdout_flush(err);
}

static int run(int argc, char **argv);
static const FlagGroup groups[] = {FLAG_GROUP("what to score", own_flags, NULL), MODEL_GROUP(NULL), {0}};
const Command command_score = {
    .name = "score",
    .arguments = "[-m MODEL] [-p TEXT | -f FILE | --jsonl FILE] [options]",
    .summary = "log-probabilities of a given text, perplexity, exact answers",
    .description =
        "Says how well a model predicts text that it is given. A file is tokenised as a whole, with special tokens "
        "recognised, and cut into windows of --context tokens (512) that start every --stride tokens; a rest that fills no "
        "window is dropped. Each window starts from an empty cache at position 0. Its tokens from --score-from on are "
        "scored; where windows overlap, each token is scored once.\n\n"
        "Nats per token depend on the tokenizer; bits per byte can be compared between models. To repeat the figures of "
        "llama.cpp's perplexity tool: --score-from 257 --no-parse-special.\n\n"
        "A line of --jsonl with \"continuation\" gives its log-probability after the prompt: in all, per token, per byte, "
        "and whether greedy decoding would have chosen it. A line with \"expected\" is right when greedy decoding gives "
        "exactly that text, special tokens spelled out.",
    .examples = "  ridge score -f book.txt\n  ridge score -p 'The sky is blue.' --tokens\n"
                "  ridge score --jsonl questions.jsonl --by topic\n",
    .groups = groups,
    .run = run,
};

static int run(int argc, char **argv)
{
    Error err;
    ModelFlags model = model_flags_default();
    ScoreFlags flags = {.score_from = 1};
    int status, word_count;
    const FlagGroup filled[] = {FLAG_GROUP("what to score", own_flags, &flags), MODEL_GROUP(&model), {0}};
    if (!command_begin(&command_score, filled, argc, argv, NULL, 0, &word_count, &status))
        return status;
    return work(model, &flags, &err) == OK ? 0 : command_fail(&err);
}

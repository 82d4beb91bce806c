#include "tools/score.h"

#include <stdlib.h>

/* ---- text ---- */

static Err copy_tokens(ScoreText *t, const Encoding *e, Error *err)
{
    size_t front = t->bos == TOKEN_NONE ? 0 : 1, count = e->count + front;
    uint32_t covered = 0;
    if (count > INT32_MAX)
        return fail(err, LIMIT_REACHED, "the text has more than %d tokens", INT32_MAX);
    t->ids = malloc((count + 1) * sizeof *t->ids);
    t->bytes = calloc(count + 1, sizeof *t->bytes);
    if (!t->ids || !t->bytes)
        return fail(err, NO_MEMORY, "no memory for %zu tokens", count);
    if (front)
        t->ids[0] = t->bos;
    for (size_t i = 0; i < e->count; i++) {     /* pieces of one character share its place: count it once */
        uint32_t end = e->places[i].end > covered ? e->places[i].end : covered;
        t->ids[front + i] = e->ids[i];
        t->bytes[front + i] = (int32_t)(end - covered);
        covered = end;
    }
    t->count = (int32_t)count;
    return OK;
}

Err score_text_init(ScoreText *t, const ScoreReader *reader, Span text, Error *err)
{
    Encoding e;
    *t = (ScoreText){.bos = reader->bos};
    unsigned how = ENCODE_PLACES | (reader->plain ? 0 : ENCODE_PARSE_SPECIAL);
    Err result = tokenizer_encode(reader->tokenizer, text, how, &e, err);
    if (result == OK)
        result = copy_tokens(t, &e, err);
    encoding_deinit(&e);
    if (result != OK)
        score_text_deinit(t);
    return result;
}

void score_text_deinit(ScoreText *t)
{
    free(t->ids);
    free(t->bytes);
    *t = (ScoreText){.bos = TOKEN_NONE};
}

/* ---- requests, some at a time ---- */

typedef struct Batch {
    Engine *engine;
    int count;
    Request *request[SCORE_BATCH];
    void *owner;
    void (*take)(void *owner, int index, Request *, const Event *);
} Batch;

static Err batch_submit(Batch *b, const RequestOptions *o, Error *err)
{
    ASSERT(b->count < SCORE_BATCH);
    TRY(engine_submit(b->engine, o, &b->request[b->count], err));
    b->count++;
    return OK;
}

/* Takes what has come for one request; *ended when that was the last of it. */
static Err batch_drain(Batch *b, int index, bool *took, bool *ended, Error *err)
{
    Event event;
    while (request_next(b->request[index], &event)) {
        *took = true;
        if (event.kind != EVENT_END)
            b->take(b->owner, index, b->request[index], &event);
        else if (event.reason == END_ERROR)
            return fail(err, BAD_FILE, "%s", request_error(b->request[index]));
        else
            *ended = true;
    }
    return OK;
}

static Err batch_run(Batch *b, Error *err)
{
    for (int left = b->count; left > 0;) {
        bool took = false, stepped = engine_step(b->engine);
        for (int i = 0; i < b->count; i++) {
            bool ended = false;
            TRY(batch_drain(b, i, &took, &ended, err));
            left -= ended;
        }
        ASSERT(stepped || took);    /* an engine that nobody else uses always has something to do */
    }
    return OK;
}

static void batch_close(Batch *b)
{
    for (int i = 0; i < b->count; i++)
        request_close(b->request[i]);
    b->count = 0;
}

static RequestOptions scoring(const int32_t *ids, int32_t count, int32_t first)
{
    RequestOptions o = {.prompt = ids, .prompt_count = count, .prompt_logprobs = true, .score_from = first - 1};
    o.sampling = sampler_options_greedy();
    return o;
}

/* ---- windows ---- */

typedef struct WindowRun {
    const ScoreText *text;
    float *logprobs;
    int64_t start[SCORE_BATCH];
    ScoreSum sum[SCORE_BATCH];
} WindowRun;

static void take_window(void *owner, int index, Request *request, const Event *event)
{
    WindowRun *run = owner;
    int64_t at = run->start[index] + event->position;
    (void)request;
    score_sum_token(&run->sum[index], (double)event->token.logprob, run->text->bytes[at]);
    if (run->logprobs)
        run->logprobs[at] = event->token.logprob;
}

/* Each window's sum is made by itself and added in order: the total does not depend on the batches. */
static Err score_some(Batch *b, WindowRun *run, const ScoreWindows *w, int64_t from, int64_t to, int32_t *ids, Error *err)
{
    for (int64_t i = from; i < to; i++) {
        ScoreWindow window = score_window(w, i);
        int slot = b->count;
        run->start[slot] = window.start;
        run->sum[slot] = (ScoreSum){0};
        memcpy(ids, run->text->ids + window.start, (size_t)w->context * sizeof *ids);
        if (run->text->bos != TOKEN_NONE)
            ids[0] = run->text->bos;
        RequestOptions o = scoring(ids, w->context, window.from);
        TRY(batch_submit(b, &o, err));
    }
    TRY(batch_run(b, err));
    for (int i = 0; i < b->count; i++) {
        int64_t expected = w->context - score_window(w, from + i).from;
        if (run->sum[i].tokens != expected)
            return fail(err, LIMIT_REACHED, "window %lld: %lld of %lld tokens were scored: the cache is too small",
                        (long long)(from + i), (long long)run->sum[i].tokens, (long long)expected);
    }
    return OK;
}

Err score_windows(Engine *engine, const ScoreText *text, const ScoreWindows *w, ScoreProgress progress, float *logprobs,
                  ScoreSum *out, Error *err)
{
    int64_t windows = score_windows_count(w, text->count);
    WindowRun run = {.text = text, .logprobs = logprobs};
    Batch batch = {.engine = engine, .owner = &run, .take = take_window};
    int32_t *ids = malloc((size_t)w->context * sizeof *ids);
    Err result = ids ? OK : fail(err, NO_MEMORY, "no memory for a window of %d tokens", w->context);
    *out = (ScoreSum){0};
    for (int64_t from = 0; from < windows && result == OK; from += SCORE_BATCH) {
        int64_t to = from + SCORE_BATCH < windows ? from + SCORE_BATCH : windows;
        result = score_some(&batch, &run, w, from, to, ids, err);
        for (int i = 0; i < batch.count; i++)
            score_sum_add(out, &run.sum[i]);
        batch_close(&batch);
        if (progress.report)
            progress.report(progress.context, to, windows, out);
    }
    free(ids);
    return result;
}

/* ---- tasks ---- */

/* The token that holds the first byte behind the prompt. One that straddles the border counts as the
 * continuation's, so that prompt and continuation are read together, as one text. */
static int32_t first_behind(const ScoreText *t, size_t prompt_bytes)
{
    size_t covered = 0;
    int32_t i = 0;
    for (; i < t->count; i++) {
        covered += (size_t)t->bytes[i];
        if (covered > prompt_bytes)
            break;
    }
    return i;
}

static Err init_continuation(ScoreTask *task, const ScoreLine *line, const ScoreReader *reader, Error *err)
{
    Buf whole;
    buf_init(&whole, 2 * (size_t)SCORE_LINE_BYTES_MAX);
    Err result = buf_put_span(&whole, line->prompt) && buf_put_span(&whole, line->text)
                     ? score_text_init(&task->text, reader, buf_span(&whole), err)
                     : fail(err, NO_MEMORY, "no memory for a text of %zu bytes", line->prompt.bytes + line->text.bytes);
    buf_deinit(&whole);
    TRY(result);
    task->first = first_behind(&task->text, line->prompt.bytes);
    if (task->first == 0 || task->first == task->text.count)
        return fail(err, BAD_FILE, task->first ? "the continuation has no token of its own"
                                               : "nothing comes before the first token: give a prompt, or --bos");
    task->logprobs = calloc((size_t)(task->text.count - task->first), sizeof *task->logprobs);
    return task->logprobs ? OK : fail(err, NO_MEMORY, "no memory for the results");
}

Err score_task_init(ScoreTask *task, const ScoreLine *line, const ScoreReader *reader, Error *err)
{
    *task = (ScoreTask){.is_question = line->is_question, .expected = line->text, .line = line->number, .is_greedy = true};
    buf_init(&task->answer, 4 * (size_t)SCORE_LINE_BYTES_MAX);
    Err result = line->is_question ? score_text_init(&task->text, reader, line->prompt, err)
                                   : init_continuation(task, line, reader, err);
    if (result == OK && task->text.count == 0)
        result = fail(err, BAD_FILE, "the prompt is empty: give one, or --bos");
    if (result != OK) {
        score_task_deinit(task);
        return fail_within(err, "line %lld", (long long)line->number);
    }
    return OK;
}

void score_task_deinit(ScoreTask *task)
{
    score_text_deinit(&task->text);
    free(task->logprobs);
    buf_deinit(&task->answer);
    *task = (ScoreTask){0};
}

typedef struct TaskRun {
    const Tokenizer *tokenizer;
    ScoreTask *task;
} TaskRun;

static void take_answer(TaskRun *run, ScoreTask *task, Request *request, const Event *event)
{
    if (task->is_right)
        return;                         /* what came after, before the request heard that it may end */
    bool fits = tokenizer_decode(run->tokenizer, &event->token.id, 1, DECODE_CONTINUES, &task->answer);
    Span answer = buf_span(&task->answer);
    task->is_right = fits && span_equal(answer, task->expected);
    if (task->is_right || !fits || !span_starts(task->expected, answer))
        request_cancel(request);
}

static void take_task(void *owner, int index, Request *request, const Event *event)
{
    TaskRun *run = owner;
    ScoreTask *task = &run->task[index];
    if (task->is_question) {
        take_answer(run, task, request, event);
        return;
    }
    score_sum_token(&task->sum, (double)event->token.logprob, task->text.bytes[event->position]);
    task->logprobs[event->position - task->first] = event->token.logprob;
    task->is_greedy &= event->token.best_count > 0 && event->token.best[0].id == event->token.id;
}

static RequestOptions request_of(const ScoreTask *task)
{
    RequestOptions o = scoring(task->text.ids, task->text.count, task->first);
    if (task->is_question) {
        o.prompt_logprobs = false;
        o.score_from = 0;
        o.max_tokens = TOKENS_ALL;      /* cancelled as soon as the answer is right or cannot become it */
    } else {
        o.sampling.logprobs = 1;
    }
    return o;
}

Err score_tasks(Engine *engine, const Tokenizer *tokenizer, ScoreTask *tasks, int count, Error *err)
{
    TaskRun run = {tokenizer, tasks};
    Batch batch = {.engine = engine, .owner = &run, .take = take_task};
    Err result = OK;
    for (int i = 0; i < count && result == OK; i++) {
        RequestOptions o = request_of(&tasks[i]);
        result = batch_submit(&batch, &o, err);
        if (result != OK)
            fail_within(err, "line %lld", (long long)tasks[i].line);
    }
    if (result == OK)
        result = batch_run(&batch, err);
    batch_close(&batch);
    for (int i = 0; i < count && result == OK; i++)
        if (!tasks[i].is_question && tasks[i].sum.tokens != tasks[i].text.count - tasks[i].first)
            result = fail(err, LIMIT_REACHED, "line %lld: not all tokens were scored: the cache is too small",
                          (long long)tasks[i].line);
    return result;
}

/* ---- a file of tasks, some at a time ---- */

Err score_batch_read(ScoreBatch *b, ScoreLines *lines, const ScoreReader *reader, bool *more, Error *err)
{
    for (*more = true; b->count < SCORE_BATCH && *more;) {
        TRY(score_lines_next(lines, &b->line[b->count], more, err));
        if (!*more)
            break;
        Err result = score_task_init(&b->task[b->count], &b->line[b->count], reader, err);
        if (result != OK) {
            score_line_deinit(&b->line[b->count]);
            return fail_within(err, "%s", lines->name);
        }
        b->count++;
    }
    return OK;
}

void score_batch_deinit(ScoreBatch *b)
{
    for (int i = 0; i < b->count; i++) {
        score_task_deinit(&b->task[i]);
        score_line_deinit(&b->line[i]);
    }
    b->count = 0;
}

/* cmd_batch.c -- ridge batch: a file of requests becomes a file of answers, without a server. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file_map.h"
#include "base/number_text.h"
#include "main/bar.h"
#include "main/session.h"
#include "server/batch_run.h"
#include "server/bell.h"
#include "server/service.h"

enum { PARALLEL = 16, STATUS_FAILURES = 3, STATUS_INTERRUPTED = 130 };
static const size_t BODY_BYTES_MAX = (size_t)64 << 20;
static const double LOOK_SECONDS = 0.25;      /* so often the bar moves, and Ctrl-C is seen */
static const double DRAIN_SECONDS = 10;

typedef struct BatchFlags {
    int32_t parallel;
    bool restart;
} BatchFlags;

#define AT(field) offsetof(BatchFlags, field)
static const Flag own_flags[] = {
    {"--parallel", "-j", "N", FLAG_INT, AT(parallel), "requests that are computed at the same time", 1, BATCH_IN_FLIGHT_MAX / 2,
     0, 0},
    {"--restart", NULL, NULL, FLAG_SWITCH, AT(restart), "begin anew: answers that are in the file are given up", 0, 0, 0, 0},
};

typedef struct BatchWork {
    const char *input, *answers;
    const BatchFlags *flags;
    FileMap map;
    Session session;
    Service *service;
    Bell bell;
    BatchRun *run;
    Bar bar;
    double shown;              /* when the bar moved last */
} BatchWork;

/* ---- opening ---- */

static Err check_paths(const BatchWork *w, Error *err)
{
    struct stat in, out;
    if (stat(w->input, &in) != 0)
        return fail(err, NOT_FOUND, "%s: %s", w->input, strerror(errno));
    if (stat(w->answers, &out) != 0)
        return OK;
    if (in.st_dev == out.st_dev && in.st_ino == out.st_ino)
        return fail(err, BAD_ARGUMENT, "%s and %s are the same file", w->input, w->answers);
    if (!S_ISREG(out.st_mode))
        return fail(err, BAD_ARGUMENT, "%s: is not a regular file, so a run that ends early could not go on there", w->answers);
    if (w->flags->restart && unlink(w->answers) != 0)
        return fail(err, IO_FAILED, "%s: cannot be removed: %s", w->answers, strerror(errno));
    return OK;
}

static Err open_all(BatchWork *w, const ModelFlags *model, Error *err)
{
    EngineOptions engine = engine_options_default();
    engine.sequences = w->flags->parallel;
    engine.queue = 4 * BATCH_IN_FLIGHT_MAX;
    engine.logit_rows = engine.logit_rows < engine.sequences ? engine.sequences : engine.logit_rows;
    TRY(check_paths(w, err));
    TRY(file_map_init(&w->map, w->input, err));
    TRY(session_open(&w->session, model, engine, err));
    TRY(service_new(&w->service, &(ServiceOptions){.package = &w->session.package, .model = w->session.model,
                                                   .engine = w->session.engine, .any_model = true,
                                                   .body_bytes_max = BODY_BYTES_MAX, .drain_seconds = DRAIN_SECONDS}, err));
    /* Twice as many lines as run, so that the next one is read and tokenised when one ends. */
    return batch_run_new(&w->run, &(BatchRunOptions){.service = w->service, .input = w->map.span, .answers = w->answers,
                                                     .in_flight = 2 * w->flags->parallel, .ready = bell_ring,
                                                     .ready_with = &w->bell}, err);
}

static Err close_all(BatchWork *w, Error *err)
{
    batch_run_free(w->run);
    if (w->service)
        service_stop(w->service);
    service_free(w->service);
    file_map_deinit(&w->map);
    bell_deinit(&w->bell);
    return session_close(&w->session, err);
}

/* ---- running ---- */

static void show(BatchWork *w)
{
    char text[64];
    BatchCounts c = batch_run_counts(w->run);
    double now = clock_seconds(), seconds = now - w->bar.started;
    int64_t done = c.completed + c.failed - c.before;
    if (now - w->shown < LOOK_SECONDS)
        return;
    w->shown = now;
    snprintf(text, sizeof text, "%.1f tokens/s", (double)c.completion_tokens / seconds);
    if (done > 0)
        bar_show(&w->bar, done, c.total - c.before, text);
}

static Err run_lines(BatchWork *w, bool *ended, Error *err)
{
    *ended = false;
    while (!*ended && !interrupted()) {
        TRY(batch_run_step(w->run, ended, err));
        show(w);
        double pause = batch_run_pause(w->run);
        if (!*ended && pause > 0)
            bell_wait(&w->bell, pause < LOOK_SECONDS ? pause : LOOK_SECONDS);
    }
    return OK;
}

static void tell(const BatchWork *w, bool ended)
{
    BatchCounts c = batch_run_counts(w->run);
    double seconds = clock_seconds() - w->bar.started;
    printf("%s of %s lines answered, %s failed", number_text((uint64_t)c.completed).text, number_text((uint64_t)c.total).text,
           number_text((uint64_t)c.failed).text);
    if (c.before)
        printf("; %s of them earlier", number_text((uint64_t)c.before).text);
    printf("\n%s tokens read, %s written in %.1f s: %.1f tokens/s\n", number_text((uint64_t)c.prompt_tokens).text,
           number_text((uint64_t)c.completion_tokens).text, seconds, (double)c.completion_tokens / seconds);
    if (!ended)
        printf("stopped; the same command goes on where this one ended\n");
}

static Err work(const char *const *words, ModelFlags model, const BatchFlags *flags, int *status, Error *err)
{
    BatchWork w = {.input = words[0], .answers = words[1], .flags = flags};
    bool ended = false;
    Error closing;
    bell_init(&w.bell);
    interrupt_catch();
    Err result = open_all(&w, &model, err);
    w.bar = bar_start("answering");
    if (result == OK)
        result = run_lines(&w, &ended, err);
    bar_hide(&w.bar);
    if (w.run) {
        tell(&w, ended);
        *status = !ended ? STATUS_INTERRUPTED : batch_run_counts(w.run).failed ? STATUS_FAILURES : 0;
    }
    Err closed = close_all(&w, result == OK ? err : &closing);
    TRY(result);
    TRY(closed);
    return stdout_flush(err);
}

/* ---- the command ---- */

static int run(int argc, char **argv);
static const FlagGroup groups[] = {FLAG_GROUP("how", own_flags, NULL), MODEL_GROUP(NULL), {0}};
const Command command_batch = {
    .name = "batch",
    .arguments = "IN.jsonl OUT.jsonl [-m MODEL] [options]",
    .summary = "answers a file of requests, resumably",
    .description =
        "Each line of IN.jsonl is a request as OpenAI's batches have it: {\"custom_id\": \"a\", \"method\": \"POST\", \"url\": "
        "\"/v1/chat/completions\", \"body\": {...}}. The url may also be /v1/completions, /v1/embeddings, /v1/responses or "
        "/v1/messages. OUT.jsonl gets a line for each as it is answered: {\"custom_id\", \"response\": {\"status_code\", "
        "\"body\"}, \"error\"}, in the order in which they end; lines that are no requests get an error. Whatever "
        "model a line names, the one that was opened answers.\n\n"
        "A run that was stopped, by Ctrl-C or by a crash, goes on when the same command is given again: what has an answer is "
        "passed over. --restart begins anew.\n\n"
        "The exit status is 0 when each line was answered, 3 when some failed, 130 after Ctrl-C, 1 after another error.",
    .examples = "  ridge batch questions.jsonl answers.jsonl\n  ridge batch -m model.gguf -j 32 in.jsonl out.jsonl --restart\n",
    .groups = groups,
    .run = run,
};

static int run(int argc, char **argv)
{
    Error err;
    ModelFlags model = model_flags_default();
    model.touches = true;
    BatchFlags flags = {.parallel = PARALLEL};
    const char *words[2];
    int status, word_count;
    const FlagGroup filled[] = {FLAG_GROUP("how", own_flags, &flags), MODEL_GROUP(&model), {0}};
    if (!command_begin(&command_batch, filled, argc, argv, words, 2, &word_count, &status))
        return status;
    if (word_count != 2) {
        fail(&err, BAD_ARGUMENT, "give two files: `ridge batch IN.jsonl OUT.jsonl`");
        return command_fail(&err);
    }
    return work(words, model, &flags, &status, &err) == OK ? status : command_fail(&err);
}

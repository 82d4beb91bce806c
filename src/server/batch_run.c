#include "server/batch_run.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "server/answer_log.h"
#include "server/batch_line.h"
#include "server/service.h"

enum { AGAIN_MAX = 1000 };
static const double IDLE_SECONDS = 1;

/* A line on its way. */
typedef struct Flight {
    BatchLine line;
    int64_t number;
    char *body;                /* what the call carries */
    Exchange *exchange;        /* NULL: waits for `at` */
    double at;                 /* clock_seconds() */
    int32_t refusals;
    Buf answer;
} Flight;

struct BatchRun {
    BatchRunOptions o;
    AnswerLog log;
    Span rest;                 /* of the input */
    int64_t number;            /* of the line that was read last */
    json_t *met;               /* custom_ids of the input so far: an object as a set */
    Flight *flight;            /* [in_flight] */
    int32_t flights;
    json_t *unwritten;         /* an answer that the disk did not take */
    bool left_out;             /* a line got no answer that counts, as the service stops */
    BatchCounts counts;
    const char *why_code, *why;   /* of batch_run_give_up(); NULL: goes on */
};

int64_t batch_count_lines(Span input)
{
    Span line;
    int64_t number = 0, count = 0;
    while (batch_line_next(&input, &line, &number))
        count++;
    return count;
}

/* ---- answers ---- */

static int64_t usage_of(const json_t *body, const char *name, const char *other)
{
    const json_t *usage = json_object_get(body, "usage"), *value = json_object_get(usage, name);
    return json_integer_value(value ? value : json_object_get(usage, other));
}

static void count(BatchRun *r, const json_t *answer)
{
    const json_t *body = json_object_get(json_object_get(answer, "response"), "body");
    *(batch_went_well(answer) ? &r->counts.completed : &r->counts.failed) += 1;
    r->counts.prompt_tokens += usage_of(body, "prompt_tokens", "input_tokens");
    r->counts.completion_tokens += usage_of(body, "completion_tokens", "output_tokens");
}

/* Takes the answer over. After an error it waits in `unwritten`, and so does everything else. */
static Err write_answer(BatchRun *r, json_t *answer, Error *err)
{
    r->unwritten = answer;
    if (!answer)
        return fail(err, NO_MEMORY, "no memory for the answer to line %lld", (long long)r->number);
    TRY(answer_log_put(&r->log, answer, err));
    r->unwritten = NULL;
    count(r, answer);
    json_decref(answer);
    return OK;
}

static Err refuse_line(BatchRun *r, const BatchLine *line, int64_t number, const char *code, const char *why, Error *err)
{
    return write_answer(r, batch_refusal(line->custom_id, number, code, line->bad_param, why), err);
}

/* ---- flights ---- */

static void flight_deinit(Flight *f)
{
    if (f->exchange)
        exchange_release(f->exchange);
    batch_line_deinit(&f->line);
    free(f->body);
    buf_deinit(&f->answer);
    *f = (Flight){0};
}

static void flight_remove(BatchRun *r, int32_t i)
{
    flight_deinit(&r->flight[i]);
    r->flight[i] = r->flight[--r->flights];
}

/* Sends the call. An exchange that cannot be made is an answer of its own. */
static Err send_call(BatchRun *r, Flight *f, Error *err)
{
    static const ExchangeHeader headers[] = {{"Content-Type", "application/json"}};
    ExchangeCall call = {.method = "POST", .path = f->line.url, .headers = headers, .header_count = COUNT_OF(headers),
                         .body = span_text(f->body), .key = r->o.key, .background = true, .ready = r->o.ready,
                         .ready_with = r->o.ready_with};
    buf_init(&f->answer, EXCHANGE_OUT_BYTES_MAX);
    TRY(exchange_new(&f->exchange, r->o.service, &call, err));
    service_take(r->o.service, f->exchange);
    return OK;
}

/* Seconds that the service asks to wait before the call is made again; 0: its answer counts. */
static double asks_to_wait(const Flight *f)
{
    ExchangeHeader header[EXCHANGE_HEADERS_MAX];
    int status = exchange_status(f->exchange), count = exchange_out_headers(f->exchange, header, EXCHANGE_HEADERS_MAX);
    if ((status != 429 && status != 503) || f->refusals >= AGAIN_MAX)
        return 0;
    for (int i = 0; i < count; i++)
        if (!strcmp(header[i].name, "Retry-After"))
            return strtod(header[i].value, NULL);
    return 0;
}

static json_t *answer_of(const Flight *f)
{
    json_t *body = json_loadb(f->answer.data, f->answer.bytes, JSON_ALLOW_NUL | JSON_DECODE_ANY, NULL);
    if (!body || f->answer.full) {
        json_decref(body);
        return batch_refusal(f->line.custom_id, f->number, "server_error", NULL, "the answer was no JSON, or too long");
    }
    return batch_response(f->line.custom_id, exchange_status(f->exchange), exchange_id(f->exchange), body);
}

/* Reads what has come. True: the flight has ended, and *answer is what to write (NULL: ask again, or it is void). */
static bool flight_ended(Flight *f, json_t **answer)
{
    char bytes[1 << 14];
    *answer = NULL;
    for (size_t n; (n = exchange_read(f->exchange, bytes, sizeof bytes)) > 0;)
        buf_put(&f->answer, bytes, n);
    if (!exchange_ended(f->exchange))
        return false;
    double wait = asks_to_wait(f);
    if (wait <= 0) {
        *answer = answer_of(f);
        return true;
    }
    f->refusals++;
    f->at = clock_seconds() + wait;
    exchange_release(f->exchange);
    f->exchange = NULL;
    buf_deinit(&f->answer);
    return false;
}

/* What a service that is about to stop says of a call is no answer: the next run asks again. */
static bool is_void(const BatchRun *r, const Flight *f)
{
    return service_is_stopping(r->o.service) && exchange_status(f->exchange) != 200;
}

static Err step_flight(BatchRun *r, int32_t *i, Error *err)
{
    Flight *f = &r->flight[*i];
    json_t *answer;
    if (r->why_code) {
        Err result = refuse_line(r, &f->line, f->number, r->why_code, r->why, err);
        flight_remove(r, *i);
        return result;
    }
    if (!f->exchange && clock_seconds() >= f->at)
        TRY(send_call(r, f, err));
    if (!f->exchange || !flight_ended(f, &answer)) {
        ++*i;
        return OK;
    }
    bool counts = !is_void(r, f);
    flight_remove(r, *i);
    if (counts)
        return write_answer(r, answer, err);
    json_decref(answer);
    r->left_out = true;
    return OK;
}

/* ---- lines ---- */

/* Whether it is the first line of its custom_id. */
static bool meets(BatchRun *r, const char *custom_id)
{
    bool first = !json_object_get(r->met, custom_id);
    if (first)
        json_object_set_new(r->met, custom_id, json_true());
    return first;
}

/* A line that was read: it has an answer, gets one at once, or takes off. Takes the line over. */
static Err begin_line(BatchRun *r, BatchLine line, Error *err)
{
    if (line.custom_id && !meets(r, line.custom_id))
        batch_line_refuse(&line, "duplicate_custom_id", "custom_id", "an earlier line has this custom_id");
    bool refused = line.bad_code, has = answer_log_has(&r->log, refused ? NULL : line.custom_id, r->number);
    const char *code = refused ? line.bad_code : r->why_code;
    Err result = OK;
    char *body = !has && !code ? json_dumps(line.body, JSON_COMPACT) : NULL;
    if (!has && !code && body && strlen(body) <= r->o.service->o.body_bytes_max) {
        r->flight[r->flights++] = (Flight){.line = line, .number = r->number, .body = body};
        return send_call(r, &r->flight[r->flights - 1], err);
    }
    if (!has)
        result = refuse_line(r, &line, r->number, code ? code : "request_too_large",
                             refused ? line.bad : code ? r->why : "the body is longer than this server takes", err);
    free(body);
    batch_line_deinit(&line);
    return result;
}

static Err begin_lines(BatchRun *r, Error *err)
{
    Span text;
    while (r->flights < r->o.in_flight && batch_line_next(&r->rest, &text, &r->number)) {
        BatchLine line;
        batch_line_read(&line, text, r->o.endpoint);
        TRY(begin_line(r, line, err));
    }
    return OK;
}

/* ---- the run ---- */

Err batch_run_new(BatchRun **out, const BatchRunOptions *o, Error *err)
{
    ASSERT(o->in_flight > 0 && o->in_flight <= BATCH_IN_FLIGHT_MAX);
    BatchRun *r = *out = calloc(1, sizeof *r);
    if (!r)
        return fail(err, NO_MEMORY, "no memory for a batch");
    r->o = *o;
    r->rest = o->input;
    r->met = json_object();
    r->flight = calloc((size_t)o->in_flight, sizeof *r->flight);
    Err result = r->met && r->flight ? answer_log_open(&r->log, o->answers, o->own_answers, err)
                                     : fail(err, NO_MEMORY, "no memory for %d lines in flight", o->in_flight);
    if (result != OK) {
        batch_run_free(r);
        *out = NULL;
        return result;
    }
    r->counts = (BatchCounts){.total = batch_count_lines(o->input), .completed = r->log.well, .failed = r->log.badly,
                              .before = r->log.well + r->log.badly};
    return OK;
}

void batch_run_free(BatchRun *r)
{
    if (!r)
        return;
    while (r->flights)
        flight_remove(r, r->flights - 1);
    answer_log_close(&r->log);
    json_decref(r->met);
    json_decref(r->unwritten);
    free(r->flight);
    free(r);
}

Err batch_run_step(BatchRun *r, bool *ended, Error *err)
{
    *ended = false;
    if (r->unwritten)
        TRY(write_answer(r, r->unwritten, err));
    for (int32_t i = 0; i < r->flights;)
        TRY(step_flight(r, &i, err));
    if (!service_is_stopping(r->o.service))
        TRY(begin_lines(r, err));
    if (r->flights == 0 && r->rest.bytes == 0 && !r->left_out) {
        TRY(answer_log_sync(&r->log, err));
        *ended = true;
    }
    return OK;
}

double batch_run_pause(const BatchRun *r)
{
    double seconds = IDLE_SECONDS, now = clock_seconds();
    for (int32_t i = 0; i < r->flights; i++)
        if (!r->flight[i].exchange && r->flight[i].at - now < seconds)
            seconds = r->flight[i].at - now;
    return seconds > 0 ? seconds : 0;
}

void batch_run_give_up(BatchRun *r, const char *code, const char *message)
{
    r->why_code = code;
    r->why = message;
}

BatchCounts batch_run_counts(const BatchRun *r) { return r->counts; }

#include "tools/journal.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/file_map.h"
#include "base/file_out.h"

enum { FILE_BYTES_MAX = 4 << 20, LINE_BYTES_MAX = 1 << 16, NEAREST = 8 };
static const double OTHER_FORMAT = 4;            /* as far as a factor of 16 in size */
static const double NEAR = 0.25;                 /* nothing counts much more than what is this near */
static const double NOTHING_SECONDS = 1e-6, START_SHARE = 0.9;
static const double DOUBT_OF_DISTANCE = 0.05, DOUBT_MIN = 0.02;

/* What calls of one kind took in one run. */
typedef struct Sample {
    Op op;
    const Format *format;
    int32_t rows, threads;
    double calls, activations, seconds;          /* of all calls */
    Demand demand;
} Sample;

typedef struct Rest { int32_t rows; double seconds; } Rest;   /* of a step, beside its operations */

struct Journal {
    char path[MACHINE_PATH_BYTES];
    JournalEntry *entry;
    Sample *sample;
    Rest *rest;
    int entries, samples, rests;
};

/* ---- reading ---- */

static Err grow(void **items, int count, size_t bytes, Error *err)
{
    if (count & (count - 1))                     /* full at powers of two only */
        return OK;
    void *more = realloc(*items, bytes * (count ? 2 * (size_t)count : 1));
    if (!more)
        return fail(err, NO_MEMORY, "no memory for the journal of runs");
    *items = more;
    return OK;
}

static void text_of(const json_t *line, const char *key, char *out, size_t bytes)
{
    const char *text = json_string_value(json_object_get(line, key));
    snprintf(out, bytes, "%s", text ? text : "");
}

static int32_t int_of(const json_t *line, const char *key)
{
    json_int_t n = json_integer_value(json_object_get(line, key));
    return n < 0 || n > INT32_MAX ? 0 : (int32_t)n;
}

static double number_of(const json_t *line, const char *key)
{
    double x = json_number_value(json_object_get(line, key));
    return isfinite(x) && x > 0 ? x : 0;
}

static int op_called(const char *name)
{
    for (int op = 0; op < OP_COUNT; op++)
        if (!strcmp(op_name((Op)op), name))
            return op;
    return -1;
}

/* Operations that this version does not know are passed over. */
static Err read_sample(Journal *j, const json_t *line, int32_t threads, Error *err)
{
    char name[32], format[32];
    text_of(line, "op", name, sizeof name);
    text_of(line, "format", format, sizeof format);
    int op = op_called(name);
    Sample s = {.op = (Op)op, .format = format_find(format), .rows = int_of(line, "rows"), .threads = threads,
                .calls = number_of(line, "calls"), .activations = number_of(line, "activations"),
                .seconds = number_of(line, "seconds")};
    s.demand = (Demand){number_of(line, "bytes"),
                        {number_of(line, "fp32"), number_of(line, "bf16"), number_of(line, "int8")}};
    if (op < 0 || s.rows < 1 || s.calls < 1 || s.seconds <= 0)
        return OK;
    TRY(grow((void **)&j->sample, j->samples, sizeof s, err));
    j->sample[j->samples++] = s;
    return OK;
}

static Err read_entry(Journal *j, const json_t *line, const char *where, Error *err)
{
    JournalEntry e = {.measured = json_object_get(line, "operations") != NULL,
                      .seconds = number_of(line, "seconds"), .doubt = number_of(line, "doubt"),
                      .time = json_integer_value(json_object_get(line, "time"))};
    JournalCase *c = &e.what;
    text_of(line, "model", c->model, sizeof c->model);
    text_of(line, "format", c->format, sizeof c->format);
    text_of(line, "cache", c->cache, sizeof c->cache);
    c->threads = int_of(line, "threads");
    c->prompt = int_of(line, "prompt");
    c->batch = int_of(line, "batch");
    c->context = int_of(line, "context");
    if (!c->model[0] || e.seconds <= 0 || c->batch < 1)
        return fail(err, BAD_FILE, "%s: needs 'model', 'batch' of 1 or more and 'seconds' above 0; without this line, or the "
                    "file, the rest is fine", where);
    TRY(grow((void **)&j->entry, j->entries, sizeof e, err));
    j->entry[j->entries++] = e;
    size_t i;
    json_t *operation;
    json_array_foreach(json_object_get(line, "operations"), i, operation)
        TRY(read_sample(j, operation, c->threads, err));
    if (e.measured && json_object_get(line, "rest")) {
        TRY(grow((void **)&j->rest, j->rests, sizeof *j->rest, err));
        j->rest[j->rests++] = (Rest){c->prompt ? c->prompt : c->batch, number_of(line, "rest")};
    }
    return OK;
}

static Err read_lines(Journal *j, Span text, Error *err)
{
    char where[MACHINE_PATH_BYTES + 32];
    const uint8_t *at = text.data, *end = text.data + text.bytes;
    for (int number = 1; at < end; number++) {
        const uint8_t *stop = memchr(at, '\n', (size_t)(end - at));
        json_t *line;
        stop = stop ? stop : end;
        snprintf(where, sizeof where, "%s: line %d", j->path, number);
        TRY(json_read(span_of(at, (size_t)(stop - at)), LINE_BYTES_MAX, where, &line, err));
        Err result = read_entry(j, line, where, err);
        json_decref(line);
        TRY(result);
        at = stop + 1;
    }
    return OK;
}

static Err path_of(const char *given, char out[MACHINE_PATH_BYTES], Error *err)
{
    static const char name[] = "runs.jsonl";
    if (given) {
        snprintf(out, MACHINE_PATH_BYTES, "%s", given);
        return OK;
    }
    TRY(machine_path(false, out, err));
    char *slash = strrchr(out, '/');
    size_t folder = slash ? (size_t)(slash - out) + 1 : 0;
    if (folder + sizeof name > MACHINE_PATH_BYTES)
        return fail(err, LIMIT_REACHED, "the path of the journal has more than %d bytes", MACHINE_PATH_BYTES - 1);
    memcpy(out + folder, name, sizeof name);
    return OK;
}

static Err read_file(Journal *j, Error *err)
{
    FileMap map;
    if (!file_exists(j->path))
        return OK;
    TRY(file_map_init(&map, j->path, err));
    Err result = read_lines(j, map.span, err);
    file_map_deinit(&map);
    return result;
}

Err journal_open(const char *path, Journal **out, Error *err)
{
    Journal *j = calloc(1, sizeof *j);
    if (!j)
        return fail(err, NO_MEMORY, "no memory for the journal of runs");
    Err result = path_of(path, j->path, err);
    if (result == OK)
        result = read_file(j, err);
    if (result == OK)
        *out = j;
    else
        journal_close(j);
    return result;
}

void journal_close(Journal *j)
{
    if (!j)
        return;
    free(j->entry);
    free(j->sample);
    free(j->rest);
    free(j);
}

int journal_count(const Journal *j) { return j->entries; }
const JournalEntry *journal_at(const Journal *j, int i) { return &j->entry[i]; }

/* ---- writing ---- */

/* The newer half stays. */
static Err shorten(const Journal *j, Error *err)
{
    FileMap map;
    FileOut *out;
    TRY(file_map_init(&map, j->path, err));
    size_t half = map.span.bytes / 2;
    const uint8_t *from = memchr(map.span.data + half, '\n', map.span.bytes - half);
    Err result = file_out_new(j->path, &out, err);
    if (result == OK) {
        if (from)
            result = file_out_put(out, from + 1, (size_t)(map.span.data + map.span.bytes - from - 1), err);
        if (result == OK)
            result = file_out_commit(out, err);
        else
            file_out_drop(out);
    }
    file_map_deinit(&map);
    return result;
}

/* In one piece, so that lines of several programs do not mix. */
static Err append(Journal *j, json_t *line, Error *err)
{
    char *text = line ? json_dumps(line, JSON_COMPACT | JSON_REAL_PRECISION(7)) : NULL;
    json_decref(line);
    if (!text)
        return fail(err, NO_MEMORY, "no memory for a line of the journal");
    Error ignored;                               /* if there is no folder, the file says so */
    FILE *file = folders_make(j->path, &ignored) == OK ? fopen(j->path, "a") : NULL;
    bool written = file && fprintf(file, "%s\n", text) > 0;
    long bytes = file ? ftell(file) : 0;
    written = file && fclose(file) == 0 && written;
    free(text);
    if (!written)
        return fail(err, IO_FAILED, "%s: %s", j->path, strerror(errno));
    return bytes > FILE_BYTES_MAX ? shorten(j, err) : OK;
}

static json_t *line_json(const JournalEntry *e)
{
    const JournalCase *c = &e->what;
    return json_pack("{s:I, s:s, s:s, s:s, s:i, s:i, s:i, s:i, s:f}", "time", (json_int_t)time(NULL), "model", c->model,
                     "format", c->format, "cache", c->cache, "threads", c->threads, "prompt", c->prompt, "batch", c->batch,
                     "context", c->context, "seconds", e->seconds);
}

Err journal_foretell(Journal *j, const JournalEntry *e, Error *err)
{
    json_t *line = line_json(e);
    if (line)
        json_object_set_new(line, "doubt", json_real(e->doubt));
    return append(j, line, err);
}

static json_t *operation_json(const WorkLine *l)
{
    const double *operations = l->demand.operations;
    return json_pack("{s:s, s:s, s:i, s:I, s:f, s:f, s:f, s:f, s:f, s:f}", "op", op_name(l->op), "format",
                     l->format ? l->format->name : "", "rows", l->rows, "calls", (json_int_t)l->calls, "bytes", l->demand.bytes,
                     "fp32", operations[ARITHMETIC_FP32], "bf16", operations[ARITHMETIC_BF16], "int8",
                     operations[ARITHMETIC_INT8], "activations", l->cost.activation_bytes, "seconds", l->seconds);
}

Err journal_record(Journal *j, const JournalEntry *e, const JournalTrace *traced, Error *err)
{
    json_t *line = line_json(e), *operations = json_array();
    double rest = traced->seconds;
    for (int32_t i = 0; i < traced->work->lines; i++) {
        json_array_append_new(operations, operation_json(&traced->work->line[i]));
        rest -= traced->work->line[i].seconds;
    }
    json_object_set_new(line, "operations", operations);
    if (traced->steps > 0 && rest > 0)
        json_object_set_new(line, "rest", json_real(rest / (double)traced->steps));
    return append(j, line, err);
}

/* ---- learning ---- */

/* What efficiencies are held against: a time that grows as the work does. Where a few rows meet many weights neither
 * bytes nor operations hide behind the other, so both count; what moves only what lies in the caches has neither. */
static double yardstick(const Machine *m, const Demand *demand, double activations)
{
    double seconds = roofline_bytes_seconds(m, demand) + roofline_operations_seconds(m, demand);
    return seconds > 0 ? seconds : activations / m->bytes_per_second;
}

static double size_of(const Demand *d, double activations, double calls)
{
    return (1 + demand_operations(d) + d->bytes + activations) / calls;
}

static double distance(const Sample *s, const WorkLine *l)
{
    double size = size_of(&l->demand, l->cost.activation_bytes, (double)l->calls);
    double rows = fabs(log2((double)s->rows / l->rows));
    double sizes = fabs(log2(size_of(&s->demand, s->activations, s->calls) / size));
    return rows + sizes + (s->format == l->format ? 0 : OTHER_FORMAT);
}

static bool counts(const Sample *s, const Machine *m, Op op)
{
    return s->op == op && (!m->threads || s->threads == m->threads) && yardstick(m, &s->demand, s->activations) > 0;
}

/* Whether a call had next to nothing to do. */
static bool is_tiny(const Sample *s, const Machine *m)
{
    return yardstick(m, &s->demand, s->activations) < NOTHING_SECONDS * s->calls;
}

/* What a call takes before it does anything: most of what the nearest one took that had nothing to do. */
static double start_of(const Journal *j, const Machine *m, const WorkLine *line)
{
    double least = INFINITY, start = 0;
    for (int i = 0; i < j->samples; i++) {
        const Sample *s = &j->sample[i];
        if (!counts(s, m, line->op) || !is_tiny(s, m) || distance(s, line) > least)
            continue;
        least = distance(s, line);
        start = START_SHARE * s->seconds / s->calls;
    }
    return start;
}

/* The rest; a tiny call has a start of its own. */
static double work_of(const Sample *s, const Machine *m, double start)
{
    double least = (1 - START_SHARE) * s->seconds;
    return is_tiny(s, m) ? least : fmax(s->seconds - start * s->calls, least);
}

typedef struct Near { double distance, value; } Near;

/* Keeps the nearest; of equals the later one. */
static void keep_near(Near near[NEAREST], int *count, Near one)
{
    int at = *count < NEAREST ? (*count)++ : NEAREST;
    for (; at > 0 && near[at - 1].distance >= one.distance; at--)
        if (at < NEAREST)
            near[at] = near[at - 1];
    if (at < NEAREST)
        near[at] = one;
}

/* The mean of the near, the nearer the heavier, and how far they are from it. */
static Expected mean_of(const Near *near, int count)
{
    double sum = 0, weights = 0, squares = 0;
    for (int i = 0; i < count; i++) {
        double weight = 1 / ((near[i].distance + NEAR) * (near[i].distance + NEAR));
        weights += weight;
        sum += weight * near[i].value;
    }
    double mean = sum / weights;
    for (int i = 0; i < count; i++)
        squares += (near[i].value - mean) * (near[i].value - mean) / ((near[i].distance + NEAR) * (near[i].distance + NEAR));
    double far = DOUBT_OF_DISTANCE * near[0].distance;
    return (Expected){exp(mean), sqrt(squares / weights + far * far + DOUBT_MIN * DOUBT_MIN)};
}

Expected journal_expect(const Journal *j, const Machine *m, const WorkLine *line)
{
    Near near[NEAREST];
    int count = 0;
    double stick = yardstick(m, &line->demand, line->cost.activation_bytes);
    double start = j ? start_of(j, m, line) : 0;
    for (int i = 0; j && i < j->samples; i++) {
        const Sample *s = &j->sample[i];
        if (!counts(s, m, line->op))
            continue;
        double slowness = work_of(s, m, start) / yardstick(m, &s->demand, s->activations);
        keep_near(near, &count, (Near){distance(s, line), log(slowness)});
    }
    if (!count || stick <= 0)
        return (Expected){roofline_seconds(m, &line->demand), 0};
    Expected e = mean_of(near, count);
    double work = e.seconds * stick, starts = start * (double)line->calls;
    return (Expected){starts + work, e.doubt};
}

void journal_spread(const Journal *j, const Machine *m, Work *work, double seconds)
{
    double sum = 0;
    for (int32_t i = 0; i < work->lines; i++)
        sum += work->line[i].seconds = journal_expect(j, m, &work->line[i]).seconds;
    for (int32_t i = 0; i < work->lines && sum > 0; i++)
        work->line[i].seconds *= seconds / sum;
}

Expected journal_expect_rest(const Journal *j, int32_t rows)
{
    Near near[NEAREST];
    int count = 0;
    for (int i = 0; j && i < j->rests; i++)
        if (j->rest[i].seconds > 0)
            keep_near(near, &count, (Near){fabs(log2((double)j->rest[i].rows / rows)), log(j->rest[i].seconds)});
    return count ? mean_of(near, count) : (Expected){0};
}

/* ---- looking back ---- */

/* A step takes as long a few positions further on. */
static bool same_past(const JournalCase *a, const JournalCase *b)
{
    int32_t apart = abs(a->context - b->context);
    return apart == 0 || (!a->prompt && (apart <= 64 || apart <= a->context / 4));
}

static bool same_case(const JournalCase *a, const JournalCase *b)
{
    return !strcmp(a->model, b->model) && !strcmp(a->format, b->format) && !strcmp(a->cache, b->cache) &&
           a->threads == b->threads && a->prompt == b->prompt && a->batch == b->batch && same_past(a, b);
}

int journal_pairs(const Journal *j, JournalPair *out, int most)
{
    int count = 0;
    for (int i = j->entries - 1; i >= 0 && count < most; i--) {
        const JournalEntry *foretold = &j->entry[i];
        for (int k = i + 1; k < j->entries && !foretold->measured && foretold->doubt > 0; k++)
            if (j->entry[k].measured && same_case(&foretold->what, &j->entry[k].what)) {
                out[count++] = (JournalPair){foretold, &j->entry[k]};
                break;
            }
    }
    return count;
}

#include "tools/load_tally.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct { const char *key, *title; } TIMES[LOAD_TIMES] = {
    [LOAD_TTFT] = {"ttft", "time to first token"},
    [LOAD_ITL] = {"itl", "inter-token latency"},
    [LOAD_TPOT] = {"tpot", "time per output token"},
    [LOAD_E2E] = {"e2e", "end to end"},
};

void load_tally_init(LoadTally *t) { *t = (LoadTally){.random = {.seed = 1}}; }

void load_tally_deinit(LoadTally *t)
{
    free(t->record);
    free(t->gap);
    *t = (LoadTally){0};
}

/* ---- what happens ---- */

static bool grow(void **list, int64_t *room, size_t each)
{
    int64_t more = *room ? 2 * *room : 256;
    void *grown = realloc(*list, (size_t)more * each);
    if (!grown)
        return false;
    *list = grown;
    *room = more;
    return true;
}

Err load_tally_add(LoadTally *t, LoadRecord r, Error *err)
{
    if (t->records == t->records_max && !grow((void **)&t->record, &t->records_max, sizeof *t->record))
        return fail(err, NO_MEMORY, "no memory for the times of so many requests");
    t->record[t->records++] = r;
    return OK;
}

Err load_tally_gap(LoadTally *t, double seconds, Error *err)
{
    int64_t at = t->gaps_kept;
    if (at == LOAD_GAPS_MAX)   /* Vitter 1985: each gap so far is kept equally likely */
        at = (int64_t)(stream_unit(&t->random) * (double)(t->gaps + 1));
    else if (at == t->gaps_room && !grow((void **)&t->gap, &t->gaps_room, sizeof *t->gap))
        return fail(err, NO_MEMORY, "no memory for the times of so many tokens");
    if (at < LOAD_GAPS_MAX)
        t->gap[at] = seconds;
    t->gaps_kept += t->gaps_kept < LOAD_GAPS_MAX;
    t->gaps++;
    return OK;
}

void load_tally_error(LoadTally *t, const char *name, const char *text)
{
    int32_t i = 0;
    t->errors++;
    while (i < t->error_kinds && strcmp(t->error[i].name, name) != 0)
        i++;
    if (i == LOAD_ERROR_KINDS_MAX)
        i--;   /* the last kind stands for all that follow */
    else if (i == t->error_kinds) {
        LoadErrorKind *kind = &t->error[t->error_kinds++];
        *kind = (LoadErrorKind){0};
        snprintf(kind->name, sizeof kind->name, "%s", name);
        snprintf(kind->text, sizeof kind->text, "%s", text);
    }
    t->error[i].count++;
}

Err load_bound_read(const char *text, LoadBounds *bounds, Error *err)
{
    for (int i = 0; i < LOAD_TIMES; i++) {
        size_t bytes = strlen(TIMES[i].key);
        if (strncmp(text, TIMES[i].key, bytes) != 0 || text[bytes] != ':')
            continue;
        char *end;
        double milliseconds = strtod(text + bytes + 1, &end);
        if (end == text + bytes + 1 || *end || !(milliseconds > 0 && milliseconds < 1e9))
            break;
        bounds->seconds[i] = milliseconds / 1e3;
        return OK;
    }
    return fail(err, BAD_ARGUMENT, "'%.80s' is no bound: give ttft:500 (milliseconds), or itl:, tpot:, e2e:", text);
}

/* ---- figures ---- */

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double percentile(const double *sorted, int64_t count, double share)
{
    double place = share * (double)(count - 1);
    int64_t below = (int64_t)place, above = below + 1 < count ? below + 1 : below;
    return sorted[below] + (place - (double)below) * (sorted[above] - sorted[below]);
}

LoadSpread load_spread(double *values, int64_t count)
{
    LoadSpread s = {.count = count};
    if (!count)
        return s;
    qsort(values, (size_t)count, sizeof *values, ascending);
    for (int64_t i = 0; i < count; i++)
        s.mean += values[i];
    s.mean /= (double)count;
    s.p50 = percentile(values, count, 0.5);
    s.p90 = percentile(values, count, 0.9);
    s.p99 = percentile(values, count, 0.99);
    s.max = values[count - 1];
    return s;
}

/* A request's own time; below 0: it has none (one token has no gap). */
static double time_of(const LoadRecord *r, LoadTime what)
{
    switch (what) {
    case LOAD_TTFT: return r->first - r->asked;
    case LOAD_ITL: return r->chunks > 1 ? r->longest_gap : -1;
    case LOAD_TPOT: return r->output_tokens > 1 ? (r->ended - r->first) / (double)(r->output_tokens - 1) : -1;
    default: return r->ended - r->asked;
    }
}

static bool is_good(const LoadRecord *r, const LoadBounds *bounds)
{
    for (int i = 0; i < LOAD_TIMES; i++)
        if (bounds->seconds[i] > 0 && time_of(r, (LoadTime)i) > bounds->seconds[i])
            return false;
    return true;
}

Err load_figures(LoadTally *t, const LoadBounds *bounds, LoadFigures *out, Error *err)
{
    double *values = malloc((size_t)(t->records ? t->records : 1) * sizeof *values);
    *out = (LoadFigures){.requests = t->records};
    if (!values)
        return fail(err, NO_MEMORY, "no memory for the figures");
    for (int what = 0; what < LOAD_TIMES; what++) {
        int64_t count = 0;
        for (int64_t i = 0; i < t->records; i++) {
            double seconds = time_of(&t->record[i], (LoadTime)what);
            if (seconds >= 0)
                values[count++] = seconds;
        }
        out->time[what] = what == LOAD_ITL ? load_spread(t->gap, t->gaps_kept) : load_spread(values, count);
    }
    free(values);
    for (int64_t i = 0; i < t->records; i++) {
        const LoadRecord *r = &t->record[i];
        out->prompt_tokens += r->prompt_tokens;
        out->cached_tokens += r->cached_tokens;
        out->output_tokens += r->output_tokens;
        out->counted += r->counted;
        out->good += is_good(r, bounds);
    }
    return OK;
}

static bool has_bounds(const LoadBounds *bounds)
{
    for (int i = 0; i < LOAD_TIMES; i++)
        if (bounds->seconds[i] > 0)
            return true;
    return false;
}

/* ---- as a table ---- */

static double rate(double count, const LoadTally *t) { return t->seconds > 0 ? count / t->seconds : 0; }

static void put_times(Buf *out, const LoadFigures *f)
{
    buf_printf(out, "\n%-24s %10s %10s %10s %10s %10s\n", "milliseconds", "mean", "p50", "p90", "p99", "max");
    for (int i = 0; i < LOAD_TIMES; i++) {
        const LoadSpread *s = &f->time[i];
        if (s->count)
            buf_printf(out, "%-24s %10.2f %10.2f %10.2f %10.2f %10.2f\n", TIMES[i].title, 1e3 * s->mean, 1e3 * s->p50,
                       1e3 * s->p90, 1e3 * s->p99, 1e3 * s->max);
    }
}

static void put_goodput(Buf *out, const LoadTally *t, const LoadFigures *f, const LoadBounds *bounds)
{
    buf_printf(out, "%-24s %10.2f  of %.2f requests/s within", "goodput", rate((double)f->good, t),
               rate((double)f->requests, t));
    for (int i = 0; i < LOAD_TIMES; i++)
        if (bounds->seconds[i] > 0)
            buf_printf(out, " %s %.6g ms", TIMES[i].key, 1e3 * bounds->seconds[i]);
    buf_put_char(out, '\n');
}

static void put_errors(Buf *out, const LoadTally *t)
{
    for (int32_t i = 0; i < t->error_kinds; i++)
        buf_printf(out, "%s%-24s %10lld  the first: %s\n", i ? "" : "\nerrors\n", t->error[i].name,
                   (long long)t->error[i].count, t->error[i].text);
}

bool load_table_put(Buf *out, const LoadTally *t, const LoadFigures *f, const LoadBounds *bounds)
{
    int64_t prompt = f->prompt_tokens, output = f->output_tokens;
    buf_printf(out, "%-24s %10lld  answered, %lld failed, in %.2f s\n", "requests", (long long)f->requests,
               (long long)t->errors, t->seconds);
    buf_printf(out, "%-24s %10lld  prompt, of them %lld from the server's cache; %lld output%s\n", "tokens",
               (long long)(prompt + output), (long long)f->cached_tokens, (long long)output,
               !f->counted ? " (by the server's own usage)"
               : f->counted == f->requests ? " (no usage came: chunks were counted)"
                                           : " (of some requests no usage came: their chunks were counted)");
    buf_printf(out, "%-24s %10.2f  requests/s\n", "throughput", rate((double)f->requests, t));
    buf_printf(out, "%-24s %10.1f  tokens/s: %.1f prompt, %.1f output\n", "", rate((double)(prompt + output), t),
               rate((double)prompt, t), rate((double)output, t));
    if (has_bounds(bounds))
        put_goodput(out, t, f, bounds);
    buf_printf(out, "%-24s %10.2f%% of one core\n", "this program itself", 100 * rate(t->own_cpu_seconds, t));
    put_times(out, f);
    put_errors(out, t);
    return !out->full;
}

/* ---- as JSON ---- */

static json_t *spread_json(const LoadSpread *s)
{
    return json_pack("{s:I, s:f, s:f, s:f, s:f, s:f}", "count", (json_int_t)s->count, "mean", 1e3 * s->mean,
                     "p50", 1e3 * s->p50, "p90", 1e3 * s->p90, "p99", 1e3 * s->p99, "max", 1e3 * s->max);
}

static json_t *errors_json(const LoadTally *t)
{
    json_t *list = json_array();
    for (int32_t i = 0; i < t->error_kinds; i++)
        json_array_append_new(list, json_pack("{s:s, s:I, s:s*}", "kind", t->error[i].name, "count",
                                              (json_int_t)t->error[i].count, "first", t->error[i].text));
    return list;
}

json_t *load_json(const LoadTally *t, const LoadFigures *f, const LoadBounds *bounds)
{
    json_t *out = json_pack("{s:I, s:I, s:f, s:I, s:I, s:I, s:s}", "requests", (json_int_t)f->requests, "failed",
                            (json_int_t)t->errors, "seconds", t->seconds, "prompt_tokens", (json_int_t)f->prompt_tokens,
                            "cached_tokens", (json_int_t)f->cached_tokens, "output_tokens", (json_int_t)f->output_tokens,
                            "tokens_from", !f->counted ? "usage" : f->counted == f->requests ? "chunks" : "both");
    json_object_set_new(out, "requests_per_second", json_real(rate((double)f->requests, t)));
    json_object_set_new(out, "prompt_tokens_per_second", json_real(rate((double)f->prompt_tokens, t)));
    json_object_set_new(out, "output_tokens_per_second", json_real(rate((double)f->output_tokens, t)));
    json_object_set_new(out, "tokens_per_second", json_real(rate((double)(f->prompt_tokens + f->output_tokens), t)));
    json_object_set_new(out, "own_cpu_share", json_real(rate(t->own_cpu_seconds, t)));
    for (int i = 0; i < LOAD_TIMES; i++) {
        char key[16];
        snprintf(key, sizeof key, "%s_ms", TIMES[i].key);
        json_object_set_new(out, key, spread_json(&f->time[i]));
    }
    if (has_bounds(bounds)) {
        json_t *slo = json_object();
        for (int i = 0; i < LOAD_TIMES; i++)
            if (bounds->seconds[i] > 0)
                json_object_set_new(slo, TIMES[i].key, json_real(1e3 * bounds->seconds[i]));
        json_object_set_new(out, "slo_ms", slo);
        json_object_set_new(out, "good_requests", json_integer(f->good));
        json_object_set_new(out, "goodput", json_real(rate((double)f->good, t)));
    }
    json_object_set_new(out, "errors", errors_json(t));
    return out;
}

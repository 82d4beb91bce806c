#include "core/verdict.h"

#include <math.h>

enum { SENTENCE_BYTES_MAX = 1024 };
static const double MOST = 1.0 / 3;        /* of the time that memory and cores explain, for one of them to limit */
static const double WITHIN_BOUND = 1.02;   /* a share above it is no noise: the bytes did not come from memory */

void phase_work_add(PhaseWork *sum, const PhaseWork *more)
{
    demand_add(&sum->demand, &more->demand);
    sum->weight_bytes += more->weight_bytes;
    sum->cache_bytes += more->cache_bytes;
    sum->chosen_bytes += more->chosen_bytes;
    sum->choice_bytes += more->choice_bytes;
    sum->steps += more->steps;
    sum->seconds += more->seconds;
    sum->sequences += more->sequences;
}

/* If a row leaves an expert alone with probability p, n times the rows do with p^n. */
static double chosen_by(const PhaseWork *w, double times)
{
    double left = w->choice_bytes > 0 ? 1 - w->chosen_bytes / w->choice_bytes : 0;
    return w->choice_bytes * (1 - pow(left > 0 ? left : 0, times));
}

PhaseWork phase_work_times(const PhaseWork *w, double times)
{
    PhaseWork more = *w;
    more.chosen_bytes = chosen_by(w, times);
    more.weight_bytes += more.chosen_bytes - w->chosen_bytes;
    more.cache_bytes *= times;
    more.demand.bytes = more.weight_bytes + more.cache_bytes;
    for (int kind = 0; kind < ARITHMETICS; kind++)
        more.demand.operations[kind] *= times;
    more.sequences *= times;
    return more;
}

static bool known(const Machine *m) { return m && m->bytes_per_second > 0; }

static Limit limit_of(const Machine *m, const PhaseWork *w)
{
    if (roofline_operations_seconds(m, &w->demand) > roofline_bytes_seconds(m, &w->demand))
        return LIMIT_ARITHMETIC;
    return w->cache_bytes > w->weight_bytes ? LIMIT_CACHE : LIMIT_WEIGHTS;
}

static double sum_seconds(const Machine *m, const Demand *d)
{
    return roofline_bytes_seconds(m, d) + roofline_operations_seconds(m, d);
}

Verdict verdict_of(const Machine *m, const PhaseWork *w)
{
    Verdict v = {0};
    if (!known(m) || w->seconds <= 0 || roofline_seconds(m, &w->demand) <= 0)
        return v;
    double operations = demand_operations(&w->demand);
    v.limit = limit_of(m, w);
    v.bound_seconds = roofline_seconds(m, &w->demand);
    v.share = v.bound_seconds / w->seconds;
    v.rate = (v.limit == LIMIT_ARITHMETIC ? operations : w->demand.bytes) / w->seconds;
    v.roof = v.limit == LIMIT_ARITHMETIC ? operations / v.bound_seconds : m->bytes_per_second;
    v.cache_part = w->demand.bytes > 0 ? w->cache_bytes / w->demand.bytes : 0;
    v.reads_part = roofline_bytes_seconds(m, &w->demand) / v.bound_seconds;
    if (w->sequences > 0) {
        PhaseWork twice = phase_work_times(w, 2);
        v.latency = sum_seconds(m, &twice.demand) / sum_seconds(m, &w->demand);
        v.throughput = 2 / v.latency;
    }
    return v;
}

/* ---- in words ---- */

static const char *const limits[] = {[LIMIT_UNKNOWN] = "unknown", [LIMIT_WEIGHTS] = "weight reads",
                                     [LIMIT_CACHE] = "cache reads", [LIMIT_ARITHMETIC] = "arithmetic"};

/* "7.1", "71" */
static void put_billions(Buf *out, double rate) { buf_printf(out, rate < 9.95e9 ? "%.1f" : "%.0f", rate / 1e9); }

/* "71 of 80 GB/s (89%)" */
static void put_reached(const Verdict *v, Buf *out)
{
    put_billions(out, v->rate);
    buf_put_text(out, " of ");
    put_billions(out, v->roof);
    buf_printf(out, " %s (%.0f%%)", v->limit == LIMIT_ARITHMETIC ? "Gop/s" : "GB/s", 100 * v->share);
}

static void put_unknown(const char *phase, const PhaseWork *w, Buf *out)
{
    if (w->seconds <= 0) {
        buf_printf(out, "%s: nothing was computed yet", phase);
        return;
    }
    buf_printf(out, "%s reads ", phase);
    put_billions(out, w->demand.bytes / w->seconds);
    buf_put_text(out, " GB/s and computes ");
    put_billions(out, demand_operations(&w->demand) / w->seconds);
    buf_put_text(out, " Gop/s; what limits it is not known, as this machine was not measured: run `ridge probe`");
}

/* What is not the limit itself. */
static void put_rest(const Verdict *v, const PhaseWork *w, Buf *out)
{
    if (v->limit == LIMIT_WEIGHTS)
        buf_printf(out, "; cache reads %.0f%%", 100 * v->cache_part);
    else if (v->limit == LIMIT_CACHE)
        buf_printf(out, "; weight reads %.0f%%", 100 * (1 - v->cache_part));
    else
        buf_printf(out, "; reading needs %.0f%% of that time", 100 * v->reads_part);
    if (w->sequences > 0)
        buf_printf(out, "; doubling the batch would give %+.0f%% throughput for %+.0f%% latency", 100 * (v->throughput - 1),
                   100 * (v->latency - 1));
}

void verdict_tell(const Machine *m, const char *phase, const PhaseWork *w, Buf *out)
{
    Verdict v = verdict_of(m, w);
    if (v.limit == LIMIT_UNKNOWN) {
        put_unknown(phase, w, out);
        return;
    }
    if (v.share > WITHIN_BOUND && v.limit != LIMIT_ARITHMETIC)
        buf_printf(out, "%s is not limited by memory, as the processor's caches hold what it reads: ", phase);
    else if (sum_seconds(m, &w->demand) < MOST * w->seconds)
        buf_printf(out, "%s is limited by neither memory nor arithmetic; nearest %s %s: ", phase,
                   v.limit == LIMIT_ARITHMETIC ? "is" : "are", limits[v.limit]);
    else
        buf_printf(out, "%s is limited by %s: ", phase, limits[v.limit]);
    put_reached(&v, out);
    put_rest(&v, w, out);
}

/* ---- the table ---- */

void verdict_titles(const char *before, Buf *out)
{
    buf_printf(out, "%s%-15s %7s %10s %10s %10s %10s %10s %7s\n", before, "a step of", "steps", "weights MB", "cache MB",
               "Gop", "bound ms", "took ms", "share");
}

void verdict_row(const Machine *m, const NamedWork *named, const char *before, Buf *out)
{
    const PhaseWork *w = &named->work;
    Verdict v = verdict_of(m, w);
    double n = w->steps;
    if (n <= 0)
        return;
    buf_printf(out, "%s%-15s %7.0f %10.1f %10.1f %10.2f ", before, named->name, n, w->weight_bytes / n / 1e6,
               w->cache_bytes / n / 1e6, demand_operations(&w->demand) / n / 1e9);
    if (v.limit == LIMIT_UNKNOWN)
        buf_printf(out, "%10s %10.2f %7s\n", "-", 1e3 * w->seconds / n, "-");
    else
        buf_printf(out, "%10.2f %10.2f %6.0f%%\n", 1e3 * v.bound_seconds / n, 1e3 * w->seconds / n, 100 * v.share);
}

void verdict_report(const Machine *m, const NamedWork *named, int count, const char *before, Buf *out)
{
    int last = count - 1;
    while (last > 0 && named[last].work.steps <= 0)
        last--;
    buf_put_text(out, before);
    verdict_tell(m, named[last].name, &named[last].work, out);
    buf_put_char(out, '\n');
    if (named[last].work.steps <= 0)
        return;
    verdict_titles(before, out);
    for (int i = 0; i < count; i++)
        verdict_row(m, &named[i], before, out);
}

/* ---- for programs ---- */

json_t *verdict_json(const Machine *m, const char *phase, const PhaseWork *w)
{
    Verdict v = verdict_of(m, w);
    Buf sentence;
    buf_init(&sentence, SENTENCE_BYTES_MAX);
    verdict_tell(m, phase, w, &sentence);
    json_t *json = json_pack(
        "{s:s, s:s, s:s, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f}", "phase", phase, "sentence",
        sentence.data ? sentence.data : "", "limit", limits[v.limit], "share", v.share, "rate", v.rate, "roof", v.roof,
        "steps", w->steps, "seconds", w->seconds, "bound_seconds", v.bound_seconds, "weight_bytes", w->weight_bytes,
        "cache_bytes", w->cache_bytes, "operations", demand_operations(&w->demand), "double_batch_throughput",
        v.throughput, "double_batch_latency", v.latency);
    buf_deinit(&sentence);
    return json;
}

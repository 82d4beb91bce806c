#include "main/plan_check_show.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { PAIRS_MAX = 256 };
static const double NEAR = 0.15;

/* Of the measured time; above 0: it went faster than foretold. */
static double error_of(const JournalPair *p) { return p->foretold->seconds / p->measured->seconds - 1; }

/* Two deviations, as is usual. */
static bool within_doubt(const JournalPair *p) { return fabs(error_of(p)) <= 2 * p->foretold->doubt; }

static void print_pair(const JournalPair *p)
{
    char when[32], what[40];
    const JournalCase *c = &p->foretold->what;
    time_t at = (time_t)p->measured->time;
    struct tm day;
    strftime(when, sizeof when, "%Y-%m-%d %H:%M", localtime_r(&at, &day));
    if (c->prompt)
        snprintf(what, sizeof what, "prompt of %d", c->prompt);
    else
        snprintf(what, sizeof what, "step of %d at %d", c->batch, c->context);
    printf("  %-16s  %-28.28s  %-8.8s  %-7s  %-20s  %9.2f ms ± %3.0f %%  %9.2f ms  %+6.1f %%\n", when, c->model, c->format,
           c->cache, what, 1e3 * p->foretold->seconds, 100 * p->foretold->doubt, 1e3 * p->measured->seconds, 100 * error_of(p));
}

static void print_people(const Journal *j, const JournalPair *pairs, int count)
{
    int near = 0, within = 0;
    double sum = 0, worst = 0;
    if (count)
        printf("  %-16s  %-28s  %-8s  %-7s  %-20s  %20s  %12s  %8s\n", "measured", "model", "format", "cache", "what",
               "foretold", "measured", "error");
    for (int i = count - 1; i >= 0; i--) {
        double error = fabs(error_of(&pairs[i]));
        print_pair(&pairs[i]);
        near += error <= NEAR;
        within += within_doubt(&pairs[i]);
        sum += error;
        worst = error > worst ? error : worst;
    }
    if (count)
        printf("\n%d predictions were measured afterwards: %d within %.0f %%, %d within twice their doubt; the mean error is "
               "%.1f %%, the largest %.1f %%.\n", count, near, 100 * NEAR, within, 100 * sum / count, 100 * worst);
    else
        printf("No prediction was measured afterwards yet, among %d lines of the journal: `ridge bench` foretells each row "
               "from what it measured before.\n", journal_count(j));
}

static json_t *pair_json(const JournalPair *p)
{
    const JournalCase *c = &p->foretold->what;
    return json_pack("{s:s, s:s, s:s, s:i, s:i, s:i, s:i, s:I, s:f, s:f, s:f, s:f}", "model", c->model, "format", c->format,
                     "cache", c->cache, "threads", c->threads, "prompt", c->prompt, "batch", c->batch, "context", c->context,
                     "time", (json_int_t)p->measured->time, "foretold_seconds", p->foretold->seconds, "doubt",
                     p->foretold->doubt, "measured_seconds", p->measured->seconds, "error", error_of(p));
}

Err plan_check_show(const Journal *j, bool json, Error *err)
{
    JournalPair *pairs = malloc(PAIRS_MAX * sizeof *pairs);
    if (!pairs)
        return fail(err, NO_MEMORY, "no memory for %d predictions", PAIRS_MAX);
    int count = journal_pairs(j, pairs, PAIRS_MAX);
    if (!json) {
        print_people(j, pairs, count);
    } else {
        json_t *all = json_array();
        for (int i = count - 1; i >= 0; i--)
            json_array_append_new(all, pair_json(&pairs[i]));
        json_dumpf(all, stdout, JSON_INDENT(2));
        putchar('\n');
        json_decref(all);
    }
    free(pairs);
    return OK;
}

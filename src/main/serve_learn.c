#include "main/serve_learn.h"

#include <stdio.h>
#include <stdlib.h>

#include "tools/plan.h"

static const double STEPS_MIN = 100;       /* of generation: fewer are no mean */

/* The mean step of generation. */
static Err entry_of(const Session *s, const PlanModel *p, const PhaseWork *decode, JournalEntry *out, Error *err)
{
    double token, batch = decode->sequences / decode->steps;
    TRY(plan_cache_bytes(p, s->cache_format, 1, &token, err));
    JournalEntry e = {.seconds = decode->seconds / decode->steps};
    double context = token > 0 ? decode->cache_bytes / decode->sequences / token : 0;
    e.what = (JournalCase){.threads = s->threads, .batch = (int32_t)(batch + 0.5), .context = (int32_t)context};
    snprintf(e.what.model, sizeof e.what.model, "%.127s", p->name);
    snprintf(e.what.format, sizeof e.what.format, "%s", p->formats);
    snprintf(e.what.cache, sizeof e.what.cache, "%s", s->cache_format->name);
    *out = e;
    return OK;
}

static Err learn(const Session *s, const char *model, const PhaseWork *decode, double seconds, Work *work, Error *err)
{
    PlanModel p;
    Journal *journal;
    Machine machine;
    JournalEntry e;
    TRY(machine_of_this(false, &machine, err));
    TRY(journal_open(NULL, &journal, err));
    Err result = plan_model_open(&(PlanModelOptions){.model = model}, &p, err);
    if (result == OK) {
        result = entry_of(s, &p, decode, &e, err);
        if (result == OK) {
            journal_spread(journal, &machine, work, seconds);
            result = journal_record(journal, &e, &(JournalTrace){.work = work}, err);
        }
        plan_model_close(&p);
    }
    journal_close(journal);
    return result;
}

void serve_learn(const Session *s, const char *model, const PhaseMeter *meter, const StepCounts *counts)
{
    Error err;
    bool few = meter->decode.steps < STEPS_MIN || meter->decode.sequences < meter->decode.steps;
    if (!s->engine || device_is_apart(s->computes) || few)
        return;
    Work *work = malloc(sizeof *work);
    if (!work)
        return;
    *work = tally_read(s->tally)->work;
    Err result = learn(s, model, &meter->decode, counts->forward_seconds, work, &err);
    if (result != OK && result != NOT_FOUND)         /* a machine that nobody probed learns nothing */
        fprintf(stderr, "nothing is kept for `ridge plan`: %s\n", err.text);
    free(work);
}

#include "engine/story.h"

#include <math.h>

#include "base/checked.h"
#include "engine/scheduler.h"

static uint64_t tag_of(const PlanEntry *e) { return e->sequence->request->options.tag; }

/* A row for the token that came last is part of the answer; all else catches up. */
static bool answers(const PlanEntry *e) { return e->sequence->caught_up; }

static void note_chunk(Story *s, const Plan *plan, const PlanEntry *e, StoryChunk chunk)
{
    if (s->chunks++ >= STORY_CHUNKS)
        return;
    chunk.sample = e->sequence->sample;
    chunk.first = e->first;
    chunk.rows = e->rows;
    chunk.step_rows = plan->rows;
    for (int32_t i = 0; i < plan->entries; i++) {
        const PlanEntry *other = &plan->entry[i];
        if (other->sequence->request == e->sequence->request)
            continue;
        if (chunk.others < STORY_COMPANY)
            chunk.with[chunk.others] = tag_of(other);
        chunk.others++;
    }
    s->chunk[s->chunks - 1] = chunk;
}

static void note_met(Story *s, uint64_t tag)
{
    int32_t i = 0;
    while (i < s->met && s->with[i].tag != tag)
        i++;
    if (i == STORY_MET)
        return;
    if (i == s->met)
        s->with[s->met++] = (StoryMet){.tag = tag};
    s->with[i].steps++;
}

static void note_answer(Story *s, const Plan *plan, const PlanEntry *e, double seconds)
{
    int64_t prompts = 0;
    for (int32_t i = 0; i < plan->entries; i++) {
        const PlanEntry *other = &plan->entry[i];
        if (other->sequence->request == e->sequence->request)
            continue;
        note_met(s, tag_of(other));
        prompts += answers(other) ? 0 : other->rows;
    }
    s->answer_steps++;
    s->answer_entries += plan->entries;
    s->answer_most = (int32_t)max_i64(s->answer_most, plan->entries);
    s->answer_seconds += seconds;
    s->mixed_steps += prompts > 0;
    s->mixed_rows += prompts;
    s->mixed_seconds += prompts > 0 ? seconds : 0;
}

/* Samples of one request share its story, which counts a step of theirs once. */
static bool told_already(const Plan *plan, int32_t i)
{
    for (int32_t j = 0; j < i; j++)
        if (plan->entry[j].sequence->request == plan->entry[i].sequence->request && answers(&plan->entry[j]))
            return true;
    return false;
}

void story_step(const Plan *plan, int64_t step, double begun, double seconds)
{
    for (int32_t i = 0; i < plan->entries; i++) {
        const PlanEntry *e = &plan->entry[i];
        const Request *r = e->sequence->request;
        Story *s = r->options.story;
        if (!s)
            continue;
        if (!answers(e))
            note_chunk(s, plan, e, (StoryChunk){.step = step, .at = fmax(0, begun - r->submitted), .seconds = seconds});
        else if (!told_already(plan, i))
            note_answer(s, plan, e, seconds);
    }
}

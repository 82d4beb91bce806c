#include "server/story_json.h"

#include <math.h>
#include <string.h>

const char *const story_waits[STORY_WAITS] = {
    [STORY_STEP] = "step", [STORY_FILES] = "files", [STORY_SLOT] = "slot", [STORY_BLOCKS] = "blocks", [STORY_ROWS] = "rows"};
const char *const story_misses[KV_MISS_STATE + 1] = {
    [KV_MISS_NOTHING] = "nothing", [KV_MISS_NEW] = "new", [KV_MISS_DIFFERS] = "differs", [KV_MISS_EVICTED] = "evicted",
    [KV_MISS_STATE] = "state"};
const char *const story_reasons[STORY_RESTED + 1] = {
    [STORY_FOR_SLOT] = "slot", [STORY_FOR_BLOCKS] = "blocks", [STORY_RESTED] = "rested"};

static json_t *waits_json(const Story *s)
{
    json_t *waits = json_object();
    for (int i = 0; i < STORY_WAITS; i++)
        json_object_set_new(waits, story_waits[i], json_real(1e3 * s->waits[i]));
    return waits;
}

static json_t *chunk_json(const StoryChunk *c)
{
    json_t *with = json_array();
    for (int32_t i = 0; i < c->others && i < STORY_COMPANY; i++)
        json_array_append_new(with, json_integer((json_int_t)c->with[i]));
    return json_pack("{s:I, s:f, s:f, s:i, s:i, s:i, s:i, s:i, s:o}", "step", (json_int_t)c->step, "at_ms", 1e3 * c->at, "ms",
                     1e3 * c->seconds, "sample", (int)c->sample, "from", (int)c->first, "rows", (int)c->rows, "step_rows",
                     (int)c->step_rows, "others", (int)c->others, "with", with);
}

static json_t *chunks_json(const Story *s)
{
    json_t *first = json_array();
    for (int32_t i = 0; i < s->chunks && i < STORY_CHUNKS; i++)
        json_array_append_new(first, chunk_json(&s->chunk[i]));
    return json_pack("{s:i, s:o}", "count", (int)s->chunks, "first", first);
}

static json_t *preemptions_json(const Story *s)
{
    json_t *first = json_array();
    for (int32_t i = 0; i < s->preemptions && i < STORY_PREEMPTIONS; i++) {
        const StoryPreemption *p = &s->preemption[i];
        json_array_append_new(first, json_pack("{s:f, s:f, s:I, s:s, s:i, s:i, s:i}", "at_ms", 1e3 * p->at, "back_ms",
                                               1e3 * p->back, "by", (json_int_t)p->by, "reason", story_reasons[p->reason],
                                               "sample", (int)p->sample, "computed", (int)p->computed, "found",
                                               (int)p->found));
    }
    return json_pack("{s:i, s:o}", "count", (int)s->preemptions, "first", first);
}

static json_t *answer_json(const Story *s)
{
    json_t *with = json_array();
    for (int32_t i = 0; i < s->met; i++)
        json_array_append_new(with, json_pack("[I, I]", (json_int_t)s->with[i].tag, (json_int_t)s->with[i].steps));
    return json_pack("{s:I, s:I, s:i, s:f, s:I, s:I, s:f, s:o}", "steps", (json_int_t)s->answer_steps, "entries",
                     (json_int_t)s->answer_entries, "most", (int)s->answer_most, "ms", 1e3 * s->answer_seconds, "mixed_steps",
                     (json_int_t)s->mixed_steps, "mixed_rows", (json_int_t)s->mixed_rows, "mixed_ms", 1e3 * s->mixed_seconds,
                     "with", with);
}

json_t *story_json(const Story *s, double submitted, const RequestTimes *t)
{
    const KvFound *p = &s->prefix;
    return json_pack("{s:f, s:f, s:f, s:f, s:i, s:i, s:i, s:o, s:i, s:{s:i, s:i, s:i, s:s}, s:o, s:o, s:o, s:f, s:f}",
                     "submitted_ms", 1e3 * submitted, "started_ms", 1e3 * t->started, "first_token_ms", 1e3 * t->first_token,
                     "ended_ms", 1e3 * t->ended, "prompt", (int)t->prompt_tokens, "tokens", (int)t->generated_tokens,
                     "recomputed", (int)t->recomputed_tokens, "waits_ms", waits_json(s), "ahead", (int)s->ahead, "prefix",
                     "asked", (int)p->asked, "found", (int)p->found, "at", (int)p->at, "why", story_misses[p->why], "chunks",
                     chunks_json(s), "preemptions", preemptions_json(s), "answer", answer_json(s), "sampling_ms",
                     1e3 * s->sampling_seconds, "grammar_ms", 1e3 * s->grammar_seconds);
}

/* ---- and back ---- */

static bool good_ms(double *ms)
{
    bool good = isfinite(*ms) && *ms >= 0;
    *ms /= 1e3;
    return good;
}

/* Which of the names it is; -1: none. */
static int name_read(const char *const *names, int count, const char *name)
{
    int i = 0;
    while (i < count && strcmp(names[i], name))
        i++;
    return i < count ? i : -1;
}

static Err bad(const char *what, Error *err) { return fail(err, BAD_FILE, "its story is damaged: %s", what); }

static Err waits_read(json_t *waits, Story *s, Error *err)
{
    for (int i = 0; i < STORY_WAITS; i++) {
        s->waits[i] = json_number_value(json_object_get(waits, story_waits[i]));
        if (!json_is_number(json_object_get(waits, story_waits[i])) || !good_ms(&s->waits[i]))
            return bad("waits_ms", err);
    }
    return OK;
}

static Err chunk_read(json_t *json, StoryChunk *c, Error *err)
{
    json_t *with, *tag;
    size_t i;
    json_int_t step;
    if (json_unpack(json, "{s:I, s:F, s:F, s:i, s:i, s:i, s:i, s:i, s:o}", "step", &step, "at_ms", &c->at, "ms", &c->seconds,
                    "sample", &c->sample, "from", &c->first, "rows", &c->rows, "step_rows", &c->step_rows, "others",
                    &c->others, "with", &with) != 0)
        return bad("a field of a chunk is missing, or of another kind", err);
    c->step = step;
    if (step < 0 || !good_ms(&c->at) || !good_ms(&c->seconds) || c->sample < 0 || c->first < 0 || c->rows < 1
        || c->step_rows < c->rows || c->others < 0 || !json_is_array(with)
        || json_array_size(with) != (size_t)(c->others < STORY_COMPANY ? c->others : STORY_COMPANY))
        return bad("a chunk has a number that cannot be", err);
    json_array_foreach(with, i, tag) {
        if (!json_is_integer(tag) || json_integer_value(tag) < 0)
            return bad("a chunk's company", err);
        c->with[i] = (uint64_t)json_integer_value(tag);
    }
    return OK;
}

static Err preemption_read(json_t *json, StoryPreemption *p, Error *err)
{
    const char *reason;
    json_int_t by;
    if (json_unpack(json, "{s:F, s:F, s:I, s:s, s:i, s:i, s:i}", "at_ms", &p->at, "back_ms", &p->back, "by", &by, "reason",
                    &reason, "sample", &p->sample, "computed", &p->computed, "found", &p->found) != 0)
        return bad("a field of a preemption is missing, or of another kind", err);
    int which = name_read(story_reasons, STORY_RESTED + 1, reason);
    if (which < 0 || by < 0 || !good_ms(&p->at) || !good_ms(&p->back) || p->sample < 0 || p->computed < 0 || p->found < 0)
        return bad("a preemption has a value that cannot be", err);
    p->by = (uint64_t)by;
    p->reason = (StoryReason)which;
    return OK;
}

/* {"count", "first"}: of so many the first `most`. */
static Err list_read(json_t *list, const char *name, int32_t most, int32_t *count, json_t **first, Error *err)
{
    if (json_unpack(list, "{s:i, s:o}", "count", count, "first", first) != 0 || *count < 0 || !json_is_array(*first)
        || json_array_size(*first) != (size_t)(*count < most ? *count : most))
        return bad(name, err);
    return OK;
}

static Err lists_read(json_t *chunks, json_t *preemptions, Story *s, Error *err)
{
    json_t *first, *one;
    size_t i;
    TRY(list_read(chunks, "chunks", STORY_CHUNKS, &s->chunks, &first, err));
    json_array_foreach(first, i, one)
        TRY(chunk_read(one, &s->chunk[i], err));
    TRY(list_read(preemptions, "preemptions", STORY_PREEMPTIONS, &s->preemptions, &first, err));
    json_array_foreach(first, i, one)
        TRY(preemption_read(one, &s->preemption[i], err));
    return OK;
}

static Err answer_read(json_t *json, Story *s, Error *err)
{
    json_t *with, *one;
    size_t i;
    json_int_t steps, entries, mixed, rows, tag, met;
    if (json_unpack(json, "{s:I, s:I, s:i, s:F, s:I, s:I, s:F, s:o}", "steps", &steps, "entries", &entries, "most",
                    &s->answer_most, "ms", &s->answer_seconds, "mixed_steps", &mixed, "mixed_rows", &rows, "mixed_ms",
                    &s->mixed_seconds, "with", &with) != 0)
        return bad("a field of the answer is missing, or of another kind", err);
    if (steps < 0 || entries < steps || s->answer_most < 0 || mixed < 0 || mixed > steps || rows < 0
        || !good_ms(&s->answer_seconds) || !good_ms(&s->mixed_seconds) || !json_is_array(with)
        || json_array_size(with) > STORY_MET)
        return bad("the answer has a number that cannot be", err);
    s->answer_steps = steps, s->answer_entries = entries, s->mixed_steps = mixed, s->mixed_rows = rows;
    json_array_foreach(with, i, one) {
        if (json_unpack(one, "[I, I]", &tag, &met) != 0 || tag < 0 || met < 1)
            return bad("the answer's company", err);
        s->with[s->met++] = (StoryMet){(uint64_t)tag, met};
    }
    return OK;
}

Err story_read(const json_t *json, StoryTold *told, Error *err)
{
    *told = (StoryTold){0};
    Story *s = &told->story;
    RequestTimes *t = &told->times;
    KvFound *p = &s->prefix;
    json_t *waits, *chunks, *preemptions, *answer;
    const char *why;
    if (json_unpack((json_t *)json,
                    "{s:F, s:F, s:F, s:F, s:i, s:i, s:i, s:o, s:i, s:{s:i, s:i, s:i, s:s}, s:o, s:o, s:o, s:F, s:F}",
                    "submitted_ms", &told->submitted, "started_ms", &t->started, "first_token_ms", &t->first_token, "ended_ms",
                    &t->ended, "prompt", &t->prompt_tokens, "tokens", &t->generated_tokens, "recomputed", &t->recomputed_tokens,
                    "waits_ms", &waits, "ahead", &s->ahead, "prefix", "asked", &p->asked, "found", &p->found, "at", &p->at,
                    "why", &why, "chunks", &chunks, "preemptions", &preemptions, "answer", &answer, "sampling_ms",
                    &s->sampling_seconds, "grammar_ms", &s->grammar_seconds) != 0)
        return bad("a field is missing, or of another kind", err);
    int miss = name_read(story_misses, KV_MISS_STATE + 1, why);
    double *const times[] = {&told->submitted, &t->started, &t->first_token, &t->ended, &s->sampling_seconds,
                             &s->grammar_seconds};
    for (size_t i = 0; i < COUNT_OF(times); i++)
        if (!good_ms(times[i]))
            return bad("a time is negative", err);
    if (miss < 0 || t->prompt_tokens < 0 || t->generated_tokens < 0 || t->recomputed_tokens < 0 || s->ahead < 0
        || p->asked < 0 || p->found < 0 || p->found > p->asked || p->at < p->found)
        return bad("it has a value that cannot be", err);
    p->why = (KvMiss)miss;
    TRY(waits_read(waits, s, err));
    TRY(lists_read(chunks, preemptions, s, err));
    return answer_read(answer, s, err);
}

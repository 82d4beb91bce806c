#include "engine/choices.h"

#include <string.h>

#include "base/clock.h"
#include "core/ops.h"

enum { EDITS_MAX = 1 << 16 /* of a step */ };

/* What a plan's step chooses. */
typedef struct Batch {
    int32_t count;
    int32_t *place;                    /* [rows] of a row of logits among those that are chosen; -1: it is not */
    Chosen *chosen;                    /* [rows], once they have come */
    uint64_t fetched;                  /* device_await() */
    bool came;
} Batch;

struct Choices {
    Device *device;
    Sampler *sampler;
    int32_t rows, edits, masks;        /* at most; of this step */
    int32_t mask_words;
    Batch batch[2], *now;              /* by the turn of the plan; of this step */
    ChooseHow *how;                    /* [rows] */
    ChooseEdit *edit;                  /* [EDITS_MAX] */
    uint32_t *mask;                    /* [rows, mask_words] */
    void *how_there, *edit_there, *mask_there, *chosen_there;      /* on the device */
};

static bool take_batch(Batch *b, Arena *arena, size_t rows)
{
    b->place = ARENA_ARRAY(arena, int32_t, rows);
    b->chosen = ARENA_ARRAY(arena, Chosen, rows);
    return b->place && b->chosen;
}

Err choices_new(Choices **out, int32_t rows, int32_t vocabulary, Sampler *sampler, Device *d, Arena *arena, Error *err)
{
    Choices *c = ARENA_NEW(arena, Choices);
    int32_t mask_words = (vocabulary + 31) / 32;
    bool batches = c && take_batch(&c->batch[0], arena, (size_t)rows) && take_batch(&c->batch[1], arena, (size_t)rows);
    if (c) {
        c->how = ARENA_ARRAY(arena, ChooseHow, (size_t)rows);
        c->edit = ARENA_ARRAY(arena, ChooseEdit, EDITS_MAX);
        c->mask = ARENA_ARRAY(arena, uint32_t, (size_t)rows * (size_t)mask_words);
    }
    if (!batches || !c->how || !c->edit || !c->mask)
        return fail(err, NO_MEMORY, "no memory to choose %d tokens", rows);
    c->device = d;
    c->sampler = sampler;
    c->rows = rows;
    c->now = c->batch;
    c->mask_words = mask_words;
    TRY(d->calls->take(d, (size_t)rows * sizeof *c->how, &c->how_there, err));
    TRY(d->calls->take(d, EDITS_MAX * sizeof *c->edit, &c->edit_there, err));
    TRY(d->calls->take(d, (size_t)rows * (size_t)mask_words * sizeof *c->mask, &c->mask_there, err));
    TRY(d->calls->take(d, (size_t)rows * sizeof(Chosen), &c->chosen_there, err));
    *out = c;
    return OK;
}

/* Whether what follows the row at `position` is one token, and nothing else is wanted of it. Drafts are chosen as if
 * those before them were right: whoever reads them stops at the first that was not. */
static bool is_all_that_is_wanted(const PlanEntry *e, int32_t position)
{
    const Sequence *q = e->sequence;
    const Request *r = q->request;
    const RequestOptions *o = &r->options;
    bool scored = position < q->prompt && position >= q->scored &&
                  (o->logits || (o->prompt_logprobs && position + 1 < q->prompt));
    return position >= q->known - 1 && position + 1 < q->limit && !scored && !r->beam && r->followers == 0 &&
           !(o->constraint.allowed && e->drafted > 0);
}

/* The place of what may come next among the masks; -1: all may. */
static int32_t add_mask(Choices *c, const Sequence *q)
{
    const RequestOptions *o = &q->request->options;
    double began = o->story ? clock_seconds() : 0;
    const uint32_t *allowed = o->constraint.allowed ? o->constraint.allowed(o->constraint.with, q->sample) : NULL;
    if (o->story && o->constraint.allowed)
        o->story->grammar_seconds += clock_seconds() - began;
    if (!allowed)
        return -1;
    memcpy(c->mask + (size_t)c->masks * (size_t)c->mask_words, allowed, (size_t)c->mask_words * sizeof *allowed);
    return c->masks++;
}

static void add(Choices *c, const Sequence *q, int32_t position, int32_t row)
{
    SamplePlace place = {.tokens = q->tokens, .prompt_count = q->prompt, .token_count = position + 1,
                         .sample = (uint32_t)q->sample};
    const ChooseEdit *edits;
    ChooseHow how = sampler_how(c->sampler, &q->request->options.sampling, &place, &edits);
    if (how.edits > EDITS_MAX - c->edits)
        return;
    memcpy(c->edit + c->edits, edits, (size_t)how.edits * sizeof *edits);
    how.row = row;
    how.edit = c->edits;
    how.mask = add_mask(c, q);
    c->edits += how.edits;
    c->now->place[row] = c->now->count;
    c->how[c->now->count++] = how;
}

void choices_prepare(Choices *c, const Plan *plan)
{
    int32_t row = 0;
    c->now = &c->batch[plan->turn];
    c->now->count = c->edits = c->masks = 0;
    c->now->came = false;
    for (int32_t i = 0; i < plan->entries; i++) {
        const PlanEntry *e = &plan->entry[i];
        int32_t end = e->first + e->rows - e->after;
        for (int32_t at = end - e->outs; at < end; at++, row++) {
            c->now->place[row] = -1;
            if (is_all_that_is_wanted(e, at))
                add(c, e->sequence, at, row);
        }
    }
    if (c->now->count == 0)
        return;
    c->device->calls->write(c->device, c->how_there, c->how, (size_t)c->now->count * sizeof *c->how);
    c->device->calls->write(c->device, c->edit_there, c->edit, (size_t)c->edits * sizeof *c->edit);
    c->device->calls->write(c->device, c->mask_there, c->mask, (size_t)c->masks * (size_t)c->mask_words * sizeof *c->mask);
}

/* The same tensors at each step of so many rows, as what a device keeps of earlier steps asks. */
static void choose(Choices *c, Tensor logits, int32_t rows)
{
    device_label(c->device, "choose", -1);
    op_choose(c->device, tensor_of(c->chosen_there, &format_i32, rows, CHOSEN_WORDS), logits,
              tensor_of(c->how_there, &format_i32, rows, HOW_WORDS),
              tensor_of(c->edit_there, &format_i32, EDITS_MAX, EDIT_WORDS),
              tensor_of(c->mask_there, &format_i32, c->rows, c->mask_words));
}

void choices_run(Choices *c, Tensor logits)
{
    Batch *b = c->now;
    if (b->count == 0)
        return;
    choose(c, logits, b->count);
    b->fetched = device_fetch(c->device, b->chosen, c->chosen_there, (size_t)b->count * sizeof *b->chosen);
}

void choices_plan(Choices *c, Tensor logits) { choose(c, logits, c->rows); }

const Chosen *choices_of(Choices *c, int32_t turn, int32_t i)
{
    Batch *b = &c->batch[turn];
    if (b->place[i] < 0)
        return NULL;
    if (!b->came)
        device_await(c->device, b->fetched);
    b->came = true;
    if (device_trouble(c->device))      /* what came means nothing, and must not look like the end of an answer */
        b->chosen[b->place[i]] = (Chosen){.id = -1, .broken = 0};
    return &b->chosen[b->place[i]];
}

Tensor choices_ids(const Choices *c)
{
    return tensor_columns(tensor_of(c->chosen_there, &format_i32, c->rows, CHOSEN_WORDS), 0, 1);
}

/* ---- tokens that fly ---- */

static bool needs_no_ids(const RequestOptions *o)
{
    const SamplerOptions *s = &o->sampling;
    bool repeats = s->repeat_penalty != 1 && s->repeat_last_n != 0;
    return !repeats && s->presence_penalty == 0 && s->frequency_penalty == 0 && !o->constraint.allowed;
}

/* out: of the entry's first row of logits. */
static bool entry_flies(const Choices *c, const PlanEntry *e, int32_t out)
{
    const Sequence *q = e->sequence;
    if (!q || e->drafted > 0 || e->hiddens > 0)
        return false;
    return e->outs == 0 || (e->outs == 1 && c->now->place[out] >= 0 && e->first + e->rows == q->known &&
                            needs_no_ids(&q->request->options));
}

bool choices_fly(Choices *c, const Plan *plan)
{
    int32_t out = 0;
    for (int32_t i = 0; i < plan->entries; out += plan->entry[i++].outs)
        if (!entry_flies(c, &plan->entry[i], out))
            return false;
    out = 0;
    for (int32_t i = 0; i < plan->entries; out += plan->entry[i++].outs)
        if (plan->entry[i].outs > 0)
            plan->entry[i].sequence->flying = 1 + c->now->place[out];
    return out > 0;
}

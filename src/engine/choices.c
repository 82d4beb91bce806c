#include "engine/choices.h"

#include <string.h>

#include "base/clock.h"
#include "core/ops.h"

enum { EDITS_MAX = 1 << 16 /* of a step */ };

struct Choices {
    Device *device;
    Sampler *sampler;
    int32_t rows, count, edits, masks; /* at most; of this step */
    int32_t mask_words;
    int32_t *place;                    /* [rows] of a row of logits among those that are chosen; -1: it is not */
    ChooseHow *how;                    /* [rows] */
    ChooseEdit *edit;                  /* [EDITS_MAX] */
    uint32_t *mask;                    /* [rows, mask_words] */
    Chosen *chosen;                    /* [rows], once they were read */
    bool read;
    void *how_there, *edit_there, *mask_there, *chosen_there;      /* on the device */
};

Err choices_new(Choices **out, int32_t rows, int32_t vocabulary, Sampler *sampler, Device *d, Arena *arena, Error *err)
{
    Choices *c = ARENA_NEW(arena, Choices);
    int32_t mask_words = (vocabulary + 31) / 32;
    if (c) {
        c->place = ARENA_ARRAY(arena, int32_t, (size_t)rows);
        c->how = ARENA_ARRAY(arena, ChooseHow, (size_t)rows);
        c->edit = ARENA_ARRAY(arena, ChooseEdit, EDITS_MAX);
        c->mask = ARENA_ARRAY(arena, uint32_t, (size_t)rows * (size_t)mask_words);
        c->chosen = ARENA_ARRAY(arena, Chosen, (size_t)rows);
    }
    if (!c || !c->place || !c->how || !c->edit || !c->mask || !c->chosen)
        return fail(err, NO_MEMORY, "no memory to choose %d tokens", rows);
    c->device = d;
    c->sampler = sampler;
    c->rows = rows;
    c->mask_words = mask_words;
    TRY(d->calls->take(d, (size_t)rows * sizeof *c->how, &c->how_there, err));
    TRY(d->calls->take(d, EDITS_MAX * sizeof *c->edit, &c->edit_there, err));
    TRY(d->calls->take(d, (size_t)rows * (size_t)mask_words * sizeof *c->mask, &c->mask_there, err));
    TRY(d->calls->take(d, (size_t)rows * sizeof *c->chosen, &c->chosen_there, err));
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
    c->place[row] = c->count;
    c->how[c->count++] = how;
}

void choices_prepare(Choices *c, const Plan *plan)
{
    int32_t row = 0;
    c->count = c->edits = c->masks = 0;
    c->read = false;
    for (int32_t i = 0; i < plan->entries; i++) {
        const PlanEntry *e = &plan->entry[i];
        int32_t end = e->first + e->rows - e->after;
        for (int32_t at = end - e->outs; at < end; at++, row++) {
            c->place[row] = -1;
            if (is_all_that_is_wanted(e, at))
                add(c, e->sequence, at, row);
        }
    }
    if (c->count == 0)
        return;
    c->device->calls->write(c->device, c->how_there, c->how, (size_t)c->count * sizeof *c->how);
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
    if (c->count > 0)
        choose(c, logits, c->count);
}

void choices_plan(Choices *c, Tensor logits) { choose(c, logits, c->rows); }

const Chosen *choices_of(Choices *c, int32_t i)
{
    if (c->place[i] < 0)
        return NULL;
    if (!c->read)
        c->device->calls->read(c->device, c->chosen, c->chosen_there, (size_t)c->count * sizeof *c->chosen);
    c->read = true;
    if (device_trouble(c->device))      /* what was read means nothing, and must not look like the end of an answer */
        c->chosen[c->place[i]] = (Chosen){.id = -1, .broken = 0};
    return &c->chosen[c->place[i]];
}

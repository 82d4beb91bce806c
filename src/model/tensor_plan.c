#include "model/tensor_plan.h"

#include <stdlib.h>
#include <string.h>

void tensor_plans_deinit(TensorPlans *p)
{
    for (int i = 0; i < p->part_count; i++) {
        weight_source_deinit(&p->parts[i].source);
        free(p->parts[i].mine);
    }
    free(p->parts);
    free(p->items);
    *p = (TensorPlans){0};
}

static TensorPlan *find_plan(TensorPlans *p, const char *name)
{
    for (int i = p->count - 1; i >= 0; i--)
        if (!strcmp(p->items[i].name, name))
            return &p->items[i];
    return NULL;
}

/* ---- from a GGUF ---- */

static void plan_copy(TensorPlans *p, const WeightDecl *decl, const StoreTensor *t)
{
    TensorPlan plan = {.name = decl->gguf.name, .decl = decl, .copied = t, .dims = t->dims};
    memcpy(plan.dim, t->dim, sizeof plan.dim);
    plan.width = store_tensor_width(t);
    plan.lines = plan.expert_lines = store_tensor_elems(t) / plan.width;
    if (!find_plan(p, plan.name))
        p->items[p->count++] = plan;
}

/* ---- from a checkpoint ---- */

TensorPlan tensor_plan_of(const WeightDecl *decl)
{
    TensorPlan plan = {.name = decl->gguf.name, .decl = decl};
    WeightShape there = weight_shape_there(decl, &decl->gguf);
    bool turned = decl->gguf.transposed || !decl->rows; /* a vector is one line */
    plan.dims = weight_dims_there(decl, &decl->gguf, plan.dim);
    plan.width = turned ? there.rows : there.width;
    plan.expert_lines = turned ? there.width : there.rows;
    plan.lines = plan.expert_lines * there.experts;
    return plan;
}

static Err find_lines(PlanPart *part, const TensorPlan *plan, Error *err)
{
    const WeightSource *s = &part->source;
    const WeightPlace *place = &s->decl->gguf;
    part->mine = malloc((size_t)plan->expert_lines * sizeof *part->mine);
    if (!part->mine)
        return fail(err, NO_MEMORY, "no memory to convert '%s'", plan->name);
    memset(part->mine, 0xff, (size_t)plan->expert_lines * sizeof *part->mine);
    for (int64_t c = 0; place->transposed && c < s->slot.width; c++)
        part->mine[weight_column_there(place, c)] = (int32_t)c;
    for (int64_t r = 0; !place->transposed && r < s->slot.rows; r++)
        part->mine[weight_row_there(place, s->slot.rows, r)] = (int32_t)r;
    return OK;
}

static Err plan_part(TensorPlans *p, const WeightDecl *decl, const WeightSource *source, Error *err)
{
    PlanPart *part = &p->parts[p->part_count++];
    *part = (PlanPart){.source = *source};
    if (!weight_fits(decl, &decl->gguf))
        return fail(err, UNSUPPORTED, "a GGUF cannot hold '%s' as a part of '%s'", decl->hf.name, decl->gguf.name);
    if (source->format->block_elems > 1 && !weight_rows_stay(decl, &decl->gguf))
        return fail(err, UNSUPPORTED, "tensor '%s' is %s, whose blocks cannot be cut to be written as '%s'",
                    source->place->name, source->format->name, decl->gguf.name);
    TensorPlan *plan = find_plan(p, decl->gguf.name), wanted = tensor_plan_of(decl);
    if (!plan) {
        plan = &p->items[p->count++];
        *plan = wanted;
    }
    if (plan->lines != wanted.lines || plan->width != wanted.width || plan->expert_lines != wanted.expert_lines)
        return fail(err, UNSUPPORTED, "tensor '%s' would have %lld lines of %lld for one weight, and %lld of %lld for another",
                    plan->name, (long long)plan->lines, (long long)plan->width, (long long)wanted.lines,
                    (long long)wanted.width);
    part->next = plan->parts;
    plan->parts = part;
    return decl->rows ? find_lines(part, plan, err) : OK;
}

static Err check_whole(const Checkpoint *c, const TensorPlan *plan, Error *err)
{
    int64_t known = 0;
    for (const PlanPart *part = plan->parts; part; part = part->next)
        known += part->source.slot.experts * part->source.slot.rows * part->source.slot.width;
    if (plan->copied || known == plan->lines * plan->width)
        return OK;
    return fail(err, UNSUPPORTED, "%s: '%s' of a GGUF has %lld values, and the checkpoint gives %lld of them",
                c->keys.where, plan->name, (long long)(plan->lines * plan->width), (long long)known);
}

static Err plan_all(TensorPlans *p, const Checkpoint *c, const WeightList *list, Error *err)
{
    for (int i = 0; i < list->count; i++) {
        const WeightDecl *decl = &list->items[i];
        WeightSource source;
        if (!decl->gguf.name[0] || decl->same_as)
            continue;
        TRY(weight_find(c, decl, &source, err));
        if (keys_are_gguf(&c->keys) && source.tensor) {
            plan_copy(p, decl, source.tensor);
            weight_source_deinit(&source);
        } else if (source.format) {
            TRY(plan_part(p, decl, &source, err));
        }
    }
    for (int i = 0; i < p->count; i++)
        TRY(check_whole(c, &p->items[i], err));
    return OK;
}

Err tensor_plans_init(TensorPlans *p, const Checkpoint *c, const WeightList *list, Error *err)
{
    *p = (TensorPlans){.items = calloc((size_t)list->count + 1, sizeof *p->items),
                       .parts = calloc((size_t)list->count + 1, sizeof *p->parts)};
    if (!p->items || !p->parts) {
        tensor_plans_deinit(p);
        return fail(err, NO_MEMORY, "%s: no memory for the list of its weights", c->keys.where);
    }
    Err result = plan_all(p, c, list, err);
    if (result != OK)
        tensor_plans_deinit(p);
    return result;
}

/* ---- lines ---- */

static float value(const PlanPart *part, int64_t expert, int64_t row, int64_t column)
{
    return weight_store(&part->source.decl->gguf, weight_value(&part->source, expert, row, column));
}

/* Puts what a part has of a line. */
static void put_part(const PlanPart *part, int64_t expert, int64_t line, float *out)
{
    const WeightSource *s = &part->source;
    const WeightPlace *place = &s->decl->gguf;
    int64_t mine = part->mine ? part->mine[line] : 0;
    if (mine < 0)
        return;
    if (!s->decl->rows || place->transposed) {
        for (int64_t r = 0; r < s->slot.rows; r++)
            out[weight_row_there(place, s->slot.rows, r)] = value(part, expert, r, mine);
    } else if (weight_rows_stay(s->decl, place)) {
        weight_values(s, expert, mine, out);
        for (int64_t c = 0; weight_maps(place) && c < s->slot.width; c++)
            out[c] = weight_store(place, out[c]);
    } else {
        for (int64_t c = 0; c < s->slot.width; c++)
            out[weight_column_there(place, c)] = value(part, expert, mine, c);
    }
}

const Format *tensor_plan_blocks(const TensorPlan *plan)
{
    const Format *blocks = plan->parts ? plan->parts->source.format : NULL;
    for (const PlanPart *part = plan->parts; part; part = part->next) {
        const WeightPlace *place = &part->source.decl->gguf;
        if (part->source.format != blocks || blocks->block_elems == 1 || !weight_stays(&part->source) ||
            weight_maps(place) || !weight_rows_stay(part->source.decl, place))
            return NULL;
    }
    return blocks;
}

void tensor_plan_stored_line(const TensorPlan *plan, int64_t line, void *out)
{
    for (const PlanPart *part = plan->parts; part; part = part->next) {
        int64_t mine = part->mine[line % plan->expert_lines];
        if (mine >= 0)
            weight_row(&part->source, line / plan->expert_lines, mine, out);
    }
}

void tensor_plan_line(const TensorPlan *plan, int64_t line, float *out)
{
    if (plan->copied)
        plan->copied->format->decode(out, plan->copied->bytes.data +
                                              (size_t)line * format_row_bytes(plan->copied->format, plan->width),
                                     (size_t)plan->width);
    for (const PlanPart *part = plan->parts; part; part = part->next)
        put_part(part, line / plan->expert_lines, line % plan->expert_lines, out);
}

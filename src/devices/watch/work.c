#include "devices/watch/work.h"

#include <stdlib.h>
#include <string.h>

const char *const work_part_name[WORK_PARTS] = {"embed", "projections", "attention", "state", "mlp", "head"};

WorkPart work_part(const char *label, const OpCall *call)
{
    static const char *const mixes_channels[] = {"mlp", "experts", "channels"};
    if (call->op == OP_ATTEND || call->op == OP_CACHE_WRITE || call->op == OP_ROPE)
        return WORK_ATTENTION;
    if (op_has_state(call))
        return WORK_STATE;
    if (!strcmp(label, "embed") || !strcmp(label, "head"))
        return *label == 'e' ? WORK_EMBED : WORK_HEAD;
    for (size_t i = 0; i < COUNT_OF(mixes_channels); i++)
        if (!strcmp(label, mixes_channels[i]))
            return WORK_MLP;
    return WORK_PROJECTIONS;
}

void op_cost_add(OpCost *sum, const OpCost *more)
{
    sum->operations += more->operations;
    sum->weight_bytes += more->weight_bytes;
    sum->cache_bytes += more->cache_bytes;
    sum->activation_bytes += more->activation_bytes;
    sum->chosen_bytes += more->chosen_bytes;
    sum->choice_bytes += more->choice_bytes;
}

/* The largest input that is no row of numbers: weights, or the past. */
static WorkLine line_of(const char *label, const OpCall *call)
{
    bool past = call->op == OP_ATTEND;
    Tensor rows = call->op == OP_CACHE_WRITE ? call->in[0] : call->out[0];   /* what it writes into is the whole cache */
    WorkLine line = {.op = call->op, .part = work_part(label, call), .rows = rows.dim[0]};
    if (past)
        line.format = call->in[1].format;
    for (int i = 0; i < call->ins && !past; i++) {
        Tensor t = call->in[i];
        if (tensor_is_none(t) || t.format == &format_i32 || (t.format == &format_f32 && t.dim[0] == line.rows))
            continue;
        line.elems += tensor_elems(t);
        if (!line.format || line.format == &format_f32)
            line.format = t.format;
    }
    line.elems = line.elems ? line.elems : tensor_width(call->out[0]);
    return line;
}

static bool alike(const WorkLine *a, const WorkLine *b)
{
    return a->op == b->op && a->rows == b->rows && a->elems == b->elems && a->part == b->part && a->format == b->format;
}

static WorkLine *nearest(Work *w, const WorkLine *line)
{
    WorkLine *best = &w->line[w->lines - 1];
    for (int32_t i = 0; i < w->lines; i++) {
        WorkLine *l = &w->line[i];
        if (l->op == line->op && l->part == line->part && l->format == line->format &&
            (best->op != line->op || abs(l->rows - line->rows) < abs(best->rows - line->rows)))
            best = l;
    }
    return best;
}

static WorkLine *find(Work *w, const WorkLine *line)
{
    for (int32_t i = 0; i < w->lines; i++) {
        w->last = w->last + 1 < w->lines ? w->last + 1 : 0;
        if (alike(&w->line[w->last], line))
            return &w->line[w->last];
    }
    if (w->lines < WORK_LINES_MAX) {
        w->last = w->lines++;
        w->line[w->last] = *line;
        return &w->line[w->last];
    }
    return nearest(w, line);
}

WorkLine *work_add(Work *w, const char *label, const OpCall *call, const OpCost *cost, const Demand *demand)
{
    WorkLine one = line_of(label, call), *line = find(w, &one);
    op_cost_add(&line->cost, cost);
    demand_add(&line->demand, demand);
    line->calls++;
    return line;
}

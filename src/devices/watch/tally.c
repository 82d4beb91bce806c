/* tally.c -- counts what goes by. */
#include <stdlib.h>
#include <string.h>

#include "devices/watch/watch.h"

typedef struct TallyDevice {
    Device device;
    Tally tally;
    const char *part;
    int layer;
} TallyDevice;

static void tally_run(Device *d, const OpCall *call)
{
    TallyDevice *t = (TallyDevice *)d;
    OpCost cost = watch_cost(d, call);
    Demand demand = op_demand(call, &cost);
    op_cost_add(&t->tally.total, &cost);
    demand_add(&t->tally.demand, &demand);
    work_add(&t->tally.work, t->part, call, &cost, &demand);
    d->inner->calls->run(d->inner, call);
}

/* A part may say its name several times. */
static void tally_label(Device *d, const char *part, int layer)
{
    TallyDevice *t = (TallyDevice *)d;
    t->tally.branches += layer >= 0 && (layer != t->layer || strcmp(part, t->part));
    t->part = part;
    t->layer = layer;
    watch_label(d, part, layer);
}

static void tally_close(Device *d)
{
    device_close(d->inner);
    free(d);
}

static const DeviceCalls tally_calls = {
    WATCH_FORWARD, .upload = watch_upload, .run = tally_run, .label = tally_label,
    .plan_begin = watch_plan_begin, .plan_end = watch_plan_end, .close = tally_close,
};

Err tally_open(Device *inner, Device **out, Error *err)
{
    TallyDevice *t = calloc(1, sizeof *t);
    if (!t)
        return fail(err, NO_MEMORY, "no memory for a tally");
    t->device = (Device){.calls = &tally_calls, .name = "tally", .inner = inner};
    t->part = "";
    t->layer = -1;
    *out = &t->device;
    return OK;
}

const Tally *tally_read(const Device *d) { return &((const TallyDevice *)d)->tally; }

void tally_reset(Device *d)
{
    Tally *t = &((TallyDevice *)d)->tally;
    t->total = (OpCost){0};
    t->demand = (Demand){0};
    t->branches = 0;
    t->work.lines = t->work.last = 0;
}

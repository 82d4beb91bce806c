/* tally.c -- counts what goes by. */
#include <stdlib.h>

#include "devices/watch/watch.h"

typedef struct TallyDevice {
    Device device;
    Tally tally;
} TallyDevice;

static void add(OpCost *sum, OpCost more)
{
    sum->operations += more.operations;
    sum->weight_bytes += more.weight_bytes;
    sum->cache_bytes += more.cache_bytes;
    sum->activation_bytes += more.activation_bytes;
}

static void tally_run(Device *d, const OpCall *call)
{
    Tally *t = &((TallyDevice *)d)->tally;
    OpCost cost = op_spec(call->op)->cost(call);
    Demand demand = op_demand(call);
    demand_add(&t->demand, &demand);
    add(&t->total, cost);
    add(&t->by_op[call->op], cost);
    t->chosen_bytes += cost.choice_bytes > 0 ? cost.weight_bytes : 0;
    t->choice_bytes += cost.choice_bytes;
    t->calls[call->op]++;
    d->inner->calls->run(d->inner, call);
}

static void tally_close(Device *d)
{
    device_close(d->inner);
    free(d);
}

static const DeviceCalls tally_calls = {
    WATCH_FORWARD, .upload = watch_upload, .run = tally_run, .label = watch_label,
    .plan_begin = watch_plan_begin, .plan_end = watch_plan_end, .close = tally_close,
};

Err tally_open(Device *inner, Device **out, Error *err)
{
    TallyDevice *t = calloc(1, sizeof *t);
    if (!t)
        return fail(err, NO_MEMORY, "no memory for a tally");
    t->device = (Device){.calls = &tally_calls, .name = "tally", .inner = inner};
    *out = &t->device;
    return OK;
}

const Tally *tally_read(const Device *d) { return &((const TallyDevice *)d)->tally; }
void tally_reset(Device *d) { ((TallyDevice *)d)->tally = (Tally){0}; }

/* trace.c -- times what goes by. Each operation is waited for, so the sum may exceed an untraced run. */
#include <stdlib.h>

#include "devices/watch/watch.h"

typedef struct TraceDevice {
    Device device;
    TraceEvents *events;
    const char *part;
    char label[LABEL_BYTES];
    bool planning;             /* nothing is computed, so nothing is timed */
    bool paused;
    Work work;
} TraceDevice;

static void put_event(const TraceDevice *t, const OpCall *call, OpCost cost, double start, double seconds)
{
    char args[256];
    snprintf(args, sizeof args, "\"part\": \"%s\", \"rows\": %d, \"bytes\": %.0f, \"operations\": %.0f, \"GB/s\": %.2f",
             t->label, call->out[0].dim[0], op_cost_bytes(&cost), cost.operations, op_cost_bytes(&cost) / seconds / 1e9);
    trace_events_put(t->events, "op", op_name(call->op), start, seconds, args);
}

static void trace_run(Device *d, const OpCall *call)
{
    TraceDevice *t = (TraceDevice *)d;
    if (t->planning || t->paused) {
        d->inner->calls->run(d->inner, call);
        return;
    }
    char nothing;
    double start = clock_seconds();
    d->inner->calls->run(d->inner, call);
    d->inner->calls->read(d->inner, &nothing, call->out[0].data, 0); /* waits */
    double seconds = clock_seconds() - start;
    OpCost cost = watch_cost(d, call);
    Demand demand = op_demand(call, &cost);
    work_add(&t->work, t->part, call, &cost, &demand)->seconds += seconds;
    if (t->events)
        put_event(t, call, cost, start, seconds);
}

static void trace_label(Device *d, const char *part, int layer)
{
    ((TraceDevice *)d)->part = part;
    label_text(part, layer, ((TraceDevice *)d)->label);
    device_label(d->inner, part, layer);
}

static void trace_plan_begin(Device *d)
{
    ((TraceDevice *)d)->planning = true;
    watch_plan_begin(d);
}

static Err trace_plan_end(Device *d, Error *err)
{
    ((TraceDevice *)d)->planning = false;
    return watch_plan_end(d, err);
}

static void trace_close(Device *d)
{
    device_close(d->inner);
    free(d);
}

static const DeviceCalls trace_calls = {
    WATCH_FORWARD, .upload = watch_upload, .run = trace_run, .label = trace_label,
    .plan_begin = trace_plan_begin, .plan_end = trace_plan_end, .close = trace_close,
};

Err trace_open(Device *inner, TraceEvents *events, Device **out, Error *err)
{
    TraceDevice *t = calloc(1, sizeof *t);
    if (!t)
        return fail(err, NO_MEMORY, "no memory for a trace");
    t->device = (Device){.calls = &trace_calls, .name = "trace", .inner = inner};
    t->events = events;
    t->part = "";
    *out = &t->device;
    return OK;
}

void trace_reset(Device *d)
{
    Work *w = &((TraceDevice *)d)->work;
    w->lines = w->last = 0;
}

void trace_pause(Device *d, bool paused) { ((TraceDevice *)d)->paused = paused; }
const Work *trace_read(const Device *d) { return &((const TraceDevice *)d)->work; }

/* All lines of an operation. */
static WorkLine sum_of(const Work *w, Op op)
{
    WorkLine sum = {.op = op};
    for (int32_t i = 0; i < w->lines; i++) {
        const WorkLine *line = &w->line[i];
        if (line->op != op)
            continue;
        op_cost_add(&sum.cost, &line->cost);
        demand_add(&sum.demand, &line->demand);
        sum.calls += line->calls;
        sum.seconds += line->seconds;
    }
    return sum;
}

static void print_row(const WorkLine *l, double total, const Machine *m, FILE *out)
{
    double bytes = op_cost_bytes(&l->cost);
    fprintf(out, "%-14s %9lld %10.3f %5.1f%% %10.2f %8.2f %9.2f", op_name(l->op), (long long)l->calls, 1e3 * l->seconds,
            100 * l->seconds / total, bytes / 1e6, bytes / l->seconds / 1e9, l->cost.operations / l->seconds / 1e9);
    if (m)
        fprintf(out, " %6.1f%%", 100 * roofline_seconds(m, &l->demand) / l->seconds);
    fputc('\n', out);
}

void trace_print(const Device *d, const Machine *m, FILE *out)
{
    const Work *w = trace_read(d);
    double total = 0;
    for (int32_t i = 0; i < w->lines; i++)
        total += w->line[i].seconds;
    fprintf(out, "%-14s %9s %10s %6s %10s %8s %9s%s\n", "operation", "calls", "ms", "share", "MB", "GB/s", "GFLOP/s",
            m ? "   bound" : "");
    for (int op = 0; op < OP_COUNT; op++) {
        WorkLine sum = sum_of(w, (Op)op);
        if (sum.calls)
            print_row(&sum, total, m, out);
    }
}

/* trace.c -- times what goes by. Each operation is waited for, so the sum may exceed an untraced run. */
#include <stdlib.h>

#include "devices/watch/watch.h"

typedef struct TraceDevice {
    Device device;
    TraceEvents *events;
    char label[LABEL_BYTES];
    bool planning;             /* nothing is computed, so nothing is timed */
    bool paused;
    double seconds[OP_COUNT];
    OpCost cost[OP_COUNT];
    Demand demand[OP_COUNT];
    int64_t calls[OP_COUNT];
} TraceDevice;

static double bytes_of(OpCost c) { return c.weight_bytes + c.cache_bytes + c.activation_bytes; }

static void put_event(const TraceDevice *t, const OpCall *call, OpCost cost, double start, double seconds)
{
    char args[256];
    snprintf(args, sizeof args, "\"part\": \"%s\", \"rows\": %d, \"bytes\": %.0f, \"operations\": %.0f, \"GB/s\": %.2f",
             t->label, call->out[0].dim[0], bytes_of(cost), cost.operations, bytes_of(cost) / seconds / 1e9);
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
    OpCost cost = watch_cost(d, call), *sum = &t->cost[call->op];
    Demand demand = op_demand(call, cost);
    demand_add(&t->demand[call->op], &demand);
    sum->operations += cost.operations;
    sum->weight_bytes += cost.weight_bytes;
    sum->cache_bytes += cost.cache_bytes;
    sum->activation_bytes += cost.activation_bytes;
    t->seconds[call->op] += seconds;
    t->calls[call->op]++;
    if (t->events)
        put_event(t, call, cost, start, seconds);
}

static void trace_label(Device *d, const char *part, int layer)
{
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
    *out = &t->device;
    return OK;
}

void trace_pause(Device *d, bool pause) { ((TraceDevice *)d)->paused = pause; }

static void print_row(const TraceDevice *t, Op op, double total, const Machine *m, FILE *out)
{
    double s = t->seconds[op], bytes = bytes_of(t->cost[op]);
    fprintf(out, "%-14s %9lld %10.3f %5.1f%% %10.2f %8.2f %9.2f", op_name(op), (long long)t->calls[op], 1e3 * s,
            100 * s / total, bytes / 1e6, bytes / s / 1e9, t->cost[op].operations / s / 1e9);
    if (m)
        fprintf(out, " %6.1f%%", 100 * roofline_seconds(m, &t->demand[op]) / s);
    fputc('\n', out);
}

void trace_print(const Device *d, const Machine *m, FILE *out)
{
    const TraceDevice *t = (const TraceDevice *)d;
    double total = 0;
    for (int op = 0; op < OP_COUNT; op++)
        total += t->seconds[op];
    fprintf(out, "%-14s %9s %10s %6s %10s %8s %9s%s\n", "operation", "calls", "ms", "share", "MB", "GB/s", "GFLOP/s",
            m ? "   bound" : "");
    for (int op = 0; op < OP_COUNT; op++)
        if (t->calls[op])
            print_row(t, (Op)op, total, m, out);
}

/* dump.c -- shows numbers on their way. */
#include <fnmatch.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "devices/watch/watch.h"

enum { SHOWN = 8 };

typedef struct DumpDevice {
    Device device;
    FILE *to;
    char *pattern;
    char label[LABEL_BYTES];
    bool planning, chosen;
} DumpDevice;

static void dump_row(DumpDevice *t, const OpCall *call, int out, int64_t row)
{
    Tensor x = call->out[out];
    int64_t width = tensor_width(x);
    float *values = malloc((size_t)width * sizeof *values);
    if (!values)
        return;
    t->device.inner->calls->read(t->device.inner, values, tensor_row(x, row), (size_t)width * sizeof *values);
    double sum = 0, least = INFINITY, largest = -INFINITY;
    for (int64_t i = 0; i < width; i++) {
        sum += values[i];
        least = fmin(least, values[i]);
        largest = fmax(largest, values[i]);
    }
    fprintf(t->to, "%s.%s[%d] row %lld of %d: least %.6g, largest %.6g, mean %.6g:", t->label, op_name(call->op), out,
            (long long)row, x.dim[0], least, largest, sum / (double)width);
    for (int64_t i = 0; i < width && i < SHOWN; i++)
        fprintf(t->to, " %.6g", values[i]);
    fputs(width > SHOWN ? " ...\n" : "\n", t->to);
    free(values);
}

static void dump_run(Device *d, const OpCall *call)
{
    DumpDevice *t = (DumpDevice *)d;
    d->inner->calls->run(d->inner, call);
    bool shown = t->chosen && !t->planning && call->op != OP_CACHE_WRITE;
    int outs = op_has_state(call) ? 1 : call->outs;   /* the cache is not what a part says */
    for (int out = 0; shown && out < outs; out++)
        for (int64_t row = 0; row < call->out[out].dim[0] && call->out[out].format == &format_f32; row++)
            dump_row(t, call, out, row);
}

static void dump_label(Device *d, const char *part, int layer)
{
    DumpDevice *t = (DumpDevice *)d;
    label_text(part, layer, t->label);
    t->chosen = fnmatch(t->pattern, t->label, 0) == 0;
    device_label(d->inner, part, layer);
}

static void dump_plan_begin(Device *d)
{
    ((DumpDevice *)d)->planning = true;
    watch_plan_begin(d);
}

static Err dump_plan_end(Device *d, Error *err)
{
    ((DumpDevice *)d)->planning = false;
    return watch_plan_end(d, err);
}

static void dump_close(Device *d)
{
    device_close(d->inner);
    free(((DumpDevice *)d)->pattern);
    free(d);
}

Err dump_open(Device *inner, const char *pattern, FILE *to, Device **out, Error *err)
{
    static const DeviceCalls calls = {
        WATCH_FORWARD, .upload = watch_upload, .run = dump_run, .label = dump_label,
        .plan_begin = dump_plan_begin, .plan_end = dump_plan_end, .close = dump_close,
    };
    DumpDevice *t = calloc(1, sizeof *t);
    char *copy = strdup(pattern);
    if (!t || !copy) {
        free(t);
        free(copy);
        return fail(err, NO_MEMORY, "no memory for a dump");
    }
    *t = (DumpDevice){.device = {.calls = &calls, .name = "dump", .inner = inner}, .to = to, .pattern = copy};
    *out = &t->device;
    return OK;
}

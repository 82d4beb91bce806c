/* compare.c -- computes everything twice and holds the fast against the slow.
 *
 * Both see the same inputs: those that the fast device made. So what differs differs in this one
 * operation, and not because an earlier one did. Weights lie with each device in its own layout; a map
 * from the fast address to the reference's tensor finds the partner.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "devices/watch/watch.h"

typedef struct Pair {
    const void *fast;
    Tensor reference;
} Pair;

typedef struct CompareDevice {
    Device device;
    Device *reference;
    Pair *pairs; /* open addressing by address; slots a power of two */
    size_t slots, used;
    bool planning;
    char label[LABEL_BYTES];
    Difference difference;
} CompareDevice;

static Pair *slot_of(const CompareDevice *c, const void *fast)
{
    size_t at = ((uintptr_t)fast >> 6) * 0x9E3779B97F4A7C15u;
    while (c->pairs[at & (c->slots - 1)].fast && c->pairs[at & (c->slots - 1)].fast != fast)
        at++;
    return &c->pairs[at & (c->slots - 1)];
}

static bool pair_up(CompareDevice *c, const void *fast, Tensor reference)
{
    if (2 * (c->used + 1) > c->slots) {
        CompareDevice larger = *c;
        larger.slots = c->slots ? 2 * c->slots : 256;
        larger.pairs = calloc(larger.slots, sizeof(Pair));
        if (!larger.pairs)
            return false;
        for (size_t i = 0; i < c->slots; i++)
            if (c->pairs[i].fast)
                *slot_of(&larger, c->pairs[i].fast) = c->pairs[i];
        free(c->pairs);
        *c = larger;
    }
    *slot_of(c, fast) = (Pair){fast, reference};
    c->used++;
    return true;
}

static Err compare_upload(Device *d, const char *name, Tensor host, WeightUse use, Tensor *out, Error *err)
{
    CompareDevice *c = (CompareDevice *)d;
    Tensor reference;
    TRY(d->inner->calls->upload(d->inner, name, host, use, out, err));
    TRY(c->reference->calls->upload(c->reference, name, host, use, &reference, err));
    return pair_up(c, out->data, reference) ? OK : fail(err, NO_MEMORY, "tensor '%s': no memory to compare with", name);
}

/* The same call with the reference's weights and with outputs of its own. */
static void mirror(const CompareDevice *c, const OpCall *call, OpCall *twin)
{
    *twin = *call;
    for (int i = 0; i < call->ins; i++) {
        const Pair *pair = c->slots ? slot_of(c, call->in[i].data) : NULL;
        if (pair && pair->fast)
            twin->in[i] = pair->reference;
    }
    for (int o = 0; o < call->outs; o++) {
        Tensor *t = &twin->out[o];
        size_t bytes = (size_t)(t->dim[0] - 1) * format_row_bytes(t->format, t->row_elems) + tensor_row_bytes(*t);
        t->data = malloc(bytes ? bytes : 1);
        ASSERT(t->data);
        memcpy(t->data, call->out[o].data, bytes);
    }
    for (int i = 0; i < call->ins; i++) /* in place: an input that is an output */
        for (int o = 0; o < call->outs; o++)
            if (call->in[i].data == call->out[o].data)
                twin->in[i].data = twin->out[o].data;
}

/* The largest difference in a row, relative to the largest value of the reference's row. */
static double row_difference(const float *fast, const float *slow, int64_t width)
{
    double largest = 1e-30, difference = 0;
    for (int64_t i = 0; i < width; i++)
        largest = fmax(largest, fabs(slow[i]));
    for (int64_t i = 0; i < width; i++)
        if (!(fast[i] == slow[i]))
            difference =
                fmax(difference, isnan(fast[i]) || isnan(slow[i]) ? INFINITY : fabs((double)fast[i] - slow[i]));
    return difference / largest;
}

static void judge(CompareDevice *c, const OpCall *call, const OpCall *twin)
{
    c->difference.calls++;
    float tolerance = op_spec(call->op)->tolerance;
    for (int o = 0; o < call->outs && !c->difference.found; o++) {
        Tensor fast = call->out[o], slow = twin->out[o];
        for (int64_t r = 0; r < fast.dim[0] && fast.format == &format_f32; r++) {
            double d = row_difference(tensor_row(fast, r), tensor_row(slow, r), tensor_width(fast));
            if (d <= tolerance)
                continue;
            c->difference.found = true;
            snprintf(c->difference.text, sizeof c->difference.text,
                     "%s: %s, output %d, row %lld of %d: differs by %.3g of the row's largest value; %.3g is allowed",
                     c->label, op_name(call->op), o, (long long)r, fast.dim[0], d, tolerance);
            break;
        }
    }
}

static void compare_run(Device *d, const OpCall *call)
{
    CompareDevice *c = (CompareDevice *)d;
    if (c->planning) {
        d->inner->calls->run(d->inner, call);
        c->reference->calls->run(c->reference, call);
        return;
    }
    OpCall twin;
    mirror(c, call, &twin);
    d->inner->calls->run(d->inner, call);
    c->reference->calls->run(c->reference, &twin);
    judge(c, call, &twin);
    for (int o = 0; o < call->outs; o++)
        free(twin.out[o].data);
}

static void compare_label(Device *d, const char *part, int layer)
{
    label_text(part, layer, ((CompareDevice *)d)->label);
    device_label(d->inner, part, layer);
}

static void compare_plan_begin(Device *d)
{
    CompareDevice *c = (CompareDevice *)d;
    c->planning = true;
    watch_plan_begin(d);
    c->reference->calls->plan_begin(c->reference);
}

static Err compare_plan_end(Device *d, Error *err)
{
    CompareDevice *c = (CompareDevice *)d;
    c->planning = false;
    TRY(watch_plan_end(d, err));
    return c->reference->calls->plan_end(c->reference, err);
}

static void compare_close(Device *d)
{
    CompareDevice *c = (CompareDevice *)d;
    device_close(d->inner);
    device_close(c->reference);
    free(c->pairs);
    free(c);
}

Err compare_open(Device *inner, Device *reference, Device **out, Error *err)
{
    static const DeviceCalls calls = {
        WATCH_FORWARD, .upload = compare_upload, .run = compare_run, .label = compare_label,
        .plan_begin = compare_plan_begin, .plan_end = compare_plan_end, .close = compare_close,
    };
    CompareDevice *c = calloc(1, sizeof *c);
    if (!c)
        return fail(err, NO_MEMORY, "no memory to compare two devices");
    c->device = (Device){.calls = &calls, .name = "compare", .inner = inner};
    c->reference = reference;
    *out = &c->device;
    return OK;
}

const Difference *compare_read(const Device *d) { return &((const CompareDevice *)d)->difference; }

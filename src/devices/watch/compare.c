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
    bool planning, rounded;
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

static size_t tensor_reach(Tensor t)      /* from its first byte to its last */
{
    return t.dim[0] == 0 ? 0 : (size_t)(t.dim[0] - 1) * format_row_bytes(t.format, t.row_elems) + tensor_row_bytes(t);
}

static void *copy_of(Device *d, Tensor t)
{
    size_t bytes = tensor_reach(t);
    void *copy = malloc(bytes ? bytes : 1);
    ASSERT(copy);
    d->calls->read(d, copy, t.data, bytes);
    return copy;
}

/* The same call with the reference's weights and with outputs of its own; `copies` is what is to be freed. */
static void mirror(const CompareDevice *c, const OpCall *call, OpCall *twin, void *copies[OP_INS])
{
    Device *inner = c->device.inner;
    bool apart = device_is_apart(inner);
    *twin = *call;
    for (int i = 0; i < call->ins; i++) {
        const Pair *pair = c->slots && !tensor_is_none(call->in[i]) ? slot_of(c, call->in[i].data) : NULL;
        copies[i] = NULL;
        if (pair && pair->fast)
            twin->in[i] = pair->reference;
        else if (apart && !tensor_is_none(call->in[i]))
            twin->in[i].data = copies[i] = copy_of(inner, call->in[i]);
    }
    for (int o = 0; o < call->outs; o++)
        if (!tensor_is_none(call->out[o]))
            twin->out[o].data = copy_of(inner, call->out[o]);
    for (int i = 0; i < call->ins; i++) /* in place: an input that is an output */
        for (int o = 0; o < call->outs; o++)
            if (call->in[i].data && call->in[i].data == call->out[o].data)
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

/* Where factors are rounded, trained models are further off than generated cases: scores, which become exponents, are larger,
 * and one number of x may be far larger than the others. */
static double allowed(const CompareDevice *c, Op op)
{
    enum { TRAINED = 4 };
    double generated = op_allowed(op, c->rounded);
    return generated > op_spec(op)->tolerance ? TRAINED * generated : generated;
}

static void judge_row(CompareDevice *c, const OpCall *call, const OpCall *twin, int o, int64_t r)
{
    Tensor fast = call->out[o];
    float *row = copy_of(c->device.inner, tensor_rows(fast, (int32_t)r, 1));
    double tolerance = allowed(c, call->op), d = row_difference(row, tensor_row(twin->out[o], r), tensor_width(fast));
    free(row);
    if (d <= tolerance)
        return;
    c->difference.found = true;
    snprintf(c->difference.text, sizeof c->difference.text,
             "%s: %s, output %d, row %lld of %d: differs by %.3g of the row's largest value; %.3g is allowed", c->label,
             op_name(call->op), o, (long long)r, fast.dim[0], d, tolerance);
}

static void judge(CompareDevice *c, const OpCall *call, const OpCall *twin)
{
    c->difference.calls++;
    for (int o = 0; o < call->outs; o++)
        for (int64_t r = 0; r < call->out[o].dim[0] && call->out[o].format == &format_f32 && !c->difference.found; r++)
            judge_row(c, call, twin, o, r);
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
    void *copies[OP_INS];
    mirror(c, call, &twin, copies);
    d->inner->calls->run(d->inner, call);
    c->reference->calls->run(c->reference, &twin);
    judge(c, call, &twin);
    for (int o = 0; o < call->outs; o++)
        free(twin.out[o].data);
    for (int i = 0; i < call->ins; i++)
        free(copies[i]);
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

Err compare_open(Device *inner, Device *reference, bool rounded, Device **out, Error *err)
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
    c->rounded = rounded;
    *out = &c->device;
    return OK;
}

const Difference *compare_read(const Device *d) { return &((const CompareDevice *)d)->difference; }

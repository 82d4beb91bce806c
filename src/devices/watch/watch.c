#include "devices/watch/watch.h"

#include <math.h>

Err watch_upload(Device *d, const char *name, Tensor host, WeightUse use, Tensor *out, Error *err)
{
    return d->inner->calls->upload(d->inner, name, host, use, out, err);
}
Err watch_take(Device *d, size_t bytes, void **out, Error *err)
{
    return d->inner->calls->take(d->inner, bytes, out, err);
}
void *watch_push(Device *d, size_t bytes) { return d->inner->calls->push(d->inner, bytes); }
size_t watch_mark(const Device *d) { return d->inner->calls->mark(d->inner); }
void watch_release(Device *d, size_t mark) { d->inner->calls->release(d->inner, mark); }
void watch_plan_begin(Device *d) { d->inner->calls->plan_begin(d->inner); }
Err watch_plan_end(Device *d, Error *err) { return d->inner->calls->plan_end(d->inner, err); }
void watch_write(Device *d, void *to, const void *host, size_t bytes)
{
    d->inner->calls->write(d->inner, to, host, bytes);
}
void watch_read(Device *d, void *host, const void *from, size_t bytes)
{
    d->inner->calls->read(d->inner, host, from, bytes);
}
void watch_copy(Device *d, void *to, const void *from, size_t bytes)
{
    d->inner->calls->copy(d->inner, to, from, bytes);
}
uint64_t watch_fetch(Device *d, void *host, const void *from, size_t bytes)
{
    return device_fetch(d->inner, host, from, bytes);
}
void watch_await(Device *d, uint64_t fetched) { device_await(d->inner, fetched); }
void watch_label(Device *d, const char *part, int layer) { device_label(d->inner, part, layer); }

OpCost watch_cost(const Device *d, const OpCall *call)
{
    if (call->op != OP_ATTEND || !device_is_apart(d))
        return op_spec(call->op)->cost(call);
    OpCall blind = *call;
    Tensor *tables = &blind.in[3];
    int32_t blocks = (int32_t)ceil(d->past / call->in[1].dim[2]);
    if (blocks > 0 && blocks < tables->dim[1])
        tables->dim[1] = blocks;
    blind.in[4].data = blind.in[5].data = NULL;   /* positions, row_seq */
    return op_spec(call->op)->cost(&blind);
}

void label_text(const char *part, int layer, char out[LABEL_BYTES])
{
    if (layer < 0)
        snprintf(out, LABEL_BYTES, "%s", part);
    else
        snprintf(out, LABEL_BYTES, "layer.%d.%s", layer, part);
}

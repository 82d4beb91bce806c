/* device.h -- where a forward pass runs. It touches the world only through this.
 *
 * A Device computes (cpu, cuda) or watches: a watcher wraps another device, sees each call, and passes
 * it on. Work is queued in order; read() and await() are the only calls that wait for it.
 *
 * Memory is of two kinds. Activations come from a stack that is rewound after each layer:
 *
 *     [ x | h q k v scores ... | free ]        device_mark() ... device_release()
 *
 * How large it must be is found by planning: between plan_begin() and plan_end() nothing is computed,
 * the device only notes what the largest step needs, and then takes that much, once. What lives longer
 * (weights, the cache, the tables of a step) is taken at start as well.
 */
#ifndef CORE_DEVICE_H
#define CORE_DEVICE_H

#include "core/op_call.h"

typedef struct Device Device;

/* What a weight will be used for; a device may choose its layout by it. */
typedef enum WeightUse {
    USE_VECTOR,       /* norms, biases, small tables (convolutions): becomes F32 */
    USE_MATRIX,       /* the w of linear */
    USE_EXACT_MATRIX, /* the same; a converted file keeps it in F32 (routers) */
    USE_TABLE,        /* rows are gathered by id */
    USE_TABLE_AND_MATRIX,   /* tied embeddings */
    USE_EXPERTS,      /* [experts, rows, width]: as many matrices */
} WeightUse;

typedef struct DeviceCalls {
    void (*run)(Device *, const OpCall *);
    /* Brings a host tensor (plain rows) to the device in the layout that suits `use`. */
    Err (*upload)(Device *, const char *name, Tensor host, WeightUse use, Tensor *out, Error *);
    /* Zeroed memory that lives as long as the device. */
    Err (*take)(Device *, size_t bytes, void **out, Error *);
    void *(*push)(Device *, size_t bytes);            /* from the activation stack; never fails after planning */
    size_t (*mark)(const Device *);
    void (*release)(Device *, size_t mark);
    void (*plan_begin)(Device *);                     /* from here on, run() only measures */
    Err (*plan_end)(Device *, Error *);               /* takes what was measured; from here on, run() computes */
    void (*write)(Device *, void *to, const void *host, size_t bytes);
    void (*read)(Device *, void *host, const void *from, size_t bytes);   /* waits for the queue */
    void (*copy)(Device *, void *to, const void *from, size_t bytes);     /* both on the device; queued */
    /* Queued as well: it is at `host` once await() of the number that this returns has come back, whatever was queued
     * behind it. At most two at a time. NULL fns: read() instead. */
    uint64_t (*fetch)(Device *, void *host, const void *from, size_t bytes);
    void (*await)(Device *, uint64_t fetched);
    void (*label)(Device *, const char *part, int layer);   /* NULL: does not care */
    size_t (*left)(const Device *);                   /* bytes that can still be taken, about. NULL fn: nobody knows */
    /* What broke it, since it was opened: from then on it computes nothing. NULL: all is well. NULL fn: never breaks. */
    const Error *(*trouble)(const Device *);
    void (*close)(Device *);
} DeviceCalls;

struct Device {
    const DeviceCalls *calls;
    const char *name;         /* "cpu", "tally", ... */
    Device *inner;            /* what a watcher wraps; else NULL */
    bool apart;               /* its memory is not the host's: only read(), write() and copy() reach what it holds */
    double past;              /* there: positions of a sequence of this step, on average, for whoever counts; 0: not said */
};

void device_run(Device *, OpCall *);   /* counts outs and ins, checks that all tensors are well formed */

static inline Tensor device_tensor(Device *d, const Format *f, int32_t d0, int32_t d1)
{
    return tensor_of(d->calls->push(d, (size_t)d0 * format_row_bytes(f, d1)), f, d0, d1);
}
static inline Tensor device_f32(Device *d, int32_t rows, int32_t width) { return device_tensor(d, &format_f32, rows, width); }
static inline Tensor like(Device *d, Tensor x) { return device_f32(d, x.dim[0], (int32_t)tensor_width(x)); }
/* [rows of x, heads, head_width] */
static inline Tensor heads(Device *d, Tensor x, int32_t n, int32_t head_width)
{
    return tensor_heads(device_f32(d, x.dim[0], n * head_width), n);
}
/* Says which part of the model the next operations belong to ("attn" of layer 3), for watchers. */
static inline void device_label(Device *d, const char *part, int layer)
{
    if (d->calls->label)
        d->calls->label(d, part, layer);
}
/* For all watchers. */
static inline void device_tell_past(Device *d, double past)
{
    for (; d; d = d->inner)
        d->past = past;
}
/* Whether the memory of what computes below all watchers is not the host's. */
static inline bool device_is_apart(const Device *d)
{
    while (d->inner)
        d = d->inner;
    return d->apart;
}
static inline uint64_t device_fetch(Device *d, void *host, const void *from, size_t bytes)
{
    if (d->calls->fetch)
        return d->calls->fetch(d, host, from, bytes);
    d->calls->read(d, host, from, bytes);
    return 0;
}
static inline void device_await(Device *d, uint64_t fetched)
{
    if (d->calls->await)
        d->calls->await(d, fetched);
}
/* SIZE_MAX: nobody knows. */
static inline size_t device_left(const Device *d)
{
    for (; d; d = d->inner)
        if (d->calls->left)
            return d->calls->left(d);
    return SIZE_MAX;
}
/* What broke the device, or NULL. */
static inline const Error *device_trouble(const Device *d)
{
    for (; d; d = d->inner)
        if (d->calls->trouble)
            return d->calls->trouble(d);
    return NULL;
}
static inline size_t device_mark(const Device *d) { return d->calls->mark(d); }
static inline void device_release(Device *d, size_t mark) { d->calls->release(d, mark); }
static inline void device_close(Device *d)
{
    if (d)
        d->calls->close(d);
}

#endif

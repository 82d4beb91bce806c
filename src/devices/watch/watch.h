/* watch.h -- devices that look on.
 *
 *     forward pass -> trace -> tally -> cpu
 *
 * A watcher wraps another device, passes every call on, and sees what goes by. Since a forward pass
 * touches the world only through a Device, each is written once and serves every family.
 *
 *     tally      counts operations and bytes; over paper, which computes nothing, what it counts is a plan
 *     trace      times each operation; a table, and events for Perfetto
 *     dump       shows the outputs of chosen parts: "layer.3.attn", "layer.*.mlp", "head"
 *     compare    computes each operation on a second device as well and names the first that differs
 *
 * Closing a watcher closes what it wraps.
 */
#ifndef DEVICES_WATCH_WATCH_H
#define DEVICES_WATCH_WATCH_H

#include <stdio.h>

#include "base/trace_events.h"
#include "core/device.h"
#include "core/machine.h"
#include "devices/watch/work.h"

/* What goes by unchanged. A watcher's table takes those that it does not look at. */
Err watch_upload(Device *, const char *name, Tensor host, WeightUse use, Tensor *out, Error *err);
Err watch_take(Device *, size_t bytes, void **out, Error *err);
void *watch_push(Device *, size_t bytes);
size_t watch_mark(const Device *);
void watch_release(Device *, size_t mark);
void watch_plan_begin(Device *);
Err watch_plan_end(Device *, Error *err);
void watch_write(Device *, void *to, const void *host, size_t bytes);
void watch_read(Device *, void *host, const void *from, size_t bytes);
void watch_copy(Device *, void *to, const void *from, size_t bytes);
uint64_t watch_fetch(Device *, void *host, const void *from, size_t bytes);
void watch_await(Device *, uint64_t fetched);
void watch_label(Device *, const char *part, int layer);
#define WATCH_FORWARD                                                                             \
    .take = watch_take, .push = watch_push, .mark = watch_mark, .release = watch_release,         \
    .write = watch_write, .read = watch_read, .copy = watch_copy, .fetch = watch_fetch, .await = watch_await

/* The cost of a call to this device. Where the host cannot read its memory, attention counts sequences as long as they
 * are on average (Device.past), in whole blocks. */
OpCost watch_cost(const Device *, const OpCall *);

/* "layer.3.attn", "head" */
enum { LABEL_BYTES = 64 };
void label_text(const char *part, int layer, char out[LABEL_BYTES]);

/* A device without memory, whose addresses nobody may read: only shapes go through it. */
Err paper_open(Device **out, Error *err);
double paper_activation_bytes(const Device *);   /* the most that lay on its stack since plan_begin() */

typedef struct Tally {
    OpCost total;
    Demand demand;
    Work work;                 /* the same, by kinds of calls */
    int32_t branches;          /* parts of layers that were gone through: each adds to the stream of all */
} Tally;
Err tally_open(Device *inner, Device **out, Error *err);
const Tally *tally_read(const Device *);
void tally_reset(Device *);

/* events: NULL, or where each operation is told as well (not owned). */
Err trace_open(Device *inner, TraceEvents *events, Device **out, Error *err);
void trace_reset(Device *);
void trace_pause(Device *, bool paused);          /* paused: nothing is timed, and nothing costs time */
const Work *trace_read(const Device *);
/* Per operation: calls, time, share, bytes, GB/s, GFLOP/s; and how much of that time its bound would have taken on this
 * machine (NULL: not known). */
void trace_print(const Device *, const Machine *, FILE *);

/* pattern: shell wildcards over labels. Each output: name, shape, least, largest, mean, first values. */
Err dump_open(Device *inner, const char *pattern, FILE *to, Device **out, Error *err);

/* The reference must read the host's memory; what the other computes with is copied where the host cannot read it, all
 * of the cache too. Weights are uploaded to both. rounded: the fast one may round factors to bf16 (op_allowed()). */
Err compare_open(Device *inner, Device *reference, bool rounded, Device **out, Error *err);
typedef struct Difference {
    bool found;
    char text[512];            /* where, which operation, how far, the tolerance */
    int64_t calls;             /* compared */
} Difference;
const Difference *compare_read(const Device *);

#endif

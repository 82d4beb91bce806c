/* paper.c -- a device that computes nothing: what watchers see over it is a plan. */
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "devices/watch/watch.h"

enum { ALIGN = 64 };   /* of addresses, which nobody reads or writes; the first is not NULL */

typedef struct Paper {
    Device device;
    size_t used, most;
} Paper;

static void paper_run(Device *d, const OpCall *call) { (void)d, (void)call; }

static Err paper_upload(Device *d, const char *name, Tensor host, WeightUse use, Tensor *out, Error *err)
{
    (void)d, (void)name, (void)use, (void)err;
    *out = host;
    out->data = (void *)(uintptr_t)ALIGN;
    return OK;
}

static Err paper_take(Device *d, size_t bytes, void **out, Error *err)
{
    (void)d, (void)bytes, (void)err;
    *out = (void *)(uintptr_t)ALIGN;
    return OK;
}

static void *paper_push(Device *d, size_t bytes)
{
    Paper *p = (Paper *)d;
    void *at = (void *)(uintptr_t)(ALIGN + p->used);
    ASSERT(add_fits(p->used, bytes, &p->used) && round_up_fits(p->used, ALIGN, &p->used));
    p->most = p->used > p->most ? p->used : p->most;
    return at;
}

static size_t paper_mark(const Device *d) { return ((const Paper *)d)->used; }
static void paper_release(Device *d, size_t mark) { ((Paper *)d)->used = mark; }
static void paper_plan_begin(Device *d) { ((Paper *)d)->most = 0; }

static Err paper_plan_end(Device *d, Error *err)
{
    (void)d, (void)err;
    return OK;
}

static void paper_move(Device *d, void *to, const void *from, size_t bytes) { (void)d, (void)to, (void)from, (void)bytes; }

static void paper_read(Device *d, void *host, const void *from, size_t bytes)
{
    (void)d, (void)from;
    memset(host, 0, bytes);
}

static void paper_close(Device *d) { free(d); }

static const DeviceCalls paper_calls = {
    .run = paper_run, .upload = paper_upload, .take = paper_take, .push = paper_push, .mark = paper_mark,
    .release = paper_release, .plan_begin = paper_plan_begin, .plan_end = paper_plan_end, .write = paper_move,
    .read = paper_read, .copy = paper_move, .close = paper_close,
};

Err paper_open(Device **out, Error *err)
{
    Paper *p = calloc(1, sizeof *p);
    if (!p)
        return fail(err, NO_MEMORY, "no memory for a device");
    p->device = (Device){.calls = &paper_calls, .name = "paper"};
    *out = &p->device;
    return OK;
}

double paper_activation_bytes(const Device *d) { return (double)((const Paper *)d)->most; }

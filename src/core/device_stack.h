/* device_stack.h -- the activations of a step, one above the other, in memory that a device takes once.
 *
 *     plan --> push, push, release, ... (counts; nothing is touched) --> planned: so many bytes --> push, release, ...
 *
 * While planning, addresses count from `align` and the highest becomes the size; afterwards nothing goes beyond it. A device
 * has one such stack (device.h: push, mark, release, plan_begin, plan_end) and differs in where the memory lies.
 */
#ifndef CORE_DEVICE_STACK_H
#define CORE_DEVICE_STACK_H

#include "base/checked.h"
#include "base/error.h"

typedef struct DeviceStack {
    uint8_t *base;
    size_t align;                 /* of every address; a power of two */
    size_t bytes, used;
    bool planning;
} DeviceStack;

static const size_t DEVICE_STACK_PLAN_BYTES = (size_t)1 << 46;      /* addresses to plan with: never touched */

static inline void device_stack_plan(DeviceStack *s)
{
    ASSERT(!s->planning && s->used == 0);
    s->planning = true;
    s->base = (uint8_t *)(uintptr_t)s->align;
}

/* Returns how many bytes `base` must have from here on; it is the caller's to set. */
static inline size_t device_stack_planned(DeviceStack *s)
{
    ASSERT(s->planning && s->used == 0);
    s->planning = false;
    s->base = NULL;
    return s->bytes;
}

static inline void *device_stack_push(DeviceStack *s, size_t bytes)
{
    size_t end;
    ASSERT(add_fits(s->used, bytes, &end) && round_up_fits(end, s->align, &end));
    ASSERT(end <= (s->planning ? DEVICE_STACK_PLAN_BYTES : s->bytes));
    uint8_t *at = s->base + s->used;
    s->used = end;
    if (s->planning && end > s->bytes)
        s->bytes = end;
    return at;
}

static inline void device_stack_release(DeviceStack *s, size_t mark)
{
    ASSERT(mark <= s->used);
    s->used = mark;
}

#endif

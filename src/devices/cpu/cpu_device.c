#include "devices/cpu/cpu_device.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/checked.h"
#include "base/memory_left.h"
#include "base/team.h"
#include "core/device_stack.h"
#include "devices/cpu/cpu_tiers.h"
#include "kernels/op_spec.h"

enum { ALIGN = 64, HUGE_PAGE = 2 << 20, SMALL_PAGE = 4096, SHARED_TAKE = 16 << 20, SHARED_REGION = 64 << 20 };

/* Memory from the system, in one list so that closing gives all of it back. */
typedef struct Region {
    struct Region *next;
    void *mapped;
    size_t bytes;
} Region;

typedef struct CpuDevice {
    Device device; /* first: a Device * of this kind is a CpuDevice * */
    CpuTier tier;
    Team *team;
    Region *regions;
    bool near, touches; /* as in CpuOptions */
    uint8_t *shared; /* what is left of the region that smaller takes share */
    size_t shared_left;
    DeviceStack stack;
    uint8_t *scratch;
    size_t scratch_bytes;
    CpuTaken *taken; /* [threads] */
    uint64_t calls;
} CpuDevice;

/* What the threads of the team need to know of the operation that they compute. */
typedef struct Task {
    const CpuKernel *kernel;
    const OpCall *call;
    Team *team;
    CpuPart part;    /* but for the thread's number */
} Task;

static void task_run(void *context, int index, int count)
{
    const Task *t = context;
    CpuPart part = t->part;
    part.index = index;
    part.count = count;
    for (int phase = 0; phase < t->kernel->phases; phase++) {
        if (phase > 0 && count > 1)
            team_barrier(t->team);
        t->kernel->run(t->call, phase, part);
    }
}

static CpuTier tier_for(const OpCall *call, CpuTier highest)
{
    for (int tier = highest; tier > TIER_REFERENCE; tier--) {
        const CpuKernel *kernel = cpu_kernel(call->op, (CpuTier)tier);
        if (kernel && (!kernel->takes || kernel->takes(call)))
            return (CpuTier)tier;
    }
    return TIER_REFERENCE;
}

static int threads_for(const CpuDevice *c, const CpuKernel *kernel, const OpCall *call)
{
    if (!kernel->threads)
        return 1;
    int64_t worth = kernel->threads(call);
    return (int)max_i64(1, min_i64(worth, team_threads(c->team)));
}

static void cpu_run(Device *d, const OpCall *call)
{
    CpuDevice *c = (CpuDevice *)d;
    const CpuKernel *kernel = cpu_kernel(call->op, tier_for(call, c->tier));
    if (!kernel) {
        const OpSpec *spec = op_spec(call->op);
        ASSERT(spec->compose);
        spec->compose(d, call);
        return;
    }
    size_t scratch = kernel->scratch_bytes ? kernel->scratch_bytes(call) : 0;
    if (c->stack.planning) {
        c->scratch_bytes = (size_t)max_i64((int64_t)c->scratch_bytes, (int64_t)scratch);
        return;
    }
    ASSERT(scratch <= c->scratch_bytes);
    Task task = {kernel, call, c->team, {.scratch = c->scratch, .taken = c->taken, .call = ++c->calls, .near = c->near}};
    int threads = threads_for(c, kernel, call);
    if (threads == 1)
        task_run(&task, 0, 1);
    else
        team_run(c->team, threads, task_run, &task);
}

/* Memory of its own, in huge pages where the system has them: worth up to a factor of two in bandwidth. It begins where
 * a huge page can begin; a system that says no gives small pages, and nothing else changes. */
static Err map_region(CpuDevice *c, size_t bytes, void **out, Error *err)
{
    Region *region = malloc(sizeof *region);
    size_t rounded, whole;
    if (!region || !round_up_fits(bytes ? bytes : 1, HUGE_PAGE, &rounded) || !add_fits(rounded, HUGE_PAGE, &whole))
        goto failed;
    void *mapped = mmap(NULL, whole, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapped == MAP_FAILED)
        goto failed;
    uint8_t *data = (uint8_t *)mapped + (-(uintptr_t)mapped & (HUGE_PAGE - 1));
    madvise(data, rounded, MADV_HUGEPAGE);
    *region = (Region){c->regions, mapped, whole};
    c->regions = region;
    *out = data;
    return OK;
failed:
    free(region);
    return fail(err, NO_MEMORY, "the CPU has no %zu bytes of memory left", bytes);
}

/* All but the largest share regions: small ones lie in huge pages too then, and no huge page is cleared for the last bytes of
 * one matrix only. */
static Err take_memory(CpuDevice *c, size_t bytes, void **out, Error *err)
{
    if (bytes > SHARED_TAKE)
        return map_region(c, bytes, out, err);
    size_t rounded = (bytes + ALIGN - 1) / ALIGN * ALIGN;
    if (rounded > c->shared_left) {
        void *region;
        TRY(map_region(c, SHARED_REGION, &region, err));
        c->shared = region;
        c->shared_left = SHARED_REGION;
    }
    *out = c->shared;
    c->shared += rounded;
    c->shared_left -= rounded;
    return OK;
}

typedef struct TouchTask {
    uint8_t *at;
    size_t bytes;
} TouchTask;

/* The system gives a page when something is written there for the first time: of 2 MB that is a stretch of a step of a small
 * model. The last byte as well, since the first need not begin a page. */
static void touch_run(void *context, int index, int count)
{
    const TouchTask *t = context;
    Range pages = part_range((CpuPart){.index = index, .count = count}, ceil_div((int64_t)t->bytes, HUGE_PAGE), 1);
    size_t to = min_i64(pages.to * HUGE_PAGE, (int64_t)t->bytes);
    for (size_t at = (size_t)pages.from * HUGE_PAGE; at < to; at += SMALL_PAGE)
        *(volatile uint8_t *)(t->at + at) = 0;
    if (pages.from < pages.to && to == t->bytes)
        *(volatile uint8_t *)(t->at + to - 1) = 0;
}

/* The system gives out more than it has, and ends a program that then uses it. Some is left for a step and for others. */
static size_t cpu_left(const Device *d)
{
    int64_t left = ((const CpuDevice *)d)->touches ? memory_left("") : -1;
    return left < 0 ? SIZE_MAX : (size_t)(left - left / 16);
}

static Err cpu_take(Device *d, size_t bytes, void **out, Error *err)
{
    CpuDevice *c = (CpuDevice *)d;
    TRY(take_memory(c, bytes, out, err));
    if (c->touches)
        team_run(c->team, team_threads(c->team), touch_run, &(TouchTask){*out, bytes});
    return OK;
}

static void *cpu_push(Device *d, size_t bytes) { return device_stack_push(&((CpuDevice *)d)->stack, bytes); }
static size_t cpu_mark(const Device *d) { return ((const CpuDevice *)d)->stack.used; }
static void cpu_release(Device *d, size_t mark) { device_stack_release(&((CpuDevice *)d)->stack, mark); }

static void cpu_plan_begin(Device *d) { device_stack_plan(&((CpuDevice *)d)->stack); }

static Err cpu_plan_end(Device *d, Error *err)
{
    CpuDevice *c = (CpuDevice *)d;
    void *stack, *scratch;
    TRY(take_memory(c, device_stack_planned(&c->stack), &stack, err));
    TRY(take_memory(c, c->scratch_bytes, &scratch, err));
    c->stack.base = stack;
    c->scratch = scratch;
    return OK;
}

static void cpu_write(Device *d, void *to, const void *host, size_t bytes)
{
    (void)d;
    if (bytes > 0)   /* what nobody asked for has no address */
        memcpy(to, host, bytes);
}

static void cpu_read(Device *d, void *host, const void *from, size_t bytes)
{
    (void)d;
    if (bytes > 0)
        memcpy(host, from, bytes);
}

static void cpu_copy(Device *d, void *to, const void *from, size_t bytes)
{
    (void)d;
    memcpy(to, from, bytes);
}

/* ---- weights ---- */

typedef struct PackTask {
    const Panel *panel;
    Tensor host;
    int64_t matrices, rows, width;   /* each matrix begins with a panel of its own */
    uint8_t *to;
} PackTask;

static void pack_run(void *context, int index, int count)
{
    const PackTask *t = context;
    int64_t of_matrix = panel_count(t->rows);
    size_t row_bytes = format_row_bytes(t->host.format, t->width);
    Range mine = part_range((CpuPart){.index = index, .count = count}, t->matrices * of_matrix, 1);
    for (int64_t p = mine.from; p < mine.to; p++) {
        int64_t row = p % of_matrix * PANEL_ROWS;
        const uint8_t *from = (const uint8_t *)t->host.data + (size_t)(p / of_matrix * t->rows + row) * row_bytes;
        t->panel->pack(t->to + (size_t)p * t->panel->bytes(t->width), from, row_bytes,
                       (int)min_i64(PANEL_ROWS, t->rows - row), t->width);
    }
}

static Err upload_panels(CpuDevice *c, const Panel *panel, Tensor host, Tensor *out, Error *err)
{
    *out = host;
    out->packing = PACKING_PANELS;
    out->near = c->near;
    PackTask task = {panel, host, 1, host.dim[0], tensor_width(host), NULL};
    if (host.dims == 3) {   /* [experts, rows, width] */
        task.matrices = host.dim[0];
        task.rows = host.dim[1];
        task.width = host.dim[2];
    }
    size_t bytes;
    if (!mul_fits((size_t)(task.matrices * panel_count(task.rows)), panel->bytes(task.width), &bytes))
        return fail(err, NO_MEMORY, "the CPU has no room for %lld matrices", (long long)task.matrices);
    TRY(take_memory(c, bytes, &out->data, err));
    task.to = out->data;
    team_run(c->team, team_threads(c->team), pack_run, &task);
    return OK;
}

static Err upload_f32(CpuDevice *c, Tensor host, Tensor *out, Error *err)
{
    *out = host;
    out->format = &format_f32;
    TRY(take_memory(c, tensor_bytes(*out), &out->data, err));
    host.format->decode(out->data, host.data, (size_t)tensor_elems(host));
    return OK;
}

typedef struct CopyTask {
    uint8_t *to;
    const uint8_t *from;
    size_t bytes;
} CopyTask;

/* In pages, so that no two threads clear the same new one. */
static void copy_run(void *context, int index, int count)
{
    const CopyTask *t = context;
    Range pages = part_range((CpuPart){.index = index, .count = count}, ceil_div((int64_t)t->bytes, HUGE_PAGE), 1);
    size_t from = (size_t)pages.from * HUGE_PAGE, to = (size_t)pages.to * HUGE_PAGE;
    to = to < t->bytes ? to : t->bytes;
    if (from < to)
        memcpy(t->to + from, t->from + from, to - from);
}

static Err upload_rows(CpuDevice *c, Tensor host, Tensor *out, Error *err)
{
    CopyTask task = {.from = host.data, .bytes = tensor_bytes(host)};
    *out = host;
    TRY(take_memory(c, task.bytes, &out->data, err));
    task.to = out->data;
    team_run(c->team, team_threads(c->team), copy_run, &task);
    return OK;
}

static Err cpu_upload(Device *d, const char *name, Tensor host, WeightUse use, Tensor *out, Error *err)
{
    CpuDevice *c = (CpuDevice *)d;
    (void)name;
    if (use == USE_VECTOR)
        return upload_f32(c, host, out, err);
    const Panel *panel = use == USE_TABLE ? NULL : cpu_panel(host.format, c->tier);
    return panel ? upload_panels(c, panel, host, out, err) : upload_rows(c, host, out, err);
}

static void cpu_close(Device *d)
{
    CpuDevice *c = (CpuDevice *)d;
    for (Region *r = c->regions, *next; r; r = next) {
        next = r->next;
        munmap(r->mapped, r->bytes);
        free(r);
    }
    team_free(c->team);
    free(c->taken);
    free(c);
}

static const DeviceCalls cpu_calls = {
    .run = cpu_run,
    .upload = cpu_upload,
    .left = cpu_left,
    .take = cpu_take,
    .push = cpu_push,
    .mark = cpu_mark,
    .release = cpu_release,
    .plan_begin = cpu_plan_begin,
    .plan_end = cpu_plan_end,
    .write = cpu_write,
    .read = cpu_read,
    .copy = cpu_copy,
    .close = cpu_close,
};

Err cpu_device_open(const CpuOptions *options, Device **out, Error *err)
{
    CpuTier best = cpu_best_tier(), tier = options->tier == TIER_BEST ? best : options->tier;
    if (tier > best)
        return fail(err, UNSUPPORTED, "this processor has no %s; the highest tier that it has is %s",
                    cpu_tier_name(tier), cpu_tier_name(best));
    CpuDevice *c = calloc(1, sizeof *c);
    if (!c)
        return fail(err, NO_MEMORY, "no memory for a device");
    c->device = (Device){.calls = &cpu_calls, .name = "cpu"};
    c->stack.align = ALIGN;
    c->tier = tier;
    c->touches = options->touches;
    c->near = options->near && cpu_tier_rounds(tier);
    Err result = team_new(&c->team, options->threads, false, err);
    if (result != OK) {
        free(c);
        return result;
    }
    size_t taken = (size_t)team_threads(c->team) * sizeof *c->taken;
    c->taken = aligned_alloc(ALIGN, taken);
    if (!c->taken) {
        cpu_close(&c->device);
        return fail(err, NO_MEMORY, "no memory for a device");
    }
    memset(c->taken, 0, taken);
    *out = &c->device;
    return OK;
}

bool cpu_tier_rounds(CpuTier tier)
{
    const Panel *panel = cpu_panel(&format_f32, tier);
    return panel && panel->pairs;
}

CpuTier cpu_device_tier(const Device *d) { return ((const CpuDevice *)d)->tier; }
int cpu_device_threads(const Device *d) { return team_threads(((const CpuDevice *)d)->team); }
CpuTier cpu_kernel_tier(const Device *d, const OpCall *call) { return tier_for(call, cpu_device_tier(d)); }

/* measure.h -- what the programs of bench/ have in common: memory in huge pages, an operation on a team, the order of times. */
#ifndef BENCH_MEASURE_H
#define BENCH_MEASURE_H

#include <stdint.h>
#include <stdlib.h>

#include <sys/mman.h>

#include "base/clock.h"
#include "base/team.h"
#include "kernels/cpu_kernel.h"

enum { HUGE_PAGE = 2 << 20 };

/* Whole huge pages where the system gives them; never given back. */
static inline void *huge_memory(size_t bytes)
{
    bytes = (bytes / HUGE_PAGE + 2) * HUGE_PAGE;
    uint8_t *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        abort();
    p += -(uintptr_t)p % HUGE_PAGE;
    madvise(p, bytes - HUGE_PAGE, MADV_HUGEPAGE);
    return p;
}

/* An operation as the device runs it. */
typedef struct KernelTask {
    const CpuKernel *kernel;
    OpCall call;
    Team *team;
    void *scratch;
    CpuTaken taken[TEAM_THREADS_MAX];
    uint64_t calls;
    bool near;                 /* as in CpuPart */
} KernelTask;

static inline void kernel_task_part(void *context, int index, int count)
{
    KernelTask *t = context;
    for (int phase = 0; phase < t->kernel->phases; phase++) {
        if (phase)
            team_barrier(t->team);
        t->kernel->run(&t->call, phase, (CpuPart){index, count, t->scratch, t->taken, t->calls, t->near});
    }
}

static inline void kernel_task_run(KernelTask *t)
{
    t->calls++;
    team_run(t->team, team_threads(t->team), kernel_task_part, t);
}

static inline int seconds_compare(const void *a, const void *b)
{
    double d = *(const double *)a - *(const double *)b;
    return (d > 0) - (d < 0);
}

/* The least first; returns the one in the middle. */
static inline double median_of(double *seconds, int n)
{
    qsort(seconds, (size_t)n, sizeof *seconds, seconds_compare);
    return seconds[n / 2];
}

#endif

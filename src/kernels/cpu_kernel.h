/* cpu_kernel.h -- how an operation is computed on the CPU.
 *
 * A kernel is a constant. Each thread of the team calls run() once per phase with its own part of the
 * work; between two phases all wait for each other. Kernels neither allocate nor fail: what they need
 * in between comes as scratch, one piece of memory that all threads see.
 *
 *     kernels/<op>/<op>_ref.c    const CpuKernel kernel_<op>_reference   scalar, the meaning of the op
 *     kernels/<op>/<op>_cpu.c    const CpuKernel kernel_<op>_<tier>      one source, built once per tier
 *
 * Every tier gives the same bits: a vector has 16 lanes on all of them (kit/simd.h), and one output
 * element is summed in one order, whatever the number of rows, threads or the company in the batch.
 */
#ifndef KERNELS_CPU_KERNEL_H
#define KERNELS_CPU_KERNEL_H

#include "core/op_call.h"
#include "kernels/kit/tier.h"

typedef struct CpuPart {
    int index, count;      /* this thread, of so many */
    void *scratch;
} CpuPart;

typedef struct CpuKernel {
    bool (*takes)(const OpCall *);                  /* NULL: every call. What is not taken runs on the reference */
    int phases;
    size_t (*scratch_bytes)(const OpCall *);        /* NULL: none */
    int64_t (*threads)(const OpCall *);             /* how many have enough to do; NULL: one */
    void (*run)(const OpCall *, int phase, CpuPart);
} CpuKernel;

/* The part of [0, n) that thread part.index works on, in multiples of `unit`. */
typedef struct Range { int64_t from, to; } Range;
static inline Range part_range(CpuPart part, int64_t n, int64_t unit)
{
    int64_t units = (n + unit - 1) / unit;
    int64_t from = units * part.index / part.count * unit, to = units * (part.index + 1) / part.count * unit;
    return (Range){from < n ? from : n, to < n ? to : n};
}

#endif

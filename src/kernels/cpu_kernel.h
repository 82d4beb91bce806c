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

#include <stdatomic.h>

#include "base/checked.h"
#include "core/op_call.h"
#include "kernels/kit/tier.h"

/* How much of a thread's part of some work was taken: see share_take(). A cache line of its own. */
typedef struct CpuTaken {
    _Alignas(64) _Atomic uint64_t value;
} CpuTaken;

typedef struct CpuPart {
    int index, count;      /* this thread, of so many */
    void *scratch;
    CpuTaken *taken;       /* [count]; NULL: nobody helps another */
    uint64_t call;         /* its number, from 1 on: a call has CPU_WORKS works */
    bool near;             /* products of two activations may round both to bf16; weights say so themselves (Tensor.near) */
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

/* Threads never run alike: a neighbour on the same core, an interrupt, another program. So who is done with its part helps
 * the next ones, piece by piece:
 *
 *     thread 0   [0 1 2 3 4 5 6 . . .]    taken 7
 *     thread 1   [0 1 2 3 4 5 6 7 8 9]    taken 10: its next piece is 7 of thread 0's
 *
 *     for (int i = 0; i < part_owners(part); i++) {         itself first
 *         Range r = part_range(part_owner(part, i), n, unit);
 *         Share share = part_share(part_owner(part, i), work, pieces of r);
 *         for (int64_t piece; (piece = share_take(&share)) >= 0;)
 *             ...
 *     }
 *
 * A part is taken from its beginning on, so memory is read in order. `work` tells apart what a call does one after another,
 * from 0 on. A word counts pieces of one work; a later work's begins above all that an earlier one's can reach, so nobody sets
 * it back, and who comes late to a work finds it done: whoever counts in a part's later work has seen the earlier one empty. */
enum { CPU_WORKS = 8, CPU_OWNERS = 4, CPU_PIECES_MAX = 1 << 24 };

typedef struct Share {
    _Atomic uint64_t *taken;      /* NULL: all pieces are the caller's */
    uint64_t none;                /* the word, or more than it, where nothing was taken */
    int64_t pieces, next, end;    /* next to end: taken, and not yet given out */
} Share;

static inline int part_owners(CpuPart part) { return !part.taken ? 1 : part.count < CPU_OWNERS ? part.count : CPU_OWNERS; }
static inline CpuPart part_owner(CpuPart part, int i)
{
    part.index = (part.index + i) % part.count;
    return part;
}

static inline Share part_share(CpuPart owner, int work, int64_t pieces)
{
    ASSERT(pieces < CPU_PIECES_MAX && work < CPU_WORKS);
    uint64_t none = (owner.call * CPU_WORKS + (uint64_t)work) * CPU_PIECES_MAX;
    return (Share){owner.taken ? &owner.taken[owner.index].value : NULL, none, pieces, 0, owner.taken ? 0 : pieces};
}

/* The next piece; -1: none is left. A quarter of what is left is taken at a time, since the instruction that does so waits for
 * all of memory: at each piece of a product with four rows it cost a tenth. */
static inline int64_t share_take(Share *s)
{
    if (s->next < s->end)
        return s->next++;
    if (!s->taken)
        return -1;
    uint64_t now = atomic_load_explicit(s->taken, memory_order_relaxed), at, left;
    do {
        at = now > s->none ? now : s->none;
        if (at - s->none >= (uint64_t)s->pieces)
            return -1;
        left = (uint64_t)s->pieces - (at - s->none);
    } while (!atomic_compare_exchange_weak_explicit(s->taken, &now, at + (left + 3) / 4, memory_order_relaxed,
                                                    memory_order_relaxed));
    s->next = (int64_t)(at - s->none);
    s->end = s->next + (int64_t)((left + 3) / 4);
    return s->next++;
}

#endif

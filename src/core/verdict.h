/* verdict.h -- what held a run back, in one sentence and a small table.
 *
 *     decode is limited by weight reads: 71 of 80 GB/s (89%); cache reads 6%; doubling the batch would give +87%
 *     throughput for +7% latency
 *
 * A run has phases (its prompts, its answers). Of each it is known what it asked of the machine, as the tally counted
 * it go by, and how long that took. The roofline says how soon the machine could have done it; what takes most of that
 * bound is what limits, as long as memory and arithmetic, one after the other, are a good part of the time: a third.
 * Where they are not, the sentence says so: then something else took the time (many small operations, sampling, other
 * programs).
 *
 * Twice the sequences read the same weights once, twice the past, and want twice the operations; of experts they choose
 * independently. What that gives is told at the speed that was reached, and as if reading and computing followed one
 * another: measured batches grow like that rather than like the larger of the two (docs/PERFORMANCE.md). Nothing is ever
 * told of a machine that nobody has measured.
 */
#ifndef CORE_VERDICT_H
#define CORE_VERDICT_H

#include "base/buf.h"
#include "core/roofline.h"

typedef struct PhaseWork {
    Demand demand;
    double weight_bytes, cache_bytes;      /* of demand.bytes */
    double chosen_bytes, choice_bytes;     /* of the weights: the experts that were chosen, and all there were to choose from */
    double steps, seconds;
    double sequences;                      /* that were in a step, all steps together; 0: twice of them means nothing */
} PhaseWork;

typedef enum Limit { LIMIT_UNKNOWN, LIMIT_WEIGHTS, LIMIT_CACHE, LIMIT_ARITHMETIC } Limit;

typedef struct Verdict {
    Limit limit;                           /* UNKNOWN: the machine was not measured, or nothing was done */
    double bound_seconds, share;           /* what the machine would have needed; of the time that it took */
    double rate, roof;                     /* of what limits: bytes or operations per second */
    double cache_part;                     /* of the bytes */
    double reads_part;                     /* of the bound, where arithmetic limits */
    double throughput, latency;            /* of twice the batch, over that of this one; 0: not asked */
} Verdict;

void phase_work_add(PhaseWork *, const PhaseWork *more);
/* The same steps with so many times the sequences. */
PhaseWork phase_work_times(const PhaseWork *, double times);

/* machine: NULL, or without a bandwidth: not known. */
Verdict verdict_of(const Machine *, const PhaseWork *);

/* One line without its end. phase: "decode". */
void verdict_tell(const Machine *, const char *phase, const PhaseWork *, Buf *);

/* A row for each phase that took time, per step, below a line of titles; `before` begins each line ("# "). */
typedef struct NamedWork { const char *name; PhaseWork work; } NamedWork;
void verdict_titles(const char *before, Buf *);
void verdict_row(const Machine *, const NamedWork *, const char *before, Buf *);
/* The sentence about the last phase that took time, and the table of all. */
void verdict_report(const Machine *, const NamedWork *, int count, const char *before, Buf *);

/* {"limit", "share", "rate", "roof", "sentence", ...} for programs; NULL: no memory. */
json_t *verdict_json(const Machine *, const char *phase, const PhaseWork *);

#endif

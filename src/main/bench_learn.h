/* bench_learn.h -- what `ridge bench` tells the journal (tools/journal.h): of each row what is expected before it is measured,
 * and then what it took, operation by operation.
 *
 * A row is measured without a trace, and then run once more with one: the trace says how the time divides, the clock
 * how much it was. What cannot be kept is told on stderr and hinders nothing.
 */
#ifndef MAIN_BENCH_LEARN_H
#define MAIN_BENCH_LEARN_H

#include "main/session.h"
#include "tools/bench.h"
#include "tools/plan.h"

typedef struct BenchLearn {
    Journal *journal;              /* NULL: nothing is kept */
    PlanModel model;
    PlanOptions options;
    const Session *session;
    int32_t threads;
} BenchLearn;

/* machine NULL: not measured; then nothing is foretold. rows: of a step, at most. */
void bench_learn_open(BenchLearn *, const Session *, const char *model, const Machine *machine, int32_t rows);
void bench_learn_close(BenchLearn *);
void bench_learn_foretell(BenchLearn *, BenchCase);
/* Runs the row once more. */
void bench_learn_record(BenchLearn *, const BenchResult *);

#endif

/* bench_end.h -- what `ridge bench` ends in: all rows in one small table, and a sentence for each.
 *
 * Rows are kept as they are measured; nothing is printed before the last, so that the table of the rates stays whole.
 */
#ifndef MAIN_BENCH_END_H
#define MAIN_BENCH_END_H

#include <stdio.h>

#include "tools/bench.h"

typedef struct BenchRow {
    char model[128], name[BENCH_NAME_BYTES];
    const char *cache;
    bool deterministic;            /* on a GPU, where it makes a difference */
    BenchCase what;
    PhaseWork work;
} BenchRow;

typedef struct BenchEnd {
    BenchRow *row;
    int count, capacity;
} BenchEnd;

/* model, cache and whether it was deterministic: of `like`. */
Err bench_end_add(BenchEnd *, const BenchRow *like, const BenchResult *, Error *);
void bench_end_print(const BenchEnd *, const Machine *, FILE *);     /* machine: NULL: not measured */
void bench_end_free(BenchEnd *);

#endif

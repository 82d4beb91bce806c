/* roofline.h -- how soon a machine could have done some work.
 *
 *     seconds = max(bytes / bandwidth, operations / peak)
 *
 * Bytes are those that must come from memory: weights and the past. What an operation leaves for the next one stays in
 * the processor's caches and is not counted. Operations go by the kind of arithmetic that a format of weights asks
 * for, each with a peak of its own; kinds follow one another, so their times add up.
 *
 * Williams, Waterman and Patterson 2009, "Roofline: An Insightful Visual Performance Model".
 */
#ifndef CORE_ROOFLINE_H
#define CORE_ROOFLINE_H

#include "core/format.h"
#include "core/machine.h"

typedef enum Arithmetic { ARITHMETIC_FP32, ARITHMETIC_BF16, ARITHMETIC_INT8 } Arithmetic;
enum { ARITHMETICS = ARITHMETIC_INT8 + 1 };

typedef struct Demand {
    double bytes;
    double operations[ARITHMETICS];
} Demand;

/* Products of blocks of integers, of bfloat16, of all else. */
Arithmetic format_arithmetic(const Format *weights);

void demand_add(Demand *, const Demand *more);
double demand_operations(const Demand *);                       /* of all kinds */

/* A kind whose peak is not known is taken as fp32, and fp32 as no time at all. */
double roofline_bytes_seconds(const Machine *, const Demand *);
double roofline_operations_seconds(const Machine *, const Demand *);
double roofline_seconds(const Machine *, const Demand *);     /* the larger of the two */

#endif

/* plan_lecture.h -- inference as the lecture counts it on the back of an envelope: Stanford CS336, "Inference".
 *
 *     numbers      of 16 bits, weights, past and activations alike; norms are not counted
 *     memory       2 * parameters + batch * cache of S positions
 *     latency      memory / bandwidth: all of it is read for each token, the embedding too
 *     throughput   batch / latency
 *     intensity    operations over bytes that are read and written
 *
 * ridge's own plan differs: it counts the operations that a step runs, of the embedding a row, and of the activations
 * nothing, which stay on the chip. But both take their numbers from the same tally of the same operations.
 */
#ifndef TOOLS_PLAN_LECTURE_H
#define TOOLS_PLAN_LECTURE_H

#include "tools/plan.h"

typedef struct LectureBatch {
    int32_t batch;
    double memory, latency, throughput;          /* bytes, seconds, tokens per second */
    bool fits;
} LectureBatch;

typedef struct Lecture {
    double parameters, cache;                    /* of matrices; bytes of a sequence */
    double intensity;                            /* of the machine: operations a byte */
} Lecture;

Err lecture_of(PlanModel *, const Machine *, int32_t context, Lecture *out, Error *err);
LectureBatch lecture_batch(const Lecture *, const Machine *, int32_t batch);

/* Of [B, D] x [D, F]: tends to B. Of a gated MLP for B sequences of T rows: to B T. Of attention of T rows to S positions, with
 * as many key heads as query heads: S T / (S + T). */
Err lecture_product(int32_t B, int32_t D, int32_t F, double *out, Error *err);
Err lecture_mlp(int32_t B, int32_t T, int32_t D, int32_t F, double *out, Error *err);
Err lecture_attention(int32_t S, int32_t T, int32_t heads, int32_t width, double *out, Error *err);

/* Operations of one layer's attention while T tokens are generated, with a cache and without. */
typedef struct LectureCost { double cached, uncached; } LectureCost;
Err lecture_generation(int32_t T, int32_t heads, int32_t width, LectureCost *out, Error *err);

#endif

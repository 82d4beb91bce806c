/* no_cache.h -- what an answer costs when nothing of its past is kept: `ridge run --no-cache`.
 *
 *     T tokens after a prompt of S        rows computed                     pairs of a query and a key
 *     with a cache                        S + T - 1             O(T)        about (S + T)^2 / 2             O(T^2)
 *     without                             T S + T (T - 1) / 2   O(T^2)      sum of (S + t)^2 / 2 over T     O(T^3)
 *
 * Both are predicted by the model's own forward pass, on the tally over paper (plan_model.h); the second was also done
 * (EngineOptions.forgets), and is held against that.
 */
#ifndef TOOLS_NO_CACHE_H
#define TOOLS_NO_CACHE_H

#include "core/verdict.h"
#include "engine/engine.h"
#include "tools/plan_model.h"

typedef struct RunCost {
    int64_t rows;
    double attention;              /* operations on the past, of `work` */
    PhaseWork work;                /* seconds 0: nobody did it */
} RunCost;

/* Refuses a model, and more than one answer, for which it means nothing. samples: as the flags have it. */
Err no_cache_check(const ModelShape *, int32_t samples, Error *);
/* An engine that keeps nothing, and computes each past in one step, as far as a step has room. */
void no_cache_options(EngineOptions *, int32_t context);

/* `tokens` are sampled, 1 or more; rows: most of one step. */
typedef struct NoCacheRun { int32_t prompt, tokens, rows; const Format *cache; } NoCacheRun;
Err no_cache_predict(Model *, NoCacheRun, RunCost *with, RunCost *without, Error *);
/* All that a tally counted since it was reset. */
RunCost run_cost_measured(const Device *tally, int64_t rows, double seconds);

/* machine: NULL: not known. */
void no_cache_table(NoCacheRun, const RunCost *with, const RunCost *without, const RunCost *measured, const Machine *,
                    Buf *);

#endif

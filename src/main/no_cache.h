/* no_cache.h -- what an answer costs when nothing of its past is kept: `ridge run --no-cache`.
 *
 *     T tokens after a prompt of S        rows computed                     pairs of a query and a key
 *     with a cache                        S + T - 1             O(T)        about (S + T)^2 / 2             O(T^2)
 *     without                             T S + T (T - 1) / 2   O(T^2)      sum of (S + t)^2 / 2 over T     O(T^3)
 *
 * Both are predicted by the model's own forward pass, which the tally counts while the engine is shown the steps and
 * computes none of them; the second was also done, and is held against that.
 */
#ifndef MAIN_NO_CACHE_H
#define MAIN_NO_CACHE_H

#include "main/session.h"
#include "tools/phase_meter.h"

/* Refuses models and options for which it means nothing. samples: as the flags have it. */
Err no_cache_check(const ModelShape *, int32_t samples, Error *);

/* The table on stderr, of an answer that has ended, all of which the meter saw; `tokens` were sampled. */
Err no_cache_print(const Session *, int32_t prompt, int32_t tokens, const PhaseMeter *, Error *);

#endif

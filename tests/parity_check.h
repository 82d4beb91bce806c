/* parity_check.h -- holds a family against the logits and tokens that Hugging Face transformers computes.
 *
 * All prompts of a fixture run at once in one engine, so what is checked is the whole way: config,
 * weights, kernels, paged cache, batching. Tolerance, as the fixtures' page states it: 1e-3 or ten times
 * the rounding noise of fp32, the larger. Greedy tokens must agree up to the first step whose margin is
 * within twice that; where the fixture tells no margins, those of the logits that were computed. Where products may be
 * rounded to BF16, the tolerance is 2^-6 of the largest logit.
 */
#ifndef TESTS_PARITY_CHECK_H
#define TESTS_PARITY_CHECK_H

#include "base/cpu_tier.h"
#include "base/error.h"

typedef struct ParityWay {
    CpuTier tier;
    bool gpu; /* on the GPU; tier does not count */
    bool near; /* there: what is multiplied may be rounded to BF16 */
    bool hub; /* config.hub.json: the spelling of published checkpoints */
    bool gguf; /* converted to a GGUF first */
    int32_t rows; /* of a step */
    int32_t block_tokens;
} ParityWay;

typedef struct ParityResult {
    const char *absent; /* NULL, or why there is no such way: no other config, no name in GGUF */
    char kept[96]; /* the kinds of cache: "full, window of 32" */
    double worst, tolerance; /* of the logits */
    int tokens_right, tokens_checked; /* greedy */
} ParityResult;

Err parity_check(const char *directory, const ParityWay *, ParityResult *, Error *err);
bool parity_is_good(const ParityResult *);

#endif

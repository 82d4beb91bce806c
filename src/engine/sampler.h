/* sampler.h -- from the logits of a position to the token that comes next.
 *
 * What each option means and in which order they act stands in sampler_options.h. The choice is a
 * pure function of the logits, the options and the place: nothing is kept from one call to the next,
 * so there is nothing to undo when a draft is refused or a sequence is preempted. Penalties count
 * the tokens of the sequence anew at each call.
 *
 * A Sampler is scratch memory for one vocabulary. It serves any number of sequences, one call at a
 * time, and never allocates. Its work is a few passes over the vocabulary, whatever the options;
 * nothing sorts it. A draw inverts the cumulative distribution in order of ids, with one order of
 * sums and one exp() on every machine. The passes are an operation (kernels/choose/choose.h), so that
 * a device whose memory is its own may choose there: sampler_how() says what it has to know.
 *
 * Log-probabilities are of what the model itself said, before bias, penalties, temperature and
 * filters, as in OpenAI's API and vLLM.
 */
#ifndef ENGINE_SAMPLER_H
#define ENGINE_SAMPLER_H

#include "base/arena.h"
#include "engine/sampler_options.h"
#include "kernels/choose/choose.h"

typedef struct Sampler Sampler;

typedef struct TokenLogprob { int32_t id; float logprob; } TokenLogprob;

/* Where the draw happens. Every id of `tokens` is one of the vocabulary. */
typedef struct SamplePlace {
    const int32_t *tokens;      /* the sequence so far: prompt, then answer */
    int32_t prompt_count, token_count;
    uint32_t sample;            /* which of several answers to one prompt: each draws its own */
    const uint32_t *allowed;    /* bit i % 32 of word i / 32: token i may be chosen; NULL: all may */
} SamplePlace;

typedef struct Sampled {
    int32_t id;
    float logprob;              /* NAN when options->logprobs is LOGPROBS_NONE */
    int32_t best_count;
    TokenLogprob best[LOGPROBS_MAX];   /* the most likely first; those with probability 0 left out */
} Sampled;

Sampler *sampler_new(Arena *, int32_t vocabulary);    /* lives in the arena; NULL: the arena is full */

/* Chooses. `logits`: [vocabulary] F32. BAD_FILE: a logit is NaN or +infinity (the weights are
 * damaged). LIMIT_REACHED: mask, bans and biases leave no token. */
Err sampler_sample(Sampler *, const SamplerOptions *, const SamplePlace *, const float *logits, Sampled *out, Error *);

/* The same in two halves, for logits that stay on a device. The edits are valid until the next call. */
ChooseHow sampler_how(Sampler *, const SamplerOptions *, const SamplePlace *, const ChooseEdit **edits);
Err sampler_read(const Chosen *, int32_t logprobs, Sampled *out, Error *);

/* What the model says about `id` and about the n <= LOGPROBS_MAX best; chooses nothing. For scoring. */
Err sampler_logprobs(Sampler *, const float *logits, int32_t id, int32_t n, Sampled *out, Error *);

#endif

/* sampler_options.h -- how the next token is to be chosen, as a value that a request carries.
 *
 * A plain struct without pointers: it is copied into the sequence and owns nothing. Whoever fills it
 * from outside calls sampler_options_check() before it reaches the engine; the sampler relies on it.
 *
 * The order in which the fields act, on the logits z of one position:
 *
 *     end, stop   banned while fewer than min_tokens were generated; end banned always by ignore_eos
 *     (mask)      a grammar's set of allowed tokens, given with the call
 *     bias        added to the logit (OpenAI's logit_bias)
 *     repeat      z > 0 ? z / r : z r  for each token among the last repeat_last_n of prompt and
 *                 answer together (Keskar et al. 2019, "CTRL", section 4.1; window as in llama.cpp)
 *     frequency   z -= f count, presence: z -= p if it occurs, in the answer only, as in OpenAI's
 *                 API and vLLM
 *     temperature z / t, then p = softmax(z); below SAMPLER_GREEDY_BELOW: the most likely token
 *     top_k       only the k most likely (Fan et al. 2018)
 *     typical_p   those whose -ln p is nearest to the entropy, until their mass reaches typical_p
 *                 (Meister et al. 2022, "Locally Typical Sampling")
 *     top_p       the most likely ones, until their mass reaches top_p (Holtzman et al. 2019, "The
 *                 Curious Case of Neural Text Degeneration")
 *     min_p       those with p >= min_p max p (Nguyen et al. 2024, "Turning Up the Heat")
 *
 * Temperature acts before the filters, as in transformers and vLLM; the filters follow each other as
 * in llama.cpp. Each sees what the one before it has left, scaled to a sum of 1 again. What reaches
 * a mass includes the token that crosses it, so at least one token is always left. Of equals, the
 * lower id comes first.
 */
#ifndef ENGINE_SAMPLER_OPTIONS_H
#define ENGINE_SAMPLER_OPTIONS_H

#include "base/error.h"

enum {
    LOGIT_BIASES_MAX = 512,     /* OpenAI and vLLM take 300 */
    STOP_IDS_MAX = 64,
    LOGPROBS_MAX = 64,          /* OpenAI and vLLM: 20 */
    LOGPROBS_NONE = -1,
    REPEAT_ALL = -1,            /* repeat_last_n: the whole sequence */
};
#define TEMPERATURE_MOST 100.0
#define REPEAT_PENALTY_LEAST 0.01
#define REPEAT_PENALTY_MOST 100.0
#define PENALTY_MOST 2.0                /* presence and frequency, either sign: OpenAI's bounds, as for the next */
#define BIAS_MOST 100.0
#define SAMPLER_GREEDY_BELOW 1e-5f      /* as in vLLM; also keeps z / t finite */

typedef struct LogitBias { int32_t id; float bias; } LogitBias;
typedef struct TokenIds { int32_t count, id[STOP_IDS_MAX]; } TokenIds;

typedef struct SamplerOptions {
    float temperature;
    int32_t top_k;              /* 0 (or -1, as in vLLM): all */
    float top_p, min_p, typical_p;
    float repeat_penalty;
    int32_t repeat_last_n;
    float presence_penalty, frequency_penalty;
    uint64_t seed;
    int32_t min_tokens;
    bool ignore_eos;            /* the tokens of `end` are never chosen */
    int32_t logprobs;           /* LOGPROBS_NONE; 0: of the chosen token; n: of the n best as well */
    TokenIds end;               /* the model's own ends of an answer */
    TokenIds stop;              /* what this request wants to end at */
    int32_t biases;
    LogitBias bias[LOGIT_BIASES_MAX];
} SamplerOptions;

SamplerOptions sampler_options_greedy(void);    /* temperature 0, everything else off */

/* BAD_ARGUMENT names the field, its value and what is valid. */
Err sampler_options_check(const SamplerOptions *, int32_t vocabulary, Error *);

static inline bool sampler_is_greedy(const SamplerOptions *o) { return o->temperature < SAMPLER_GREEDY_BELOW; }
bool sampler_ends_at(const SamplerOptions *, int32_t id);    /* whether `id` ends the answer */

bool token_ids_have(const TokenIds *, int32_t id);
bool token_ids_add(TokenIds *, int32_t id);      /* once; false: the list is full */

#endif

/* sampler_defaults.h -- what a checkpoint itself says about sampling: its generation_config.json.
 *
 *     {"do_sample": true, "temperature": 0.6, "top_k": 20, "top_p": 0.95, "repetition_penalty": 1.05,
 *      "max_new_tokens": 256, "eos_token_id": [2, 0]}
 *
 * Also read: min_p, typical_p, min_new_tokens. A field that is missing or null says nothing. Without
 * "do_sample": true the file asks for the most likely tokens, as in transformers; where do_sample
 * itself is missing, a temperature other than 0, a top_k or a top_p stands for it.
 */
#ifndef ENGINE_SAMPLER_DEFAULTS_H
#define ENGINE_SAMPLER_DEFAULTS_H

#include "base/json.h"
#include "engine/sampler_options.h"

typedef struct SamplerDefaults {
    SamplerOptions options;
    int32_t max_tokens;         /* -1: nothing said */
} SamplerDefaults;

/* `config` may be NULL (there is no such file): greedy. `what` names it in errors; BAD_FILE: a field
 * has the wrong type or is out of range. Ids are held against the vocabulary. */
Err sampler_defaults_read(const json_t *config, const char *what, int32_t vocabulary, SamplerDefaults *out, Error *);

/* Adds the "eos_token_id" of any config (a number, a list or null) to the ends. */
Err sampler_ends_read(const json_t *config, const char *what, int32_t vocabulary, TokenIds *ends, Error *);

#endif

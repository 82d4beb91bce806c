/* llamacpp_options.h -- the options of llama.cpp's /completion, read into a generation and told again.
 *
 * A field that is absent is the model's own default, as everywhere in ridge. The samplers act in ridge's own order
 * (sampler_options.h); `samplers` says which of them act. What ridge does not have is refused by its name, unless
 * its value switches it off. Where work is done (id_slot, n_keep, cache reuse), nobody needs to say: those are ignored.
 */
#ifndef SERVER_LLAMACPP_OPTIONS_H
#define SERVER_LLAMACPP_OPTIONS_H

#include "server/fields.h"
#include "server/generation.h"
#include "server/random_id.h"
#include "server/service.h"

enum { RESPONSE_FIELDS_MAX = 64 };

typedef struct LlamacppOptions {
    bool returns_tokens, times_each;
    bool tells_chosen;             /* post_sampling_probs: as chances after the samplers, which here leave 1 or all alone */
    int32_t probs;                 /* n_probs */
    RandomId salt;                 /* cache_prompt false: nobody else's past */
    json_t *settings;              /* owned: generation_settings */
    json_t *fields;                /* owned: response_fields; NULL: all */
} LlamacppOptions;

void llamacpp_options_read(Fields *, LlamacppOptions *, GenerationSpec *, const Service *);
void llamacpp_options_deinit(LlamacppOptions *);

/* The object that tells them. */
json_t *llamacpp_settings(const GenerationSpec *, const Service *);

#endif

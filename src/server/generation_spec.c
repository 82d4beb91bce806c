/* What is asked of a generation: its beginning, its checks, whose past it may share. */
#include <stdlib.h>
#include <sys/random.h>

#include "base/checked.h"
#include "base/sha256.h"
#include "server/generation_inside.h"
#include "server/api_keys.h"

/* A request that names no seed gets one that nobody else has. */
static uint64_t random_seed(void)
{
    uint64_t seed = 0;
    return getrandom(&seed, sizeof seed, 0) == sizeof seed ? seed : 0;
}

void generation_spec_init(GenerationSpec *s, const Service *service)
{
    *s = (GenerationSpec){
        .n = 1, .best_of = 1, .length_penalty = 1, .max_tokens = service->defaults.max_tokens,
        .sampling = service->defaults.options, .prompt_logprobs = LOGPROBS_NONE,
        .thinking_tokens = THINKING_ANY, .queue_seconds = service->o.queue_seconds, .total_seconds = service->o.total_seconds,
    };
    s->sampling.seed = random_seed();
    if (!service->tokenizer)
        return;
    const SpecialTokens *specials = tokenizer_specials(service->tokenizer);
    for (int i = 0; i < specials->ends_count; i++)
        token_ids_add(&s->sampling.end, specials->ends[i]);
}

void generation_spec_deinit(GenerationSpec *s)
{
    for (int32_t i = 0; i < s->prompt_count; i++)
        free(s->prompts[i].ids);
    s->prompt_count = 0;
    grammar_free(s->grammar);
    s->grammar = NULL;
    json_decref(s->tools);
    s->tools = NULL;
}

bool generation_spec_check(const GenerationSpec *s, const Service *service, ApiError *error)
{
    int32_t made = s->best_of > s->n ? s->best_of : s->n;
    if (service_is_stopping(service))
        return api_refuse(error, 503, NULL, "the server is shutting down; send the request to another one");
    if (service_lost(service))
        return api_refuse(error, 503, NULL, "%s", service_lost(service));
    if (!service->tokenizer)
        return api_refuse(error, 501, NULL, "the model has no tokenizer, so it can neither read nor write text");
    if (s->prompt_count < 1)
        return api_refuse(error, 400, "prompt", "prompt: there is none");
    if (s->n < 1 || made > SAMPLES_MAX)
        return api_refuse(error, 400, "n", "n: %d answers; from 1 to %d are allowed", made, SAMPLES_MAX);
    if (s->prompt_count * made > CHOICES_MAX)
        return api_refuse(error, 400, "n", "n: %d answers to each of %d prompts are more than %d in all", made, s->prompt_count,
                          CHOICES_MAX);
    if (s->max_tokens != TOKENS_ALL && s->sampling.min_tokens > s->max_tokens)
        return api_refuse(error, 400, "min_tokens", "min_tokens: %d tokens at least, but %d at most", s->sampling.min_tokens,
                          s->max_tokens);
    if (s->grammar && !service->vocab)
        return api_refuse(error, 501, NULL, "the model has no vocabulary that a grammar could be held against");
    return true;
}

/* The engine speaks of its own fields; a client knows some of them by other names. */
bool generation_refuse(ApiError *error, const Error *from)
{
    static const struct { const char *begins, *param; } words[] = {
        {"samples", "n"}, {"the prompt is empty", "prompt"}, {"the prompt", "max_tokens"},
        {"stop string", "stop"}, {"there are", "stop"}, {"the stop", "stop"}, {"stop:", "stop_token_ids"},
        {"logit_bias", "logit_bias"}, {"beams", "best_of"},
    };
    const char *param = NULL;
    for (size_t i = 0; i < COUNT_OF(words) && !param; i++)
        if (!strncmp(from->text, words[i].begins, strlen(words[i].begins)))
            param = words[i].param;
    api_refuse_error(error, from, param);
    if (from->code == NO_MEMORY && error->status == 400)
        error->code = "context_length_exceeded";
    return false;
}

/* ---- whose past is shared ---- */

/* No text that a client chooses leads into another's past: of this hash nobody finds a second text. */
uint64_t generation_salt(const ApiKey *key, const char *cache_salt)
{
    uint64_t salt = key ? key->salt : 0;
    if (!cache_salt)
        return salt;
    Sha256 sha = sha256_begin();
    sha256_put(&sha, &salt, sizeof salt);
    sha256_put(&sha, cache_salt, strlen(cache_salt));
    Digest d = sha256_end(&sha);
    memcpy(&salt, d.byte, sizeof salt);
    return salt;
}

uint64_t generation_tenant(const ApiKey *key) { return key ? key->tenant : 0; }

/* A key has a place of its own; its requests may ask to go later than that, never sooner. */
int32_t generation_priority(const Exchange *x, int32_t asked)
{
    const ApiKey *key = exchange_key(x);
    if (exchange_is_background(x))
        return BACKGROUND_PRIORITY;
    int64_t priority = key ? (int64_t)key->priority + (asked < 0 ? asked : 0) : asked;
    return (int32_t)max_i64(priority, INT32_MIN);
}

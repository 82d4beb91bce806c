/* Whatever is given as sampling flags or as a generation_config.json: refused with a text, or options
 * under which the sampler chooses a token of the vocabulary.
 *
 *     flags, one a line  \0  generation_config.json  \0  logits, as raw f32
 */
#include <string.h>

#include "engine/sampler.h"
#include "main/sampling_flags.h"

enum { V = 97, WORDS_MAX = 64, TEXT_MAX = 1 << 16, CONFIG_MAX = 1 << 16 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static Span part(Span *rest)
{
    const uint8_t *end = rest->bytes ? memchr(rest->data, 0, rest->bytes) : NULL;
    Span out = span_first(*rest, end ? (size_t)(end - rest->data) : rest->bytes);
    *rest = span_from(*rest, out.bytes + 1);
    return out;
}

static Err flags_of(Span text, SamplingFlags *given, Error *err)
{
    static char copy[TEXT_MAX + 1], name[] = "fuzz", *argv[WORDS_MAX + 2];
    const char *words[WORDS_MAX];
    int count = 1, word_count;
    bool help;
    FlagGroup groups[] = {{"Sampling", sampling_flags, SAMPLING_FLAGS, given}, {0}};

    *given = sampling_flags_none();
    given->sampler.seed = 1;
    text = span_first(text, TEXT_MAX);
    memcpy(copy, text.data, text.bytes);
    copy[text.bytes] = 0;
    argv[0] = name;
    for (char *word = strtok(copy, "\n"); word && count <= WORDS_MAX; word = strtok(NULL, "\n"))
        argv[count++] = word;
    return flags_read(groups, count, argv, words, WORDS_MAX, &word_count, &help, err);
}

static Err defaults_of(Span text, SamplerDefaults *out, Error *err)
{
    json_t *config = NULL;
    if (text.bytes)
        TRY(json_read(text, CONFIG_MAX, "config", &config, err));
    Err code = sampler_defaults_read(config, "config", V, out, err);
    json_decref(config);
    return code;
}

static void choose(const SamplerOptions *o, Span raw)
{
    static Arena *arena;        /* reachable until the end: no leak */
    static Sampler *sampler;
    static const int32_t tokens[] = {5, 6, 5, 96, 0, 5};
    float logits[V] = {0};
    Sampled out;
    Error err;
    if (!sampler) {
        arena = arena_new(1 << 20);
        sampler = sampler_new(arena, V);
    }
    if (raw.bytes)
        memcpy(logits, raw.data, raw.bytes < sizeof logits ? raw.bytes : sizeof logits);
    SamplePlace at = {.tokens = tokens, .prompt_count = 2, .token_count = 6};
    if (sampler_sample(sampler, o, &at, logits, &out, &err) != OK)
        ASSERT(*err.text);
    else
        ASSERT(out.id >= 0 && out.id < V && out.best_count <= LOGPROBS_MAX && out.best_count <= V);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    Span rest = {data, size}, flags_text = part(&rest), config = part(&rest);
    SamplingFlags given;
    SamplerDefaults defaults;
    SamplingOptions options;
    Error err = {0};
    Err code = flags_of(flags_text, &given, &err);
    if (code == OK)
        code = defaults_of(config, &defaults, &err);
    if (code == OK)
        code = sampling_options(&given, &defaults, V, &options, &err);
    if (code == OK)
        choose(&options.sampler, rest);
    else
        ASSERT(*err.text);
    return 0;
}

/* fuzz_llamacpp.c -- any bytes as a body of /completion, for a model without a tokenizer: options that the sampler takes
 * and prompts of its vocabulary, or a refusal with a reason. */
#include <string.h>

#include "server/llamacpp_options.h"
#include "server/llamacpp_prompt.h"

enum { VOCABULARY = 1000 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static Model model;
    static Service service;
    static GenerationSpec spec;
    ApiError error = {0};
    Fields f;
    LlamacppOptions options;
    model.shape.V = VOCABULARY;
    service.o.model = &model;
    if (!fields_open(&f, span_of(data, bytes), &error))
        return 0;
    memset(&spec, 0, sizeof spec);
    spec.n = 1;
    spec.sampling = sampler_options_greedy();
    llamacpp_options_read(&f, &options, &spec, &service);
    llamacpp_prompts_read(&f, &spec, &service);
    ASSERT(fields_ok(&f) || (error.status >= 400 && error.message[0]));
    ASSERT(json_is_object(options.settings));
    for (int32_t i = 0; i < spec.prompt_count; i++)
        for (int32_t k = 0; k < spec.prompts[i].count; k++)
            ASSERT(spec.prompts[i].ids[k] >= 0 && spec.prompts[i].ids[k] < VOCABULARY);
    ASSERT(!fields_ok(&f) || (spec.prompt_count > 0 && sampler_options_check(&spec.sampling, VOCABULARY, NULL) == OK));
    llamacpp_options_deinit(&options);
    generation_spec_deinit(&spec);
    fields_close(&f);
    return 0;
}

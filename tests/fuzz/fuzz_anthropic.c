/* fuzz_anthropic.c -- any bytes as a body of /v1/messages: a conversation that templates can bear, or 400 with a reason. */
#include <string.h>

#include "server/anthropic_request.h"

static void check_message(json_t *message)
{
    json_t *call;
    size_t i;
    const char *role = json_string_value(json_object_get(message, "role"));
    ASSERT(role && json_is_string(json_object_get(message, "content")));
    ASSERT(!strcmp(role, "user") || !strcmp(role, "assistant") || !strcmp(role, "system") || !strcmp(role, "tool"));
    json_array_foreach(json_object_get(message, "tool_calls"), i, call)
        ASSERT(json_is_object(json_object_get(json_object_get(call, "function"), "arguments")));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static const Service service;
    static GenerationSpec spec;
    ApiError error = {0};
    Fields f;
    Conversation c;
    json_t *message;
    size_t i;
    if (!fields_open(&f, span_of(data, bytes), &error)) {
        ASSERT(error.status == 400 && error.message[0]);
        return 0;
    }
    memset(&spec, 0, sizeof spec);
    conversation_init(&c);
    anthropic_read_options(&f, &spec, &service);
    anthropic_read_conversation(&f, &c);
    ASSERT(fields_ok(&f) || (error.status == 400 && error.message[0]));
    if (fields_ok(&f)) {
        ASSERT(spec.max_tokens > 0 && spec.stop_count <= STOP_STRINGS_MAX && !(c.continue_last && c.add_generation_prompt));
        json_array_foreach(c.messages, i, message)
            check_message(message);
    }
    conversation_deinit(&c);
    fields_close(&f);
    return 0;
}

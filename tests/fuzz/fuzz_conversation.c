/* Bodies of chats: messages, tools and stops as strangers write them, up to the messages that a template would get. */
#include "server/conversation_parts.h"
#include "server/sampling_fields.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    ApiError error = {0};
    Fields f;
    static GenerationSpec spec;
    if (!fields_open(&f, span_of(data, bytes), &error)) {
        ASSERT(error.status == 400 && error.message[0]);
        return 0;
    }
    Conversation c;
    conversation_init(&c);
    json_t *messages = fields_array(&f, "messages", MESSAGES_MAX);
    conversation_add_messages(&c, &f, "messages", messages);
    conversation_set_tools(&c, &f, "tools[%zu].", "function.", fields_array(&f, "tools", TOOLS_MAX));
    sampling_fields_stop(&f, "stop", &spec);
    if (fields_ok(&f)) {
        json_t *folded = conversation_fold_tools(&c);
        ASSERT(json_array_size(folded) >= json_array_size(c.messages));
        json_decref(folded);
    } else {
        ASSERT(error.status == 400 && error.param[0]);
    }
    conversation_deinit(&c);
    fields_close(&f);
    return 0;
}

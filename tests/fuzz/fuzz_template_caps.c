/* fuzz_template_caps.c -- any JSON as the messages of a conversation, for any kind of template (the first byte): a copy in
 * which each content is what the template takes, or an error that names the place. */
#include "text/template_caps.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    json_t *messages, *out, *message;
    size_t i;
    Error err = {0};
    if (bytes == 0 || json_read(span_of(data + 1, bytes - 1), 1 << 20, "messages", &messages, NULL) != OK)
        return 0;
    TemplateCaps caps = {.system = data[0] & 1, .developer = data[0] & 2, .parts = data[0] & 4, .null_content = data[0] & 8,
                         .calls = true, .arguments_object = data[0] & 16, .short_ids = data[0] & 32,
                         .reasoning = data[0] & 64 ? "thinking" : NULL};
    Err result = template_caps_messages(&caps, messages, &out, &err);
    ASSERT(result == OK || (!out && !strncmp(err.text, "messages", 8)));
    json_array_foreach(out, i, message) {
        json_t *content = json_object_get(message, "content");
        ASSERT(caps.parts || json_is_string(content) || (caps.null_content && json_is_null(content)));
    }
    json_decref(out);
    json_decref(messages);
    return 0;
}

/* fuzz_jinja.c -- any bytes as a template and its context, with "\n---\n" between them: text, or an error
 * that names the template and the line. A context that is not JSON stands for an ordinary conversation. */
#include <string.h>

#include "text/chat_template.h"

static const char separator[] = "\n---\n";
static const char ordinary[] =
    "{\"messages\": [{\"role\": \"user\", \"content\": \"Hi\"}, {\"role\": \"assistant\", \"content\": \"\\u00dcber\","
    " \"tool_calls\": [{\"function\": {\"name\": \"f\", \"arguments\": {\"x\": 1, \"y\": [1.5, null, true]}}}]}],"
    " \"tools\": null, \"add_generation_prompt\": true, \"bos_token\": \"<s>\", \"eos_token\": \"</s>\"}";

static json_t *context_of(Span text)
{
    json_t *context;
    if (json_read(text, 1 << 20, "context", &context, NULL) == OK) {
        if (json_is_object(context))
            return context;
        json_decref(context);
    }
    return json_read(span_text(ordinary), sizeof ordinary, "context", &context, NULL) == OK
               ? context
               : NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    const uint8_t *cut = memmem(data, bytes, separator, strlen(separator));
    Span source = span_of(data, cut ? (size_t)(cut - data) : bytes);
    ChatTemplate *t;
    Error err = {0};
    struct tm now = {.tm_year = 126, .tm_mday = 2};
    if (chat_template_new(&t, source, "template", &err) != OK) {
        ASSERT(!strncmp(err.text, "template: line ", 15));
        return 0;
    }
    json_t *context = context_of(
        cut ? span_from(span_of(data, bytes), source.bytes + strlen(separator)) : span_of(data, 0));
    Buf out;
    buf_init(&out, 1 << 20);
    Err result = chat_template_render(t, context, &now, &out, &err);
    ASSERT(result == OK || (out.bytes == 0 && err.text[0]));
    buf_deinit(&out);
    json_decref(context);
    chat_template_free(t);
    return 0;
}

/* fuzz_multipart.c -- a line with a content type, then any bytes as a form: parts that lie within it, or an error. */
#include <string.h>

#include "server/multipart.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    char type[256] = "multipart/form-data; boundary=";
    const uint8_t *end = bytes ? memchr(data, '\n', bytes) : NULL;
    Span body = span_from(span_of(data, bytes), end ? (size_t)(end - data) + 1 : 0);
    size_t room = sizeof type - strlen(type) - 1, type_bytes = end ? (size_t)(end - data) : 0;
    strncat(type, (const char *)data, type_bytes < room ? type_bytes : room);
    Form form;
    Error err = {0};
    if (form_read(&form, type, body, &err) != OK) {
        ASSERT(err.text[0]);
        return 0;
    }
    for (int i = 0; i < form.count; i++) {
        const FormPart *part = &form.part[i];
        ASSERT(part->name[0] && part->content.data >= body.data);
        ASSERT(part->content.data + part->content.bytes <= body.data + body.bytes);
    }
    return 0;
}

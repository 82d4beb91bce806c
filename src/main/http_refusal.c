/* http_refusal.c -- what the HTTP library refuses by itself, in the shape of all other refusals.
 *
 * A first line that is none, headers of more bytes than are read, a wrong Content-Length, nonsense in chunks: such calls
 * never reach a route, and there is no way to be asked. The library answers with a page,
 *
 *     <html><head><title>Request malformed</title></head><body>Your HTTP request was syntactically incorrect.</body></html>
 *
 * which it makes with a public function of its own. The program's function of this name goes before it, as the
 * dynamic linker rules, and makes the page an error in JSON. A library that was linked into the program keeps its page. It
 * stands here, not in server/, so that libridge overrules nothing in other people's programs.
 *
 * A Content-Length that is no number is answered with a status alone: libmicrohttpd 0.9.75 sends the head of that answer twice,
 * and whatever body there is would be cut and begin with the second head.
 */
#include <microhttpd.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "server/api_error.h"

enum { PAGE_BYTES_MAX = 4096 };

/* Of a page: what a person would read of its body. */
static void put_words(Buf *out, Span page)
{
    static const char body[] = "<body>";
    const char *at = memmem(page.data, page.bytes, body, sizeof body - 1), *end = (const char *)page.data + page.bytes;
    for (bool tag = false; at && at < end; at++) {
        bool quote = !strncmp(at, "&quot;", (size_t)(end - at) < 6 ? (size_t)(end - at) : 6);
        if (*at == '<' || *at == '>')
            tag = *at == '<';
        else if (!tag)
            buf_put_char(out, quote ? '\'' : *at);
        at += quote ? 5 : 0;
    }
}

static struct MHD_Response *refusal(Span page)
{
    static const char length[] = "Content-Length";
    ApiError e;
    Buf words;
    buf_init(&words, PAGE_BYTES_MAX);
    put_words(&words, page);
    api_refuse(&e, 400, NULL, "%s", words.bytes ? words.data : "this is no request that could be read");
    json_t *json = api_error_json(&e);
    char *text = json_dumps(json, JSON_COMPACT);
    bool silent = !text || memmem(page.data, page.bytes, length, sizeof length - 1);
    struct MHD_Response *r = MHD_create_response_from_buffer_with_free_callback(silent ? 0 : strlen(text), text, free);
    if (r && !silent)
        MHD_add_response_header(r, "Content-Type", "application/json");
    json_decref(json);
    buf_deinit(&words);
    return r;
}

static void keep(void *text) { (void)text; }

/* Nobody in this program calls it. */
__attribute__((visibility("default")))
struct MHD_Response *MHD_create_response_from_buffer(size_t bytes, void *text, enum MHD_ResponseMemoryMode mode)
{
    static const char page[] = "<html>";
    if (mode == MHD_RESPMEM_PERSISTENT && bytes > sizeof page && !memcmp(text, page, sizeof page - 1))
        return refusal(span_of(text, bytes));
    void *copy = mode == MHD_RESPMEM_MUST_COPY ? malloc(bytes + 1) : text;
    if (mode == MHD_RESPMEM_MUST_COPY && copy)
        memcpy(copy, text, bytes);
    MHD_ContentReaderFreeCallback done = mode == MHD_RESPMEM_PERSISTENT ? keep : free;
    return copy ? MHD_create_response_from_buffer_with_free_callback(bytes, copy, done) : NULL;
}

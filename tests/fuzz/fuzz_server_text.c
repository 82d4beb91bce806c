/* What the server's core parses of strangers' and administrators' bytes: queries, percent signs, traceparent, keys. */
#include <stdlib.h>

#include "base/error.h"
#include "server/api_keys.h"
#include "server/otlp.h"
#include "server/uri_text.h"

static void query(Span s)
{
    char *out = malloc(2 * s.bytes + 2);
    if (out && uri_decode_query(s, out)) {
        int pairs = 0;
        for (const char *at = out; *at; pairs++) {
            ASSERT(uri_query_find(out, at));
            at += strlen(at) + 1;
            at += strlen(at) + 1;
            ASSERT((size_t)(at - out) < 2 * s.bytes + 2);
        }
        ASSERT((size_t)pairs <= s.bytes);
    }
    free(out);
}

static void part(Span s)
{
    char *out = malloc(s.bytes + 1);
    if (out && uri_decode(s, false, out))
        ASSERT(strlen(out) <= s.bytes);
    free(out);
}

static void parent(Span s)
{
    TraceParent p;
    char *text = malloc(s.bytes + 1);
    if (!text)
        return;
    *span_copy(text, s) = 0;
    if (trace_parent_read(text, &p))
        ASSERT(strlen(p.trace) == 32 && strlen(p.span) == 16);
    free(text);
}

static void keys(Span s)
{
    Keys *k;
    Error err;
    if (keys_new(&k, NULL) != OK)
        return;
    if (keys_read(k, s, "keys", &err) != OK)
        ASSERT(err.text[0] && keys_count(k) == 0);
    key_drop(keys_find(k, s));
    keys_free(k);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static void (*const parsers[])(Span) = {query, part, parent, keys};
    if (bytes > 0)
        parsers[data[0] % COUNT_OF(parsers)](span_of(data + 1, bytes - 1));
    return 0;
}

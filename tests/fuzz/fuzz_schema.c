/* Any JSON as a schema: an error with words, or a grammar whose masks lead somewhere. */
#include "fuzz_grammar.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    Grammar *g;
    Error err = {0};
    json_t *schema;
    if (json_read(span_of(data, bytes), 1 << 20, "schema", &schema, &err) != OK)
        return 0;
    err = (Error){0};
    if (grammar_from_schema(schema, &g, &err) == OK)
        use_grammar(g);
    else
        ASSERT(err.code != OK && err.text[0]);
    json_decref(schema);
    return 0;
}

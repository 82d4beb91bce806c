/* Any bytes as a regular expression: an error with words, or a grammar whose masks lead somewhere. */
#include "fuzz_grammar.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    Grammar *g;
    Error err = {0};
    if (grammar_from_regex(span_of(data, bytes), &g, &err) == OK)
        use_grammar(g);
    else
        ASSERT(err.code != OK && err.text[0]);
    return 0;
}

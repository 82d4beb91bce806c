/* Any bytes as a grammar in GBNF: an error with words, or a grammar whose masks lead somewhere. */
#include "fuzz_grammar.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    Grammar *g;
    Error err = {0};
    if (grammar_from_gbnf(span_of(data, bytes), &g, &err) == OK)
        use_grammar(g);
    else
        ASSERT(err.code != OK && err.text[0]);
    return 0;
}

/* Any bytes as a tokenizer.json: an error, or a tokenizer that encodes and decodes within its bounds. */
#include "fuzz_tokenizer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    Tokenizer *t;
    Error err;
    if (tokenizer_open_json(span_of(data, bytes), (Span){0}, "fuzz", &t, &err) == OK)
        use_tokenizer(t);
    return 0;
}

#include "text/tokenizer.h"
__attribute__((weak)) Err tokenizer_open_sentencepiece(Span model, Span config, const char *name, Tokenizer **out, Error *err)
{
    (void)model, (void)config, (void)out;
    return fail(err, UNSUPPORTED, "%s: tokenizer.model is not read yet", name);
}

/* fuzz_tokenizer.h -- what both tokenizer targets do with a tokenizer that could be opened. */
#ifndef FUZZ_TOKENIZER_H
#define FUZZ_TOKENIZER_H

#include "text/detokenizer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

/* Letters, marks, Han, emoji, broken UTF-8, U+2581, spaces, a special token: one of each kind that is told apart. */
static const char fuzz_text[] = "  Hello, wOrld's \xC3\xA9" "e\xCC\x81 \xE4\xBD\xA0\xE5\xA5\xBD \xF0\x9F\x98\x80"
                                "\xFF\xE2\x96 \xE2\x96\x81" "a12345\n\n\t<s>x</s>aaaaaaaaaaaaaaaa  ";

static inline void use_tokenizer(Tokenizer *t)
{
    static const unsigned flags[] = {0, ENCODE_ADD_SPECIAL | ENCODE_PARSE_SPECIAL | ENCODE_PLACES};
    for (size_t i = 0; i < COUNT_OF(flags); i++) {
        Encoding e;
        Error err;
        Buf text;
        Detokenizer d;
        buf_init(&text, 1 << 22);
        if (tokenizer_encode(t, span_of(fuzz_text, sizeof fuzz_text - 1), flags[i], &e, &err) == OK) {
            tokenizer_decode(t, e.ids, e.count, 0, &text);
            buf_clear(&text);
            detokenizer_init(&d, t, DECODE_SKIP_SPECIAL);
            for (size_t k = 0; k < e.count; k++) {
                ASSERT(e.ids[k] >= 0 && e.ids[k] < tokenizer_size(t));
                ASSERT(!e.places || (e.places[k].begin <= e.places[k].end && e.places[k].end <= sizeof fuzz_text - 1));
                detokenizer_put(&d, e.ids[k], &text);
            }
            detokenizer_finish(&d, &text);
        }
        encoding_deinit(&e);
        buf_deinit(&text);
    }
    tokenizer_free(t);
}

#endif

/* fuzz_grammar.h -- what the grammar targets do with a grammar that could be compiled: some random answers by its masks. */
#ifndef FUZZ_GRAMMAR_H
#define FUZZ_GRAMMAR_H

#include "base/prng.h"
#include "text/grammar_vocab.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

enum { FUZZ_PIECES = 1 + 256 + 12 };

static inline GrammarVocab *fuzz_vocab(void)
{
    static const char *const longer[] = {"\"", "{\"", "\":", "aa", "ab", "\xC3\xA9", "\xE4\xBD", "true", "12", "-1", "\\u00", " "};
    static uint8_t bytes[256];
    static GrammarVocab *vocab;
    Span pieces[FUZZ_PIECES] = {{0}};
    int32_t end = 0;
    for (int i = 0; i < 256 && !vocab; i++) {
        bytes[i] = (uint8_t)i;
        pieces[1 + i] = span_of(&bytes[i], 1);
    }
    for (size_t i = 0; i < COUNT_OF(longer); i++)
        pieces[257 + i] = span_text(longer[i]);
    if (!vocab)
        ASSERT(grammar_vocab_of_pieces(&vocab, pieces, NULL, FUZZ_PIECES, &end, 1, NULL) == OK);
    return vocab;
}

/* Whoever stands somewhere may go on or is done; what the mask allows is accepted, and the rest is not. */
static inline void use_grammar(Grammar *g)
{
    GrammarMatcher *m;
    PrngStream random = {1, 0};
    ASSERT(grammar_matcher_new(&m, g, fuzz_vocab(), NULL) == OK);
    for (int step = 0; step < 12; step++) {
        uint32_t mask[(FUZZ_PIECES + 31) / 32];
        int32_t can[FUZZ_PIECES];
        uint32_t count = 0;
        memcpy(mask, grammar_matcher_allowed(m), sizeof mask);
        for (int32_t id = 0; id < FUZZ_PIECES; id++)
            if (mask[id / 32] >> id % 32 & 1)
                can[count++] = id;
        ASSERT(count > 0);
        ASSERT((mask[0] & 1) == (uint32_t)grammar_matcher_complete(m));
        ASSERT(grammar_matcher_accept(m, can[stream_below(&random, count)]));
    }
    grammar_matcher_free(m);
    grammar_free(g);
}

#endif

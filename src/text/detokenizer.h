/* detokenizer.h -- text from ids as they come, in whole characters.
 *
 *     ids       84      227  129  130     198
 *     bytes     "Hi "   E3   81   82      "\n"
 *     given     "Hi "   -    -    "あ"    "\n"
 *
 * A character may be spread over several tokens; its bytes are held back until the last one is there. What
 * can no longer become a character is U+FFFD at once (one for each maximal subpart, as everywhere in
 * text/utf8.h), and what is still open at the end is so at detokenizer_finish(). The leading space that
 * SentencePiece puts before a text is taken off again.
 *
 * A StopMatcher (text/stop_matcher.h) may follow.
 */
#ifndef TEXT_DETOKENIZER_H
#define TEXT_DETOKENIZER_H

#include "text/token_decoder.h"
#include "text/tokenizer.h"

typedef struct Detokenizer {
    const Tokenizer *tokenizer;
    unsigned flags;             /* DecodeFlags */
    DecodeState state;          /* what the text's ends lose */
    uint8_t open[4];            /* the start of a character */
    size_t open_bytes;
} Detokenizer;

void detokenizer_init(Detokenizer *, const Tokenizer *, unsigned flags);   /* owns nothing */

/* Appends the characters that are whole now. False: out is full, and the text is no longer to be trusted. */
bool detokenizer_put(Detokenizer *, int32_t id, Buf *out);
bool detokenizer_finish(Detokenizer *, Buf *out);

#endif

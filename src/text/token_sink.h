/* token_sink.h -- where the models put the tokens that they find.
 *
 * A model works on one word at a time and knows nothing of what lies before it; the sink adds the
 * word's place and looks up where that is in the user's text.
 */
#ifndef TEXT_TOKEN_SINK_H
#define TEXT_TOKEN_SINK_H

#include "text/aligned.h"
#include "text/tokenizer.h"

typedef struct TokenSink {
    Encoding *out;
    AlignedView text;     /* what the words are cut from */
    size_t word;          /* where the present word begins in it */
    bool places, failed;
} TokenSink;

bool sink_reserve(TokenSink *);
/* A token that covers [begin, end) of the present word. */
static inline void sink_put(TokenSink *s, int32_t id, size_t begin, size_t end)
{
    Encoding *e = s->out;
    if (e->count == e->capacity && !sink_reserve(s))
        return;
    e->ids[e->count] = id;
    if (s->places)
        e->places[e->count] =
            (TokenPlace){origin_at(&s->text, s->word + begin), origin_at(&s->text, s->word + end)};
    e->count++;
}

#endif

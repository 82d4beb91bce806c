/* answer.h -- one sample of an answer, from ids to the text that a person reads.
 *
 *     ids -> Detokenizer (whole characters) -> StopMatcher (holds back what may be a stop) -> text
 *
 * Text comes out as soon as it is certain: never half a character, never the beginning of a stop.
 */
#ifndef API_ANSWER_H
#define API_ANSWER_H

#include "base/json.h"
#include "engine/engine.h"
#include "text/detokenizer.h"
#include "text/stop_matcher.h"

typedef struct Answer {
    Detokenizer detokenizer;     /* tokenizer NULL: was not initialised */
    StopMatcher *stops;          /* NULL: none were given */
    Buf whole;                   /* characters of the last token, before the stops have seen them */
    Buf text;                    /* all that is certain */
    size_t taken;                /* bytes of it that answer_fresh() has given */
    Sampled *tokens;             /* the sampled ones, the one that ended it included */
    int32_t count, capacity;
    bool stopped;                /* a stop text came: nothing that follows counts */
    bool ended;
    EndReason reason;
    RequestTimes times;
} Answer;

Err answer_init(Answer *, const Tokenizer *, const char *const *stops, int stop_count, Error *err);
void answer_deinit(Answer *);    /* a zeroed one is fine */

/* Takes a token or the end of the sample. Control tokens give no text. */
Err answer_take(Answer *, const Event *, Error *err);
Span answer_fresh(Answer *);     /* the text that is new since the last call; lives until the next take */

const char *end_reason_name(EndReason);          /* "stop", "length", "cancelled", "error" */
json_t *piece_json(const Tokenizer *, int32_t id);   /* its text; half a character: the bytes that it is */
json_t *answer_json(const Answer *, bool logprobs);

#endif

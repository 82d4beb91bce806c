/* stop_matcher.h -- finds the first of several stop strings in a text that comes in parts.
 *
 *     stop "\nUser:"     in  "Yes."   "\nUs"   "ed up"        in  "No\nUse"  "r: hi"
 *                        out "Yes."   -        "\nUsed up"    out "No"       -   and stopped
 *
 * What might be the beginning of a stop string is held back until it is known. One automaton serves all
 * strings (Aho and Corasick 1975), so each byte of the text is looked at once, however long or many the
 * strings are, and the parts make no difference. The string that is complete first stops the text; of
 * several that are complete at the same byte, the longest.
 */
#ifndef TEXT_STOP_MATCHER_H
#define TEXT_STOP_MATCHER_H

#include "base/buf.h"
#include "base/error.h"

enum { STOP_STRINGS_MAX = 64, STOP_BYTES_MAX = 1 << 12 };   /* all strings together */

typedef struct StopMatcher StopMatcher;

/* Empty strings are errors: they would stop before the first byte. count 0: a matcher that lets all pass. */
Err stop_matcher_new(const Span *strings, size_t count, StopMatcher **out, Error *err);
/* One more for another text, with the automaton of the first, which it borrows and must not outlive. NULL: no memory. */
StopMatcher *stop_matcher_twin(const StopMatcher *);
void stop_matcher_free(StopMatcher *);
void stop_matcher_reset(StopMatcher *);      /* for another text */

/* Appends to out what cannot belong to a stop string. *stopped: the index of the string that was found, or
 * -1; nothing comes out after it. False: out is full. */
bool stop_matcher_put(StopMatcher *, Span text, Buf *out, int *stopped);
/* The text is over: what was held back comes out, unless a string was found. */
bool stop_matcher_finish(StopMatcher *, Buf *out);

#endif

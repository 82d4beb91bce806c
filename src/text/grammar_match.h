/* grammar_match.h -- whether one text is of a grammar, without a vocabulary. For what compilers of grammars ask. */
#ifndef TEXT_GRAMMAR_MATCH_H
#define TEXT_GRAMMAR_MATCH_H

#include "base/error.h"
#include "base/span.h"

Err grammar_match(Span gbnf, Span text, bool *out, Error *);

#endif

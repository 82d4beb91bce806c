/* grammar_regex.h -- regular expressions as the bodies of GBNF rules.
 *
 *     (\d{4})-(?:0[1-9]|1[0-2])     ->     ([0-9]{4}) "-" ("0" [1-9] | "1" [0-2])
 *
 * What is common to ECMAScript and Python is known: literals, escapes (\n \t \xNN \uNNNN \u{N} \d \w \s \D \W \S),
 * classes, groups with and without a name, alternation, * + ? {m} {m,} {m,n}, lazy or not (which texts match does
 * not depend on it), ^ and $ at the ends. \d, \w, \s are ASCII's. Look-around, back-references, word boundaries,
 * properties (\p), flags and possessive repetitions are refused by name.
 */
#ifndef TEXT_GRAMMAR_REGEX_H
#define TEXT_GRAMMAR_REGEX_H

#include "base/buf.h"
#include "base/error.h"

/* Appends one expression that stands for all texts that match as a whole. BAD_ARGUMENT, UNSUPPORTED: with the offset. */
Err grammar_regex_rule(Span pattern, Buf *gbnf, Error *);

/* The same for what stands between the quotes of a JSON string, where the pattern is found anywhere unless it is
 * anchored, as JSON Schema means it. The counts are of characters; REGEX_NO_END: any number. A pattern that is one
 * class of characters, repeated, takes the bounds min and max; otherwise they must follow from the pattern
 * (UNSUPPORTED). */
#define REGEX_NO_END UINT64_MAX
Err grammar_regex_string(Span pattern, uint64_t min, uint64_t max, Buf *gbnf, Error *);

/* A GBNF literal of the text. BAD_ARGUMENT: it is not UTF-8; `what` names it. */
Err grammar_literal(Span text, const char *what, Buf *gbnf, Error *);

#endif

/* grammar_schema_values.h -- what values of a schema look like as GBNF: literals, ranges of numbers, formats. */
#ifndef TEXT_GRAMMAR_SCHEMA_VALUES_H
#define TEXT_GRAMMAR_SCHEMA_VALUES_H

#include "base/buf.h"
#include "base/json.h"

enum { INTEGER_DIGITS = 18, NUMBER_DIGITS = 16 };
#define INTEGER_LIMIT 999999999999999999ll

/* A value as JSON, spaces within it as everywhere; false: it is no UTF-8, or too deep. */
bool put_value_literal(const json_t *value, Buf *gbnf);
/* A string as JSON, with what follows within the same literal. */
bool put_string_literal(Span text, const char *after, Buf *gbnf);

/* Integers from low to high, both within INTEGER_LIMIT. */
void put_integer_range(int64_t low, int64_t high, Buf *gbnf);

/* Bounds of numbers; -INFINITY and INFINITY: none. False: there is no such number, or not one that is written
 * with NUMBER_DIGITS. */
typedef struct NumberBounds { double low, high; bool above_low, below_high; } NumberBounds;
bool put_number_range(NumberBounds, Buf *gbnf);

/* The pattern of a format; NULL: not known, "": an annotation that any string satisfies. */
const char *format_pattern(const char *format);
extern const char format_names[];

#endif

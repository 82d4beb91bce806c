/* jinja_filters.h -- the filters: those of single values, and those of sequences. */
#ifndef TEXT_JINJA_FILTERS_H
#define TEXT_JINJA_FILTERS_H

#include "text/jinja_value.h"

extern const Builtin sequence_filters[];
extern const size_t sequence_filter_count;

Value filter_wordwrap(Jinja *, Call *);     /* jinja_wrap.c */

/* The argument where it is given (and not V_MISSING), else the other. */
static inline Value given_or(Value v, Value otherwise) { return v.kind == V_MISSING ? otherwise : v; }
bool given_true(Jinja *, Value);            /* given, and true */
Value soft_str(Jinja *, Value);             /* str(), but a Markup stays one */
Value want_string(Jinja *, Value);          /* a string, or it fails as `len` and methods of other types do */

#endif

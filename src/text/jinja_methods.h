/* jinja_methods.h -- what strings, lists, dicts ... have behind a dot, and Python's two formatters. */
#ifndef TEXT_JINJA_METHODS_H
#define TEXT_JINJA_METHODS_H

#include "text/jinja_value.h"

/* Attributes and methods of anything but namespaces; V_MISSING: none of that name. */
Value object_attribute(Jinja *, Value of, Value name);
bool method_is_unsafe(Value of, Value name);    /* list.append, dict.update ...: they would change it */

const Builtin *str_method_find(Span name);
const Builtin *builtin_find(const Builtin *table, size_t count, Span name);

Value percent_format(Jinja *, Value format, Value args);            /* "%s" % args */
Value brace_format(Jinja *, Value format, const Args *, const Dict *names);   /* "{}".format(args) */
void put_formatted(Text *, Value, Span spec);                       /* format(value, spec) */

void put_time(Text *, const Str *format, const struct tm *);         /* strftime in the C locale */

/* What filters share with the methods of the same name. */
Value str_upper(Jinja *, Value);
Value str_lower(Jinja *, Value);
Value str_capitalize(Jinja *, Value);
Value str_strip(Jinja *, Value, Value characters, bool left, bool right);
Value str_replace(Jinja *, Value, Value old, Value new, int64_t count);
Value str_split_lines(Jinja *, Value, bool keep_ends);
Value str_center(Jinja *, Value, int64_t width, Value fill);
bool str_cased_as(Value, bool upper);
Value html_escaped(Jinja *, Value);
bool parse_integer(Value str, int64_t base, int64_t *out, bool *too_large);
bool parse_float(Jinja *, Value str, double *out);

#endif

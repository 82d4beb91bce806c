/* jinja_builtins.h -- filters, tests, methods and globals: tables of Builtin, found by name. */
#ifndef TEXT_JINJA_BUILTINS_H
#define TEXT_JINJA_BUILTINS_H

#include "text/jinja_value.h"

const Builtin *filter_find(Span name);
const Builtin *test_find(Span name);
const Builtin *global_find(Span name);

#endif

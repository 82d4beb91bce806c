/* jinja_print.h -- values as text: Python's str() and repr(), and JSON as Python's json.dumps(). */
#ifndef TEXT_JINJA_PRINT_H
#define TEXT_JINJA_PRINT_H

#include "text/jinja_value.h"

Value value_str(Jinja *, Value);        /* a string stays what it is, without its markup flag */
void put_str(Text *, Value);
void put_repr(Text *, Value);
void put_float(Text *, double);         /* the shortest digits that read back as the same number */

typedef struct JsonStyle {
    Value indent;                       /* V_NONE: one line; an integer, or a string */
    Value item_separator, key_separator;
    bool ascii, sort_keys;
} JsonStyle;
void put_json(Text *, Value, const JsonStyle *);

#endif

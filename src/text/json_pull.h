/* json_pull.h -- JSON read in place, for the two large tables of a tokenizer.json.
 *
 * A vocabulary of 128,000 pieces and its merges are 10 MB of JSON in which a tree of small objects
 * costs more than all the rest of opening a model. A JsonPull walks the text once and hands out
 * values as they come; everything else in the file goes through base/json.h.
 *
 * Each pull_* either consumes its value or returns false and stays where the mistake is.
 */
#ifndef TEXT_JSON_PULL_H
#define TEXT_JSON_PULL_H

#include <locale.h>

#include "base/buf.h"

typedef struct JsonPull {
    Span text;
    size_t at;
    Buf scratch;      /* a string with escapes is unescaped here: valid until the next pull */
    locale_t plain;   /* numbers have the file's decimal point, whatever the program's locale says */
} JsonPull;

void json_pull_init(JsonPull *, Span text, size_t string_bytes_max);
void json_pull_deinit(JsonPull *);

bool pull_mark(JsonPull *, char mark);            /* one of { } [ ] : , with blanks around it */
bool pull_string(JsonPull *, Span *out);          /* well-formed UTF-8, or false */
bool pull_integer(JsonPull *, int64_t *out);
bool pull_float(JsonPull *, double *out);
bool pull_skip(JsonPull *, Span *out);            /* any value, loosely: brackets and strings are counted */
bool pull_at_end(JsonPull *);
int pull_line(const JsonPull *);                  /* where it stands, for errors */

#endif

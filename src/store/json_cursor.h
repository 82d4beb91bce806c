/* json_cursor.h -- walks the members of large JSON objects one at a time.
 *
 *     { "model.embed_tokens.weight": { ... }, "model.norm.weight": { ... }, ... }
 *       ^ json_cursor_key              ^ json_cursor_value, or json_cursor_enter
 *
 * A header of 100 MB may hold fifty million tiny arrays, and a tree of it would be gigabytes. So
 * the outer object is walked here and only one member at a time becomes a tree, of bounded size.
 */
#ifndef STORE_JSON_CURSOR_H
#define STORE_JSON_CURSOR_H

#include <jansson.h>

#include "base/error.h"
#include "base/span.h"

enum { JSON_KEY_BYTES_MAX = 4096, JSON_MEMBER_BYTES_MAX = 1 << 16 };

typedef struct JsonCursor {
    Span text;
    size_t at;
    const char *what;   /* names the source in errors */
    bool fresh;         /* no member of the object was read yet */
} JsonCursor;

Err json_cursor_enter(JsonCursor *, Error *err);   /* steps into an object */
/* The next key, which the caller owns (json_decref); NULL: the object is over, and left behind. */
Err json_cursor_key(JsonCursor *, json_t **key, Error *err);
Err json_cursor_value(JsonCursor *, size_t bytes_max, json_t **value, Error *err);
Err json_cursor_end(JsonCursor *, Error *err);     /* nothing but spaces may follow */

#endif

/* uri_text.h -- what a URI spells with percent signs, as text.
 *
 *     "a%20b" -> "a b"       "%zz", "%00" and bytes that are no UTF-8 are not valid
 */
#ifndef SERVER_URI_TEXT_H
#define SERVER_URI_TEXT_H

#include "base/span.h"

/* `out` has room for text.bytes + 1; it ends with a zero byte. plus: '+' is a space, as in queries. */
bool uri_decode(Span text, bool plus, char *out);

/* "a=1&b=x%20y" -> "a\0" "1\0" "b\0" "x y\0" "\0". `out` has room for 2 * bytes + 2: a name without '=' has "". */
bool uri_decode_query(Span query, char *out);
const char *uri_query_find(const char *decoded, const char *name);   /* the first of that name; NULL: none */

#endif

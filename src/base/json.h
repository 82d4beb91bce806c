/* json.h -- JSON through jansson, with what checkpoints need on top.
 *
 * json_read() refuses duplicate keys, trailing garbage, depth over jansson's 2,048 and input over
 * `bytes_max`, naming the file and the line. Python's bare NaN, Infinity and -Infinity, which published
 * configs contain, become the objects {"__float__": "Infinity"} that transformers 5 writes;
 * json_float() reads both spellings.
 */
#ifndef BASE_JSON_H
#define BASE_JSON_H

#include <jansson.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/span.h"

/* `what` names the source in errors ("dir/config.json"). The caller owns *out (json_decref). */
Err json_read(Span text, size_t bytes_max, const char *what, json_t **out, Error *err);
Err json_read_file(const char *path, size_t bytes_max, json_t **out, Error *err);

/* Appends it without spaces; flags: more of jansson's. False: it holds what JSON cannot say, or the Buf is full. */
bool buf_put_json(Buf *, const json_t *, size_t flags);

bool json_float(const json_t *value, double *out);   /* integer, real or {"__float__": ...} */

#endif

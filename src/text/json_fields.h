/* json_fields.h -- fields of a JSON object with the type that a file should have given them.
 *
 * Each reads one key: absent or null gives the default; a wrong type is an error that names file and
 * field. `where` is the path of the object: "dir/tokenizer.json: normalizer".
 */
#ifndef TEXT_JSON_FIELDS_H
#define TEXT_JSON_FIELDS_H

#include "base/json.h"

Err field_bool(const json_t *object, const char *key, bool absent, const char *where, bool *out, Error *err);
Err field_int(const json_t *object, const char *key, int64_t absent, const char *where, int64_t *out, Error *err);
Err field_text(const json_t *object, const char *key, const char *where, Span *out, Error *err);   /* absent: empty */
Err field_array(const json_t *object, const char *key, const char *where, const json_t **out, Error *err);
static inline Span json_span(const json_t *string)   /* empty when it is no string */
{
    return span_of(json_string_value(string), json_string_length(string));
}

#endif

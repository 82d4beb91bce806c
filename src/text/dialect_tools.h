/* dialect_tools.h -- the tools of a request, in OpenAI's form: checked once, then looked up by name.
 *
 *     [{"type": "function", "function": {"name": "weather", "description": ..., "parameters": {a JSON schema}}}]
 */
#ifndef TEXT_DIALECT_TOOLS_H
#define TEXT_DIALECT_TOOLS_H

#include "base/json.h"
#include "base/span.h"

enum { TOOLS_MAX = 128, TOOL_NAME_BYTES_MAX = 64 };

/* BAD_ARGUMENT names the place: "tools[2].function.name: ...". NULL and null: no tools. */
Err dialect_tools_check(json_t *tools, Error *);

static inline bool tool_name_char(uint8_t c)
{
    return (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z') || c == '_' || c == '-';
}

json_t *tool_function(json_t *tool);                     /* its name, description, parameters */
json_t *tool_find(json_t *tools, Span name);             /* the function; NULL: there is none of that name */
json_t *tool_property(json_t *function, Span key);       /* the schema of one argument; NULL: nothing is said */
bool schema_is_string(const json_t *schema);             /* a string and nothing else */

#endif

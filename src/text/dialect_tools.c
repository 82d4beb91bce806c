#include "text/dialect_tools.h"

json_t *tool_function(json_t *tool)
{
    json_t *function = json_object_get(tool, "function");
    return json_is_object(function) ? function : tool;
}

json_t *tool_find(json_t *tools, Span name)
{
    size_t i;
    json_t *tool;
    json_array_foreach(tools, i, tool) {
        json_t *function = tool_function(tool), *its = json_object_get(function, "name");
        if (json_is_string(its) && span_equal(span_of(json_string_value(its), json_string_length(its)), name))
            return function;
    }
    return NULL;
}

json_t *tool_property(json_t *function, Span key)
{
    json_t *properties = json_object_get(json_object_get(function, "parameters"), "properties");
    return json_object_getn(properties, (const char *)key.data, key.bytes);
}

bool schema_is_string(const json_t *schema)
{
    const char *type = json_string_value(json_object_get(schema, "type"));
    return type && !strcmp(type, "string");
}

/* ---- checking ---- */

static Err check_name(json_t *tools, size_t index, json_t *name, Error *err)
{
    if (!json_is_string(name))
        return fail(err, BAD_ARGUMENT, "tools[%zu].function.name: must be a string", index);
    Span text = span_of(json_string_value(name), json_string_length(name));
    bool good = text.bytes >= 1 && text.bytes <= TOOL_NAME_BYTES_MAX;
    for (size_t i = 0; i < text.bytes && good; i++)
        good = tool_name_char(text.data[i]);
    if (!good)
        return fail(err, BAD_ARGUMENT,
                    "tools[%zu].function.name: must be 1 to %d of the characters a-z, A-Z, 0-9, _ and -", index,
                    TOOL_NAME_BYTES_MAX);
    if (tool_find(tools, text) != tool_function(json_array_get(tools, index)))
        return fail(err, BAD_ARGUMENT, "tools[%zu].function.name: '%s' is the name of an earlier tool", index,
                    json_string_value(name));
    return OK;
}

static Err check_tool(json_t *tools, size_t index, Error *err)
{
    json_t *tool = json_array_get(tools, index), *function = json_object_get(tool, "function");
    const char *type = json_string_value(json_object_get(tool, "type"));
    if (!json_is_object(tool))
        return fail(err, BAD_ARGUMENT, "tools[%zu]: must be an object", index);
    if (!type || strcmp(type, "function"))
        return fail(err, BAD_ARGUMENT, "tools[%zu].type: must be \"function\"", index);
    if (!json_is_object(function))
        return fail(err, BAD_ARGUMENT, "tools[%zu].function: must be an object", index);
    TRY(check_name(tools, index, json_object_get(function, "name"), err));
    json_t *description = json_object_get(function, "description"), *parameters = json_object_get(function, "parameters");
    json_t *strict = json_object_get(function, "strict");
    if (description && !json_is_string(description) && !json_is_null(description))
        return fail(err, BAD_ARGUMENT, "tools[%zu].function.description: must be a string", index);
    if (parameters && !json_is_object(parameters) && !json_is_null(parameters))
        return fail(err, BAD_ARGUMENT, "tools[%zu].function.parameters: must be an object, a JSON schema", index);
    if (strict && !json_is_boolean(strict) && !json_is_null(strict))
        return fail(err, BAD_ARGUMENT, "tools[%zu].function.strict: must be true or false", index);
    return OK;
}

Err dialect_tools_check(json_t *tools, Error *err)
{
    if (!tools || json_is_null(tools))
        return OK;
    if (!json_is_array(tools))
        return fail(err, BAD_ARGUMENT, "tools: must be an array");
    if (json_array_size(tools) > TOOLS_MAX)
        return fail(err, BAD_ARGUMENT, "tools: has %zu entries; at most %d are allowed", json_array_size(tools), TOOLS_MAX);
    for (size_t i = 0; i < json_array_size(tools); i++)
        TRY(check_tool(tools, i, err));
    return OK;
}

#include "text/grammar_schema_merge.h"

#include <stdlib.h>

static const char *const annotations[] = {
    "title", "description", "default", "examples", "example", "deprecated", "readOnly", "writeOnly", "$comment", "$schema",
    "$id", "$defs", "definitions", "$anchor", "$dynamicAnchor", "contentEncoding", "contentMediaType", "discriminator",
    "externalDocs", "xml", "$vocabulary", "id",
};

bool schema_is_annotation(const char *key)
{
    for (size_t i = 0; i < COUNT_OF(annotations); i++)
        if (!strcmp(key, annotations[i]))
            return true;
    return key[0] == 'x' && key[1] == '-';
}

json_t *schema_keep(SchemaSource *s, json_t *made)
{
    if (!made || json_array_size(s->made) >= SCHEMAS_MADE_MAX || json_array_append_new(s->made, made))
        return NULL;
    return made;
}

static Err no_room(SchemaSource *s, const char *path)
{
    return fail(s->err, LIMIT_REACHED, "%s: the schemas that allOf, anyOf and $ref make are more than %d, or there is no "
                "memory", path, (int)SCHEMAS_MADE_MAX);
}

static bool says_something(const json_t *schema)
{
    const char *key;
    json_t *value;
    if (!json_is_object(schema))
        return !json_is_true(schema);
    json_object_foreach((json_t *)schema, key, value)
        if (!schema_is_annotation(key))
            return true;
    return false;
}

/* ---- types ---- */

static unsigned type_of_name(const char *name)
{
    static const struct { const char *name; unsigned types; } types[] = {
        {"null", TYPE_NULL}, {"boolean", TYPE_BOOLEAN}, {"object", TYPE_OBJECT}, {"array", TYPE_ARRAY},
        {"string", TYPE_STRING}, {"integer", TYPE_INTEGER}, {"number", TYPE_NUMBER},
    };
    for (size_t i = 0; name && i < COUNT_OF(types); i++)
        if (!strcmp(name, types[i].name))
            return types[i].types;
    return 0;
}

static const struct { const char *key; unsigned types; } spoken_of[] = {
    {"properties", TYPE_OBJECT}, {"required", TYPE_OBJECT}, {"additionalProperties", TYPE_OBJECT},
    {"patternProperties", TYPE_OBJECT}, {"propertyNames", TYPE_OBJECT}, {"minProperties", TYPE_OBJECT},
    {"maxProperties", TYPE_OBJECT}, {"items", TYPE_ARRAY}, {"prefixItems", TYPE_ARRAY}, {"minItems", TYPE_ARRAY},
    {"maxItems", TYPE_ARRAY}, {"minLength", TYPE_STRING}, {"maxLength", TYPE_STRING}, {"pattern", TYPE_STRING},
    {"format", TYPE_STRING}, {"minimum", TYPE_NUMBER}, {"maximum", TYPE_NUMBER}, {"exclusiveMinimum", TYPE_NUMBER},
    {"exclusiveMaximum", TYPE_NUMBER},
};

/* What `type` says; without it all (strict), or what the keywords speak of. */
static unsigned types_of(const json_t *schema, bool strict)
{
    const json_t *type = json_object_get(schema, "type"), *one;
    unsigned types = 0;
    size_t i;
    if (json_is_false(schema))
        return 0;
    if (json_is_string(type))
        types = type_of_name(json_string_value(type));
    else if (json_is_array(type))
        json_array_foreach(type, i, one)
            types |= type_of_name(json_string_value(one));
    else if (!strict)
        for (i = 0; i < COUNT_OF(spoken_of); i++)
            if (json_object_get(schema, spoken_of[i].key))
                types |= spoken_of[i].types;
    if (!type && !types)
        types = TYPE_ALL;
    return json_is_true(json_object_get(schema, "nullable")) ? types | TYPE_NULL : types;
}

unsigned schema_types(const SchemaSource *s, const json_t *schema, const char *path)
{
    const json_t *type = json_object_get(schema, "type"), *one;
    size_t i;
    bool known = !type || type_of_name(json_string_value(type));
    if (json_is_array(type)) {
        known = json_array_size(type) > 0;
        json_array_foreach(type, i, one)
            known = known && type_of_name(json_string_value(one));
    }
    if (!known) {
        fail(s->err, BAD_ARGUMENT, "%s/type: is no type: null, boolean, object, array, string, integer or number", path);
        return 0;
    }
    return types_of(schema, false);
}

static json_t *type_list(unsigned types)
{
    static const struct { unsigned types; const char *name; } names[] = {
        {TYPE_NULL, "null"}, {TYPE_BOOLEAN, "boolean"}, {TYPE_OBJECT, "object"}, {TYPE_ARRAY, "array"},
        {TYPE_STRING, "string"}, {TYPE_NUMBER, "number"}, {TYPE_INTEGER, "integer"},
    };
    json_t *out = json_array();
    for (size_t i = 0; i < COUNT_OF(names); i++)
        if ((types & names[i].types) == names[i].types) {
            json_array_append_new(out, json_string(names[i].name));
            types &= ~names[i].types;
        }
    return out;
}

/* ---- $ref ---- */

static int hex_of(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* One name of a JSON pointer: up to the next slash, with ~0, ~1 and %XX read. False: it is too long. */
static bool pointer_name(const char **at, char *out, size_t room)
{
    size_t bytes = 0;
    const char *c = *at;
    for (; *c && *c != '/'; c++) {
        char byte = *c;
        if (byte == '~' && (c[1] == '0' || c[1] == '1'))
            byte = *++c == '0' ? '~' : '/';
        else if (byte == '%' && hex_of(c[1]) >= 0 && hex_of(c[2]) >= 0) {
            byte = (char)(hex_of(c[1]) << 4 | hex_of(c[2]));
            c += 2;
        }
        if (bytes + 1 >= room)
            return false;
        out[bytes++] = byte;
    }
    out[bytes] = 0;
    *at = c;
    return true;
}

static Err follow(SchemaSource *s, const json_t *ref, const char *path, json_t **out)
{
    const char *text = json_string_value(ref);
    char name[512];
    if (!text)
        return fail(s->err, BAD_ARGUMENT, "%s/$ref: is not a string", path);
    if (text[0] != '#' || (text[1] && text[1] != '/'))
        return fail(s->err, UNSUPPORTED, "%s/$ref: '%.100s' points elsewhere: only #/... within the schema is followed", path,
                    text);
    json_t *at = s->root;
    for (const char *c = text + 1; at && *c == '/';) {
        c++;
        if (!pointer_name(&c, name, sizeof name))
            at = NULL;
        else if (json_is_array(at))
            at = json_array_get(at, name[0] >= '0' && name[0] <= '9' ? strtoul(name, NULL, 10) : SIZE_MAX);
        else
            at = json_object_get(at, name);
    }
    if (!at)
        return fail(s->err, BAD_ARGUMENT, "%s/$ref: nothing is at '%.200s'", path, text);
    *out = at;
    return OK;
}

/* A copy of the schema without two keywords; the schema itself is left alone. NULL: no room. */
static json_t *without(SchemaSource *s, json_t *schema, const char *key)
{
    json_t *copy = schema_keep(s, json_copy(schema));
    if (copy)
        json_object_del(copy, key);
    return copy;
}

static Err resolve_all_of(SchemaSource *s, json_t *schema, const char *path, json_t **out)
{
    json_t *list = json_object_get(schema, "allOf"), *member;
    size_t i;
    if (!json_is_array(list))
        return fail(s->err, BAD_ARGUMENT, "%s/allOf: is not a list", path);
    json_t *all = without(s, schema, "allOf");
    if (!all)
        return no_room(s, path);
    bool alone = !says_something(all);
    json_array_foreach(list, i, member) {
        TRY(schema_resolve(s, member, path, &member));
        if (alone && says_something(member)) {
            all = member;
            alone = false;
        } else {
            TRY(schema_merge(s, all, member, path, &all));
        }
    }
    *out = all;
    return OK;
}

static Err resolve_ref(SchemaSource *s, json_t *schema, const char *path, json_t **out)
{
    json_t *target, *rest = without(s, schema, "$ref");
    if (!rest)
        return no_room(s, path);
    TRY(follow(s, json_object_get(schema, "$ref"), path, &target));
    TRY(schema_resolve(s, target, path, out));
    if (!says_something(rest))
        return OK;
    TRY(schema_resolve(s, rest, path, &rest));
    return schema_merge(s, *out, rest, path, out);
}

Err schema_resolve(SchemaSource *s, json_t *schema, const char *path, json_t **out)
{
    if (!json_is_object(schema) && !json_is_boolean(schema))
        return fail(s->err, BAD_ARGUMENT, "%s: a schema is an object, true or false", path);
    if (++s->depth > SCHEMA_DEPTH_MAX)
        return fail(s->err, LIMIT_REACHED, "%s: $ref and allOf lie deeper than %d in each other, or a schema refers to itself",
                    path, (int)SCHEMA_DEPTH_MAX);
    Err result = OK;
    if (json_object_get(schema, "$ref"))
        result = resolve_ref(s, schema, path, out);
    else if (json_object_get(schema, "allOf"))
        result = resolve_all_of(s, schema, path, out);
    else
        *out = schema;
    s->depth--;
    return result;
}

/* ---- merging ---- */

static json_t *all_of(json_t *a, json_t *b)
{
    return json_is_false(a) || json_is_false(b) ? json_false()
           : json_is_true(a)                    ? json_incref(b)
           : json_is_true(b) || a == b          ? json_incref(a)
                                                : json_pack("{s:[O,O]}", "allOf", a, b);
}

/* The properties of one schema as the other sees those that it does not list. */
static void add_properties(json_t *out, json_t *mine, json_t *other)
{
    const char *name;
    json_t *value, *theirs = json_object_get(other, "properties"), *rest = json_object_get(other, "additionalProperties");
    json_object_foreach(json_object_get(mine, "properties"), name, value) {
        json_t *same = json_object_get(theirs, name);
        if (!json_object_get(out, name))
            json_object_set_new(out, name, same ? all_of(value, same) : rest ? all_of(value, rest) : json_incref(value));
    }
}

static json_t *common_values(const json_t *a, const json_t *b)
{
    json_t *out = json_array(), *x, *y;
    size_t i, k;
    json_array_foreach(a, i, x)
        json_array_foreach(b, k, y)
            if (json_equal(x, y)) {
                json_array_append(out, x);
                break;
            }
    return out;
}

static json_t *all_names(const json_t *a, const json_t *b)
{
    json_t *out = json_copy((json_t *)a), *x, *y;
    size_t i, k;
    json_array_foreach(b, i, x) {
        bool known = false;
        json_array_foreach(out, k, y)
            known = known || json_equal(x, y);
        if (!known)
            json_array_append(out, x);
    }
    return out;
}

static json_t *pairs_of(const json_t *a, const json_t *b)
{
    if (json_array_size(a) * json_array_size(b) > SCHEMA_PAIRS_MAX)
        return NULL;
    json_t *out = json_array(), *x, *y;
    size_t i, k;
    json_array_foreach(a, i, x)
        json_array_foreach(b, k, y)
            json_array_append_new(out, all_of(x, y));
    return out;
}

/* How a keyword that both have becomes one. NULL: it cannot. */
static json_t *merged_value(const char *key, json_t *a, json_t *b)
{
    static const char *const least[] = {"minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties"};
    static const char *const most[] = {"maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties"};
    if (json_equal(a, b))
        return json_incref(a);
    for (size_t i = 0; i < COUNT_OF(least); i++) {
        bool is_least = !strcmp(key, least[i]), is_most = !strcmp(key, most[i]);
        if ((is_least || is_most) && json_is_number(a) && json_is_number(b))
            return json_incref((json_number_value(a) < json_number_value(b)) == is_least ? b : a);
    }
    if (!strcmp(key, "required") && json_is_array(a) && json_is_array(b))
        return all_names(a, b);
    if (!strcmp(key, "enum") && json_is_array(a) && json_is_array(b))
        return common_values(a, b);
    if ((!strcmp(key, "anyOf") || !strcmp(key, "oneOf")) && json_is_array(a) && json_is_array(b))
        return pairs_of(a, b);
    if (!strcmp(key, "items") || !strcmp(key, "additionalProperties") || !strcmp(key, "propertyNames"))
        return all_of(a, b);
    return !strcmp(key, "nullable") ? json_false() : NULL;
}

/* What two schemas say of the same thing in ways that are not joined here. */
static const char *clash(const json_t *a, const json_t *b)
{
    if (json_object_get(a, "patternProperties") || json_object_get(b, "patternProperties")) {
        static const char *const of_objects[] = {"patternProperties", "properties", "additionalProperties"};
        for (size_t i = 0; i < COUNT_OF(of_objects); i++)
            for (size_t k = 0; k < COUNT_OF(of_objects) && (i == 0 || k == 0); k++)
                if (json_object_get(a, of_objects[i]) && json_object_get(b, of_objects[k]))
                    return "patternProperties";
    }
    bool prefix_a = json_object_get(a, "prefixItems"), prefix_b = json_object_get(b, "prefixItems");
    if ((prefix_a && (prefix_b || json_object_get(b, "items"))) || (prefix_b && json_object_get(a, "items")))
        return "prefixItems";
    return NULL;
}

/* Adds what b says to out, which began as a. */
static const char *merge_keys(json_t *out, json_t *a, json_t *b)
{
    const char *key;
    json_t *value;
    json_object_foreach(b, key, value) {
        json_t *mine = json_object_get(a, key);
        if (schema_is_annotation(key) || !strcmp(key, "properties") || !strcmp(key, "type") || !strcmp(key, "nullable"))
            continue;
        if (mine && !strcmp(key, "const") && !json_equal(mine, value))
            return "";
        json_t *merged = mine ? merged_value(key, mine, value) : json_incref(value);
        if (!merged)
            return key;
        json_object_set_new(out, key, merged);
    }
    return NULL;
}

Err schema_merge(SchemaSource *s, json_t *a, json_t *b, const char *path, json_t **out)
{
    if (!json_is_object(a) || !json_is_object(b)) {
        *out = json_is_false(a) || json_is_true(b) ? a : b;
        return OK;
    }
    const char *key = clash(a, b);
    json_t *merged = schema_keep(s, json_copy(a));
    if (!merged)
        return no_room(s, path);
    if (!key)
        key = merge_keys(merged, a, b);
    if (key && *key)
        return fail(s->err, UNSUPPORTED, "%s: '%s' stands in several schemas that hold at once (allOf, $ref, anyOf) and "
                    "cannot be joined: write it once", path, key);
    unsigned types = types_of(a, true) & types_of(b, true);
    *out = json_false();
    if (key || !types)
        return OK;
    json_object_del(merged, "nullable");
    if (types != TYPE_ALL)
        json_object_set_new(merged, "type", type_list(types));
    if (json_object_get(a, "properties") || json_object_get(b, "properties")) {
        json_t *properties = json_object();
        add_properties(properties, a, b);
        add_properties(properties, b, a);
        json_object_set_new(merged, "properties", properties);
    }
    *out = merged;
    return OK;
}

Err schema_branch(SchemaSource *s, json_t *schema, const char *choice, json_t *branch, const char *path, json_t **out)
{
    json_t *rest = without(s, schema, choice);
    if (!rest)
        return no_room(s, path);
    TRY(schema_resolve(s, branch, path, &branch));
    if (!says_something(rest)) {
        *out = branch;
        return OK;
    }
    return schema_merge(s, rest, branch, path, out);
}

/* ---- exclusion ---- */

static bool has_value(const json_t *list, const json_t *value)
{
    const json_t *one;
    size_t i;
    json_array_foreach(list, i, one)
        if (json_equal(one, value))
            return true;
    return false;
}

static unsigned type_of_value(const json_t *v)
{
    switch (json_typeof(v)) {
    case JSON_NULL: return TYPE_NULL;
    case JSON_TRUE: case JSON_FALSE: return TYPE_BOOLEAN;
    case JSON_OBJECT: return TYPE_OBJECT;
    case JSON_ARRAY: return TYPE_ARRAY;
    case JSON_STRING: return TYPE_STRING;
    case JSON_INTEGER: return TYPE_INTEGER;
    case JSON_REAL: return TYPE_NUMBER;
    }
    return TYPE_ALL;
}

/* Whether the schema certainly says no to a value. */
static bool refuses_value(const json_t *schema, const json_t *value)
{
    const json_t *list = json_object_get(schema, "enum"), *one = json_object_get(schema, "const");
    return !(types_of(schema, true) & type_of_value(value)) || (list && !has_value(list, value)) ||
           (one && !json_equal(one, value));
}

static bool all_values_refused(const json_t *of, const json_t *by)
{
    const json_t *list = json_object_get(of, "enum"), *one = json_object_get(of, "const");
    size_t i;
    if (one)
        return refuses_value(by, one);
    if (!json_is_array(list))
        return false;
    json_array_foreach(list, i, one)
        if (!refuses_value(by, one))
            return false;
    return true;
}

/* Whether a's objects all have a property that b's cannot have, or have otherwise. */
static bool objects_exclude(SchemaSource *s, const json_t *a, const json_t *b)
{
    const json_t *name;
    size_t i;
    json_array_foreach(json_object_get(a, "required"), i, name) {
        const char *key = json_string_value(name);
        json_t *mine = json_object_get(json_object_get(a, "properties"), key ? key : "");
        json_t *theirs = json_object_get(json_object_get(b, "properties"), key ? key : "");
        if (!theirs && json_is_false(json_object_get(b, "additionalProperties")) && !json_object_get(b, "patternProperties"))
            return true;
        if (mine && theirs && schema_exclude(s, mine, theirs))
            return true;
    }
    return false;
}

static bool choice_excludes(SchemaSource *s, json_t *a, json_t *b)
{
    json_t *list = json_object_get(a, "anyOf"), *branch;
    size_t i;
    list = list ? list : json_object_get(a, "oneOf");
    if (!json_array_size(list))
        return false;
    json_array_foreach(list, i, branch)
        if (!schema_exclude(s, branch, b))
            return false;
    return true;
}

static bool flat_exclude(SchemaSource *s, json_t *a, json_t *b)
{
    if (all_values_refused(a, b) || all_values_refused(b, a) || choice_excludes(s, a, b) || choice_excludes(s, b, a))
        return true;
    unsigned common = (types_of(a, false) & types_of(b, true)) | (types_of(a, true) & types_of(b, false));
    return !common || (common == TYPE_OBJECT && (objects_exclude(s, a, b) || objects_exclude(s, b, a)));
}

bool schema_exclude(SchemaSource *s, json_t *a, json_t *b)
{
    Error *err = s->err, ignored;
    if (s->depth > SCHEMA_DEPTH_MAX / 4)
        return false;
    s->err = &ignored;
    s->depth++;
    int depth = s->depth;
    bool excluded = schema_resolve(s, a, "#", &a) == OK && schema_resolve(s, b, "#", &b) == OK && flat_exclude(s, a, b);
    s->depth = depth - 1;
    s->err = err;
    return excluded;
}

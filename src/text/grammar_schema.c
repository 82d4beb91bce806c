#include "text/grammar_schema.h"

#include <math.h>
#include <stdlib.h>

#include "text/grammar_regex.h"
#include "text/grammar_rules.h"
#include "text/grammar_schema_compiler.h"
#include "text/grammar_schema_values.h"

/* Keywords that change what is allowed and are not known here. */
static const char *const refused[] = {
    "not", "if", "then", "else", "dependentRequired", "dependentSchemas", "dependencies", "contains", "minContains",
    "maxContains", "unevaluatedItems", "$dynamicRef", "$recursiveRef", "multipleOf", "uniqueItems", "additionalItems",
};

static bool says_nothing_here(const json_t *schema, const char *key, const json_t *value)
{
    const char *type = json_string_value(json_object_get(schema, "type"));
    if (!strcmp(key, "multipleOf"))      /* every integer is a multiple of 1 */
        return json_is_number(value) && json_number_value(value) == 1 && type && !strcmp(type, "integer");
    return !strcmp(key, "uniqueItems") && json_is_false(value);
}

Err schema_refuse(SchemaCompiler *c, const json_t *schema, const char *path)
{
    for (size_t i = 0; i < COUNT_OF(refused); i++) {
        const json_t *value = json_object_get(schema, refused[i]);
        if (value && !says_nothing_here(schema, refused[i], value))
            return fail(c->source.err, UNSUPPORTED, "%s/%s: this keyword is not supported", path, refused[i]);
    }
    return OK;
}

/* ---- rules ---- */

/* Schemas that were made by merging are the same where they say the same: their text tells. The texts of schemas that
 * lie in each other are long together, so they have a limit. */
static Err hash_of(SchemaCompiler *c, const json_t *schema, const char *path, uint64_t *out)
{
    char *text = json_dumps(schema, JSON_SORT_KEYS | JSON_COMPACT | JSON_ENCODE_ANY);
    if (!text)
        return fail(c->source.err, NO_MEMORY, "%s: no memory to compare it", path);
    uint64_t hash = 1469598103934665603u;
    const char *at = text;
    for (; *at; at++)
        hash = (hash ^ (uint8_t)*at) * 1099511628211u;
    c->compared += (size_t)(at - text);
    free(text);
    *out = hash;
    return c->compared <= SCHEMA_COMPARED_MAX ? OK
           : fail(c->source.err, LIMIT_REACHED, "%s: the schema is too large or too deep", path);
}

static int32_t *bucket_of(SchemaCompiler *c, json_t *schema, uint64_t hash)
{
    uint32_t at = (uint32_t)(hash ^ hash >> 32) % SCHEMA_BUCKETS;
    for (; c->buckets[at] >= 0; at = (at + 1) % SCHEMA_BUCKETS) {
        const SchemaRule *rule = &c->rules[c->buckets[at]];
        if (rule->hash == hash && (rule->schema == schema || json_equal(rule->schema, schema)))
            break;
    }
    return &c->buckets[at];
}

Err schema_rule(SchemaCompiler *c, json_t *schema, const char *path, int32_t *out)
{
    TRY(schema_resolve(&c->source, schema, path, &schema));
    if (json_is_true(schema) || (json_is_object(schema) && !json_object_size(schema))) {
        *out = SCHEMA_ANY;
        return OK;
    }
    if (json_is_false(schema)) {
        *out = SCHEMA_NONE;
        return OK;
    }
    uint64_t hash = 0;
    TRY(hash_of(c, schema, path, &hash));
    int32_t *bucket = bucket_of(c, schema, hash);
    if (*bucket < 0) {
        if (c->rule_count == SCHEMA_RULES_MAX)
            return fail(c->source.err, LIMIT_REACHED, "%s: more than %d different schemas", path, (int)SCHEMA_RULES_MAX);
        SchemaRule *rule = &c->rules[c->rule_count];
        *rule = (SchemaRule){schema, hash, strdup(path)};
        if (!rule->path)
            return fail(c->source.err, NO_MEMORY, "%s: no memory for its rules", path);
        *bucket = c->rule_count++;
    }
    *out = *bucket;
    return OK;
}

void schema_put_rule(SchemaCompiler *c, int32_t rule)
{
    if (rule == SCHEMA_ANY)
        schema_put_shared(c, SHARED_VALUE);
    else if (rule == 0)
        buf_printf(c->out, " %s ", c->prefix);
    else
        buf_printf(c->out, " %s-%d ", c->prefix, (int)rule);
}

Err schema_path(SchemaCompiler *c, const char *path, const char *key, const char *name, SchemaPath *out)
{
    size_t used = (size_t)snprintf(out->text, sizeof out->text, "%s/%s%s", path, key, name ? "/" : "");
    for (; name && *name && used + 3 < sizeof out->text; name++) {
        if (*name == '~' || *name == '/')
            out->text[used++] = '~';
        out->text[used++] = *name == '~' ? '0' : *name == '/' ? '1' : *name;
    }
    if (used + 3 >= sizeof out->text)
        return fail(c->source.err, LIMIT_REACHED, "%.200s...: the path is longer than %zu bytes", path, sizeof out->text);
    out->text[used] = 0;
    return OK;
}

/* ---- what all schemas share ---- */

static const struct { const char *name, *body; unsigned needs; } shared_rules[] = {
    [SHARED_CHAR] = {"char", "[^\"\\\\\\x00-\\x1F] | \"\\\\\" ([\"\\\\/bfnrt] | \"u\" "
                     "([0-9a-cefA-CEF] [0-9a-fA-F]{3} | [dD] [0-7] [0-9a-fA-F]{2} | "
                     "[dD] [89abAB] [0-9a-fA-F]{2} \"\\\\u\" [dD] [c-fC-F] [0-9a-fA-F]{2}))", 0},
    [SHARED_STRING] = {"string", "\"\\\"\" %-char* \"\\\"\"", 1 << SHARED_CHAR},
    [SHARED_INTEGER] = {"integer", "\"0\" | \"-\"? [1-9] [0-9]{0,17}", 0},
    [SHARED_NUMBER] = {"number", "\"-\"? (\"0\" | [1-9] [0-9]{0,15}) (\".\" [0-9]{1,16})? ([eE] [+-]? [0-9]{1,2})?", 0},
    [SHARED_OBJECT] = {"object", "\"{\" \" \"? (%-string \":\" \" \"? %-value "
                       "(\",\" \" \"? %-string \":\" \" \"? %-value)* \" \"?)? \"}\"",
                       1 << SHARED_STRING | 1 << SHARED_VALUE},
    [SHARED_ARRAY] = {"array", "\"[\" \" \"? (%-value (\",\" \" \"? %-value)* \" \"?)? \"]\"", 1 << SHARED_VALUE},
    [SHARED_VALUE] = {"value", "%-object | %-array | %-string | %-number | \"true\" | \"false\" | \"null\"",
                      1 << SHARED_OBJECT | 1 << SHARED_ARRAY | 1 << SHARED_STRING | 1 << SHARED_NUMBER},
};

static void need(SchemaCompiler *c, unsigned rules)
{
    unsigned fresh = rules & ~c->shared;
    c->shared |= fresh;
    for (unsigned i = 0; i < COUNT_OF(shared_rules); i++)
        if (fresh >> i & 1)
            need(c, shared_rules[i].needs);
}

void schema_put_shared(SchemaCompiler *c, SharedRule rule)
{
    need(c, 1u << rule);
    buf_printf(c->out, " %s-%s ", c->prefix, shared_rules[rule].name);
}

static void put_shared_rules(SchemaCompiler *c)
{
    for (unsigned i = 0; i < COUNT_OF(shared_rules); i++) {
        if (!(c->shared >> i & 1))
            continue;
        buf_printf(c->out, "%s-%s ::= ", c->prefix, shared_rules[i].name);
        for (const char *at = shared_rules[i].body; *at; at++)
            if (*at == '%')
                buf_put_text(c->out, c->prefix);
            else
                buf_put_char(c->out, *at);
        buf_put_char(c->out, '\n');
    }
}

/* ---- counts and bounds ---- */

Err schema_count(SchemaCompiler *c, const json_t *schema, const char *key, const char *path, uint64_t absent, uint64_t *out)
{
    const json_t *value = json_object_get(schema, key);
    *out = absent;
    if (!value)
        return OK;
    double number = json_is_number(value) ? json_number_value(value) : -1;
    if (number < 0 || number != floor(number) || number > 1e15)
        return fail(c->source.err, BAD_ARGUMENT, "%s/%s: is not a count", path, key);
    *out = (uint64_t)number;
    return OK;
}

static Err read_bound(SchemaCompiler *c, const json_t *schema, const char *key, const char *exclusive, const char *path,
                      int sign, double *bound, bool *excluded)
{
    const json_t *value = json_object_get(schema, key), *beyond = json_object_get(schema, exclusive);
    *bound = sign < 0 ? -INFINITY : INFINITY;
    *excluded = json_is_true(beyond);    /* draft 4: a flag beside the bound */
    if (value && !json_is_number(value))
        return fail(c->source.err, BAD_ARGUMENT, "%s/%s: is not a number", path, key);
    if (beyond && !json_is_number(beyond) && !json_is_boolean(beyond))
        return fail(c->source.err, BAD_ARGUMENT, "%s/%s: is not a number", path, exclusive);
    if (value)
        *bound = json_number_value(value);
    if (json_is_number(beyond) && (json_number_value(beyond) - *bound) * sign <= 0) {
        *bound = json_number_value(beyond);
        *excluded = true;
    }
    return OK;
}

static Err read_bounds(SchemaCompiler *c, const json_t *schema, const char *path, NumberBounds *b)
{
    TRY(read_bound(c, schema, "minimum", "exclusiveMinimum", path, -1, &b->low, &b->above_low));
    return read_bound(c, schema, "maximum", "exclusiveMaximum", path, 1, &b->high, &b->below_high);
}

static int64_t within_limit(double value)
{
    return value > 1e18 ? INTEGER_LIMIT : value < -1e18 ? -INTEGER_LIMIT
           : (int64_t)value > INTEGER_LIMIT             ? INTEGER_LIMIT
           : (int64_t)value < -INTEGER_LIMIT            ? -INTEGER_LIMIT
                                                        : (int64_t)value;
}

/* A bound that is written as an integer is taken as it is; a double would round it above 2^53. */
static int64_t integer_bound(const json_t *schema, const char *key, double bound, double rounded)
{
    const json_t *value = json_object_get(schema, key);
    bool is_exact = json_is_integer(value) && json_number_value(value) == bound;
    int64_t exact = is_exact ? json_integer_value(value) : within_limit(rounded);
    return exact > INTEGER_LIMIT ? INTEGER_LIMIT : exact < -INTEGER_LIMIT ? -INTEGER_LIMIT : exact;
}

static Err put_integer(SchemaCompiler *c, const json_t *schema, const char *path)
{
    NumberBounds b;
    TRY(read_bounds(c, schema, path, &b));
    const char *format = json_string_value(json_object_get(schema, "format"));
    bool small = format && !strcmp(format, "int32");
    if (!small && isinf(b.low) && isinf(b.high)) {
        schema_put_shared(c, SHARED_INTEGER);
        return OK;
    }
    int64_t low = integer_bound(schema, json_is_number(json_object_get(schema, "exclusiveMinimum")) && b.above_low
                                ? "exclusiveMinimum" : "minimum", b.low, ceil(b.low));
    int64_t high = integer_bound(schema, json_is_number(json_object_get(schema, "exclusiveMaximum")) && b.below_high
                                 ? "exclusiveMaximum" : "maximum", b.high, floor(b.high));
    low += b.above_low && b.low == ceil(b.low) && low < INTEGER_LIMIT;
    high -= b.below_high && b.high == floor(b.high) && high > -INTEGER_LIMIT;
    if (small) {
        low = low < INT32_MIN ? INT32_MIN : low;
        high = high > INT32_MAX ? INT32_MAX : high;
    }
    if (low > high || b.low > 1e18 || b.high < -1e18)
        return fail(c->source.err, UNSUPPORTED, "%s: no integer of at most %d digits lies within the bounds", path,
                    (int)INTEGER_DIGITS);
    put_integer_range(low, high, c->out);
    return OK;
}

static Err put_number(SchemaCompiler *c, const json_t *schema, const char *path)
{
    NumberBounds b;
    TRY(read_bounds(c, schema, path, &b));
    if (isinf(b.low) && isinf(b.high)) {
        schema_put_shared(c, SHARED_NUMBER);
        return OK;
    }
    if (b.low <= b.high && put_number_range(b, c->out))
        return OK;
    return fail(c->source.err, UNSUPPORTED, "%s: no number that is written here (up to 10^15, without an exponent) "
                "lies within the bounds", path);
}

/* ---- strings ---- */

static Err put_pattern(SchemaCompiler *c, const char *pattern, size_t bytes, uint64_t min, uint64_t max, const char *path,
                       const char *key)
{
    buf_put_text(c->out, " \"\\\"\" ");
    Err result = grammar_regex_string(span_of(pattern, bytes), min, max, c->out, c->source.err);
    if (result != OK)
        return c->source.err ? fail_within(c->source.err, "%s/%s", path, key) : result;
    buf_put_text(c->out, " \"\\\"\" ");
    return OK;
}

Err schema_put_string(SchemaCompiler *c, const json_t *schema, const char *path)
{
    const json_t *pattern = json_object_get(schema, "pattern"), *format = json_object_get(schema, "format");
    uint64_t min, max;
    TRY(schema_count(c, schema, "minLength", path, 0, &min));
    TRY(schema_count(c, schema, "maxLength", path, REGEX_NO_END, &max));
    if (min > max)
        return fail(c->source.err, BAD_ARGUMENT, "%s: minLength is over maxLength", path);
    if (min > GRAMMAR_REPEAT_MAX || (max > GRAMMAR_REPEAT_MAX && max != REGEX_NO_END))
        return fail(c->source.err, LIMIT_REACHED, "%s: a length over %d cannot be held", path, (int)GRAMMAR_REPEAT_MAX);
    const char *known = format ? format_pattern(json_string_value(format)) : "";
    if (!known)
        return fail(c->source.err, UNSUPPORTED, "%s/format: '%.60s' is not known; known are %s", path,
                    json_is_string(format) ? json_string_value(format) : "?", format_names);
    if (pattern && !json_is_string(pattern))
        return fail(c->source.err, BAD_ARGUMENT, "%s/pattern: is not a string", path);
    if (pattern && *known)
        return fail(c->source.err, UNSUPPORTED, "%s: pattern and format together cannot be held", path);
    if (pattern)
        return put_pattern(c, json_string_value(pattern), json_string_length(pattern), min, max, path, "pattern");
    if (*known)
        return put_pattern(c, known, strlen(known), min, max, path, "format");
    if (min == 0 && max == REGEX_NO_END) {
        schema_put_shared(c, SHARED_STRING);
        return OK;
    }
    buf_put_text(c->out, " \"\\\"\" ");
    schema_put_shared(c, SHARED_CHAR);
    if (max == REGEX_NO_END)
        buf_printf(c->out, "{%llu,}", (unsigned long long)min);
    else
        buf_printf(c->out, "{%llu,%llu}", (unsigned long long)min, (unsigned long long)max);
    buf_put_text(c->out, " \"\\\"\" ");
    return OK;
}

/* ---- values ---- */

static unsigned type_of_value(const json_t *v)
{
    static const unsigned types[] = {
        [JSON_NULL] = TYPE_NULL, [JSON_TRUE] = TYPE_BOOLEAN, [JSON_FALSE] = TYPE_BOOLEAN, [JSON_OBJECT] = TYPE_OBJECT,
        [JSON_ARRAY] = TYPE_ARRAY, [JSON_STRING] = TYPE_STRING, [JSON_INTEGER] = TYPE_INTEGER, [JSON_REAL] = TYPE_FRACTION};
    if (json_is_real(v) && json_real_value(v) == floor(json_real_value(v)))
        return TYPE_INTEGER;
    return types[json_typeof(v)];
}

/* Beside enum and const only what is looked at here may restrict further. */
static Err check_beside_values(SchemaCompiler *c, const json_t *schema, unsigned types, const char *path)
{
    static const struct { const char *key; unsigned types; } others[] = {
        {"pattern", TYPE_STRING}, {"minLength", TYPE_STRING}, {"maxLength", TYPE_STRING}, {"minItems", TYPE_ARRAY},
        {"maxItems", TYPE_ARRAY}, {"items", TYPE_ARRAY}, {"prefixItems", TYPE_ARRAY}, {"properties", TYPE_OBJECT},
        {"required", TYPE_OBJECT}, {"additionalProperties", TYPE_OBJECT}, {"patternProperties", TYPE_OBJECT},
        {"propertyNames", TYPE_OBJECT}, {"minProperties", TYPE_OBJECT}, {"maxProperties", TYPE_OBJECT}};
    for (size_t i = 0; i < COUNT_OF(others); i++)
        if (json_object_get(schema, others[i].key) && (types & others[i].types))
            return fail(c->source.err, UNSUPPORTED, "%s/%s: beside enum or const this is not supported: list only "
                        "what may come", path, others[i].key);
    return OK;
}

static bool within_bounds(const json_t *value, const NumberBounds *b)
{
    double number = json_number_value(value);
    return !json_is_number(value) || ((number > b->low || (number == b->low && !b->above_low)) &&
                                      (number < b->high || (number == b->high && !b->below_high)));
}

static Err put_values(SchemaCompiler *c, const json_t *schema, const char *path)
{
    const json_t *list = json_object_get(schema, "enum"), *only = json_object_get(schema, "const"), *value;
    unsigned types = schema_types(&c->source, schema, path), seen = 0;
    bool bar = false;
    size_t i;
    NumberBounds b;
    TRY(read_bounds(c, schema, path, &b));
    if (!types)
        return BAD_ARGUMENT;
    if (list && !json_is_array(list))
        return fail(c->source.err, BAD_ARGUMENT, "%s/enum: is not a list", path);
    size_t count = list ? json_array_size(list) : 1;
    for (i = 0; i < count; i++) {
        value = list ? json_array_get(list, i) : only;
        if ((list && only && !json_equal(value, only)) || !within_bounds(value, &b) ||
            (json_object_get(schema, "type") && !(types & type_of_value(value))))
            continue;
        seen |= type_of_value(value);
        buf_put_text(c->out, bar ? " | " : "");
        bar = true;
        if (!put_value_literal(value, c->out))
            return fail(c->source.err, BAD_ARGUMENT, "%s: a value of enum or const is too deep", path);
    }
    if (!bar)
        return fail(c->source.err, BAD_ARGUMENT, "%s: no value of enum or const satisfies the rest of the schema", path);
    return check_beside_values(c, schema, seen, path);
}

static Err put_type(SchemaCompiler *c, int32_t number, json_t *schema, unsigned type, const char *path)
{
    switch (type) {
    case TYPE_NULL: buf_put_text(c->out, "\"null\""); return OK;
    case TYPE_BOOLEAN: buf_put_text(c->out, "\"true\" | \"false\""); return OK;
    case TYPE_STRING: return schema_put_string(c, schema, path);
    case TYPE_INTEGER: return put_integer(c, schema, path);
    case TYPE_NUMBER: case TYPE_FRACTION: return put_number(c, schema, path);
    case TYPE_OBJECT: return schema_put_object(c, number, schema, path);
    default: return schema_put_array(c, number, schema, path);
    }
}

static Err put_types(SchemaCompiler *c, int32_t number, json_t *schema, const char *path)
{
    static const unsigned in_order[] = {TYPE_OBJECT, TYPE_ARRAY, TYPE_STRING, TYPE_NUMBER, TYPE_INTEGER, TYPE_BOOLEAN,
                                        TYPE_NULL};
    unsigned types = schema_types(&c->source, schema, path);
    bool bar = false;
    if (!types)
        return BAD_ARGUMENT;
    for (size_t i = 0; i < COUNT_OF(in_order); i++) {
        if ((types & in_order[i]) != in_order[i])
            continue;
        types &= ~in_order[i];
        buf_put_text(c->out, bar ? " | " : "");
        bar = true;
        TRY(put_type(c, number, schema, in_order[i], path));
    }
    return OK;
}

static Err check_exclusive(SchemaCompiler *c, const json_t *branches, const char *path)
{
    size_t count = json_array_size(branches);
    for (size_t i = 0; i < count && count <= SCHEMA_PAIRS_MAX; i++)
        for (size_t k = i + 1; k < count; k++)
            if (!schema_exclude(&c->source, json_array_get(branches, i), json_array_get(branches, k)))
                return fail(c->source.err, UNSUPPORTED, "%s/oneOf: the branches %zu and %zu may both hold, and exactly one "
                            "must: use anyOf, or tell them apart by type, by const or by required properties", path, i, k);
    return count <= SCHEMA_PAIRS_MAX ? OK
           : fail(c->source.err, LIMIT_REACHED, "%s/oneOf: more than %d branches", path, (int)SCHEMA_PAIRS_MAX);
}

static Err put_choice(SchemaCompiler *c, json_t *schema, const char *choice, const char *path)
{
    json_t *branches = json_object_get(schema, choice), *branch;
    bool bar = false;
    size_t i;
    if (!json_array_size(branches))
        return fail(c->source.err, BAD_ARGUMENT, "%s/%s: is not a list of schemas", path, choice);
    if (!strcmp(choice, "oneOf"))
        TRY(check_exclusive(c, branches, path));
    json_array_foreach(branches, i, branch) {
        char name[24];
        SchemaPath at;
        int32_t rule;
        snprintf(name, sizeof name, "%zu", i);
        TRY(schema_path(c, path, choice, name, &at));
        TRY(schema_branch(&c->source, schema, choice, branch, at.text, &branch));
        TRY(schema_rule(c, branch, at.text, &rule));
        if (rule == SCHEMA_NONE)
            continue;
        buf_put_text(c->out, bar ? " | " : "");
        bar = true;
        schema_put_rule(c, rule);
    }
    return bar ? OK : fail(c->source.err, BAD_ARGUMENT, "%s/%s: no branch can hold", path, choice);
}

static Err put_schema(SchemaCompiler *c, int32_t number)
{
    SchemaRule *rule = &c->rules[number];
    json_t *schema = rule->schema;
    TRY(schema_refuse(c, schema, rule->path));
    schema_put_rule(c, number);
    buf_put_text(c->out, "::= ");
    if (json_object_get(schema, "anyOf"))
        TRY(put_choice(c, schema, "anyOf", rule->path));
    else if (json_object_get(schema, "oneOf"))
        TRY(put_choice(c, schema, "oneOf", rule->path));
    else if (json_object_get(schema, "enum") || json_object_get(schema, "const"))
        TRY(put_values(c, schema, rule->path));
    else
        TRY(put_types(c, number, schema, rule->path));
    buf_put_char(c->out, '\n');
    schema_put_pending(c);
    return c->out->full ? fail(c->source.err, LIMIT_REACHED, "%s: the schema is too large", rule->path) : OK;
}

static Err put_all(SchemaCompiler *c, json_t *schema)
{
    int32_t first;
    TRY(schema_rule(c, schema, "#", &first));
    if (first == SCHEMA_NONE)
        return fail(c->source.err, BAD_ARGUMENT, "#: the schema allows nothing");
    if (first == SCHEMA_ANY) {
        buf_printf(c->out, "%s ::= ", c->prefix);
        schema_put_shared(c, SHARED_VALUE);
        buf_put_char(c->out, '\n');
    }
    for (int32_t i = 0; i < c->rule_count; i++)        /* writing one finds more */
        TRY(put_schema(c, i));
    put_shared_rules(c);
    return c->out->full ? fail(c->source.err, LIMIT_REACHED, "#: the schema is too large") : OK;
}

Err grammar_schema_rules(json_t *schema, const char *prefix, Buf *gbnf, Error *err)
{
    SchemaCompiler *c = calloc(1, sizeof *c);
    json_t *made = json_array();
    Err result = c && made ? OK : fail(err, NO_MEMORY, "schema: no memory to compile it");
    if (result == OK) {
        c->source = (SchemaSource){.root = schema, .made = made, .err = err};
        c->prefix = prefix;
        c->out = gbnf;
        buf_init(&c->pending, GRAMMAR_TEXT_MAX);
        memset(c->buckets, 0xFF, sizeof c->buckets);
        result = put_all(c, schema);
        for (int32_t i = 0; i < c->rule_count; i++)
            free(c->rules[i].path);
        buf_deinit(&c->pending);
        if (result != OK && err && strncmp(err->text, "schema", 6))
            fail_within(err, "schema");
    }
    json_decref(made);
    free(c);
    return result;
}

/* grammar_schema_containers.c -- objects and arrays: chains of rules, one for each place between members.
 *
 *     a, b optional, c required:    x-a0 ::= a x-b1 | x-a1        x-a: nothing is written yet
 *                                   x-a1 ::= b x-b2 | x-a2
 *                                   x-a2 ::= c x-b3
 *                                   x-b1 ::= "," b x-b2 | x-b2    x-b: something is
 *                                   x-b2 ::= "," c x-b3
 *                                   x-b3 ::= " "?
 *
 * So an object of n properties takes 2n rules, though it has 2^n forms.
 */
#include <stdlib.h>

#include "text/grammar_match.h"
#include "text/grammar_regex.h"
#include "text/grammar_rules.h"
#include "text/grammar_schema_compiler.h"
#include "text/grammar_schema_values.h"

enum { PROPERTIES_MAX = 2048, NAME_CHARS_MAX = 200 };

static const char comma[] = "\",\" \" \"? ";

/* ---- objects ---- */

typedef struct Property {
    const char *name;
    int32_t rule;
    bool required;
} Property;

typedef struct ObjectForm {
    Property *properties;
    size_t count, required;
    int32_t extra;               /* the rule of other properties' values; SCHEMA_NONE: there are none */
    const char *key_pattern;     /* what other properties are called; NULL: anything else */
    const json_t *key_schema;    /* propertyNames; NULL: none */
    uint64_t min, max;
} ObjectForm;

void schema_put_pending(SchemaCompiler *c)
{
    buf_put_span(c->out, buf_span(&c->pending));
    c->out->full |= c->pending.full;
    buf_clear(&c->pending);
}

/* The name of a rule that belongs to rule number `rule`. */
static void put_part(SchemaCompiler *c, int32_t rule, char kind, size_t number, Buf *out)
{
    buf_printf(out, " %s-%d%c%zu ", c->prefix, (int)rule, kind, number);
}

static void put_number(SchemaCompiler *c, int32_t rule, Buf *out)
{
    Buf *before = c->out;
    c->out = out;
    schema_put_rule(c, rule);
    c->out = before;
}

static bool is_required(const json_t *required, const char *name)
{
    const json_t *one;
    size_t i;
    json_array_foreach(required, i, one)
        if (json_string_value(one) && !strcmp(json_string_value(one), name))
            return true;
    return false;
}

static Err add_property(SchemaCompiler *c, ObjectForm *f, const char *name, json_t *schema, bool required, const char *path)
{
    SchemaPath at;
    int32_t rule;
    TRY(schema_path(c, path, "properties", name, &at));
    TRY(schema_rule(c, schema, at.text, &rule));
    if (rule == SCHEMA_NONE && required)
        return fail(c->source.err, BAD_ARGUMENT, "%s: is required, but no value is allowed", at.text);
    if (f->count == PROPERTIES_MAX)
        return fail(c->source.err, LIMIT_REACHED, "%s: more than %d properties", path, (int)PROPERTIES_MAX);
    f->properties[f->count++] = (Property){name, rule, required};
    f->required += required;
    return OK;
}

static Err read_properties(SchemaCompiler *c, json_t *schema, const char *path, ObjectForm *f)
{
    json_t *properties = json_object_get(schema, "properties"), *required = json_object_get(schema, "required"), *value;
    json_t *additional = json_object_get(schema, "additionalProperties");
    const char *name;
    size_t i;
    if (properties && !json_is_object(properties))
        return fail(c->source.err, BAD_ARGUMENT, "%s/properties: is not an object", path);
    if (required && !json_is_array(required))
        return fail(c->source.err, BAD_ARGUMENT, "%s/required: is not a list", path);
    json_object_foreach(properties, name, value)
        TRY(add_property(c, f, name, value, is_required(required, name), path));
    json_array_foreach(required, i, value) {
        name = json_string_value(value);
        bool known = !name || json_object_get(properties, name);
        for (size_t k = 0; k < i && !known; k++)
            known = json_equal(json_array_get(required, k), value);
        if (!name)
            return fail(c->source.err, BAD_ARGUMENT, "%s/required: holds something that is no name", path);
        if (!known)
            TRY(add_property(c, f, name, additional ? additional : json_true(), true, path));
    }
    return OK;
}

/* Whether a text matches a pattern as JSON Schema means it. */
static Err matches(SchemaCompiler *c, const char *pattern, const char *text, bool *out)
{
    Buf gbnf;
    buf_init(&gbnf, GRAMMAR_TEXT_MAX);
    buf_put_text(&gbnf, "root ::= ");
    Err result = grammar_regex_string(span_text(pattern), 0, REGEX_NO_END, &gbnf, c->source.err);
    if (result == OK)
        result = grammar_match(buf_span(&gbnf), span_text(text), out, c->source.err);
    buf_deinit(&gbnf);
    return result;
}

static Err read_patterns(SchemaCompiler *c, json_t *schema, const char *path, ObjectForm *f)
{
    json_t *patterns = json_object_get(schema, "patternProperties"), *value;
    const char *pattern;
    if (!json_is_object(patterns))
        return fail(c->source.err, BAD_ARGUMENT, "%s/patternProperties: is not an object", path);
    if (json_object_size(patterns) > 1)
        return fail(c->source.err, UNSUPPORTED, "%s/patternProperties: several patterns may match one name; one is "
                    "supported", path);
    json_object_foreach(patterns, pattern, value) {
        SchemaPath at;
        TRY(schema_path(c, path, "patternProperties", pattern, &at));
        TRY(schema_rule(c, value, at.text, &f->extra));
        f->key_pattern = pattern;
        for (size_t i = 0; i < f->count; i++) {
            bool both = false;
            TRY(matches(c, pattern, f->properties[i].name, &both));
            if (both)
                return fail(c->source.err, UNSUPPORTED, "%s: also matches the name '%.100s' of properties", at.text,
                            f->properties[i].name);
        }
    }
    return OK;
}

/* A name may come twice among other properties, so the most can be held there but not the fewest. */
static Err check_counts(SchemaCompiler *c, const ObjectForm *f, const char *path)
{
    bool others = f->extra != SCHEMA_NONE;
    if (f->min > f->required && (f->min > 1 || (!f->count && !others)))
        return fail(c->source.err, UNSUPPORTED, "%s/minProperties: cannot be held with these properties", path);
    if (f->max != UINT64_MAX && (f->max < f->count || (f->count && others) || f->max > GRAMMAR_REPEAT_MAX))
        return fail(c->source.err, UNSUPPORTED, "%s/maxProperties: cannot be held with these properties", path);
    return OK;
}

static Err read_object(SchemaCompiler *c, json_t *schema, const char *path, ObjectForm *f)
{
    json_t *additional = json_object_get(schema, "additionalProperties");
    TRY(schema_count(c, schema, "minProperties", path, 0, &f->min));
    TRY(schema_count(c, schema, "maxProperties", path, UINT64_MAX, &f->max));
    TRY(read_properties(c, schema, path, f));
    f->extra = SCHEMA_NONE;
    if (json_object_get(schema, "patternProperties"))
        TRY(read_patterns(c, schema, path, f));
    else if (additional) {
        SchemaPath at;
        TRY(schema_path(c, path, "additionalProperties", NULL, &at));
        TRY(schema_rule(c, additional, at.text, &f->extra));
    } else if (f->count == 0 && !json_object_get(schema, "properties")) {
        f->extra = SCHEMA_ANY;
    }
    f->key_schema = json_object_get(schema, "propertyNames");
    if (f->key_schema && !json_is_true(f->key_schema)) {
        if (f->count || f->key_pattern || !json_is_object(f->key_schema))
            return fail(c->source.err, UNSUPPORTED, "%s/propertyNames: is supported for objects without properties only", path);
    } else {
        f->key_schema = NULL;
    }
    return check_counts(c, f, path);
}

/* ---- names that are none of the properties' ---- */

typedef struct OtherNames {
    SchemaCompiler *compiler;
    int32_t rule;
    const Property *names;       /* sorted */
    size_t made;
} OtherNames;

static int by_name(const void *a, const void *b)
{
    return strcmp(((const Property *)a)->name, ((const Property *)b)->name);
}

static uint32_t char_at(const char *name, size_t at, size_t *bytes)
{
    uint32_t c = 0;
    *bytes = utf8_take(span_text(name), at, &c);
    return c;
}

/* The rules of all that begins with `c` after `at` bytes go to `below`, which is written after this rule. */
static void put_other_names(OtherNames *o, size_t from, size_t to, size_t at, Buf *out);

static void put_branch(OtherNames *o, size_t from, size_t to, size_t at, uint32_t c, Buf *classes, Buf *out, Buf *below)
{
    buf_printf(out, "[\\U%08X]", (unsigned)c);
    buf_printf(classes, "\\U%08X", (unsigned)c);
    put_part(o->compiler, o->rule, 'k', o->made, out);
    buf_put_text(out, "| ");
    put_other_names(o, from, to, at, below);
}

/* A rule for what may follow the `at` bytes that names[from, to) begin with: all that does not end as one of them. */
static void put_other_names(OtherNames *o, size_t from, size_t to, size_t at, Buf *out)
{
    Buf classes, below;
    size_t i = from;
    buf_init(&classes, GRAMMAR_TEXT_MAX);
    buf_init(&below, GRAMMAR_TEXT_MAX);
    put_part(o->compiler, o->rule, 'k', o->made++, out);
    buf_put_text(out, "::= ");
    while (i < to && !o->names[i].name[at])
        i++;
    bool ends = i > from;
    while (i < to) {
        size_t first = i, bytes, other;
        uint32_t c = char_at(o->names[i].name, at, &bytes);
        while (i < to && char_at(o->names[i].name, at, &other) == c)
            i++;
        if (bytes && c >= 0x20 && c != '"' && c != '\\')    /* other names have no backslash, so they never get there */
            put_branch(o, first, i, at + bytes, c, &classes, out, &below);
    }
    buf_printf(out, "[^\"\\\\\\x00-\\x1F%s] [^\"\\\\\\x00-\\x1F]* \"\\\"\"%s\n", classes.data, ends ? "" : " | \"\\\"\"");
    buf_put_span(out, buf_span(&below));
    out->full |= below.full || classes.full;
    buf_deinit(&below);
    buf_deinit(&classes);
}

/* Where objects have named properties, all other names. */
static Err put_other_key(SchemaCompiler *c, int32_t rule, const ObjectForm *f, const char *path)
{
    Property *sorted = malloc(f->count * sizeof *sorted);
    if (!sorted)
        return fail(c->source.err, NO_MEMORY, "%s: no memory for its rules", path);
    memcpy(sorted, f->properties, f->count * sizeof *sorted);
    qsort(sorted, f->count, sizeof *sorted, by_name);
    bool fits = true;
    for (size_t i = 0; i < f->count; i++)
        fits = fits && strlen(sorted[i].name) <= NAME_CHARS_MAX;
    if (fits)
        put_other_names(&(OtherNames){.compiler = c, .rule = rule, .names = sorted}, 0, f->count, 0, &c->pending);
    free(sorted);
    buf_put_text(c->out, "\"\\\"\" ");
    put_part(c, rule, 'k', 0, c->out);
    return fits ? OK : fail(c->source.err, LIMIT_REACHED, "%s: beside additionalProperties names have at most %d bytes", path,
                            (int)NAME_CHARS_MAX);
}

static Err put_key(SchemaCompiler *c, int32_t rule, const ObjectForm *f, const char *path)
{
    if (f->key_schema) {
        SchemaPath at;
        int32_t names;
        TRY(schema_path(c, path, "propertyNames", NULL, &at));
        json_t *strings = schema_keep(&c->source, json_pack("{s:s}", "type", "string")), *merged;
        if (!strings)
            return fail(c->source.err, NO_MEMORY, "%s: no memory for its rules", at.text);
        TRY(schema_resolve(&c->source, (json_t *)f->key_schema, at.text, &merged));
        TRY(schema_merge(&c->source, merged, strings, at.text, &merged));
        TRY(schema_rule(c, merged, at.text, &names));
        if (names == SCHEMA_NONE)
            return fail(c->source.err, BAD_ARGUMENT, "%s: no name is allowed", at.text);
        schema_put_rule(c, names);
        return OK;
    }
    if (f->key_pattern) {
        buf_put_text(c->out, "\"\\\"\" ");
        Err result = grammar_regex_string(span_text(f->key_pattern), 0, REGEX_NO_END, c->out, c->source.err);
        buf_put_text(c->out, " \"\\\"\"");
        return result == OK || !c->source.err ? result : fail_within(c->source.err, "%s/patternProperties", path);
    }
    if (!f->count) {
        schema_put_shared(c, SHARED_STRING);
        return OK;
    }
    return put_other_key(c, rule, f, path);
}

/* ---- the chain ---- */

static Err put_pair(SchemaCompiler *c, const Property *p, const char *path)
{
    if (!put_string_literal(span_text(p->name), ":", c->out))
        return fail(c->source.err, BAD_ARGUMENT, "%s/properties: a name is not UTF-8", path);
    buf_put_text(c->out, " \" \"? ");
    schema_put_rule(c, p->rule);
    return OK;
}

/* One link: the property with what follows, or, if it may be left out, what follows without it. */
static Err put_link(SchemaCompiler *c, int32_t rule, const ObjectForm *f, size_t i, char kind, const char *path)
{
    const Property *p = &f->properties[i];
    put_part(c, rule, kind, i, c->out);
    buf_put_text(c->out, "::= ");
    if (p->rule != SCHEMA_NONE) {
        buf_put_text(c->out, kind == 'b' ? comma : "");
        TRY(put_pair(c, p, path));
        put_part(c, rule, 'b', i + 1, c->out);
    }
    bool last_chance = kind == 'a' && f->min > 0 && i + 1 == f->count && f->extra == SCHEMA_NONE;
    if (p->rule == SCHEMA_NONE && last_chance)
        buf_put_text(c->out, "[]");      /* no way on: an object without a property is not allowed */
    if (!p->required && !last_chance) {
        buf_put_text(c->out, p->rule != SCHEMA_NONE ? "| " : "");
        put_part(c, rule, kind, i + 1, c->out);
    }
    buf_put_char(c->out, '\n');
    return OK;
}

/* The ends of the chain: other properties, and a space before the brace. */
static void put_chain_end(SchemaCompiler *c, int32_t rule, const ObjectForm *f, bool empty_start)
{
    bool extra = f->extra != SCHEMA_NONE && f->max > 0;
    put_part(c, rule, 'b', f->count, c->out);
    buf_put_text(c->out, "::= ");
    if (extra) {
        buf_printf(c->out, "(%s", comma);
        put_part(c, rule, 'x', 0, c->out);
        if (f->max == UINT64_MAX)
            buf_put_text(c->out, ")* ");
        else
            buf_printf(c->out, "){0,%llu} ", (unsigned long long)(f->count ? 0 : f->max - 1));
    }
    buf_put_text(c->out, "\" \"?\n");
    if (!empty_start)
        return;
    put_part(c, rule, 'a', f->count, c->out);
    buf_put_text(c->out, "::= ");
    if (extra) {
        put_part(c, rule, 'x', 0, c->out);
        put_part(c, rule, 'b', f->count, c->out);
        buf_put_text(c->out, f->min > 0 ? "" : "| ");
    }
    buf_put_text(c->out, f->min > 0 && extra ? "\n" : "\"\"\n");
}

static Err put_chain(SchemaCompiler *c, int32_t rule, const ObjectForm *f, const char *path)
{
    bool nothing_yet = true;     /* whether an object may have come this far without a property */
    for (size_t i = 0; i < f->count; i++) {
        if (nothing_yet)
            TRY(put_link(c, rule, f, i, 'a', path));
        if (i > 0)
            TRY(put_link(c, rule, f, i, 'b', path));
        nothing_yet = nothing_yet && !f->properties[i].required;
    }
    put_chain_end(c, rule, f, nothing_yet);
    if (f->extra == SCHEMA_NONE || f->max == 0)
        return OK;
    put_part(c, rule, 'x', 0, c->out);
    buf_put_text(c->out, "::= ");
    TRY(put_key(c, rule, f, path));
    buf_put_text(c->out, " \":\" \" \"? ");
    schema_put_rule(c, f->extra);
    buf_put_char(c->out, '\n');
    return OK;
}

/* Writes what `put` writes to c->out into `pending` instead. */
#define INTO_PENDING(c, result, put)                    \
    do {                                                \
        Buf *out_ = (c)->out, rules_;                   \
        buf_init(&rules_, GRAMMAR_TEXT_MAX);            \
        (c)->out = &rules_;                             \
        result = (put);                                 \
        (c)->out = out_;                                \
        buf_put_span(&(c)->pending, buf_span(&rules_)); \
        (c)->pending.full |= rules_.full;               \
        buf_deinit(&rules_);                            \
    } while (0)

Err schema_put_object(SchemaCompiler *c, int32_t rule, json_t *schema, const char *path)
{
    ObjectForm f = {.properties = calloc(PROPERTIES_MAX, sizeof *f.properties)};
    Err result = f.properties ? OK : fail(c->source.err, NO_MEMORY, "%s: no memory for its rules", path);
    if (result == OK)
        result = read_object(c, schema, path, &f);
    if (result == OK) {
        buf_put_text(c->out, "\"{\" \" \"? ");
        put_part(c, rule, 'a', 0, c->out);
        buf_put_text(c->out, "\"}\"");
        INTO_PENDING(c, result, put_chain(c, rule, &f, path));
    }
    free(f.properties);
    return result;
}

/* ---- arrays ---- */

typedef struct ArrayForm {
    int32_t *prefix;
    size_t prefix_count;
    int32_t items;
    uint64_t min, max;
} ArrayForm;

static Err read_array(SchemaCompiler *c, json_t *schema, const char *path, ArrayForm *f)
{
    json_t *items = json_object_get(schema, "items"), *prefix = json_object_get(schema, "prefixItems"), *value;
    size_t i;
    TRY(schema_count(c, schema, "minItems", path, 0, &f->min));
    TRY(schema_count(c, schema, "maxItems", path, UINT64_MAX, &f->max));
    if (json_is_array(items)) {          /* as it was written before 2020 */
        prefix = items;
        items = NULL;
    }
    if (prefix && !json_is_array(prefix))
        return fail(c->source.err, BAD_ARGUMENT, "%s/prefixItems: is not a list", path);
    if (json_array_size(prefix) > PROPERTIES_MAX)
        return fail(c->source.err, LIMIT_REACHED, "%s/prefixItems: more than %d schemas", path, (int)PROPERTIES_MAX);
    json_array_foreach(prefix, i, value) {
        char name[24];
        SchemaPath at;
        snprintf(name, sizeof name, "%zu", i);
        TRY(schema_path(c, path, "prefixItems", name, &at));
        TRY(schema_rule(c, value, at.text, &f->prefix[f->prefix_count++]));
        if (f->prefix[i] == SCHEMA_NONE && f->max > i)
            f->max = i;
    }
    f->items = prefix && !items ? SCHEMA_NONE : SCHEMA_ANY;
    if (items) {
        SchemaPath at;
        TRY(schema_path(c, path, "items", NULL, &at));
        TRY(schema_rule(c, items, at.text, &f->items));
    }
    if (f->items == SCHEMA_NONE && f->max > f->prefix_count)
        f->max = f->prefix_count;
    if (f->min > f->max)
        return fail(c->source.err, BAD_ARGUMENT, "%s: minItems is over %llu, the most items that there can be", path,
                    (unsigned long long)f->max);
    if (f->min > GRAMMAR_REPEAT_MAX || (f->max > GRAMMAR_REPEAT_MAX && f->max != UINT64_MAX))
        return fail(c->source.err, LIMIT_REACHED, "%s: more than %d items cannot be counted", path, (int)GRAMMAR_REPEAT_MAX);
    if (f->prefix_count > f->max)
        f->prefix_count = f->max;
    return OK;
}

/* Items after those of the prefix, from `done` on: each with a comma before it. */
static void put_more_items(SchemaCompiler *c, const ArrayForm *f, uint64_t done, Buf *out)
{
    uint64_t min = f->min > done ? f->min - done : 0;
    if (f->items != SCHEMA_NONE && f->max > done) {
        buf_printf(out, "(%s", comma);
        put_number(c, f->items, out);
        if (f->max == UINT64_MAX)
            buf_printf(out, "){%llu,} ", (unsigned long long)min);
        else
            buf_printf(out, "){%llu,%llu} ", (unsigned long long)min, (unsigned long long)(f->max - done));
    }
    buf_put_text(out, "\" \"?");
}

static void put_array_chain(SchemaCompiler *c, int32_t rule, const ArrayForm *f)
{
    Buf *out = &c->pending;
    for (size_t i = 0; i < f->prefix_count; i++) {
        put_part(c, rule, 't', i, out);
        buf_printf(out, "::= %s", i ? comma : "");
        put_number(c, f->prefix[i], out);
        put_part(c, rule, 't', i + 1, out);
        buf_put_text(out, i < f->min ? "\n" : i ? "| \" \"?\n" : "| \"\"\n");
    }
    put_part(c, rule, 't', f->prefix_count, out);
    buf_put_text(out, "::= ");
    put_more_items(c, f, f->prefix_count, out);
    buf_put_char(out, '\n');
}

Err schema_put_array(SchemaCompiler *c, int32_t rule, json_t *schema, const char *path)
{
    ArrayForm f = {.prefix = calloc(PROPERTIES_MAX, sizeof *f.prefix)};
    Err result = f.prefix ? read_array(c, schema, path, &f)
                          : fail(c->source.err, NO_MEMORY, "%s: no memory for its rules", path);
    if (result == OK) {
        buf_put_text(c->out, "\"[\" \" \"? ");
        if (f.prefix_count) {
            put_part(c, rule, 't', 0, c->out);
            put_array_chain(c, rule, &f);
        } else if (f.max > 0 && f.items != SCHEMA_NONE) {
            buf_put_char(c->out, '(');
            schema_put_rule(c, f.items);
            put_more_items(c, &f, 1, c->out);
            buf_put_text(c->out, f.min ? ")" : ")?");
        }
        buf_put_text(c->out, " \"]\"");
    }
    free(f.prefix);
    return result;
}

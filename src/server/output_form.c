/* Fields that say what form an answer must have: each leads to a grammar. */
#include <stdlib.h>

#include "text/grammar_cache.h"
#include "server/sampling_fields.h"

static void compile(Fields *f, const char *name, GrammarKind kind, Span text, GenerationSpec *s, const Service *service)
{
    Error err = {0};
    if (!fields_ok(f))
        return;
    if (s->grammar) {
        fields_refuse(f, name, "another field says already what form the answer must have");
        return;
    }
    if (!service->vocab || !service->grammars) {
        fields_refuse(f, name, "the model has no vocabulary that a grammar could be held against");
        return;
    }
    if (grammar_cache_get(service->grammars, kind, text, &s->grammar, &err) != OK)
        fields_refuse(f, name, "%s", err.text);
}

static void compile_json(Fields *f, const char *name, GrammarKind kind, json_t *value, GenerationSpec *s,
                         const Service *service)
{
    char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
    if (text)
        compile(f, name, kind, span_text(text), s, service);
    else
        fields_refuse(f, name, "there is no memory to read it");
    free(text);
}

void output_form_schema(Fields *f, const char *name, json_t *schema, GenerationSpec *s, const Service *service)
{
    if (!fields_ok(f))
        return;
    if (!json_is_object(schema) && !json_is_boolean(schema))
        fields_refuse(f, name, "must be a JSON schema: an object, true or false");
    compile_json(f, name, GRAMMAR_SCHEMA, schema, s, service);
}

void output_form_object(Fields *f, const char *name, GenerationSpec *s, const Service *service)
{
    compile(f, name, GRAMMAR_JSON_OBJECT, (Span){0}, s, service);
}

/* ---- the single forms ---- */

static void read_text_form(Fields *f, const char *name, GrammarKind kind, GenerationSpec *s, const Service *service)
{
    const char *text = NULL;
    fields_text(f, name, GRAMMAR_SOURCE_BYTES_MAX, &text);
    if (fields_ok(f) && text)
        compile(f, name, kind, span_text(text), s, service);
}

static void read_choice(Fields *f, const char *name, GenerationSpec *s, const Service *service)
{
    json_t *list = fields_array(f, name, 4096), *entry;
    size_t i;
    if (!list)
        return;
    if (json_array_size(list) == 0)
        fields_refuse(f, name, "must have an entry");
    json_array_foreach(list, i, entry)
        if (!json_is_string(entry) || json_string_length(entry) == 0)
            fields_refuse(f, name, "entry %zu must be a string that is not empty", i);
    if (fields_ok(f))
        compile_json(f, name, GRAMMAR_CHOICES, list, s, service);
}

/* A schema, or as vLLM takes it too, the text of one. */
static void read_schema(Fields *f, const char *name, GenerationSpec *s, const Service *service)
{
    json_t *value = fields_ok(f) ? fields_any(f, name) : NULL, *parsed = NULL;
    if (!value)
        return;
    if (json_is_string(value)) {
        Error err = {0};
        Span text = span_of(json_string_value(value), json_string_length(value));
        if (json_read(text, GRAMMAR_SOURCE_BYTES_MAX, "the schema", &parsed, &err) != OK)
            fields_refuse(f, name, "%s", err.text);
        value = parsed;
    }
    output_form_schema(f, name, value, s, service);
    json_decref(parsed);
}

static void read_json_object(Fields *f, const char *name, GenerationSpec *s, const Service *service)
{
    bool any = false;
    fields_bool(f, name, &any);
    if (any)
        compile(f, name, GRAMMAR_JSON_OBJECT, (Span){0}, s, service);
}

/* ---- response_format ---- */

static void read_format_schema(Fields *f, GenerationSpec *s, const Service *service)
{
    json_t *outer = fields_object(f, "json_schema");
    if (fields_ok(f) && !outer)
        fields_refuse(f, "json_schema", "is missing");
    if (!fields_ok(f))
        return;
    Fields inner = fields_of(outer, "response_format.json_schema.", f->error);
    json_t *schema = fields_any(&inner, "schema");
    if (!schema)
        fields_refuse(&inner, "schema", "is missing");
    output_form_schema(&inner, "schema", schema, s, service);
}

static void read_response_format(Fields *f, GenerationSpec *s, const Service *service)
{
    static const char *const types[] = {"text", "json_object", "json_schema"};
    json_t *format = fields_object(f, "response_format");
    if (!format)
        return;
    Fields inner = fields_of(format, "response_format.", f->error);
    if (!fields_has(&inner, "type"))
        fields_refuse(&inner, "type", "is missing");
    int type = fields_choice(&inner, "type", types, (int)COUNT_OF(types), 0);
    if (type == 1)
        compile(f, "response_format", GRAMMAR_JSON_OBJECT, (Span){0}, s, service);
    else if (type == 2)
        read_format_schema(&inner, s, service);
}

void output_form_read(Fields *f, GenerationSpec *s, const Service *service)
{
    read_response_format(f, s, service);
    read_text_form(f, "grammar", GRAMMAR_GBNF, s, service);
    read_text_form(f, "guided_grammar", GRAMMAR_GBNF, s, service);
    read_text_form(f, "regex", GRAMMAR_REGEX, s, service);
    read_text_form(f, "guided_regex", GRAMMAR_REGEX, s, service);
    read_choice(f, "choice", s, service);
    read_choice(f, "guided_choice", s, service);
    read_schema(f, "json_schema", s, service);
    read_schema(f, "guided_json", s, service);
    json_t *structured = fields_object(f, "structured_outputs");
    if (!structured)
        return;
    Fields inner = fields_of(structured, "structured_outputs.", f->error);
    read_text_form(&inner, "grammar", GRAMMAR_GBNF, s, service);
    read_text_form(&inner, "regex", GRAMMAR_REGEX, s, service);
    read_choice(&inner, "choice", s, service);
    read_schema(&inner, "json", s, service);
    read_json_object(&inner, "json_object", s, service);
}

/* JSON Schemas as grammars: what can be written satisfies the schema, what cannot be held is refused by name; and the
 * cache of compiled grammars. */
#include "test.h"

#include <pthread.h>

#include "base/prng.h"
#include "text/grammar_cache.h"
#include "text/grammar_regex.h"
#include "text/grammar_schema.h"
#include "text/grammar_vocab.h"

enum { PIECES = 1 + 256 + 12, END = 0 };

static GrammarVocab *vocab;

static int make_vocab(void **state)
{
    (void)state;
    static const char *const longer[] = {"\"", "{\"", "\":", "\": ", "\",", "\", \"", "\"}", "true", "12", "\xC3\xA9", "\xE4\xBD", "\\n"};
    static uint8_t bytes[256];
    Span pieces[PIECES] = {{0}};
    int32_t end = END;
    for (int i = 0; i < 256; i++) {
        bytes[i] = (uint8_t)i;
        pieces[1 + i] = span_of(&bytes[i], 1);
    }
    for (size_t i = 0; i < COUNT_OF(longer); i++)
        pieces[257 + i] = span_text(longer[i]);
    return grammar_vocab_of_pieces(&vocab, pieces, NULL, PIECES, &end, 1, NULL) == OK ? 0 : -1;
}

static int free_vocab(void **state)
{
    (void)state;
    grammar_vocab_free(vocab);
    return 0;
}

/* Schemas are written with ' for ", which JSON does not have. */
static json_t *json_of(const char *text)
{
    char copy[4096];
    json_t *value;
    Error err;
    snprintf(copy, sizeof copy, "%s", text);
    for (char *c = copy; *c; c++)
        *c = *c == '\'' ? '"' : *c;
    if (json_read(span_text(copy), sizeof copy, "test", &value, &err) != OK) {
        print_error("%s: %s\n", text, err.text);
        assert_true(false);
    }
    return value;
}

static Grammar *schema(const char *text)
{
    json_t *value = json_of(text);
    Grammar *g;
    Error err;
    if (grammar_from_schema(value, &g, &err) != OK) {
        print_error("%s: %s\n", text, err.text);
        assert_true(false);
    }
    json_decref(value);
    return g;
}

static bool writes(Grammar *g, const char *text)
{
    char copy[4096];
    GrammarMatcher *m;
    Error err;
    snprintf(copy, sizeof copy, "%s", text);
    for (char *c = copy; *c; c++)
        *c = *c == '\'' ? '"' : *c;
    assert_int_equal(grammar_matcher_new(&m, g, vocab, &err), OK);
    bool written = grammar_matcher_accept_text(m, span_text(copy)) && grammar_matcher_complete(m);
    grammar_matcher_free(m);
    return written;
}

/* For each schema texts that it allows and, after NULL, texts that it does not. */
static void schemas_allow_what_they_say(void **state)
{
    (void)state;
    static const char *const cases[][16] = {
        {"{'type': 'object', 'properties': {'a': {'type': 'integer'}, 'b': {'type': 'string'}, 'c': {'type': 'null'}}, 'required': ['b']}",
         "{'b':''}", "{'a': 1, 'b': 'x'}", "{ 'a':-5,'b': '','c':null }", NULL, "{}", "{'a': 1}", "{'b': 'x', 'a': 1}", "{'b':  ''}",
         "{'b':'','d':1}", "{'a': 01, 'b': ''}", "{'a': 1,}"},
        {"{'type': 'array', 'items': {'type': 'boolean'}, 'minItems': 1, 'maxItems': 3}", "[true]", "[ false, true,false ]", NULL, "[]",
         "[true,true,true,true]", "[true,]", "[1]"},
        {"{'type': 'array', 'prefixItems': [{'type': 'integer'}, {'type': 'null'}], 'items': false}", "[]", "[1]", "[1, null]", NULL,
         "[null]", "[1,null,2]"},
        {"{'type': 'integer', 'minimum': -17, 'exclusiveMaximum': 1234}", "-17", "-1", "0", "9", "99", "1233", NULL, "-18", "1234", "-0",
         "10000", "01", "1.0"},
        {"{'type': 'integer', 'minimum': 9007199254740993}", "9007199254740993", "9007199254740994", NULL, "9007199254740992"},
        {"{'type': 'number', 'exclusiveMinimum': 0, 'maximum': 2.25}", "0.001", "1", "2.25", "2.250", "1.9999", NULL, "0", "0.0", "2.26",
         "2.3", "3", "-1", "1e0"},
        {"{'type': 'number', 'minimum': -1.5, 'exclusiveMaximum': -0.25}", "-1.5", "-1.50", "-0.3", "-1", NULL, "-0.25", "-0.250", "-1.51",
         "0", "-2"},
        {"{'enum': ['a', 1, null, 'say \\'x\\'', {'k': [1, 2.5]}]}", "'a'", "1", "null", "{'k': [1, 2.5]}", "{'k':[1,2.5]}", NULL, "'b'", "2"},
        {"{'const': 'caf\\u00e9'}", "'caf\xC3\xA9'", NULL, "'caf'"},
        {"{'type': 'string', 'minLength': 2, 'maxLength': 3}", "'ab'", "'\xC3\xA9\xE4\xBD\xA0x'", "'\\n\\u00e9'", "'\\ud83d\\ude00x'",
         NULL, "'a'", "'abcd'", "'\\ud83dx'", "'a\nb'"},
        {"{'type': 'string', 'pattern': '^[a-z]+$', 'maxLength': 3}", "'a'", "'abc'", NULL, "''", "'abcd'", "'A'"},
        {"{'type': 'string', 'pattern': 'ab|^c'}", "'xaby'", "'c'", "'ab'", NULL, "'xc'", "''"},
        {"{'type': 'string', 'format': 'date'}", "'2024-02-29'", "'1999-12-31'", NULL, "'2023-02-29'", "'2024-04-31'", "'2024-13-01'",
         "'1900-02-29'", "'0000-01-01'"},
        {"{'type': 'string', 'format': 'ipv4'}", "'255.0.10.1'", NULL, "'256.0.0.1'", "'1.2.3'", "'01.2.3.4'"},
        {"{'type': ['string', 'null']}", "''", "null", NULL, "1"},
        {"{'type': 'integer', 'nullable': true}", "1", "null", NULL, "''"},
        {"{'allOf': [{'type': 'object', 'properties': {'a': {'type': 'number'}}, 'required': ['a']},"
         " {'properties': {'a': {'type': 'integer', 'minimum': 5}, 'b': {'const': 1}}, 'required': ['b']}]}",
         "{'a': 5, 'b': 1}", NULL, "{'a':5}", "{'a':4,'b':1}", "{'a':5.5,'b':1}"},
        {"{'oneOf': [{'type': 'object', 'properties': {'k': {'const': 'x'}, 'n': {'type': 'integer'}}, 'required': ['k', 'n']},"
         " {'type': 'object', 'properties': {'k': {'const': 'y'}}, 'required': ['k']}]}",
         "{'k': 'x', 'n': 1}", "{'k': 'y'}", NULL, "{'k': 'x'}", "{'k': 'y', 'n': 1}"},
        {"{'$defs': {'n': {'type': 'object', 'properties': {'next': {'anyOf': [{'$ref': '#/$defs/n'}, {'type': 'null'}]}},"
         " 'required': ['next']}}, '$ref': '#/$defs/n'}",
         "{'next': null}", "{'next':{'next':{'next':null}}}", NULL, "{}", "null"},
        {"{'type': 'object', 'properties': {'ab': {'type': 'null'}, 'ac': {'type': 'null'}}, 'additionalProperties': {'type': 'integer'}}",
         "{}", "{'ab': null}", "{'a':1}", "{'abc':1,'':2, 'b':3}", "{'ab':null, 'ad':3}", NULL, "{'ab':1}", "{'x':null}", "{'a\\u0062':1}"},
        {"{'type': 'object', 'patternProperties': {'^x-': {'type': 'integer'}}, 'additionalProperties': false}", "{}", "{'x-a': 1}", NULL,
         "{'y':1}"},
        {"{'type': 'object', 'propertyNames': {'enum': ['a', 'b']}, 'additionalProperties': {'type': 'null'}}", "{'a': null}", NULL,
         "{'c': null}"},
        {"{'type': 'object', 'properties': {'a': {}, 'b': {}}, 'minProperties': 1}", "{'a': [1]}", "{'b':{}}", NULL, "{}"},
        {"{'type': 'object', 'properties': {'a': {'type': 'integer'}, 'b': {'type': 'integer'}}, 'anyOf': [{'required': ['a']},"
         " {'required': ['b']}]}", "{'a':1}", "{'b': 1}", "{'a':1,'b':2}", NULL, "{}"},
        {"true", "1", "[{}, null]", "{'a': {'b': -1.5e3}}", NULL, "tru", "[1"},
        {"{'$ref': '#/$defs/a~1b%20c', '$defs': {'a/b c': {'type': 'null'}}}", "null", NULL, "1"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        Grammar *g = schema(cases[i][0]);
        bool wanted = true;
        for (size_t k = 1; k < COUNT_OF(cases[i]) && (wanted || cases[i][k]); k++) {
            if (!cases[i][k]) {
                wanted = false;
                continue;
            }
            if (writes(g, cases[i][k]) != wanted)
                print_error("%s: %s is %s\n", cases[i][0], cases[i][k], wanted ? "not allowed" : "allowed");
            assert_int_equal(writes(g, cases[i][k]), wanted);
        }
        grammar_free(g);
    }
}

static void what_cannot_be_held_is_refused_by_name(void **state)
{
    (void)state;
    static const struct { const char *text, *says; } cases[] = {
        {"{'not': {}}", "#/not"}, {"{'type': 'integer', 'multipleOf': 3}", "#/multipleOf"}, {"{'uniqueItems': true}", "#/uniqueItems"},
        {"{'type': 'foo'}", "#/type"}, {"{'type': 5}", "#/type"},
        {"{'$ref': '#/x'}", "'#/x'"}, {"{'$ref': 'http://x'}", "'http://x'"},
        {"{'$ref': '#'}", "refers to itself"}, {"false", "allows nothing"}, {"3", "a schema is"}, {"{'if': {}}", "#/if"},
        {"{'properties': {'a/b': {'properties': {'c~d': {'not': {}}}}}}", "#/properties/a~1b/properties/c~0d/not"},
        {"{'type': 'string', 'format': 'zzz'}", "'zzz'"},
        {"{'oneOf': [{'type': 'integer'}, {'type': 'number'}]}", "oneOf: the branches 0 and 1"},
        {"{'type': 'string', 'pattern': '(?=a)'}", "#/pattern: at byte 1: look-around"},
        {"{'required': ['a'], 'properties': {'a': false}}", "#/properties/a"},
        {"{'type': 'array', 'minItems': 3, 'maxItems': 2}", "minItems"}, {"{'type': 'array', 'contains': {}}", "#/contains"},
        {"{'type': 'string', 'pattern': 'a+b', 'maxLength': 3}", "length"}, {"{'enum': []}", "no value"}, {"{'enum': 3}", "#/enum"},
        {"{'allOf': [{'type': 'string', 'pattern': 'a'}, {'pattern': 'b'}]}", "'pattern'"},
        {"{'type': 'integer', 'minimum': 3, 'maximum': 2}", "bounds"},
        {"{'properties': {'a': {'$ref': '#'}}, 'required': ['a']}", "never be completed"},
        {"{'type': 'string', 'maxLength': -1}", "#/maxLength"},
        {"{'type': 'string', 'maxLength': 1000000000}", "65536"}, {"{'anyOf': []}", "#/anyOf"}, {"{'required': [1]}", "#/required"},
        {"{'items': {'type': 'array', 'items': 5}}", "#/items/items"}, {"{'minimum': 'x'}", "#/minimum"}, {"{'properties': 1}", "#/properties"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        json_t *value = json_of(cases[i].text);
        Grammar *g;
        Error err = {0};
        Err result = grammar_from_schema(value, &g, &err);
        if (result == OK || !strstr(err.text, cases[i].says))
            print_error("%s: %s\n", cases[i].text, result == OK ? "compiled" : err.text);
        assert_int_not_equal(result, OK);
        assert_non_null(strstr(err.text, cases[i].says));
        json_decref(value);
    }
}

/* Random answers by the mask alone are JSON whenever they are complete, and can always be completed. */
static void answers_by_the_mask_are_json(void **state)
{
    (void)state;
    static const char *const schemas[] = {
        "{'type': 'object'}", "{'type': 'array', 'items': {'type': ['number', 'string']}}",
        "{'type': 'object', 'properties': {'a': {'type': 'string', 'maxLength': 9}, 'b': {'type': 'array', 'items': {'$ref': '#'}}}}"};
    static const char closing[] = "\"}]0:el";
    for (size_t i = 0; i < COUNT_OF(schemas); i++) {
        Grammar *g = schema(schemas[i]);
        GrammarMatcher *m;
        PrngStream random = {i, 0};
        assert_int_equal(grammar_matcher_new(&m, g, vocab, NULL), OK);
        for (int answer = 0; answer < 30; answer++) {
            char text[4096];
            size_t bytes = 0;
            grammar_matcher_reset(m);
            for (int step = 0; bytes < 4000; step++) {
                const uint32_t *mask = grammar_matcher_allowed(m);
                int32_t can[PIECES], count = 0, id;
                for (int32_t t = 0; t < PIECES; t++)
                    if (mask[t / 32] >> t % 32 & 1)
                        can[count++] = t;
                assert_true(count > 0);
                id = can[stream_below(&random, (uint32_t)count)];
                for (const char *c = closing; step > 60 && *c; c++)
                    if (mask[(1 + *c) / 32] >> (1 + *c) % 32 & 1) {
                        id = 1 + *c;
                        break;
                    }
                if (step > 60 && (mask[0] & 1))
                    id = END;
                assert_true(grammar_matcher_accept(m, id));
                if (id == END)
                    break;
                Span piece = vocab_token(vocab, id);
                memcpy(text + bytes, piece.data, piece.bytes);
                bytes += piece.bytes;
            }
            json_t *value = json_loadb(text, bytes, JSON_ALLOW_NUL | JSON_DECODE_ANY, NULL);
            if (!value)
                print_error("%.*s\n", (int)bytes, text);
            assert_non_null(value);
            json_decref(value);
        }
        grammar_matcher_free(m);
        grammar_free(g);
    }
}

/* Rules of schemas stand in a larger grammar under a name of their own, as tool calls need it. */
static void rules_of_schemas_can_be_embedded(void **state)
{
    (void)state;
    Buf gbnf;
    Grammar *g;
    Error err;
    json_t *one = json_of("{'type': 'object', 'properties': {'x': {'type': 'integer'}}, 'required': ['x']}");
    json_t *two = json_of("{'type': 'null'}");
    buf_init(&gbnf, 1 << 16);
    buf_put_text(&gbnf, "root ::= \"<call>\" (arg-a | arg-b) \"</call>\"\n");
    assert_int_equal(grammar_schema_rules(one, "arg-a", &gbnf, &err), OK);
    assert_int_equal(grammar_schema_rules(two, "arg-b", &gbnf, &err), OK);
    assert_int_equal(grammar_from_gbnf(buf_span(&gbnf), &g, &err), OK);
    assert_true(writes(g, "<call>{'x': 1}</call>"));
    assert_true(writes(g, "<call>null</call>"));
    assert_false(writes(g, "<call>1</call>"));
    grammar_free(g);
    buf_deinit(&gbnf);
    json_decref(one);
    json_decref(two);
}

/* ---- the cache ---- */

static void the_cache_keeps_the_latest(void **state)
{
    (void)state;
    GrammarCache *c;
    Grammar *a, *b, *again;
    Error err;
    assert_int_equal(grammar_cache_new(&c, 2, &err), OK);
    assert_int_equal(grammar_cache_get(c, GRAMMAR_REGEX, span_text("a"), &a, &err), OK);
    assert_int_equal(grammar_cache_get(c, GRAMMAR_REGEX, span_text("a"), &again, &err), OK);
    assert_ptr_equal(a, again);
    grammar_free(again);
    assert_int_equal(grammar_cache_get(c, GRAMMAR_CHOICES, span_text("[\"a\"]"), &b, &err), OK);
    assert_ptr_not_equal(a, b);
    grammar_free(b);
    assert_int_equal(grammar_cache_get(c, GRAMMAR_JSON_OBJECT, span_text(""), &b, &err), OK);     /* the regex goes */
    grammar_free(b);
    assert_int_equal(grammar_cache_get(c, GRAMMAR_REGEX, span_text("a"), &again, &err), OK);
    assert_ptr_not_equal(a, again);
    assert_true(writes(a, "a"));         /* who still holds it goes on */
    grammar_free(a);
    grammar_free(again);
    assert_int_equal(grammar_cache_get(c, GRAMMAR_SCHEMA, span_text("{"), &a, &err), BAD_FILE);
    assert_int_equal(grammar_cache_get(c, GRAMMAR_CHOICES, span_text("[1]"), &a, &err), BAD_ARGUMENT);
    GrammarCacheStats stats = grammar_cache_stats(c);
    assert_int_equal(stats.hits, 1);
    assert_int_equal(stats.entries, 2);
    grammar_cache_free(c);
}

static void *get_often(void *with)
{
    static const char *const patterns[] = {"a", "b+", "c*", "d?e", "f{3}"};
    for (int i = 0; i < 60; i++) {
        Grammar *g;
        ASSERT(grammar_cache_get(with, GRAMMAR_REGEX, span_text(patterns[i % 5]), &g, NULL) == OK);
        grammar_free(g);
    }
    return NULL;
}

static void the_cache_serves_several_threads(void **state)
{
    (void)state;
    GrammarCache *c;
    pthread_t threads[4];
    assert_int_equal(grammar_cache_new(&c, 3, NULL), OK);
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, get_often, c), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(grammar_cache_stats(c).entries, 3);
    grammar_cache_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(schemas_allow_what_they_say),
        cmocka_unit_test(what_cannot_be_held_is_refused_by_name),
        cmocka_unit_test(answers_by_the_mask_are_json),
        cmocka_unit_test(rules_of_schemas_can_be_embedded),
        cmocka_unit_test(the_cache_keeps_the_latest),
        cmocka_unit_test(the_cache_serves_several_threads),
    };
    return cmocka_run_group_tests(tests, make_vocab, free_vocab);
}

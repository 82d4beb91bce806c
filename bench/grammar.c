/* grammar.c -- what the masks of structured output cost:
 *
 *     make bench; build/bench/grammar [TOKENIZER.json]
 *
 * For typical schemas, answers are walked at random by tokens that are allowed, each answer by a matcher of its own and
 * all of them of one grammar, as a server has them. Prints for a vocabulary of 4,096 (../shared/models/tokenizer, or a
 * made-up one) and a made-up one of 128k: the time to compile; microseconds a mask (mean, 99 of 100, the longest, the
 * mean of those that were not found); how many were found; the time to take a token; and the share of a step: 0.45 ms
 * for the small vocabulary (the default model, one stream), 15 ms for the large one (a model of 1B and more). Time is
 * the thread's own.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/file_map.h"
#include "base/prng.h"
#include "text/grammar_mask.h"

enum { LARGE = 128 * 1024, SMALL = 4096, TIMES_MAX = 200000, ANSWERS = 100, LENGTH = 400 };

/* With ' for ", which is put in when they are read. */
static const struct { const char *name, *schema; } cases[] = {
    {"person",
     "{'type': 'object', 'properties': {'name': {'type': 'string'}, 'age': {'type': 'integer', 'minimum': 0, 'maximum': 150},"
     " 'email': {'type': 'string', 'format': 'email'}, 'tags': {'type': 'array', 'items': {'type': 'string'}, 'maxItems': 8},"
     " 'kind': {'enum': ['admin', 'user', 'guest']}}, 'required': ['name', 'age', 'kind'], 'additionalProperties': false}"},
    {"tool call",
     "{'anyOf': [{'type': 'object', 'properties': {'name': {'const': 'weather'}, 'arguments': {'type': 'object',"
     " 'properties': {'city': {'type': 'string'}, 'unit': {'enum': ['C', 'F']}}, 'required': ['city']}},"
     " 'required': ['name', 'arguments']}, {'type': 'object', 'properties': {'name': {'const': 'search'},"
     " 'arguments': {'type': 'object', 'properties': {'query': {'type': 'string'}, 'limit': {'type': 'integer',"
     " 'minimum': 1, 'maximum': 50}}, 'required': ['query']}}, 'required': ['name', 'arguments']}]}"},
    {"tree",
     "{'$defs': {'node': {'type': 'object', 'properties': {'label': {'type': 'string'}, 'weight': {'type': 'number'},"
     " 'children': {'type': 'array', 'items': {'$ref': '#/$defs/node'}}}, 'required': ['label', 'children']}},"
     " '$ref': '#/$defs/node'}"},
    {"short texts",
     "{'type': 'array', 'items': {'type': 'string', 'minLength': 1, 'maxLength': 80}, 'maxItems': 20}"},
    {"any object", "{'type': 'object'}"},
};

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);      /* whoever else uses the machine is left out */
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void stop(const Error *err)
{
    fprintf(stderr, "grammar: %s\n", err->text);
    exit(1);
}

/* Early letters more often than late ones, so that pieces have beginnings in common. */
static uint32_t letter(PrngStream *random) { return stream_below(random, 26) * stream_below(random, 26) / 26; }

/* Pieces as byte-level vocabularies have them: bytes, words with and without a space, numbers, code, other scripts. */
static GrammarVocab *made_up(int32_t count)
{
    static const char *const marks[] = {
        "\":", "\",", "{\"", "\"}", "\": \"", "\", \"", "},", "],", "[\"", "\"]", "\":{\"", "\"\n", "\\n",
        "\\\"", "():", "->", "//", "  ", "    ", "\n\n", "```", "0.", "...", "--", "://", "=\""};
    Span *pieces = calloc((size_t)count, sizeof *pieces);
    char *texts = calloc((size_t)count, 24);
    PrngStream random = {11, 0};
    for (int32_t i = 1; i < count; i++) {
        char *t = texts + 24 * (size_t)i;
        size_t bytes = 0;
        uint32_t kind = stream_below(&random, 100), length = 1 + stream_below(&random, 4) + stream_below(&random, 6);
        if (i <= 256) {
            t[bytes++] = (char)(i - 1);
        } else if (i <= 256 + (int32_t)COUNT_OF(marks)) {
            bytes = strlen(strcpy(t, marks[i - 257]));
        } else if (kind < 68) {
            if (kind < 40)
                t[bytes++] = ' ';
            for (uint32_t k = 0; k < length; k++)
                t[bytes++] = (char)((k == 0 && kind % 4 == 0 ? 'A' : 'a') + (int)letter(&random));
        } else if (kind < 72) {
            for (uint32_t k = 0; k < 1 + length % 3; k++)
                t[bytes++] = (char)('0' + stream_below(&random, 10));
        } else if (kind < 80) {
            for (uint32_t k = 0; k < 1 + length % 4; k++)
                t[bytes++] = "()[]{}<>;:,.\"'\\/=+-*&|!_# \n\t"[stream_below(&random, 28)];
        } else {                 /* two to four letters of another script; now and then half of one */
            for (uint32_t k = 0; k < 1 + length % 4; k++) {
                bool two = kind < 90;
                t[bytes++] = (char)(two ? 0xD0 + stream_below(&random, 2) : 0xE4 + stream_below(&random, 5));
                for (int c = 0; c < (two ? 1 : 2); c++)
                    t[bytes++] = (char)(0x80 + stream_below(&random, 64));
            }
            bytes -= stream_below(&random, 8) == 0;
        }
        pieces[i] = span_of(t, bytes);
    }
    GrammarVocab *v;
    int32_t end = 0;
    Error err;
    if (grammar_vocab_of_pieces(&v, pieces, NULL, count, &end, 1, &err) != OK)
        stop(&err);
    free(pieces);
    free(texts);
    return v;
}

static GrammarVocab *vocab_of_file(const char *path)
{
    FileMap map;
    Tokenizer *t;
    GrammarVocab *v;
    Error err;
    if (file_map_init(&map, path, &err) != OK)
        return NULL;
    if (tokenizer_open_json(map.span, span_of(NULL, 0), path, &t, &err) != OK)
        stop(&err);
    const SpecialTokens *special = tokenizer_specials(t);
    if (grammar_vocab_new(&v, t, tokenizer_size(t), special->ends, (size_t)special->ends_count, &err) != OK)
        stop(&err);
    tokenizer_free(t);
    file_map_deinit(&map);
    return v;
}

/* A token that is allowed: mostly one of words, or now and then any, so that strings end. -1: none but the end. */
static int32_t choose(const GrammarVocab *v, const uint32_t *mask, PrngStream *random)
{
    int32_t any = -1;
    for (int tries = 0; tries < 2000; tries++) {
        int32_t id = (int32_t)stream_below(random, (uint32_t)v->count);
        if (!(mask[id / 32] >> id % 32 & 1) || !vocab_token(v, id).bytes)
            continue;
        if (tries < 8 || stream_below(random, 4))
            return id;
        any = id;
    }
    uint32_t at = stream_below(random, v->words);
    for (uint32_t w = 0; any < 0 && w < v->words; w++)
        for (uint32_t bits = mask[(at + w) % v->words]; any < 0 && bits; bits &= bits - 1) {
            int32_t id = (int32_t)((at + w) % v->words * 32 + (uint32_t)__builtin_ctz(bits));
            any = vocab_token(v, id).bytes ? id : -1;
        }
    return any;
}

/* Some quote or bracket, if one may come: a model that comes to an end. */
static int32_t choose_closing(const GrammarVocab *v, const uint32_t *mask)
{
    static const char *const closing[] = {"\"", "]", "}"};
    for (size_t c = 0; c < COUNT_OF(closing); c++)
        for (int32_t id = 0; id < v->count; id++)
            if ((mask[id / 32] >> id % 32 & 1) && span_is(vocab_token(v, id), closing[c]))
                return id;
    return -1;
}

static int by_time(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

typedef struct Times {
    double all[TIMES_MAX], accept_seconds, missed_seconds;
    size_t count, accepts, missed;
} Times;

static void walk(Grammar *g, const GrammarVocab *v, PrngStream *random, Times *t)
{
    GrammarMatcher *m;
    Error err;
    if (grammar_matcher_new(&m, g, v, &err) != OK)
        stop(&err);
    uint32_t text = 0;
    for (int step = 0; step < LENGTH && t->count < TIMES_MAX; step++) {
        uint64_t walked = grammar_stats(g).walked;
        double before = now();
        const uint32_t *mask = grammar_matcher_allowed(m);
        double taken = now() - before;
        t->all[t->count++] = taken;
        if (grammar_stats(g).walked > walked) {
            t->missed++;
            t->missed_seconds += taken;
        }
        int32_t id = text > 6 + stream_below(random, 12) ? choose_closing(v, mask) : -1;
        text = id >= 0 ? 0 : text + 1;
        if (id < 0)
            id = choose(v, mask, random);
        if (id < 0)
            break;
        before = now();
        if (!grammar_matcher_accept(m, id))
            abort();
        t->accept_seconds += now() - before;
        t->accepts++;
    }
    grammar_matcher_free(m);
}

static json_t *read_schema(const char *name, const char *schema)
{
    json_t *value;
    Error err;
    char *text = strdup(schema);
    for (char *c = text; c && *c; c++)
        *c = *c == '\'' ? '"' : *c;
    if (!text || json_read(span_text(text), 1 << 20, name, &value, &err) != OK)
        stop(&err);
    free(text);
    return value;
}

static void measure(const char *name, const char *schema, const GrammarVocab *v, double step_seconds)
{
    static Times t;
    json_t *value = read_schema(name, schema);
    Grammar *g;
    Error err;
    t.count = t.accepts = t.missed = 0;
    t.accept_seconds = t.missed_seconds = 0;
    double before = now();
    if (grammar_from_schema(value, &g, &err) != OK)
        stop(&err);
    double compile = now() - before, sum = 0;
    PrngStream random = {5, 0};
    for (int i = 0; i < ANSWERS; i++)
        walk(g, v, &random, &t);
    for (size_t i = 0; i < t.count; i++)
        sum += t.all[i];
    qsort(t.all, t.count, sizeof *t.all, by_time);
    double mean = sum / (double)t.count, accept = t.accept_seconds / (double)t.accepts;
    printf("%-12s %7.2f %8zu %8.2f %8.1f %8.1f %9.1f %7.2f %8.2f %7.2f%%\n", name, compile * 1e3, t.count, mean * 1e6,
           t.all[t.count * 99 / 100] * 1e6, t.all[t.count - 1] * 1e6,
           t.missed ? t.missed_seconds / (double)t.missed * 1e6 : 0.0,
           100.0 * (1 - (double)t.missed / (double)t.count), accept * 1e6, 100 * (mean + accept) / step_seconds);
    json_decref(value);
    grammar_free(g);
}

static void measure_all(const char *title, const GrammarVocab *v, double step_seconds)
{
    printf("\n%s: %d tokens, a step of %.2f ms\n", title, (int)v->count, step_seconds * 1e3);
    printf("%-12s %7s %8s %8s %8s %8s %9s %7s %8s %8s\n", "schema", "ms", "masks", "us mean", "us p99", "us max",
           "us missed", "found %", "us taken", "of step");
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        measure(cases[i].name, cases[i].schema, v, step_seconds);
}

int main(int argc, char **argv)
{
    const char *path = argc > 1 ? argv[1] : "../shared/models/tokenizer/tokenizer.json";
    GrammarVocab *small = vocab_of_file(path), *large = made_up(LARGE);
    bool made = !small;
    if (made)
        small = made_up(SMALL);
    measure_all(made ? "made-up small vocabulary" : path, small, 0.45e-3);
    measure_all("made-up large vocabulary", large, 15e-3);
    grammar_vocab_free(small);
    grammar_vocab_free(large);
    return 0;
}

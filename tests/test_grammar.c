/* Grammars and their masks: GBNF, regular expressions, choices. What masks allow is compared with PCRE2's partial
 * matches, and with small predicates for what no regular expression says. */
#include "test.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <pthread.h>

#include "base/prng.h"
#include "text/grammar_mask.h"

enum { PIECES = 700, END = 0 };

/* Every byte, and made-up pieces of several, so that tokens cut words and characters anywhere. */
typedef struct Fixture {
    Span pieces[PIECES];
    char texts[PIECES][12];
    bool control[PIECES];
    GrammarVocab *vocab;
} Fixture;

static const char *const chosen[] = {
    "\"", "\":", "\", \"", "{\"", "\"}", "[[", "]]", "],[", "aa", "aaa", "ab", "abab", "((", "))", "()", "\xC3", "\xA9", "\xC3\xA9",
    "\xE4\xBD", "\xA0", "\xE4\xBD\xA0", "\xF0\x9F\x98", "\x80", "\xF0\x9F\x98\x80", "true", "false", "null", " ", "  ", "12", "2024", "-0",
    "\\n", "\\u00", "yes", "no", "maybe", "\n", "\r\n", "<think>", "</think>", "1.", ".5", "e1", ": ", ", ", "a", "a"};

static int make_fixture(void **state)
{
    Fixture *f = calloc(1, sizeof *f);
    PrngStream random = {7, 0};
    static const char letters[] = "ab()[]\"\\{}:,0123456789.-+ eE\xC3\xA9\xE4xyz_";
    for (int i = 1; i < PIECES; i++) {
        size_t bytes = 1;
        if (i <= 256) {
            f->texts[i][0] = (char)(i - 1);
        } else if (i <= 256 + (int)COUNT_OF(chosen)) {
            bytes = strlen(chosen[i - 257]);
            memcpy(f->texts[i], chosen[i - 257], bytes);
        } else {
            bytes = 1 + stream_below(&random, 5);
            for (size_t k = 0; k < bytes; k++)
                f->texts[i][k] = letters[stream_below(&random, sizeof letters - 1)];
        }
        f->pieces[i] = span_of(f->texts[i], bytes);
    }
    f->pieces[PIECES - 1] = span_text("<tool>");
    f->control[PIECES - 1] = true;
    int32_t end = END;
    Error err;
    assert_int_equal(grammar_vocab_of_pieces(&f->vocab, f->pieces, f->control, PIECES, &end, 1, &err), OK);
    *state = f;
    return 0;
}

static int free_fixture(void **state)
{
    Fixture *f = *state;
    grammar_vocab_free(f->vocab);
    free(f);
    return 0;
}

static bool allowed(const uint32_t *mask, int32_t id) { return mask[id / 32] >> id % 32 & 1; }

static GrammarMatcher *matcher_of(const Fixture *f, Grammar *g)
{
    GrammarMatcher *m;
    Error err;
    assert_int_equal(grammar_matcher_new(&m, g, f->vocab, &err), OK);
    return m;
}

static Grammar *gbnf(const char *text)
{
    Grammar *g;
    Error err;
    if (grammar_from_gbnf(span_text(text), &g, &err) != OK) {
        print_error("%s\n%s\n", text, err.text);
        assert_true(false);
    }
    return g;
}

static Grammar *regex(const char *text)
{
    Grammar *g;
    Error err;
    if (grammar_from_regex(span_text(text), &g, &err) != OK) {
        print_error("%s\n%s\n", text, err.text);
        assert_true(false);
    }
    return g;
}

/* What somebody else thinks of a text: can it still become one that is allowed, and is it one? */
typedef struct Verdict { bool possible, complete; } Verdict;
typedef Verdict Judge(const void *with, Span text);

/* Random answers: at each state every token is allowed exactly where the judge says that the text may go on so. */
static void masks_agree(const Fixture *f, Grammar *g, Judge *judge, const void *with, int answers, int length, uint64_t seed)
{
    GrammarMatcher *m = matcher_of(f, g);
    PrngStream random = {seed, 0};
    for (int a = 0; a < answers; a++) {
        uint8_t text[512];
        size_t bytes = 0;
        grammar_matcher_reset(m);
        for (int step = 0; step < length; step++) {
            const uint32_t *mask = grammar_matcher_allowed(m);
            int32_t can[PIECES], count = 0;
            Verdict now = judge(with, span_of(text, bytes));
            assert_int_equal(allowed(mask, END), now.complete);
            assert_int_equal(grammar_matcher_complete(m), now.complete);
            for (int32_t id = 1; id < PIECES - 1; id++) {
                memcpy(text + bytes, f->pieces[id].data, f->pieces[id].bytes);
                bool possible = judge(with, span_of(text, bytes + f->pieces[id].bytes)).possible;
                if (possible != allowed(mask, id))
                    print_error("%d: after '%.*s': '%.*s' is %s\n", (int)seed, (int)bytes, text, (int)f->pieces[id].bytes,
                                (const char *)f->pieces[id].data, possible ? "not allowed" : "allowed");
                assert_int_equal(allowed(mask, id), possible);
                if (possible)
                    can[count++] = id;
            }
            if (!count)
                break;
            int32_t id = can[stream_below(&random, (uint32_t)count)];
            assert_true(grammar_matcher_accept(m, id));
            memcpy(text + bytes, f->pieces[id].data, f->pieces[id].bytes);
            bytes += f->pieces[id].bytes;
        }
    }
    grammar_matcher_free(m);
}

static Verdict pcre_judges(const void *with, Span text)
{
    const pcre2_code *code = with;
    pcre2_match_data *data = pcre2_match_data_create(1, NULL);
    int whole = pcre2_match(code, text.data, text.bytes, 0, 0, data, NULL);
    int part = pcre2_match(code, text.data, text.bytes, 0, PCRE2_PARTIAL_HARD, data, NULL);
    pcre2_match_data_free(data);
    return (Verdict){whole >= 0 || part >= 0 || part == PCRE2_ERROR_PARTIAL, whole >= 0};
}

/* \z, and no optimisation that looks at what is missing. */
static pcre2_code *pcre(const char *pattern)
{
    int error;
    size_t at;
    char anchored[1024];
    snprintf(anchored, sizeof anchored, "(?:%s)\\z", pattern);
    pcre2_code *code = pcre2_compile((PCRE2_SPTR)anchored, PCRE2_ZERO_TERMINATED,
                                     PCRE2_ANCHORED | PCRE2_NO_START_OPTIMIZE | PCRE2_NO_AUTO_POSSESS, &error, &at, NULL);
    assert_non_null(code);
    return code;
}

/* A regular expression allows what PCRE2 calls a match or the beginning of one. */
static void regexes_agree_with_pcre(void **state)
{
    static const char *const patterns[] = {
        "a", "ab|a", "(ab)*", "(a|aa)+b?", "[a-c]{2,5}", "(a*)*b", "\\d{4}-\\d{2}", "-?(0|[1-9]\\d*)(\\.\\d+)?([eE][+-]?\\d+)?",
        "(?:yes|no|maybe)( (?:yes|no))?", "[ab]*a[ab]{6}", "x{0,3}y{2}z*?", "(a{1,3}){1,4}b", "(a{2,3}){2}", "(a{3}){0,2}b",
        "\\(\\)|\\[[\\w ]*\\]", "((a|b)(a|b|c)){1,3}", "(()|a)*b", "a{0}b", "[\\d\\-a]+", "\\x61\\x62+"};
    for (size_t i = 0; i < COUNT_OF(patterns); i++) {
        Grammar *g = regex(patterns[i]);
        pcre2_code *code = pcre(patterns[i]);
        masks_agree(*state, g, pcre_judges, code, 6, 7, i);
        pcre2_code_free(code);
        grammar_free(g);
    }
}

/* GBNF beside a regular expression for the bytes that it means, characters of several bytes included. */
static void gbnf_agrees_with_pcre(void **state)
{
    static const char *const pairs[][2] = {
        {"root ::= \"a\" b*  # comment\nb ::= \"b\" | [xyz]{2}", "a(b|[xyz]{2})*"},
        {"root ::= (\n  \"yes\"\n | \"no\" )+ \"\\n\"?", "(yes|no)+\\n?"},
        {"root ::= [^\\x00-\\x1F\"\\\\]{1,3} \"\\x22\"",
         "([ !#-\\[\\]-\\x7F]|[\\xC2-\\xDF][\\x80-\\xBF]|\\xE0[\\xA0-\\xBF][\\x80-\\xBF]|[\\xE1-\\xEC\\xEE\\xEF][\\x80-\\xBF]{2}|"
         "\\xED[\\x80-\\x9F][\\x80-\\xBF]|\\xF0[\\x90-\\xBF][\\x80-\\xBF]{2}|[\\xF1-\\xF3][\\x80-\\xBF]{3}|"
         "\\xF4[\\x80-\\x8F][\\x80-\\xBF]{2}){1,3}\""},
        {"root ::= [\\u00E0-\\u00EFa]+ \"\\u4f60\" \"\\U0001F600\"?", "(a|\\xC3[\\xA0-\\xAF])+\\xE4\\xBD\\xA0(\\xF0\\x9F\\x98\\x80)?"},
        {"root ::= a a?\na ::= \"ab\"{0,2} | \"\"", "((ab){0,2}){0,2}"},
        {"root ::= [a-]+ [^-]", "[a\\-]+([\\x00-,.-\\x7F]|[\\xC2-\\xDF][\\x80-\\xBF]|\\xE0[\\xA0-\\xBF][\\x80-\\xBF]|"
         "[\\xE1-\\xEC\\xEE\\xEF][\\x80-\\xBF]{2}|\\xED[\\x80-\\x9F][\\x80-\\xBF]|\\xF0[\\x90-\\xBF][\\x80-\\xBF]{2}|"
         "[\\xF1-\\xF3][\\x80-\\xBF]{3}|\\xF4[\\x80-\\x8F][\\x80-\\xBF]{2})"},
    };
    for (size_t i = 0; i < COUNT_OF(pairs); i++) {
        Grammar *g = gbnf(pairs[i][0]);
        pcre2_code *code = pcre(pairs[i][1]);
        masks_agree(*state, g, pcre_judges, code, 6, 7, i);
        pcre2_code_free(code);
        grammar_free(g);
    }
}

/* ---- what is not regular ---- */

static Verdict balanced(const void *with, Span text)
{
    (void)with;
    char open[512];
    int depth = 0;
    for (size_t i = 0; i < text.bytes; i++) {
        uint8_t c = text.data[i];
        if (c == '(' || c == '[')
            open[depth++] = (char)c;
        else if ((c != ')' && c != ']') || !depth || open[--depth] != (c == ')' ? '(' : '['))
            return (Verdict){false, false};
    }
    return (Verdict){true, depth == 0};
}

static Verdict as_then_bs(const void *with, Span text)
{
    (void)with;
    size_t a = 0;
    while (a < text.bytes && text.data[a] == 'a')
        a++;
    for (size_t i = a; i < text.bytes; i++)
        if (text.data[i] != 'b')
            return (Verdict){false, false};
    return (Verdict){text.bytes - a <= a, text.bytes == 2 * a};
}

/* Any a and b, then "(", then the same backwards: many ways at once, and each of them must return to its own. */
static Verdict mirrored(const void *with, Span text)
{
    (void)with;
    size_t half = 0;
    while (half < text.bytes && (text.data[half] == 'a' || text.data[half] == 'b'))
        half++;
    if (half == text.bytes)
        return (Verdict){true, false};
    bool possible = text.data[half] == '(' && text.bytes <= 2 * half + 1;
    for (size_t i = half + 1; possible && i < text.bytes; i++)
        possible = text.data[i] == text.data[2 * half - i];
    return (Verdict){possible, possible && text.bytes == 2 * half + 1};
}

static Verdict even_as(const void *with, Span text)
{
    (void)with;
    for (size_t i = 0; i < text.bytes; i++)
        if (text.data[i] != 'a')
            return (Verdict){false, false};
    return (Verdict){true, text.bytes % 2 == 0};
}

static void recursion_is_followed(void **state)
{
    static const struct { const char *text; Judge *judge; } cases[] = {
        {"root ::= ( \"(\" root \")\" | \"[\" root \"]\" )*", balanced},
        {"root ::= one root | \"\"\none ::= \"(\" root \")\" | \"[\" root \"]\"", balanced},
        {"root ::= \"a\" root \"b\" | \"\"", as_then_bs},
        {"root ::= \"a\" root \"a\" | \"b\" root \"b\" | \"(\"", mirrored},
        {"root ::= \"a\" root \"a\" | \"aa\" root | \"\"", even_as},        /* more ways than can be counted */
        {"root ::= ( x x )*\nx ::= y\ny ::= \"a\"", even_as},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        Grammar *g = gbnf(cases[i].text);
        masks_agree(*state, g, cases[i].judge, NULL, 8, 12, i);
        grammar_free(g);
    }
}

/* Rules that have no end take part in no answer: a token leads only where the answer can be completed. */
static void no_token_leads_to_a_dead_end(void **state)
{
    Grammar *g = gbnf("root ::= \"a\" bad | \"b\" \"(\" empty | \"ab\"\nbad ::= \"x\" bad\nempty ::= [] \"y\"");
    GrammarMatcher *m = matcher_of(*state, g);
    assert_false(grammar_matcher_accept_text(m, span_text("ax")));
    assert_false(grammar_matcher_accept_text(m, span_text("b")));
    assert_true(grammar_matcher_accept_text(m, span_text("ab")));
    assert_true(grammar_matcher_complete(m));
    grammar_matcher_free(m);
    grammar_free(g);
}

/* Deeper than the bound no call is made, and whoever is at the bound can still close what is open. */
static void nesting_ends_at_the_bound(void **state)
{
    Grammar *g = gbnf("root ::= \"[\" \"a\" pair? \"]\"\npair ::= root \"a\"");
    GrammarMatcher *m = matcher_of(*state, g);
    int depth = 0;
    while (grammar_matcher_accept_text(m, span_text("[a")))
        depth++;
    assert_in_range(depth, NESTING_MAX / 2 - 1, NESTING_MAX + 1);
    for (int i = 0; i < depth; i++) {
        assert_true(grammar_matcher_accept_text(m, span_text("]")));
        assert_int_equal(grammar_matcher_accept_text(m, span_text("a")), i < depth - 1);
    }
    assert_true(grammar_matcher_complete(m));
    grammar_matcher_free(m);
    grammar_free(g);
}

/* A list that a rule calls at its end needs no depth, however long it becomes. */
static void right_recursion_needs_no_depth(void **state)
{
    Grammar *g = gbnf("root ::= \"a\" more\nmore ::= \",a\" more | \"\"");
    GrammarMatcher *m = matcher_of(*state, g);
    assert_true(grammar_matcher_accept_text(m, span_text("a")));
    for (int i = 0; i < 10000; i++)
        assert_true(grammar_matcher_accept_text(m, span_text(",a")));
    assert_true(grammar_matcher_complete(m));
    grammar_matcher_free(m);
    grammar_free(g);
}

/* States that no answer stands on are forgotten when memory is full; answers under way notice nothing. */
static void forgetting_states_changes_nothing(void **state)
{
    Fixture *f = *state;
    Grammar *g = regex("[ab]*a[ab]{17}");
    GrammarMatcher *m = matcher_of(f, g), *still = matcher_of(f, g), *fresh = matcher_of(f, g);
    PrngStream random = {3, 0};
    char text[60001], word[2] = {0};
    assert_true(grammar_matcher_accept_text(still, span_text("abbab")));
    for (int i = 0; i < 60000; i++) {
        word[0] = text[i] = "ab"[stream_below(&random, 2)];
        assert_true(grammar_matcher_accept_text(m, span_text(word)));
        if (i % 20000 == 19999) {
            assert_int_equal(grammar_matcher_complete(m), text[i - 17] == 'a');
            grammar_matcher_reset(fresh);
            grammar_matcher_accept_text(fresh, span_of(text, (size_t)i + 1));
            uint32_t mask[(PIECES + 31) / 32];
            memcpy(mask, grammar_matcher_allowed(m), sizeof mask);
            assert_memory_equal(mask, grammar_matcher_allowed(fresh), sizeof mask);
        }
    }
    assert_true(grammar_matcher_accept_text(still, span_text("bbbbbbbbbbbbbbbb")));
    assert_true(grammar_matcher_complete(still));
    assert_true(grammar_matcher_accept_text(still, span_text("b")));
    assert_false(grammar_matcher_complete(still));
    grammar_matcher_free(m);
    grammar_matcher_free(still);
    grammar_matcher_free(fresh);
    grammar_free(g);
}

/* ---- matchers ---- */

static void choices_are_exactly_the_choices(void **state)
{
    static const char *const words[] = {"yes", "no", "maybe", "may", "\xC3\xA9t\xC3\xA9", "\"q\\", "two\nlines"};
    Span choices[COUNT_OF(words)];
    for (size_t i = 0; i < COUNT_OF(words); i++)
        choices[i] = span_text(words[i]);
    Grammar *g;
    Error err;
    assert_int_equal(grammar_from_choices(choices, COUNT_OF(words), &g, &err), OK);
    GrammarMatcher *m = matcher_of(*state, g);
    for (size_t i = 0; i < COUNT_OF(words); i++) {
        grammar_matcher_reset(m);
        assert_true(grammar_matcher_accept_text(m, choices[i]));
        assert_true(grammar_matcher_complete(m));
    }
    assert_false(grammar_matcher_accept_text(m, span_text("x")));
    grammar_matcher_free(m);
    grammar_free(g);
    assert_int_equal(grammar_from_choices(choices, 0, &g, &err), BAD_ARGUMENT);
    choices[0] = span_text("");
    assert_int_equal(grammar_from_choices(choices, 2, &g, &err), BAD_ARGUMENT);
    choices[0] = span_text("\xC3");
    assert_int_equal(grammar_from_choices(choices, 2, &g, &err), BAD_ARGUMENT);
}

/* Thousands of choices with common beginnings are all kept. */
static void many_choices_are_kept(void **state)
{
    enum { MANY = 6000 };
    static char words[MANY][24];
    static Span choices[MANY];
    for (int i = 0; i < MANY; i++) {
        snprintf(words[i], sizeof words[i], "item %d of many", i * 7);
        choices[i] = span_text(words[i]);
    }
    Grammar *g;
    Error err;
    assert_int_equal(grammar_from_choices(choices, MANY, &g, &err), OK);
    GrammarMatcher *m = matcher_of(*state, g);
    for (int i = 0; i < MANY; i += 13) {
        grammar_matcher_reset(m);
        assert_true(grammar_matcher_accept_text(m, choices[i]));
        assert_true(grammar_matcher_complete(m));
    }
    grammar_matcher_reset(m);
    assert_false(grammar_matcher_accept_text(m, span_text("item 8 of many")));
    grammar_matcher_free(m);
    grammar_free(g);
}

/* The end comes only where all is said, once; what was refused has changed nothing; a copy goes its own way. */
static void matchers_end_reset_and_copy(void **state)
{
    Grammar *g = gbnf("root ::= \"ab\" \"ab\"?");
    GrammarMatcher *m = matcher_of(*state, g), *other = matcher_of(*state, g);
    assert_false(grammar_matcher_accept(m, END));
    assert_true(grammar_matcher_accept_text(m, span_text("a")));
    assert_false(grammar_matcher_accept_text(m, span_text("bax")));
    assert_true(grammar_matcher_accept_text(m, span_text("b")));
    grammar_matcher_copy(other, m);
    assert_true(grammar_matcher_accept(m, END));
    assert_true(allowed(grammar_matcher_allowed(m), END));
    assert_false(grammar_matcher_accept_text(m, span_text("a")));
    assert_true(grammar_matcher_accept_text(other, span_text("ab")));
    assert_false(grammar_matcher_accept_text(other, span_text("a")));
    assert_false(grammar_matcher_accept(other, -1));
    assert_false(grammar_matcher_accept(other, PIECES));
    grammar_matcher_reset(m);
    assert_false(grammar_matcher_complete(m));
    assert_true(grammar_matcher_accept_text(m, span_text("abab")));
    grammar_free(g);             /* matchers hold references of their own */
    grammar_matcher_free(m);
    grammar_matcher_free(other);
}

/* A control token is never text, however much is allowed; only a literal of GBNF that begins with it names it. */
static void control_tokens_are_named_by_literals(void **state)
{
    Grammar *any = gbnf("root ::= .*"), *named = gbnf("root ::= \"a\" <tool> \"b\" | \"<tool> x\"");
    GrammarMatcher *m = matcher_of(*state, any);
    assert_false(allowed(grammar_matcher_allowed(m), PIECES - 1));
    grammar_matcher_free(m);
    m = matcher_of(*state, named);
    assert_true(allowed(grammar_matcher_allowed(m), PIECES - 1));
    assert_true(grammar_matcher_accept_text(m, span_text("a")));
    assert_true(grammar_matcher_accept(m, PIECES - 1));
    assert_true(grammar_matcher_accept_text(m, span_text("b")));
    assert_true(grammar_matcher_complete(m));
    grammar_matcher_reset(m);
    assert_true(grammar_matcher_accept(m, PIECES - 1));
    assert_true(grammar_matcher_accept_text(m, span_text(" x")));
    grammar_matcher_reset(m);
    assert_true(grammar_matcher_accept_text(m, span_text("a<tool>b")));
    grammar_matcher_free(m);
    grammar_free(any);
    grammar_free(named);
}

static void *use_matcher(void *with)
{
    GrammarMatcher *m = with;
    PrngStream random = {(uint64_t)(uintptr_t)m, 0};
    for (int answer = 0; answer < 20; answer++) {
        grammar_matcher_reset(m);
        for (int step = 0; step < 30; step++) {
            const uint32_t *mask = grammar_matcher_allowed(m);
            int32_t id = (int32_t)stream_below(&random, PIECES);
            ASSERT(grammar_matcher_accept(m, id) == allowed(mask, id));
        }
    }
    return NULL;
}

/* Matchers of one grammar on several threads: each sees its own answer only. */
static void matchers_work_on_several_threads(void **state)
{
    Grammar *g = gbnf("root ::= ( \"(\" root \")\" | \"[\" root \"]\" | [^()\\[\\]]{1,9} )*");
    GrammarMatcher *m[4];
    pthread_t thread[4];
    for (int i = 0; i < 4; i++) {
        m[i] = matcher_of(*state, g);
        assert_int_equal(pthread_create(&thread[i], NULL, use_matcher, m[i]), 0);
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(thread[i], NULL);
        grammar_matcher_free(m[i]);
    }
    grammar_free(g);
}

/* ---- errors ---- */

static void wrong_grammars_are_refused_by_name(void **state)
{
    (void)state;
    static const struct { const char *text, *says; } cases[] = {
        {"", "no rule 'root'"}, {"a ::= \"x\"", "no rule 'root'"}, {"root ::= \"x\n\"", "line 1: a literal does not end"},
        {"root ::= [a-", "does not end"}, {"root ::= [z-a]", "runs backwards"}, {"root ::= b\n", "'b' is used but not defined"},
        {"root ::= \"a\"\nroot ::= \"b\"", "line 2: the rule 'root' is defined twice"},
        {"root ::= root \"a\" | \"b\"", "'root' begins with itself"},
        {"root ::= a\na ::= \"\" b? c\nb ::= \"b\"\nc ::= a \"x\"", "begins with itself"}, {"root ::= ( \"a\"", "parenthesis is not closed"},
        {"root ::= \"a\"{3,2}", "fewer than the fewest"}, {"root ::= \"a\"{99999999}", "more than"}, {"root = \"a\"", "::= is expected"},
        {"root ::= \"\\q\"", "unknown escape"}, {"root ::= \"\\uD800\"", "no character"}, {"root ::= a\na ::= \"x\" a", "never be completed"},
        {"root ::= <[1000]>", "<[1000]>"}, {"root ::= !<think>", "!<"}, {"root ::= \"\xFF\"", "not UTF-8"},
        {"root ::= <thi\xFE\xD7nk>", "not UTF-8"},
        {"root ::= \"a\" )", "not expected"},
        {"root ::= a{1,2", "not closed"}, {"root ::= [a-z]{60000} [0-9]{60000} [x-z]{60000}", "too large"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        Grammar *g;
        Error err = {0};
        Err result = grammar_from_gbnf(span_text(cases[i].text), &g, &err);
        if (result == OK || !strstr(err.text, cases[i].says))
            print_error("%s: %s\n", cases[i].text, result == OK ? "compiled" : err.text);
        assert_int_not_equal(result, OK);
        assert_non_null(strstr(err.text, cases[i].says));
    }
}

static void wrong_regexes_are_refused_by_name(void **state)
{
    (void)state;
    static const struct { const char *text, *says; } cases[] = {
        {"(a", "at byte 2: a group is not closed"}, {"a)", "closes nothing"}, {"*a", "repeats nothing"}, {"[a", "does not end"},
        {"(?=a)b", "look-around"}, {"(?<!a)b", "look-around"}, {"(a)\\1", "back-references"}, {"\\bword", "word boundaries"},
        {"\\p{L}", "properties"}, {"(?i)a", "flags"}, {"a*+", "possessive"}, {"a^b", "'^'"}, {"a$b", "'$'"}, {"[z-a]", "runs backwards"},
        {"a{3,2}", "fewer"}, {"\\", "backslash"}, {"\\q", "\\q"}, {"[]", "without a character"}, {"a{1,1000}b{99999}", "more than"},
        {"\\xZZ", "hexadecimal"}, {"\xFF", "not UTF-8"}, {"(?P=x)", "back-references"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        Grammar *g;
        Error err = {0};
        Err result = grammar_from_regex(span_text(cases[i].text), &g, &err);
        if (result == OK || !strstr(err.text, cases[i].says))
            print_error("%s: %s\n", cases[i].text, result == OK ? "compiled" : err.text);
        assert_int_not_equal(result, OK);
        assert_non_null(strstr(err.text, cases[i].says));
    }
}

/* Patterns that cost other engines all their time: compiled or refused, and masks come all the same. */
static void catastrophic_patterns_are_bounded(void **state)
{
    static const char *const patterns[] = {
        "(a*)*b", "(a|aa)+$", "((a+)+)+b", "(a|a)*(a|a)*(a|a)*b", "(.*)*x(.*)*y", "([a-z]{0,200}){0,200}", "(a?){500}a{500}",
        "(((((a{1,9}){1,9}){1,9}){1,9}){1,9}){1,9}b", "x{1,1000}{1,1000}", "([ab]*a[ab]{300}){2,40}", "(a{2,3}){500,1000}(a|aa|aaa)*b"};
    for (size_t i = 0; i < COUNT_OF(patterns); i++) {
        Grammar *g;
        Error err;
        Err result = grammar_from_regex(span_text(patterns[i]), &g, &err);
        if (result != OK) {
            assert_int_equal(result, LIMIT_REACHED);
            continue;
        }
        GrammarMatcher *m = matcher_of(*state, g);
        for (int step = 0; step < 6; step++) {
            const uint32_t *mask = grammar_matcher_allowed(m);
            int32_t id = 1;
            while (id < PIECES && !allowed(mask, id))
                id++;
            assert_true(id < PIECES);
            assert_true(grammar_matcher_accept(m, id));
        }
        grammar_matcher_free(m);
        grammar_free(g);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(regexes_agree_with_pcre),
        cmocka_unit_test(gbnf_agrees_with_pcre),
        cmocka_unit_test(recursion_is_followed),
        cmocka_unit_test(no_token_leads_to_a_dead_end),
        cmocka_unit_test(nesting_ends_at_the_bound),
        cmocka_unit_test(right_recursion_needs_no_depth),
        cmocka_unit_test(forgetting_states_changes_nothing),
        cmocka_unit_test(choices_are_exactly_the_choices),
        cmocka_unit_test(many_choices_are_kept),
        cmocka_unit_test(matchers_end_reset_and_copy),
        cmocka_unit_test(control_tokens_are_named_by_literals),
        cmocka_unit_test(matchers_work_on_several_threads),
        cmocka_unit_test(wrong_grammars_are_refused_by_name),
        cmocka_unit_test(wrong_regexes_are_refused_by_name),
        cmocka_unit_test(catastrophic_patterns_are_bounded),
    };
    return cmocka_run_group_tests(tests, make_fixture, free_fixture);
}

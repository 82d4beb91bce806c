/* Chat templates give the bytes that Jinja2 gives, and refuse what it refuses. */
#include "test.h"

#include <pthread.h>

#include "text/chat_template.h"

#define FAIL_WITH(...)                                                                             \
    (print_error(__VA_ARGS__), print_error("\n"), assert_true(!"as printed above"))

static struct tm fixed_clock(void)
{
    return (struct tm){
        .tm_year = 126, .tm_mon = 0, .tm_mday = 2, .tm_hour = 3, .tm_min = 4, .tm_sec = 5};
}

/* Compiles and renders; what comes out in *out, or an error. */
static Err render(const char *source, size_t bytes, json_t *context, Buf *out, Error *err)
{
    ChatTemplate *t;
    struct tm now = fixed_clock();
    TRY(chat_template_new(&t, span_of(source, bytes), "template", err));
    Err result = chat_template_render(t, context, &now, out, err);
    chat_template_free(t);
    return result;
}

/* ---- the published templates ---- */

static void check_case(const char *name, const char *which, json_t *source, json_t *one)
{
    Buf out;
    Error err;
    buf_init(&out, 1 << 24);
    Err result = render(json_string_value(source), json_string_length(source),
                        json_object_get(one, "input"), &out, &err);
    const json_t *wanted = json_object_get(one, "output");
    if (!wanted && result == OK)
        FAIL_WITH("%s, %s: renders, but must refuse", name, which);
    if (wanted && result != OK)
        FAIL_WITH("%s, %s: %s", name, which, err.text);
    if (wanted && strcmp(out.data, json_string_value(wanted)))
        FAIL_WITH("%s, %s: gives\n%s\ninstead of\n%s", name, which, out.data,
                  json_string_value(wanted));
    buf_deinit(&out);
}

static void published_templates_render_as_in_transformers(void **state)
{
    (void)state;
    const char *path = shared_path("fixtures/templates.jsonl");
    if (!path)
        return;
    FILE *file = fopen(path, "r");
    char *line = NULL;
    size_t capacity = 0, checked = 0;
    for (ssize_t n; (n = getline(&line, &capacity, file)) > 0;) {
        json_t *one = json_loadb(line, (size_t)n, 0, NULL), *each;
        const char *which;
        assert_non_null(one);
        json_object_foreach(json_object_get(one, "cases"), which, each) {
            check_case(json_string_value(json_object_get(one, "name")), which,
                       json_object_get(one, "template"), each);
            checked++;
        }
        json_decref(one);
    }
    free(line);
    fclose(file);
    assert_true(checked > 100);
}

/* ---- what a caller meets ---- */

static void check_error(const char *source, Err code, const char *text)
{
    Buf out;
    Error err;
    json_t *context = json_pack("{s:[i,i,i], s:s}", "numbers", 1, 2, 3, "name", "ridge");
    buf_init(&out, 1000);
    buf_put_text(&out, "before");
    assert_int_equal(render(source, strlen(source), context, &out, &err), code);
    if (!strstr(err.text, text))
        FAIL_WITH("%s\n  says  %s\n  not   %s", source, err.text, text);
    assert_string_equal(out.data, "before");
    buf_deinit(&out);
    json_decref(context);
}

static void errors_name_the_line_and_leave_the_output_alone(void **state)
{
    (void)state;
    check_error("a\nb {{ nothing.x }}", BAD_FILE, "template: line 2: 'nothing' is undefined");
    check_error("{{ name.x.y }}", BAD_FILE, "line 1: 'str object' has no attribute 'x'");
    check_error("\n\n{{ raise_exception('no ' ~ name) }}", BAD_ARGUMENT,
                "line 3: the template refuses: no ridge");
    check_error("{{ numbers.append(4) }}", BAD_FILE,
                "attribute 'append' of 'list' object is unsafe");
    check_error("{% if x %}", BAD_FILE, "looking for 'elif'");
    check_error("\n{{ x|nofilter }}", BAD_FILE, "line 2: No filter named 'nofilter'");
    check_error("{% include 'other' %}", UNSUPPORTED, "'include'");
    check_error("{{ 1 + 'a' }}", BAD_FILE, "unsupported operand type(s) for +: 'int' and 'str'");
    check_error("{{ \xff }}", BAD_FILE, "not valid UTF-8");
    check_error("{{ 'a' * 1000000 }}", LIMIT_REACHED, "more than there is room for");
}

static void a_template_that_would_not_end_is_stopped(void **state)
{
    (void)state;
    const char *nines =
        "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}";
    check_error(nines, LIMIT_REACHED, "did not end within");
    check_error("{% macro m() %}{{ m() }}{% endmacro %}\n{{ m() }}", LIMIT_REACHED,
                "nested deeper");
    check_error("{{ 'ab' * 99999999 }}", LIMIT_REACHED, "a string of more than");
    check_error("{{ range(100001) }}", LIMIT_REACHED, "Range too big");
    check_error("{{ 9223372036854775807 + 1 }}", LIMIT_REACHED, "more than 64 bits");
    check_error(
        "{% set ns = namespace(x=[]) %}{% for i in range(9999) %}{% set ns.x = [ns.x] %}{% endfor %}{{ ns.x }}",
        LIMIT_REACHED, "nested deeper");
    check_error(
        "{% set ns = namespace(x=[1]) %}{% for i in range(60) %}{% set ns.x = ns.x + ns.x %}{% endfor %}",
        LIMIT_REACHED, "template: line 1");
}

static void one_template_of_several_is_chosen_by_need_or_name(void **state)
{
    (void)state;
    Error err;
    Span source;
    json_t *list = json_loads(
        "[{\"name\": \"default\", \"template\": \"D\"}, {\"name\": \"tool_use\", \"template\": \"T\"},"
        " {\"name\": \"rag\", \"template\": \"R\"}]",
        0, NULL);
    assert_int_equal(chat_template_choose(list, NULL, false, &source, &err), OK);
    assert_true(span_is(source, "D"));
    assert_int_equal(chat_template_choose(list, NULL, true, &source, &err), OK);
    assert_true(span_is(source, "T"));
    assert_int_equal(chat_template_choose(list, "rag", true, &source, &err), OK);
    assert_true(span_is(source, "R"));
    assert_int_equal(chat_template_choose(list, "none", true, &source, &err), NOT_FOUND);
    json_t *text = json_string("S");
    assert_int_equal(chat_template_choose(text, NULL, true, &source, &err), OK);
    assert_true(span_is(source, "S"));
    assert_int_equal(chat_template_choose(json_null(), NULL, true, &source, &err), BAD_FILE);
    json_decref(text);
    json_decref(list);
}

/* ---- threads ---- */

enum { THREADS = 4, TURNS = 200 };

#define LONG "................................................................"
static const char shared_source[] =
    "{% macro m(x) %}{{ ('" LONG "' 'b' + x)[64:] }}{% endmacro %}{% set s = '" LONG "' 'q' %}"
    "{% for x in words %}{% set s = s + x %}{{ s[64:] }}{{ m(x) }}{% endfor %}";

typedef struct Renderer {
    const ChatTemplate *template;
    const char *word;
    char wanted[100];
    int wrong;
} Renderer;

static void *render_often(void *about)
{
    Renderer *r = about;
    struct tm now = fixed_clock();
    for (int i = 0; i < TURNS; i++) {
        Buf out;
        json_t *context = json_pack("{s:[s,s]}", "words", r->word, "-");
        buf_init(&out, 1000);
        r->wrong += chat_template_render(r->template, context, &now, &out, NULL) != OK;
        r->wrong += strcmp(out.data, r->wanted) != 0;
        buf_deinit(&out);
        json_decref(context);
    }
    return NULL;
}

/* Protects the constants of a template: appending to one in place would show in another rendering. */
static void threads_render_one_template_at_once(void **state)
{
    (void)state;
    static const char *const words[THREADS] = {"one", "two", "three", "four"};
    ChatTemplate *t;
    Error err;
    Renderer r[THREADS];
    pthread_t thread[THREADS];
    assert_int_equal(chat_template_new(&t, span_text(shared_source), "template", &err), OK);
    for (int i = 0; i < THREADS; i++) {
        r[i] = (Renderer){.template = t, .word = words[i]};
        snprintf(r[i].wanted, sizeof r[i].wanted, "q%sb%sq-b-", words[i], words[i]);
        assert_int_equal(pthread_create(&thread[i], NULL, render_often, &r[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(thread[i], NULL);
        assert_int_equal(r[i].wrong, 0);
    }
    chat_template_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(published_templates_render_as_in_transformers),
        cmocka_unit_test(errors_name_the_line_and_leave_the_output_alone),
        cmocka_unit_test(a_template_that_would_not_end_is_stopped),
        cmocka_unit_test(threads_render_one_template_at_once),
        cmocka_unit_test(one_template_of_several_is_chosen_by_need_or_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

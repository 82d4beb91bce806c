/* Exchanges, their workers, routes, keys and metrics, without a socket and without a model. */
#include "test.h"

#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#include "base/clock.h"
#include "server/api_keys.h"
#include "server/metrics.h"
#include "server/service.h"
#include "server/uri_text.h"
#include "server/workers.h"

enum { PARTS = 500 };

/* ---- routes of the test ---- */

static void hello(Exchange *x)
{
    exchange_add_header(x, "X-Part", exchange_path_part(x, 0));
    exchange_json(x, 200, json_pack("{s:s, s:s*}", "hello", exchange_path_part(x, 0), "as", exchange_query(x, "as")));
}

/* A stream of numbers, one a poke, by a thread that stands for the engine's. */
typedef struct Counter {
    Exchange *x;
    pthread_t thread;
    atomic_int given, running;
    int written;
} Counter;

static atomic_int counters_freed, counters_gone;

static void *give(void *with)
{
    Counter *c = with;
    for (int i = 0; i < PARTS; i++) {
        atomic_fetch_add(&c->given, 1);
        if (i % 20 == 9)
            exchange_poke(c->x);
        else
            exchange_poke_later(c->x);       /* as the engine's thread does, */
        if (i % 20 == 19)
            workers_wake(exchange_service(c->x)->workers);   /* which wakes when its step ends; the last time here, too */
    }
    return NULL;
}

static void count_on(Exchange *x)
{
    Counter *c = exchange_state(x);
    assert_int_equal(atomic_fetch_add(&c->running, 1), 0);   /* never two at once */
    if (exchange_gone(x)) {
        atomic_fetch_add(&counters_gone, 1);
        exchange_done(x);
    } else {
        for (; c->written < atomic_load(&c->given); c->written++)
            exchange_event(x, NULL, json_integer(c->written));
        if (c->written == PARTS)
            exchange_done(x);
    }
    atomic_fetch_sub(&c->running, 1);
}

static void counter_free(void *state)
{
    Counter *c = state;
    pthread_join(c->thread, NULL);
    atomic_fetch_add(&counters_freed, 1);
    free(c);
}

static void count(Exchange *x)
{
    Counter *c = calloc(1, sizeof *c);
    c->x = x;
    exchange_stream(x, "text/event-stream");
    exchange_continue(x, c, count_on, counter_free);
    assert_int_equal(pthread_create(&c->thread, NULL, give, c), 0);
}

/* Runs until it is hung up, or time is up. */
static void endless_on(Exchange *x)
{
    if (!exchange_gone(x) && !service_time_is_up(exchange_service(x)))
        return;
    atomic_fetch_add(&counters_gone, exchange_gone(x));
    if (!exchange_gone(x))
        exchange_put(x, span_text("what it has"));
    exchange_done(x);
}
static void endless(Exchange *x)
{
    exchange_stream(x, "text/plain");
    exchange_continue(x, x, endless_on, NULL);
}

/* Writes as much as there is room for, again and again. */
static void pour_on(Exchange *x)
{
    static const uint8_t drop[1000];
    int *left = exchange_state(x);
    while (*left > 0 && exchange_room(x) >= sizeof drop) {
        exchange_put(x, span_of(drop, sizeof drop));
        --*left;
    }
    if (*left == 0 || exchange_gone(x))
        exchange_done(x);
}
static void pour(Exchange *x)
{
    int *left = malloc(sizeof *left);
    *left = 2000;
    exchange_stream(x, "application/octet-stream");
    exchange_continue(x, left, pour_on, free);
    pour_on(x);
}

static void secret(Exchange *x) { exchange_text(x, 200, "text/plain", span_text("everybody's requests")); }

static const Route list[] = {
    {"GET", "/test/hello/{}", ACCESS_OPEN, hello}, {"POST", "/test/count", ACCESS_KEY, count},
    {"POST", "/test/endless", ACCESS_KEY, endless}, {"POST", "/test/pour", ACCESS_KEY, pour},
    {"GET", "/test/secret", ACCESS_ADMIN, secret}, {"GET", "/test/files/{}/content", ACCESS_OPEN, hello},
    {"DELETE", "/test/files/{}", ACCESS_OPEN, hello}, {"GET", "/test/files/{}", ACCESS_OPEN, hello},
};
static const RouteList test_routes = ROUTES(list, api_error_json);

/* ---- a caller ---- */

typedef struct Caller {
    pthread_mutex_t lock;
    pthread_cond_t ready;
    int readies;
    Buf text;
} Caller;

static Service *service;

static int open_service(void **state)
{
    (void)state;
    Error err;
    ServiceOptions o = {.model_name = "test", .routes = &test_routes, .workers = 3, .drain_seconds = 0.05};
    atomic_store(&counters_freed, 0);
    atomic_store(&counters_gone, 0);
    return service_new(&service, &o, &err) == OK ? 0 : -1;
}

static int close_service(void **state)
{
    (void)state;
    service_stop(service);
    service_free(service);
    return 0;
}

static void on_ready(void *with)
{
    Caller *c = with;
    pthread_mutex_lock(&c->lock);
    c->readies++;
    pthread_cond_signal(&c->ready);
    pthread_mutex_unlock(&c->lock);
}

static Exchange *call_with(Caller *c, const char *method, const char *path, const char *query, const ApiKey *key)
{
    static const ExchangeHeader headers[] = {{"X-Request-ID", "mine-7"}};
    Error err;
    Exchange *x = NULL;
    pthread_mutex_init(&c->lock, NULL);
    pthread_cond_init(&c->ready, NULL);
    c->readies = 0;
    buf_init(&c->text, 1 << 26);
    ExchangeCall call = {.method = method, .path = path, .query = query, .headers = headers, .header_count = 1, .key = key,
                         .body = span_text("{}"), .ready = on_ready, .ready_with = c};
    assert_int_equal(exchange_new(&x, service, &call, &err), OK);
    service_take(service, x);
    return x;
}

/* Reads as HTTP does: what there is, else waits to be told. */
static void read_all(Caller *c, Exchange *x)
{
    char chunk[700];
    for (;;) {
        size_t bytes = exchange_began(x) ? exchange_read(x, chunk, sizeof chunk) : 0;
        if (bytes > 0)
            buf_put(&c->text, chunk, bytes);
        else if (exchange_ended(x))
            return;
        else {
            pthread_mutex_lock(&c->lock);
            while (c->readies == 0)
                pthread_cond_wait(&c->ready, &c->lock);
            c->readies = 0;
            pthread_mutex_unlock(&c->lock);
        }
    }
}

static void end(Caller *c, Exchange *x)
{
    exchange_release(x);
    buf_deinit(&c->text);
    pthread_cond_destroy(&c->ready);
    pthread_mutex_destroy(&c->lock);
}

static void gives(const char *method, const char *path, const char *query, const ApiKey *key, int status, const char *text)
{
    Caller c;
    Exchange *x = call_with(&c, method, path, query, key);
    read_all(&c, x);
    if (exchange_status(x) != status || !strstr(c.text.data, text))
        print_error("%s %s: %d %s\n", method, path, exchange_status(x), c.text.data);
    assert_int_equal(exchange_status(x), status);
    assert_non_null(strstr(c.text.data, text));
    end(&c, x);
}

/* ---- exchanges ---- */

/* Parts and queries are decoded; what is no text is refused before a handler sees it. */
static void paths_and_queries(void **state)
{
    (void)state;
    gives("GET", "/test/hello/a%20b", "as=x%2Fy+z&as=2", NULL, 200, "{\"hello\":\"a b\",\"as\":\"x/y z\"}");
    gives("GET", "/test/hello/a%00b", NULL, NULL, 400, "percent-encoded");
    gives("GET", "/test/hello/%ff", NULL, NULL, 400, "percent-encoded");
    gives("GET", "/test/hello/a", "as=%f", NULL, 400, "percent-encoded");
    gives("GET", "/test/hello/", NULL, NULL, 404, "nothing at");
    gives("GET", "/test/\xff\"\\", NULL, NULL, 404, "nothing at /test/?\\\"\\\\");
    gives("GET", "/test/hello/a/b", NULL, NULL, 404, "nothing at");
    gives("GET", "/test/files/7/content", NULL, NULL, 200, "\"7\"");
    gives("DELETE", "/test/files/7", NULL, NULL, 200, "\"7\"");
    gives("PUT", "/test/files/7", NULL, NULL, 405, "it takes DELETE, GET, HEAD, OPTIONS");
    gives("GET", "/v1/models", NULL, NULL, 200, "\"id\":\"test\"");
    gives("GET", "/v1/models/a/b%2Fc", NULL, NULL, 404, "model_not_found");
    gives("GET", "/health", NULL, NULL, 200, "ok");
}

/* The caller's id comes back, with the headers of the handler; a header cannot smuggle in another. */
static void ids_and_headers(void **state)
{
    (void)state;
    Caller c;
    ExchangeHeader out[8];
    Exchange *x = call_with(&c, "GET", "/test/hello/a", NULL, NULL);
    read_all(&c, x);
    assert_int_equal(exchange_out_headers(x, out, 8), 2);
    assert_string_equal(out[0].value, "mine-7");
    assert_string_equal(out[1].name, "X-Part");
    end(&c, x);
    x = call_with(&c, "GET", "/test/hello/a%0d%0aX-Evil:%201", NULL, NULL);
    read_all(&c, x);
    assert_int_equal(exchange_out_headers(x, out, 8), 1);
    end(&c, x);
}

/* Pokes from another thread lose nothing, double nothing, and work() never runs twice at once. */
static void streams_are_whole(void **state)
{
    (void)state;
    Buf expected;
    buf_init(&expected, 1 << 20);
    for (int i = 0; i < PARTS; i++)
        buf_printf(&expected, "data: %d\n\n", i);
    Caller callers[8];
    Exchange *x[8];
    for (int i = 0; i < 8; i++)
        x[i] = call_with(&callers[i], "POST", "/test/count", NULL, NULL);
    for (int i = 0; i < 8; i++) {
        read_all(&callers[i], x[i]);
        assert_true(exchange_is_stream(x[i]));
        assert_string_equal(callers[i].text.data, expected.data);
        end(&callers[i], x[i]);
    }
    buf_deinit(&expected);
}

/* Who hangs up is told to work(), whose state is given back once; the exchange outlives its caller. */
static void hanging_up_ends_it(void **state)
{
    (void)state;
    Caller c;
    for (int i = 0; i < 20; i++) {
        Exchange *x = call_with(&c, "POST", i % 2 ? "/test/endless" : "/test/count", NULL, NULL);
        if (i % 3 == 0)
            exchange_hang_up(x);
        end(&c, x);
    }
    service_stop(service);
    assert_true(atomic_load(&counters_freed) <= 10);
}

/* An answer that nobody reads stops growing, and goes on when somebody does. */
static void slow_readers_are_bounded(void **state)
{
    (void)state;
    Caller c;
    Exchange *x = call_with(&c, "POST", "/test/pour", NULL, NULL);
    while (!exchange_began(x))
        usleep(1000);
    read_all(&c, x);
    assert_int_equal(c.text.bytes, 2000 * 1000);
    end(&c, x);
}

/* A stop refuses what is new, and lets what runs end with what it has. */
static void a_stop_hands_back_what_runs(void **state)
{
    (void)state;
    Caller c;
    Exchange *x = call_with(&c, "POST", "/test/endless", NULL, NULL);
    while (!exchange_began(x))
        usleep(1000);
    service_stop(service);
    read_all(&c, x);
    assert_string_equal(c.text.data, "what it has");
    end(&c, x);
    gives("POST", "/test/count", NULL, NULL, 503, "stopping");
    gives("GET", "/health", NULL, NULL, 503, "stopping");
    gives("GET", "/v1/models", NULL, NULL, 200, "test");
}

/* ---- keys ---- */

static const char keys_text[] = "# who may call\n"
                                "sk-one  alice  priority=10 requests/min=2\n"
                                "\n"
                                "sk-two  alice  # the key that replaces it\n"
                                "\tsk-three admin\r\n"
                                "sk-four bob";

static void keys_are_read(void **state)
{
    (void)state;
    Keys *keys;
    Error err;
    double wait;
    assert_int_equal(keys_new(&keys, &err), OK);
    assert_null(keys_find(keys, span_text("sk-one")));
    assert_int_equal(keys_read(keys, span_text(keys_text), "keys", &err), OK);
    assert_int_equal(keys_count(keys), 4);
    const ApiKey *one = keys_find(keys, span_text("sk-one")), *two = keys_find(keys, span_text("sk-two"));
    const ApiKey *three = keys_find(keys, span_text("sk-three")), *four = keys_find(keys, span_text("sk-four"));
    assert_true(one && two && three && four);
    assert_string_equal(one->name, "alice");
    assert_int_equal(one->priority, 10);
    assert_true(one->tenant == two->tenant && one->salt == two->salt && one->tenant != four->tenant && one->salt != four->salt);
    assert_true(three->admin && !four->admin && three->name[0] == 'k');
    assert_true(key_admits(one, 1, &wait) && key_admits(one, 1, &wait) && !key_admits(one, 1, &wait));
    assert_true(wait > 29 && wait < 31);
    assert_true(key_admits(one, 32, &wait) && key_admits(two, 1, &wait));
    static const char *const strangers[] = {"", "sk-on", "sk-one ", "sk-onE", "sk-onesk-one", "#"};
    for (size_t i = 0; i < COUNT_OF(strangers); i++)
        assert_null(keys_find(keys, span_text(strangers[i])));
    /* read again: the old keys are unknown, but one that is in use stays as it was */
    assert_int_equal(keys_read(keys, span_text("sk-new carol\n"), "keys", &err), OK);
    assert_null(keys_find(keys, span_text("sk-two")));
    assert_string_equal(two->name, "alice");
    key_drop(one), key_drop(two), key_drop(three), key_drop(four);
    keys_free(keys);
}

/* A file with an error changes nothing, and the error names its line. */
static void bad_keys_are_told(void **state)
{
    (void)state;
    static const struct { const char *text, *error; } bad[] = {
        {"a x\na y\n", "line 2: this key is there twice"}, {"a x priority=high", "line 1: priority="},
        {"\n\na x priority=1.5", "line 3: priority="},     {"a x requests/min=0", "requests/min="},
        {"a x requests/min=nan", "requests/min="},         {"a x y", "'y' is none"},
        {"a x=1", "'x=1' is none"},                        {"a \xff\xfe", "UTF-8"},
    };
    Keys *keys;
    Error err;
    assert_int_equal(keys_new(&keys, &err), OK);
    assert_int_equal(keys_read(keys, span_text("good"), "keys", &err), OK);
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        assert_int_equal(keys_read(keys, span_text(bad[i].text), "keys", &err), BAD_FILE);
        if (!strstr(err.text, bad[i].error))
            print_error("%s\n", err.text);
        assert_non_null(strstr(err.text, bad[i].error));
        const ApiKey *k = keys_find(keys, span_text("good"));
        assert_non_null(k);
        key_drop(k);
    }
    keys_free(keys);
}

/* What shows others' requests wants a key that may. */
static void admin_routes(void **state)
{
    (void)state;
    Keys *keys;
    Error err;
    assert_int_equal(keys_new(&keys, &err), OK);
    assert_int_equal(keys_read(keys, span_text("a alice\nb bob admin\n"), "keys", &err), OK);
    const ApiKey *a = keys_find(keys, span_text("a")), *b = keys_find(keys, span_text("b"));
    gives("GET", "/test/secret", NULL, a, 403, "may not see");
    gives("GET", "/test/secret", NULL, b, 200, "everybody's");
    gives("GET", "/test/secret", NULL, NULL, 200, "everybody's");
    key_drop(a), key_drop(b);
    keys_free(keys);
}

/* ---- metrics ---- */

static double value_of(const char *text, const char *name)
{
    const char *at = strstr(text, name);
    assert_non_null(at);
    return atof(at + strlen(name));
}

/* Buckets add up, +Inf is the count, and each name has its help and type before its values. */
static void metrics_are_prometheus(void **state)
{
    (void)state;
    Metrics *m;
    Error err;
    Buf text;
    buf_init(&text, 1 << 20);
    assert_int_equal(metrics_new(&m, "a\"b\\c", 256, &err), OK);
    metrics_observe(m, METRIC_TTFT, 0.005);
    metrics_observe(m, METRIC_TTFT, 0.0051);
    metrics_observe(m, METRIC_TTFT, 1e9);
    metrics_sample(m, &(Event){.kind = EVENT_END, .reason = END_LENGTH,
                               .times = {0.1, 0.2, 0.5, .prompt_tokens = 7, .generated_tokens = 5}});
    metrics_sample(m, &(Event){.kind = EVENT_END, .reason = END_STOP, .sample = 1,
                               .times = {0.1, 0.2, 0.5, .prompt_tokens = 7, .generated_tokens = 3}});
    metrics_write(m, &(EngineNow){.present = true, .stats = {.running = 3, .groups = 1, .blocks = {{8, 4, 2, 2}}}}, NULL, &text);
    const char *label = "model_name=\"a\\\"b\\\\c\"";
    assert_non_null(strstr(text.data, label));
    char name[256];
    static const struct { const char *before, *after; double value; } lines[] = {
        {"\nridge:time_to_first_token_seconds_bucket{", ",le=\"0.005\"} ", 1},
        {"\nridge:time_to_first_token_seconds_bucket{", ",le=\"0.01\"} ", 2},
        {"\nridge:time_to_first_token_seconds_bucket{", ",le=\"1.0\"} ", 4},
        {"\nridge:time_to_first_token_seconds_bucket{", ",le=\"+Inf\"} ", 5},
        {"\nridge:time_to_first_token_seconds_count{", "} ", 5},
        {"\nridge:prompt_tokens_total{", "} ", 7},
        {"\nridge:generation_tokens_total{", "} ", 8},
        {"\nridge:request_success_total{", ",finished_reason=\"length\"} ", 1},
        {"\nridge:request_success_total{", ",finished_reason=\"stop\"} ", 1},
        {"\nridge:request_prompt_tokens_bucket{", ",le=\"200.0\"} ", 1},
        {"\nridge:num_requests_running{", "} ", 3},
        {"\nridge:kv_cache_usage_perc{", "} ", 0.25},
    };
    for (size_t i = 0; i < COUNT_OF(lines); i++) {
        snprintf(name, sizeof name, "%s%s%s", lines[i].before, label, lines[i].after);
        assert_true(value_of(text.data, name) == lines[i].value);
    }
    assert_null(strstr(text.data, "le=\"500.0\"} 1\nridge:request_prompt_tokens"));
    buf_deinit(&text);
    metrics_free(m);
}

#define WITH_SERVICE(test) cmocka_unit_test_setup_teardown(test, open_service, close_service)
int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_SERVICE(paths_and_queries), WITH_SERVICE(ids_and_headers), WITH_SERVICE(streams_are_whole),
        WITH_SERVICE(hanging_up_ends_it), WITH_SERVICE(slow_readers_are_bounded),
        WITH_SERVICE(a_stop_hands_back_what_runs), WITH_SERVICE(admin_routes), cmocka_unit_test(keys_are_read),
        cmocka_unit_test(bad_keys_are_told), cmocka_unit_test(metrics_are_prometheus),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

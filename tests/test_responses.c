/* /v1/responses and /v1/conversations with the default model: what is stored belongs to one tenant, goes on without
 * whoever asked, and is told again as it was. */
#include "service_words.h"

static json_t *get_response(const char *id, const char *status)
{
    char path[96];
    int code;
    snprintf(path, sizeof path, "/v1/responses/%s", id);
    for (int tries = 0; tries < 1000; tries++) {
        json_t *got = aid_call(aid, "GET", path, "", NULL, &code);
        if (code != 200 || !strcmp(text_at(got, "status"), status))
            return got;
        json_decref(got);
        usleep(5000);
    }
    return NULL;
}

static json_t *cancel_response(const char *id, int *status)
{
    char path[96];
    snprintf(path, sizeof path, "/v1/responses/%s/cancel", id);
    return aid_post(aid, path, "", status);
}

/* A response of the background is answered at once and goes on: it comes whole to who asks later, or ends when somebody
 * cancels or deletes it, and leaves nothing behind in the engine. */
static void responses_go_on_alone(void **state)
{
    (void)state;
    int status;
    json_t *begun = post("/v1/responses", "{\"input\": \"Hi\", \"background\": true, \"max_output_tokens\": 30}");
    assert_string_equal(text_at(begun, "status"), "in_progress");
    json_t *whole = get_response(text_at(begun, "id"), "completed");
    assert_non_null(whole);
    assert_true(strlen(text_at(whole, "output/0/content/0/text")) > 0);
    assert_true(json_is_true(at(whole, "background")));
    json_decref(cancel_response(text_at(begun, "id"), &status));       /* too late, and no error */
    assert_int_equal(status, 200);
    json_t *endless = post("/v1/responses", "{\"input\": \"Hi\", \"background\": true, \"ignore_eos\": true}");
    json_t *cancelled = cancel_response(text_at(endless, "id"), &status);
    assert_string_equal(text_at(cancelled, "status"), "cancelled");
    assert_true(aid_idle(aid));
    json_t *later = get_response(text_at(endless, "id"), "cancelled");
    assert_non_null(later);
    json_t *plain = post("/v1/responses", "{\"input\": \"Hi\", \"max_output_tokens\": 1}");
    json_decref(cancel_response(text_at(plain, "id"), &status));
    assert_int_equal(status, 400);
    json_t *all[] = {begun, whole, endless, cancelled, later, plain};
    for (size_t i = 0; i < COUNT_OF(all); i++)
        json_decref(all[i]);
    refused("/v1/responses", "{\"input\": \"x\", \"background\": true, \"store\": false}", 400, "background", "store");
}

static AidCall *events_after(const char *id, int after)
{
    char path[128];
    int bytes = snprintf(path, sizeof path, "/v1/responses/%s?stream=true", id);
    if (after >= 0)
        snprintf(path + bytes, sizeof path - (size_t)bytes, "&starting_after=%d", after);
    return aid_begin(aid, "GET", path, "", NULL);
}

/* The events from number `first` on, with each number once: what a stream of all of them ends with. */
static void expect_rest(const char *id, const char *all, int first)
{
    char number[48];
    AidCall *call = events_after(id, first - 1);
    const char *rest = aid_finish(call);
    assert_int_equal(aid_status(call), 200);
    snprintf(number, sizeof number, "\"sequence_number\":%d}", first);
    assert_non_null(strstr(rest, number));
    assert_string_equal(rest, all + strlen(all) - strlen(rest));
    aid_end(call);
}

/* A stream of the background whose reader goes away loses nothing: the work goes on, and whoever asks gets the same events,
 * from the one that was seen last. */
static void background_streams_outlive_their_readers(void **state)
{
    (void)state;
    static const char ask[] = "{\"input\": \"Hi\", \"background\": true, \"stream\": true, \"temperature\": 0, "
                              "\"ignore_eos\": true, \"max_output_tokens\": 40}";
    int status;
    AidCall *call = aid_begin(aid, "POST", "/v1/responses", ask, NULL);
    while (!strstr(aid_so_far(call), "output_text.delta") && aid_read(call, 1000) > 0) {
    }
    const char *found = strstr(aid_so_far(call), "resp_");
    assert_non_null(found);
    char id[64] = "", path[96];
    snprintf(id, sizeof id, "%.*s", (int)strcspn(found, "\""), found);
    aid_end(call);                                              /* hangs up */
    AidCall *later = events_after(id, -1);
    char *all = strdup(aid_finish(later));
    aid_end(later);
    assert_non_null(strstr(all, "response.created"));
    assert_non_null(strstr(all, "event: response.incomplete\n"));    /* all 40 tokens: it was not cancelled */
    json_t *whole = get_response(id, "incomplete");
    assert_int_equal(json_integer_value(at(whole, "usage/output_tokens")), 40);
    expect_rest(id, all, 1);
    expect_rest(id, all, 7);
    expect_rest(id, all, 43);
    call = events_after(id, 100000);
    assert_string_equal(aid_finish(call), "");
    aid_end(call);
    json_decref(whole);
    free(all);
    for (int i = 0; i < 3; i++) {
        static const char *const bad[] = {"-1", "x", "3x"};
        snprintf(path, sizeof path, "/v1/responses/%s?stream=true&starting_after=%s", id, bad[i]);
        json_decref(aid_call(aid, "GET", path, "", NULL, &status));
        assert_int_equal(status, 400);
    }
    assert_true(aid_idle(aid));
}

static void expect_cancelled(AidCall *call)
{
    const char *end = strstr(aid_finish(call), "event: response.incomplete\n");
    assert_non_null(end);
    assert_non_null(strstr(end, "\"status\":\"cancelled\""));
    aid_end(call);
}

/* What is cancelled, or deleted, ends for all who read it, and says so; what was deleted does not come back. */
static void streams_end(bool deleted)
{
    static const char ask[] = "{\"input\": \"Hi\", \"background\": true, \"stream\": true, \"ignore_eos\": true}";
    int status;
    AidCall *call = aid_begin(aid, "POST", "/v1/responses", ask, NULL);
    while (!strstr(aid_so_far(call), "resp_") && aid_read(call, 1000) > 0) {
    }
    char id[64] = "";
    const char *found = strstr(aid_so_far(call), "resp_");
    assert_non_null(found);
    snprintf(id, sizeof id, "%.*s", (int)strcspn(found, "\""), found);
    AidCall *reader = events_after(id, -1), *gone = events_after(id, 0);
    assert_true(aid_read(reader, 10) > 0 && aid_read(gone, 10) > 0);
    aid_end(gone);
    char path[96];
    snprintf(path, sizeof path, "/v1/responses/%s", id);
    json_decref(deleted ? aid_call(aid, "DELETE", path, "", NULL, &status) : cancel_response(id, &status));
    assert_int_equal(status, 200);
    expect_cancelled(reader);
    expect_cancelled(call);
    assert_true(aid_idle(aid));
    json_decref(aid_call(aid, "GET", path, "", NULL, &status));
    assert_int_equal(status, deleted ? 404 : 200);
}

static void cancelled_streams_end(void **state) { (void)state; streams_end(false); }
static void deleted_streams_end(void **state) { (void)state; streams_end(true); }

static json_t *of_conversation(const char *method, const char *id, const char *rest, int wanted)
{
    char path[160];
    int status;
    snprintf(path, sizeof path, "/v1/conversations/%s%s", id, rest);
    json_t *answer = aid_call(aid, method, path, "", NULL, &status);
    assert_int_equal(status, wanted);
    return answer;
}

/* A conversation is what was said in it: an answer within it is the answer to all its items, and becomes one of them. */
static void conversations_go_on(void **state)
{
    (void)state;
#define SUM_OF(input) "{\"input\": " input ", \"max_output_tokens\": 5, \"temperature\": 0"
#define SUM "\"What is 2 + 3?\""
    char body[256], rest[96];
    json_t *made = post("/v1/conversations", "{\"items\": [{\"role\": \"user\", \"content\": \"Hi\"}], \"metadata\": {\"a\": \"b\"}}");
    const char *id = text_at(made, "id");
    snprintf(body, sizeof body, SUM_OF(SUM) ", \"store\": false, \"conversation\": {\"id\": \"%s\"}}", id);
    json_t *within = post("/v1/responses", body);
    json_t *plain = post("/v1/responses", SUM_OF("[{\"role\": \"user\", \"content\": \"Hi\"}, "
                                                 "{\"role\": \"user\", \"content\": " SUM "}]") "}");
    assert_string_equal(text_at(within, "conversation/id"), id);
    assert_string_equal(text_at(within, "output/0/content/0/text"), text_at(plain, "output/0/content/0/text"));
    assert_true(json_equal(at(within, "usage/input_tokens"), at(plain, "usage/input_tokens")));
    json_t *items = of_conversation("GET", id, "/items", 200);      /* the newest first */
    assert_int_equal(json_array_size(at(items, "data")), 3);
    assert_true(json_equal(at(items, "data/0"), at(within, "output/0")));
    snprintf(rest, sizeof rest, "/items/%s", text_at(items, "data/0/id"));
    json_decref(of_conversation("DELETE", id, rest, 200));
    json_decref(of_conversation("GET", id, rest, 404));
    json_t *shown = of_conversation("GET", id, "", 200);
    assert_string_equal(text_at(shown, "metadata/a"), "b");
    json_decref(of_conversation("DELETE", id, "", 200));
    refused("/v1/responses", body, 404, "conversation", "no conversation");
    refused("/v1/conversations", "{\"items\": [{\"role\": \"cook\", \"content\": \"x\"}]}", 400, "items[0].role", "'cook'");
    json_t *all[] = {made, within, plain, items, shown};
    for (size_t i = 0; i < COUNT_OF(all); i++)
        json_decref(all[i]);
}

/* What a stored response was asked with can be read again, in pages and in both orders. */
static void input_items_are_listed(void **state)
{
    (void)state;
    char path[160];
    int status;
    json_t *made = post("/v1/responses", "{\"max_output_tokens\": 2, \"input\": [{\"role\": \"user\", \"content\": \"One\"}, "
                        "{\"type\": \"function_call\", \"call_id\": \"c\", \"name\": \"f\", \"arguments\": \"{}\"}, "
                        "{\"type\": \"function_call_output\", \"call_id\": \"c\", \"output\": \"7\"}]}");
    snprintf(path, sizeof path, "/v1/responses/%s/input_items", text_at(made, "id"));
    json_t *items = aid_call(aid, "GET", path, "", NULL, &status);
    assert_int_equal(status, 200);
    assert_int_equal(json_array_size(at(items, "data")), 3);
    assert_string_equal(text_at(items, "data/0/type"), "function_call_output");
    assert_string_equal(text_at(items, "data/2/content/0/text"), "One");
    assert_string_equal(text_at(items, "first_id"), text_at(items, "data/0/id"));
    assert_true(json_is_false(at(items, "has_more")));
    json_decref(items);
    json_decref(made);
    refused_get("/v1/responses/resp_none/input_items", 404, "response_id");
}

/* What was stored is there for its own tenant, to read and to go on from, and for no other. */
static void responses_are_kept_apart(void **state)
{
    (void)state;
    Keys *keys;
    Error err;
    int status;
    assert_int_equal(keys_new(&keys, &err), OK);
    assert_int_equal(keys_read(keys, span_text("sk-1 one\nsk-2 two\n"), "keys", &err), OK);
    const ApiKey *mine = keys_find(keys, span_text("sk-1")), *others = keys_find(keys, span_text("sk-2"));
    char path[128], body[512];
    json_t *first = aid_call(aid, "POST", "/v1/responses", "{\"input\": \"What is the capital of France?\", \"temperature\": 0, "
                             "\"max_output_tokens\": 24}", mine, &status);
    assert_int_equal(status, 200);
    assert_string_equal(text_at(first, "status"), "completed");
    assert_non_null(strstr(text_at(first, "output/0/content/0/text"), "Paris"));
    snprintf(path, sizeof path, "/v1/responses/%s", text_at(first, "id"));
    snprintf(body, sizeof body, "{\"input\": \"And of Italy?\", \"previous_response_id\": \"%s\", \"temperature\": 0, "
             "\"max_output_tokens\": 24}", text_at(first, "id"));
    json_t *shown = aid_call(aid, "GET", path, "", mine, &status);
    assert_int_equal(status, 200);
    assert_true(json_equal(shown, first));
    json_decref(shown);
    json_decref(aid_call(aid, "GET", path, "", others, &status));
    assert_int_equal(status, 404);
    json_decref(aid_call(aid, "POST", "/v1/responses", body, others, &status));
    assert_int_equal(status, 404);
    json_t *second = aid_call(aid, "POST", "/v1/responses", body, mine, &status);
    assert_int_equal(status, 200);
    assert_true(json_integer_value(at(second, "usage/input_tokens")) > json_integer_value(at(first, "usage/total_tokens")));
    json_decref(aid_call(aid, "DELETE", path, "", others, &status));
    assert_int_equal(status, 404);
    json_decref(aid_call(aid, "DELETE", path, "", mine, &status));
    assert_int_equal(status, 200);
    json_decref(aid_call(aid, "GET", path, "", mine, &status));
    assert_int_equal(status, 404);
    json_decref(first);
    json_decref(second);
    key_drop(mine);
    key_drop(others);
    keys_free(keys);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(responses_go_on_alone),
        cmocka_unit_test(background_streams_outlive_their_readers),
        cmocka_unit_test(cancelled_streams_end),
        cmocka_unit_test(deleted_streams_end),
        cmocka_unit_test(conversations_go_on),
        cmocka_unit_test(input_items_are_listed),
        cmocka_unit_test(responses_are_kept_apart),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);    /* one of them */
    return cmocka_run_group_tests(tests, open_aid, close_aid);
}

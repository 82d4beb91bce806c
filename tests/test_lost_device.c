/* A device that is lost while answers are made: they end with an error that says so, later ones are refused with 503, and the
 * server stays up and tells on /health what broke, for whoever reloads it. */
#include "service_aid.h"
#include "test.h"

static const char *text_at(json_t *json, const char *object, const char *name)
{
    json_t *from = object ? json_object_get(json, object) : json;
    const char *text = json_string_value(json_object_get(from, name));
    assert_non_null(text);
    return text;
}

static void expect(ServiceAid *aid, const char *path, const char *body)
{
    int status;
    json_t *answer = aid_post(aid, path, body, &status);
    assert_int_equal(status, 503);
    assert_non_null(strstr(text_at(answer, "error", "message"), "fell off"));
    json_decref(answer);
}

static void a_lost_device_is_told_and_the_server_stays(void **state)
{
    (void)state;
    enum { RUNNING = 3 };
    static const char *const endless = "{\"prompt\": \"The sea\", \"max_tokens\": 480, \"ignore_eos\": true, \"n\": 2}";
    ServiceAid *aid;
    AidCall *running[RUNNING];
    Error err;
    int status;
    must_be_ok(service_aid_open(&aid, 8, 64, &err), &err);
    for (int i = 0; i < RUNNING; i++)
        running[i] = aid_begin(aid, "POST", "/v1/completions", endless, NULL);
    json_decref(aid_post(aid, "/v1/completions", "{\"prompt\": \"Once\", \"max_tokens\": 2}", &status));
    assert_int_equal(status, 200);
    service_aid_break(aid);
    for (int i = 0; i < RUNNING; i++) {
        assert_non_null(strstr(aid_finish(running[i]), "fell off"));
        assert_int_equal(aid_status(running[i]), 503);
        aid_end(running[i]);
    }
    expect(aid, "/v1/completions", endless);
    expect(aid, "/v1/chat/completions", "{\"messages\": [{\"role\": \"user\", \"content\": \"Hi\"}]}");
    expect(aid, "/v1/embeddings", "{\"input\": \"Hi\"}");
    json_t *health = aid_call(aid, "GET", "/health", "", NULL, &status);
    assert_int_equal(status, 503);
    assert_string_equal(text_at(health, NULL, "message"), "the device fell off while computing");
    json_decref(health);
    json_decref(aid_call(aid, "GET", "/v1/models", "", NULL, &status));
    assert_int_equal(status, 200);
    assert_true(aid_idle(aid));
    service_aid_close(aid);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_lost_device_is_told_and_the_server_stays)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

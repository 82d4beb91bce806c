/* service_words.h -- short words for a test that is all about one service: it is `aid`, and of the file that includes this. */
#ifndef SERVICE_WORDS_H
#define SERVICE_WORDS_H

#include <unistd.h>

#include "service_aid.h"
#include "test.h"

static ServiceAid *aid;

static inline int open_aid(void **state)
{
    (void)state;
    Error err = {0};
    if (service_aid_open(&aid, 8, 64, &err) == OK)
        return 0;
    fprintf(stderr, "%s\n", err.text);
    return -1;
}

static inline int close_aid(void **state)
{
    (void)state;
    service_aid_close(aid);
    return 0;
}

static inline json_t *at(json_t *json, const char *path)   /* "choices/0/text" */
{
    char name[64];
    while (*path && json) {
        size_t bytes = strcspn(path, "/");
        snprintf(name, sizeof name, "%.*s", (int)bytes, path);
        json = json_is_array(json) ? json_array_get(json, (size_t)atoi(name)) : json_object_get(json, name);
        path += bytes + (path[bytes] == '/');
    }
    return json;
}

static inline const char *text_at(json_t *json, const char *path)
{
    const char *text = json_string_value(at(json, path));
    if (!text) {
        char *dump = json_dumps(json, JSON_INDENT(1));
        print_error("no text at %s in %s\n", path, dump);
        free(dump);
    }
    assert_non_null(text);
    return text ? text : "";
}

static inline json_t *post(const char *path, const char *body)
{
    int status;
    json_t *answer = aid_post(aid, path, body, &status);
    if (status != 200) {
        char *dump = json_dumps(answer, 0);
        print_error("%s: %d %s\n", body, status, dump);
        free(dump);
    }
    assert_int_equal(status, 200);
    return answer;
}

static inline void refused_get(const char *path, int wanted, const char *param)
{
    int status;
    json_t *answer = aid_call(aid, "GET", path, "", NULL, &status);
    assert_int_equal(status, wanted);
    assert_string_equal(text_at(answer, "error/param"), param);
    json_decref(answer);
}

static inline void refused(const char *path, const char *body, int wanted, const char *param, const char *part)
{
    int status;
    json_t *answer = aid_post(aid, path, body, &status);
    json_t *got = at(answer, "error/param");
    if (status != wanted || !strstr(text_at(answer, "error/message"), part))
        print_error("%.200s: %d %s\n", body, status, text_at(answer, "error/message"));
    assert_int_equal(status, wanted);
    assert_non_null(strstr(text_at(answer, "error/message"), part));
    if (param)
        assert_string_equal(json_is_string(got) ? json_string_value(got) : "null", param);
    json_decref(answer);
}

#endif

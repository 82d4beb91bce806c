/* What batches are made of: forms that carry files, lines, the file of answers, the store of files. */
#include "test.h"

#include <sys/stat.h>
#include <unistd.h>

#include "server/answer_log.h"
#include "server/batch_line.h"
#include "server/file_store.h"
#include "server/multipart.h"

static char directory[64];

static int make_directory(void **state)
{
    (void)state;
    strcpy(directory, "/tmp/ridge-batch-XXXXXX");
    return mkdtemp(directory) ? 0 : -1;
}

static int remove_directory(void **state)
{
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", directory);
    return system(command);
}

static const char *path(const char *name)
{
    static char text[2][128];
    static int turn;
    snprintf(text[turn ^= 1], sizeof text[0], "%s/%s", directory, name);
    return text[turn];
}

static void write_file(const char *name, const char *text)
{
    FILE *f = fopen(path(name), "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, strlen(text), f), strlen(text));
    fclose(f);
}

static int64_t size_of(const char *name)
{
    struct stat info;
    return stat(path(name), &info) == 0 ? info.st_size : -1;
}

/* ---- forms ---- */

#define TYPE "multipart/form-data; boundary=B"
#define PART(name, content) "--B\r\nContent-Disposition: form-data; name=" name "\r\n\r\n" content "\r\n"

static Err read_form(Form *form, const char *type, const char *body, Error *err) { return form_read(form, type, span_text(body), err); }

/* Names with and without quotes, other headers, a preamble, contents with line ends and with what looks like a boundary. */
static void forms_are_read(void **state)
{
    (void)state;
    Form form;
    Error err;
    const char *body = "nobody's\r\n--B\r\nContent-Type: text/plain; x=y\r\ncontent-disposition:form-data; filename=\"a \\\"b\\\".txt\"; "
                       "name=file\r\n\r\none\r\n--\r\ntwo\n--B\r\r\n" PART("\"purpose\"", "") "--B--\r\nnobody's";
    assert_int_equal(read_form(&form, TYPE, body, &err), OK);
    assert_int_equal(form.count, 2);
    assert_true(span_is(form_find(&form, "file")->content, "one\r\n--\r\ntwo\n--B\r"));
    assert_string_equal(form_find(&form, "file")->filename, "a \"b\".txt");
    assert_int_equal(form_find(&form, "purpose")->content.bytes, 0);
    assert_null(form_find(&form, "other"));
    assert_int_equal(read_form(&form, "MULTIPART/form-data;charset=\"x;y\"; Boundary=\"B\"", "--B--", &err), OK);
    assert_int_equal(form.count, 0);
}

static void bad_forms_are_told(void **state)
{
    (void)state;
    static const struct { const char *type, *body, *says; } bad[] = {
        {NULL, "--B--", "Content-Type"},
        {"application/json", "--B--", "Content-Type"},
        {"multipart/form-data", "--B--", "boundary"},
        {"multipart/form-data; boundary=\"B", "--B--", "boundary"},
        {TYPE, "", "does not contain its boundary"},
        {TYPE, "--C--", "does not contain its boundary"},
        {TYPE, "--Bx\r\n", "part 1 of the form: its boundary is not followed"},
        {TYPE, "--B\r\n", "headers have no end"},
        {TYPE, "--B\r\n\r\nx\r\n--B--", "part 1 of the form has no name"},
        {TYPE, PART("a", "x"), "part 1 of the form has no end"},
        {TYPE, PART("a", "x") PART("\"b", "x") "--B--", "part 2 of the form: a name has no end"},
        {TYPE, "--B\r\nContent-Disposition: attachment; name=a\r\n\r\nx\r\n--B--", "is not form-data"},
    };
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        Form form;
        Error err = {0};
        assert_int_not_equal(read_form(&form, bad[i].type, bad[i].body, &err), OK);
        if (!strstr(err.text, bad[i].says))
            assert_string_equal(err.text, bad[i].says);
    }
}

/* ---- lines ---- */

static void lines_are_told_apart(void **state)
{
    (void)state;
    static const struct { const char *line, *code, *custom_id; } cases[] = {
        {"{\"custom_id\":\"a\",\"method\":\"POST\",\"url\":\"/v1/messages\",\"body\":{}}", NULL, "a"},
        {"{", "invalid_json_line", NULL},
        {"[]", "invalid_json_line", NULL},
        {"{\"custom_id\":1}", "invalid_type", NULL},
        {"{\"custom_id\":\"\"}", "invalid_type", NULL},
        {"{\"custom_id\":\"a\\u0000b\"}", "invalid_type", NULL},
        {"{\"custom_id\":\"a\"}", "missing_required_parameter", "a"},
        {"{\"custom_id\":\"a\",\"method\":\"PUT\",\"url\":\"/v1/messages\",\"body\":{}}", "invalid_method", "a"},
        {"{\"custom_id\":\"a\",\"method\":\"POST\",\"url\":\"/metrics\",\"body\":{}}", "invalid_url", "a"},
        {"{\"custom_id\":\"a\",\"method\":\"POST\",\"url\":\"/v1/messages\",\"body\":[]}", "invalid_type", "a"},
        {"{\"custom_id\":\"a\",\"method\":\"POST\",\"url\":\"/v1/messages\",\"body\":{\"stream\":true}}", "invalid_value", "a"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        BatchLine line;
        batch_line_read(&line, span_text(cases[i].line), NULL);
        assert_string_equal(line.bad_code ? line.bad_code : "", cases[i].code ? cases[i].code : "");
        assert_string_equal(line.custom_id ? line.custom_id : "", cases[i].custom_id ? cases[i].custom_id : "");
        batch_line_deinit(&line);
    }
    BatchLine line;
    batch_line_read(&line, span_text(cases[0].line), "/v1/completions");
    assert_string_equal(line.bad_code, "mismatched_url");
    batch_line_deinit(&line);
}

/* Blank lines are counted, so that numbers are those of an editor, but are none. */
static void lines_are_numbered(void **state)
{
    (void)state;
    Span rest = span_text("a\n\n  \r\nb"), line;
    int64_t number = 0;
    assert_true(batch_line_next(&rest, &line, &number) && span_is(line, "a") && number == 1);
    assert_true(batch_line_next(&rest, &line, &number) && span_is(line, "b") && number == 4);
    assert_false(batch_line_next(&rest, &line, &number));
}

/* ---- answers ---- */

static void put(AnswerLog *log, json_t *answer)
{
    Error err;
    assert_non_null(answer);
    assert_int_equal(answer_log_put(log, answer, &err), OK);
    json_decref(answer);
}

/* A log that is opened again knows what it has, and nothing of a line that was torn off. */
static void logs_go_on(void **state)
{
    (void)state;
    AnswerLog log, other;
    Error err;
    assert_int_equal(answer_log_open(&log, path("log"), false, &err), OK);
    put(&log, batch_response("a", 200, "req", json_object()));
    put(&log, batch_response("b", 400, "req", json_object()));
    put(&log, batch_refusal("a", 7, "duplicate_custom_id", NULL, "twice"));
    assert_int_equal(answer_log_open(&other, path("log"), false, &err), IO_FAILED);      /* one writes at a time */
    answer_log_close(&other);
    answer_log_close(&log);
    int64_t whole = size_of("log");
    FILE *f = fopen(path("log"), "ab");
    fputs("{\"id\":\"batch_req_1\",\"custom_id\":\"c\",\"resp", f);
    fclose(f);
    assert_int_equal(answer_log_open(&log, path("log"), false, &err), OK);
    assert_int_equal(size_of("log"), whole);
    assert_int_equal(log.well, 1);
    assert_int_equal(log.badly, 2);
    assert_true(answer_log_has(&log, "a", 1) && answer_log_has(&log, "b", 2) && answer_log_has(&log, NULL, 7));
    assert_false(answer_log_has(&log, "c", 3) || answer_log_has(&log, NULL, 1));
    answer_log_close(&log);
}

/* A file that somebody else wrote stays as it is; one of our own is cut where it is damaged. */
static void others_files_stay(void **state)
{
    (void)state;
    static const char *const texts[] = {"notes\n", "notes", "{\"id\":\"x\"}\n", "{\"a\"", "\n"};
    AnswerLog log;
    Error err;
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        write_file("notes", texts[i]);
        assert_int_equal(answer_log_open(&log, path("notes"), false, &err), BAD_FILE);
        answer_log_close(&log);
        assert_int_equal(size_of("notes"), strlen(texts[i]));
    }
    assert_int_equal(answer_log_open(&log, path("notes"), true, &err), OK);
    assert_int_equal(size_of("notes"), 0);
    answer_log_close(&log);
}

/* ---- files ---- */

static StoredFile add_file(FileStore *s, const char *owner, const char *content)
{
    Error err;
    StoredFile f = {.filename = "in.jsonl", .purpose = "batch"};
    strcpy(f.owner, owner);
    assert_int_equal(file_store_add(s, &f, span_text(content), &err), OK);
    return f;
}

/* Files outlive the store, belong to their owner, and go when they are deleted; remains of a crash are removed. */
static void files_are_kept(void **state)
{
    (void)state;
    FileStore *s;
    Error err;
    StoredFile found, list[4];
    FileMap map;
    bool more;
    assert_int_equal(file_store_open(&s, path("state/files"), &err), OK);
    StoredFile a = add_file(s, "alice", "one"), b = add_file(s, "bob", "two"), c = add_file(s, "alice", "three");
    file_store_close(s);
    write_file("state/files/file-torn", "bytes that nothing tells of");
    write_file("state/files/mine.txt", "not ours");
    assert_int_equal(file_store_open(&s, path("state/files"), &err), OK);
    assert_int_equal(size_of("state/files/file-torn"), -1);
    assert_int_equal(size_of("state/files/mine.txt"), 8);
    assert_false(file_store_find(s, "alice", b.id, &found) || file_store_find(s, "alice", "file-none", &found));
    assert_true(file_store_find(s, "alice", c.id, &found));
    assert_int_equal(found.bytes, 5);
    assert_int_equal(file_store_map(s, &found, &map, &err), OK);
    assert_true(span_is(map.span, "three"));
    file_map_deinit(&map);
    assert_int_equal(file_store_list(s, &(FileQuery){.owner = "alice"}, list, 1, &more), 1);
    assert_true(more);
    assert_int_equal(file_store_list(s, &(FileQuery){.owner = "alice", .after = list[0].id}, list, 4, &more), 1);
    assert_false(more);
    assert_int_equal(file_store_list(s, &(FileQuery){.owner = "alice", .after = "file-none"}, list, 4, &more), 0);
    assert_int_equal(file_store_list(s, &(FileQuery){.owner = "alice", .purpose = "other"}, list, 4, &more), 0);
    assert_false(file_store_delete(s, "bob", a.id));
    assert_true(file_store_delete(s, "alice", a.id));
    assert_false(file_store_find(s, "alice", a.id, &found));
    file_store_close(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(forms_are_read),     cmocka_unit_test(bad_forms_are_told), cmocka_unit_test(lines_are_told_apart),
        cmocka_unit_test(lines_are_numbered), cmocka_unit_test(logs_go_on),         cmocka_unit_test(others_files_stay),
        cmocka_unit_test(files_are_kept),
    };
    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}

/* Checkpoints that can also see hold a language model under other names: it runs as if it were one of its own. */
#include "test.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "model/model_open.h"
#include "store/safetensors_write.h"

enum { TENSORS_MAX = 512 };
#define FIXTURE "tests/fixtures/hf/gemma3_text"

static void must(Err code, const Error *err)
{
    if (code != OK)
        print_error("%s\n", err->text);
    assert_int_equal(code, OK);
}

/* The fixture inside another config, its tensors behind other prefixes, beside a tower that sees. */
static void wrap(const char *folder, const char *body, const char *head)
{
    static SafetensorsItem items[TENSORS_MAX];
    static char names[TENSORS_MAX][STORE_NAME_BYTES_MAX];
    static const float seen[4];
    char path[512];
    Error err = {0};
    Store *s;
    json_t *text;
    size_t count = 0;
    must(store_open(FIXTURE, &s, &err), &err);
    for (; count < store_count(s); count++) {
        const StoreTensor *t = store_at(s, count);
        bool in_body = !strncmp(t->name, "model.", strlen("model."));
        snprintf(names[count], sizeof names[count], "%s%s", in_body ? body : head,
                 in_body ? t->name + strlen("model.") : t->name);
        items[count] = (SafetensorsItem){names[count], t->format, t->dims, {0}, t->bytes.data};
        memcpy(items[count].dim, t->dim, sizeof t->dim);
    }
    items[count++] = (SafetensorsItem){"vision_tower.patch.weight", &format_f32, 1, {4}, seen};
    snprintf(path, sizeof path, "%s/model.safetensors", folder);
    must(safetensors_write(path, items, count, NULL, 0, &err), &err);
    store_free(s);
    must(json_read_file(FIXTURE "/config.json", 1 << 20, &text, &err), &err);
    json_t *whole = json_pack("{s:s, s:o, s:{s:i}, s:i}", "model_type", "gemma3", "text_config", text, "vision_config",
                              "hidden_size", 8, "mm_tokens_per_image", 256);
    snprintf(path, sizeof path, "%s/config.json", folder);
    assert_int_equal(json_dump_file(whole, path, 0), 0);
    json_decref(whole);
}

static void same_as_the_fixture(const char *body, const char *head)
{
    char folder[] = "/tmp/ridge-text-half-XXXXXX", path[512];
    Error err = {0};
    Checkpoint alone, inside;
    Model *a, *b;
    assert_non_null(mkdtemp(folder));
    wrap(folder, body, head);
    must(checkpoint_open(&alone, FIXTURE, &err), &err);
    must(checkpoint_open(&inside, folder, &err), &err);
    must(model_describe(&alone, &a, &err), &err);
    must(model_describe(&inside, &b, &err), &err);
    assert_string_equal(b->shape.family, "gemma3_text");
    assert_true(a->parameters == b->parameters);
    assert_memory_equal(&a->kv, &b->kv, sizeof a->kv);
    assert_int_equal(store_count(alone.store), store_count(inside.store));
    for (size_t i = 0; i < store_count(alone.store); i++) {
        const StoreTensor *t = store_at(alone.store, i), *u = store_find(inside.store, t->name);
        assert_non_null(u);
        assert_int_equal(t->bytes.bytes, u->bytes.bytes);
        assert_memory_equal(t->bytes.data, u->bytes.data, t->bytes.bytes);
    }
    model_close(a);
    model_close(b);
    checkpoint_close(&alone);
    checkpoint_close(&inside);
    snprintf(path, sizeof path, "%s/model.safetensors", folder);
    remove(path);
    snprintf(path, sizeof path, "%s/config.json", folder);
    remove(path);
    rmdir(folder);
}

static void the_text_half_is_a_model_of_its_own(void **state)
{
    (void)state;
    same_as_the_fixture("language_model.model.", "language_model.");
    same_as_the_fixture("model.language_model.", "");
}

static bool all_alike(const char *name, char out[STORE_NAME_BYTES_MAX + 1])
{
    (void)name;
    strcpy(out, "one");
    return true;
}

static void two_tensors_never_get_one_name(void **state)
{
    (void)state;
    Error err = {0};
    Store *s;
    must(store_open(FIXTURE, &s, &err), &err);
    assert_int_equal(store_rename(s, all_alike, &err), BAD_FILE);
    assert_non_null(strstr(err.text, "'one'"));
    store_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_text_half_is_a_model_of_its_own),
        cmocka_unit_test(two_tensors_never_get_one_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* A config that is wrong is refused in words, never approximated and never the end of the program: every value of
 * every carried config, and of those in ../shared, is taken away and replaced by others in turn. */
#include "test.h"

#include <ctype.h>
#include <glob.h>

#include "base/buf.h"
#include "model/model_open.h"

enum { FIXTURES_MAX = 256, PATH_TEXT = 256 };

/* Names of kinds that change nothing of what is computed: who made the file, how it was trained, which kernels a
 * Python program takes. All other names must be understood. */
static const char *const names_without_influence[] = {
    "architectures", "attn_impl", "autocast_kernel_dtype", "chunkwise_kernel", "dtype", "inference_state_dtype",
    "init_device", "init_fn", "mamba_ssm_cache_dtype", "mode", "model_type", "mrope_section", "mtp_layers_block_type",
    "precision",
    "sequence_kernel", "step_kernel", "summary_type", "time_step_init_scheme", "torch_dtype", "transformers_version",
};

typedef struct Fixture {
    char folder[PATH_TEXT];
    Checkpoint checkpoint;      /* its config is the one that is changed and changed back */
    int complaints;
} Fixture;

static Err describe(Fixture *f, Error *err)
{
    Model *m;
    *err = (Error){0};
    Err result = model_describe(&f->checkpoint, &m, err);
    if (result == OK)
        model_close(m);
    return result;
}

static void complain(Fixture *f, const char *path, const char *change, const char *what, const Error *err)
{
    if (f->complaints++ < 20)
        print_error("%s: %s %s: %s%s%s\n", f->folder, path, change, what, err->text[0] ? ": " : "", err->text);
}

/* ---- what an error must say ---- */

static const char *last_part(const char *path)
{
    const char *dot = strrchr(path, '.');
    return dot ? dot + 1 : path;
}

/* Whole numbers in the text that are no part of a name. */
static bool has_two_numbers(const char *text)
{
    long long first = -1;
    for (const char *at = text; *at; at++) {
        bool begins = isdigit((unsigned char)*at) && (at == text || !(isalnum((unsigned char)at[-1]) || strchr("._-/", at[-1])));
        if (!begins)
            continue;
        long long n = atoll(at);
        if (first >= 0 && n != first)
            return true;
        first = n;
        at += strspn(at, "0123456789") - 1;
    }
    return false;
}

static void key_of(const char *path, char key[PATH_TEXT])
{
    snprintf(key, PATH_TEXT, "%s", last_part(path));
    key[strcspn(key, "[")] = 0;
}

/* The key itself, or one that it lies in. */
static bool names_key(const char *path, const char *text)
{
    char part[PATH_TEXT];
    for (const char *at = path; *at; at += strcspn(at, "."), at += *at == '.') {
        snprintf(part, sizeof part, "%.*s", (int)strcspn(at, ".["), at);
        if (strstr(text, part))
            return true;
    }
    return false;
}

/* A tensor, a layer, a key, or the value that was put in its place. */
static bool names_what(const Fixture *f, const char *path, const char *change, const char *text)
{
    const char *value = change + strcspn(change, "=") + 2 * (strchr(change, '=') != NULL);
    if (strstr(text, "tensor '") || strstr(text, "layer ") || names_key(path, text) || (*value && strstr(text, value)))
        return true;
    const char *other;
    json_t *any;
    json_object_foreach(f->checkpoint.config, other, any)
        if (strstr(text, other))
            return true;
    return false;
}

/* The first says nothing where the second is there. */
static const char *const overruled[][2] = {{"attention_types", "attention_layers"},
                                           {"vocab_size", "embedding_size"},
                                           {"hybrid_layer_ids", "layers_block_type"},
                                           {"num_hidden_layers", "num_layers"}};
/* What a family has in its config and does not look at: where nothing turns, and where transformers does neither. */
static const char *const unread[][2] = {{"falcon_alibi", "rope_parameters"},
                                        {"granitemoehybrid", "rope_parameters"},
                                        {"nemotron_h", "time_step_limit"}};

static bool has_influence(const Fixture *f, const char *path)
{
    char key[PATH_TEXT];
    key_of(path, key);
    for (size_t i = 0; i < COUNT_OF(names_without_influence); i++)
        if (!strcmp(key, names_without_influence[i]))
            return false;
    for (size_t i = 0; i < COUNT_OF(overruled); i++)
        if (!strcmp(key, overruled[i][0]) && json_object_get(f->checkpoint.config, overruled[i][1]))
            return false;
    for (size_t i = 0; i < COUNT_OF(unread); i++)
        if (!strcmp(strrchr(f->folder, '/') + 1, unread[i][0]) && !strncmp(path, unread[i][1], strlen(unread[i][1])))
            return false;
    return true;
}

static void judge(Fixture *f, const char *path, const char *change, bool unknown_name)
{
    Error err;
    Err result = describe(f, &err);
    if (result == OK && unknown_name && has_influence(f, path))
        complain(f, path, change, "an unknown name is not refused", &err);
    if (result == OK)
        return;
    if (!strstr(err.text, f->folder))
        complain(f, path, change, "the file is not named", &err);
    if (!names_what(f, path, change, err.text))
        complain(f, path, change, "no key, layer, tensor or value is named", &err);
    if (unknown_name && !strstr(err.text, "surprise") && !names_key(path, err.text))
        complain(f, path, change, "the unknown name is not told", &err);
    if (strstr(err.text, "tensor '") && !strstr(err.text, "is missing") && !strstr(err.text, "is not one that")
        && !has_two_numbers(err.text))
        complain(f, path, change, "the two numbers are not told", &err);
}

/* ---- every value of a config, in turn ---- */

typedef struct Site {
    json_t *parent;
    const char *key;            /* NULL: an array's */
    size_t index;
    char path[PATH_TEXT];
} Site;

static void put(const Site *s, json_t *value)
{
    if (s->key)
        json_object_set_new(s->parent, s->key, value);
    else
        json_array_set_new(s->parent, s->index, value);
}

static void try_value(Fixture *f, const Site *s, const char *change, json_t *value, bool unknown_name)
{
    put(s, value);
    judge(f, s->path, change, unknown_name);
}

static void change_value(Fixture *f, const Site *s, json_t *kept)
{
    static const double reals[] = {-1e300, 1e300, 0.5, -0.25, 1e-30};
    static const json_int_t integers[] = {0, -1, 1, 2, 7, INT32_MAX, INT32_MIN, INT64_MAX, INT64_MIN};
    char text[64];
    for (size_t i = 0; i < COUNT_OF(integers); i++) {
        snprintf(text, sizeof text, "= %lld", (long long)integers[i]);
        try_value(f, s, text, json_integer(integers[i]), false);
    }
    for (size_t i = 0; i < COUNT_OF(reals); i++) {
        snprintf(text, sizeof text, "= %g", reals[i]);
        try_value(f, s, text, json_real(reals[i]), false);
    }
    for (int by = -1; by <= 1 && json_is_integer(kept); by += 2) {
        snprintf(text, sizeof text, "= %lld", (long long)json_integer_value(kept) + by);
        try_value(f, s, text, json_integer(json_integer_value(kept) + by), false);
    }
    try_value(f, s, "= null", json_null(), false);
    try_value(f, s, "= true", json_true(), false);
    try_value(f, s, "= false", json_false(), false);
    try_value(f, s, "= []", json_array(), false);
    try_value(f, s, "= {}", json_object(), false);
    try_value(f, s, "= [[1], {}]", json_pack("[[i], {}]", 1), false);
    bool is_name = json_is_string(kept) || json_is_object(kept) || json_is_array(kept);
    try_value(f, s, "= surprise", json_string("surprise"), is_name);
    try_value(f, s, "= ''", json_string(""), false);
    if (s->key) {
        json_object_del(s->parent, s->key);
        judge(f, s->path, "taken away", false);
    }
}

static void change_all(Fixture *f, json_t *value, const char *path);

static void change_site(Fixture *f, Site *s, json_t *value)
{
    json_incref(value);
    change_value(f, s, value);
    put(s, json_incref(value));
    if (json_is_object(value) || json_is_array(value))
        change_all(f, value, s->path);
    json_decref(value);
}

static void change_all(Fixture *f, json_t *value, const char *path)
{
    if (json_is_object(value)) {
        const char *key;
        json_t *keys = json_array(), *child;
        size_t i;
        json_object_foreach(value, key, child)
            json_array_append_new(keys, json_string(key));
        json_array_foreach(keys, i, child)
        {
            Site s = {.parent = value, .key = json_string_value(child)};
            snprintf(s.path, sizeof s.path, "%s%s%s", path, path[0] ? "." : "", s.key);
            change_site(f, &s, json_object_get(value, s.key));
        }
        json_decref(keys);
    } else {
        size_t n = json_array_size(value), ends[] = {0, n - 1};
        for (size_t i = 0; i < (n < 2 ? n : 2); i++) {
            Site s = {.parent = value, .index = ends[i]};
            snprintf(s.path, sizeof s.path, "%s[%zu]", path, ends[i]);
            change_site(f, &s, json_array_get(value, ends[i]));
        }
    }
}

static void each_value_of_a_config_is_understood_or_refused_by_name(Fixture *f)
{
    json_t *original = json_deep_copy(f->checkpoint.config);
    Error err;
    if (describe(f, &err) != OK)
        complain(f, "config.json", "as it is", "is refused", &err);
    change_all(f, f->checkpoint.config, "");
    assert_true(json_equal(original, f->checkpoint.config));
    json_decref(original);
}

/* ---- shapes that contradict each other ---- */

/* What a change must bring: a refusal, and with two numbers if some tensor is then of another size. */
static void change_size(Fixture *f, const char *key, bool contradicts)
{
    json_t *kept = json_object_get(f->checkpoint.config, key);
    if (!json_is_integer(kept) || !has_influence(f, key))
        return;
    json_incref(kept);
    for (int by = -2; by <= 2; by++) {
        Error err;
        if (by == 0)
            continue;
        json_object_set_new(f->checkpoint.config, key, json_integer(json_integer_value(kept) + by));
        if (describe(f, &err) == OK)
            complain(f, key, "changed", "is not refused", &err);
        else if (contradicts && !has_two_numbers(err.text))
            complain(f, key, "changed", "the two numbers are not told", &err);
    }
    json_object_set_new(f->checkpoint.config, key, kept);
}

/* Whatever the family, these say how large its tensors are, or how many there are. */
static void a_size_that_contradicts_the_tensors_is_refused_with_both_numbers(Fixture *f)
{
    static const char *const sizes[] = {"hidden_size", "n_embd", "d_model", "word_embed_proj_dim", "vocab_size", "embedding_size"};
    static const char *const layers[] = {"num_hidden_layers", "n_layer", "n_layers", "num_layers"};
    for (size_t i = 0; i < COUNT_OF(sizes); i++)
        change_size(f, sizes[i], true);
    for (size_t i = 0; i < COUNT_OF(layers); i++)
        change_size(f, layers[i], false);
}

/* ---- tensors ---- */

typedef void ChangeTensor(json_t *header, const char *name);

static void rename_tensor(json_t *header, const char *name)
{
    char other[300];
    snprintf(other, sizeof other, "%s.unheard_of", name);
    json_object_set(header, other, json_object_get(header, name));
    json_object_del(header, name);
}

/* [rows, width] becomes [rows / 2, 2 width]: as many numbers, in another order. */
static void reshape_tensor(json_t *header, const char *name)
{
    json_t *shape = json_object_get(json_object_get(header, name), "shape");
    size_t n = json_array_size(shape);
    json_int_t rows = json_integer_value(json_array_get(shape, n - 2)), width = json_integer_value(json_array_get(shape, n - 1));
    json_array_set_new(shape, n - 2, json_integer(rows / 2));
    json_array_set_new(shape, n - 1, json_integer(width * 2));
}

/* Biases and the like are vectors in whatever shape they have: only how many numbers they are is looked at. */
static bool is_matrix(const StoreTensor *t)
{
    size_t bytes = strlen(t->name);
    bool vector = (bytes > 4 && !strcmp(t->name + bytes - 4, "bias")) || (bytes > 2 && !strcmp(t->name + bytes - 2, ".D"));
    return t->dims == 2 && t->dim[0] % 2 == 0 && t->dim[1] > 1 && !vector;
}

/* The model.safetensors of the fixture with another header. */
static Err describe_changed(Fixture *f, ChangeTensor *change, const char *name, Error *err)
{
    Span file = store_file(f->checkpoint.store, 0)->bytes;
    uint64_t header_bytes;
    json_t *header;
    memcpy(&header_bytes, file.data, sizeof header_bytes);
    assert_int_equal(json_read(span_of(file.data + 8, header_bytes), 1 << 26, "header", &header, err), OK);
    change(header, name);
    char *text = json_dumps(header, JSON_COMPACT), path[PATH_TEXT + 32];
    uint64_t bytes = strlen(text);
    Buf changed;
    buf_init(&changed, 1 << 28);
    buf_put(&changed, &bytes, sizeof bytes);
    buf_put(&changed, text, bytes);
    buf_put_span(&changed, span_from(file, 8 + header_bytes));
    assert_false(changed.full);
    snprintf(path, sizeof path, "%s/model.safetensors", f->folder);
    Checkpoint kept = f->checkpoint;
    Err result = store_open_bytes(buf_span(&changed), path, &f->checkpoint.store, err);
    assert_int_equal(result, OK);
    f->checkpoint.keys.store = f->checkpoint.store;
    result = describe(f, err);
    store_free(f->checkpoint.store);
    f->checkpoint = kept;
    buf_deinit(&changed);
    free(text);
    json_decref(header);
    return result;
}

static void a_tensor_of_another_name_or_shape_is_refused_by_its_name(Fixture *f)
{
    size_t count = store_count(f->checkpoint.store), step = count / 12 + 1;
    for (size_t i = 0; i < count; i += step) {
        const StoreTensor *t = store_at(f->checkpoint.store, i);
        Error err;
        if (describe_changed(f, rename_tensor, t->name, &err) == OK)
            complain(f, t->name, "renamed", "is not refused", &err);
        else if (!strstr(err.text, "tensor '") || !strstr(err.text, f->folder))
            complain(f, t->name, "renamed", "file or tensor are not told", &err);
        if (!is_matrix(t))
            continue;
        if (describe_changed(f, reshape_tensor, t->name, &err) == OK)
            complain(f, t->name, "in another shape", "is not refused", &err);
        else if (!strstr(err.text, t->name) || !strstr(err.text, f->folder) || !has_two_numbers(err.text))
            complain(f, t->name, "in another shape", "file, tensor or the numbers are not told", &err);
    }
}

/* ---- the fixtures ---- */

static void for_all(void (*check)(Fixture *), int *known, int *complaints)
{
    glob_t found;
    char shared[PATH_TEXT];
    const char *path = shared_path("fixtures/hf/README.md");
    assert_int_equal(glob("tests/fixtures/hf/*/config.json", 0, NULL, &found), 0);
    if (path) {
        snprintf(shared, sizeof shared, "%.*s*/config.json", (int)(strrchr(path, '/') + 1 - path), path);
        glob(shared, GLOB_APPEND, NULL, &found);
    }
    *known = *complaints = 0;
    for (size_t i = 0; i < found.gl_pathc; i++) {
        Fixture f = {.complaints = 0};
        Error err;
        snprintf(f.folder, sizeof f.folder, "%.*s", (int)(strrchr(found.gl_pathv[i], '/') - found.gl_pathv[i]),
                 found.gl_pathv[i]);
        assert_int_equal(checkpoint_open(&f.checkpoint, f.folder, &err), OK);
        if (arch_find(f.checkpoint.keys.family)) {
            check(&f);
            ++*known;
        }
        checkpoint_close(&f.checkpoint);
        *complaints += f.complaints;
    }
    globfree(&found);
}

static void no_value_of_a_config_is_passed_over_or_ends_the_program(void **state)
{
    (void)state;
    int known, complaints;
    for_all(each_value_of_a_config_is_understood_or_refused_by_name, &known, &complaints);
    assert_true(known >= 8);
    assert_int_equal(complaints, 0);
}

static void sizes_that_contradict_the_tensors_are_refused(void **state)
{
    (void)state;
    int known, complaints;
    for_all(a_size_that_contradicts_the_tensors_is_refused_with_both_numbers, &known, &complaints);
    assert_int_equal(complaints, 0);
}

static void tensors_of_other_names_and_shapes_are_refused(void **state)
{
    (void)state;
    int known, complaints;
    for_all(a_tensor_of_another_name_or_shape_is_refused_by_its_name, &known, &complaints);
    assert_int_equal(complaints, 0);
}

static void an_unknown_family_is_told_its_nearest_known_ones(void **state)
{
    (void)state;
    static const struct { const char *name, *nearest; } cases[] = {
        {"lama", "llama"},       {"LLaMA", "llama"},      {"mistrall", "mistral"},  {"qwen4", "qwen3"},
        {"gemma5", "gemma3"},      {"deepseek_v4", "deepseek_v3"}, {"mamba3", "mamba2"}, {"phi4", "phi3"},
    };
    int tried = 0;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char nearest[256];
        if (!arch_find(cases[i].nearest))
            continue;
        arch_nearest(cases[i].name, nearest, sizeof nearest);
        if (!strstr(nearest, cases[i].nearest))
            print_error("%s: the nearest are said to be %s\n", cases[i].name, nearest);
        assert_non_null(strstr(nearest, cases[i].nearest));
        tried++;
    }
    assert_true(tried >= 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_unknown_family_is_told_its_nearest_known_ones),
        cmocka_unit_test(no_value_of_a_config_is_passed_over_or_ends_the_program),
        cmocka_unit_test(sizes_that_contradict_the_tensors_are_refused),
        cmocka_unit_test(tensors_of_other_names_and_shapes_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Safetensors files, and directories of them: nothing that they say is believed unchecked. */
#include "test.h"

#include <glob.h>
#include <sys/stat.h>

#include "store_files.h"

#define TENSOR(name, dtype, shape, begin, end)                                                     \
    "\"" name "\": {\"dtype\": \"" dtype "\", \"shape\": " shape ", \"data_offsets\": [" #begin    \
    ", " #end "]}"

static const char good[] =
    "{\"__metadata__\": {\"format\": \"pt\"}, "
    TENSOR("b.weight", "BF16", "[3, 2]", 16, 28) ", " TENSOR("a", "F32", "[4]", 0, 16) ", "
    TENSOR("mask", "BOOL", "[2, 1]", 28, 30) ", " TENSOR("ids", "I64", "[1]", 30, 38) ", "
    TENSOR("none", "F16", "[0, 7]", 30, 30) ", " TENSOR("one", "U8", "[]", 38, 39) "}  ";

static void a_file_is_read_in_the_order_of_its_bytes(void **state)
{
    (void)state;
    Buf file = safetensors_file(good, 39);
    Store *s;
    Error err;
    assert_int_equal(store_open_bytes(buf_span(&file), "a.safetensors", &s, &err), OK);
    static const char *const order[] = {"a", "b.weight", "mask", "none", "ids", "one"};
    assert_int_equal(store_count(s), COUNT_OF(order));
    for (size_t i = 0; i < COUNT_OF(order); i++)
        assert_string_equal(store_at(s, i)->name, order[i]);
    const StoreTensor *t = store_find(s, "b.weight");
    assert_true(t->dims == 2 && t->dim[0] == 3 && t->dim[1] == 2 && t->bytes.bytes == 12);
    assert_int_equal(t->bytes.data[0], 16);
    assert_string_equal(t->format->name, "BF16");
    assert_string_equal(store_find(s, "mask")->format->name, "BOOL");
    assert_int_equal(store_find(s, "one")->dims, 0);
    assert_int_equal(store_tensor_elems(store_find(s, "one")), 1);
    assert_int_equal(store_tensor_elems(store_find(s, "none")), 0);
    assert_string_equal(store_text(s, "format"), "pt");
    assert_null(store_text(s, "absent"));
    assert_null(store_gguf(s));
    store_free(s);
    buf_deinit(&file);
}

static void every_dtype_has_its_size(void **state)
{
    (void)state;
    static const struct { const char *dtype; int bytes; } cases[] = {
        {"F64", 8}, {"F32", 4}, {"F16", 2}, {"BF16", 2}, {"I64", 8}, {"I32", 4},  {"I16", 2},
        {"I8", 1},  {"U64", 8}, {"U32", 4}, {"U16", 2},  {"U8", 1},  {"BOOL", 1}, {"F8_E8M0", 1},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char header[128];
        snprintf(header, sizeof header,
                 "{\"x\":{\"dtype\":\"%s\",\"shape\":[3],\"data_offsets\":[0,%d]}}", cases[i].dtype,
                 3 * cases[i].bytes);
        Buf file = safetensors_file(header, (size_t)(3 * cases[i].bytes));
        assert_true(opens_or_refuses(file.data, file.bytes));
        buf_deinit(&file);
    }
}

typedef struct BadHeader {
    const char *header;
    size_t data_bytes;
    const char *words;
} BadHeader;

static void a_header_that_contradicts_itself_or_the_file_is_named(void **state)
{
    (void)state;
    static const BadHeader cases[] = {
        {"", 0, "does not begin with '{'"},
        {"[]", 0, "does not begin with '{'"},
        {"{", 0, "it ends here"},
        {"{}x", 0, "the end expected"},
        {"{,}", 0, "a name in quotes"},
        {"{\"a\"}", 0, "':' expected"},
        {"{\"a\": {}}", 0, "tensor 'a': 'dtype' is missing"},
        {"{\"a\": [[[[]]]]}", 0, "tensor 'a': 'dtype' is missing"},
        {"{\"a\": {\"dtype\": \"F32\", \"dtype\": \"F16\"}}", 0, "duplicate"},
        {"{" TENSOR("a", "F99", "[1]", 0, 4) "}", 4, "tensor 'a': has dtype 'F99'"},
        {"{" TENSOR("a", "Q8_0", "[32]", 0, 34) "}", 34, "tensor 'a': has dtype 'Q8_0'"},
        {"{" TENSOR("a", "F32", "[2]", 0, 4) "}", 4,
         "tensor 'a': has 4 bytes, but its dimensions and type (F32) ask for 8"},
        {"{" TENSOR("a", "F32", "[1]", 0, 4) "}", 3, "tensor 'a': ends at byte"},
        {"{" TENSOR("a", "F32", "[1]", 0, 4) "}", 5, "nothing behind its tensors"},
        {"{" TENSOR("a", "F32", "[1]", 4, 8) "}", 8, "has no holes"},
        {"{" TENSOR("a", "F32", "[1]", 4, 0) "}", 8, "ends before that"},
        {"{" TENSOR("a", "F32", "[1]", 0, 4) "," TENSOR("b", "F32", "[1]", 2, 6) "}", 6,
         "must not overlap"},
        {"{" TENSOR("a", "F32", "[1]", 0, 4) "," TENSOR("b", "F32", "[1]", 0, 4) "}", 4,
         "must not overlap"},
        {"{" TENSOR("a", "F32", "[1]", 0, 4) "," TENSOR("b", "F32", "[1]", 8, 12) "}", 12,
         "has no holes"},
        {"{" TENSOR("a", "F32", "[1]", 0, 4) "," TENSOR("a", "F32", "[1]", 4, 8) "}", 8,
         "of this name is also in"},
        {"{" TENSOR("a", "F32", "[4611686018427387904, 4]", 0, 4) "}", 4, "a dimension of"},
        {"{" TENSOR("a", "F32", "[4611686018427387904]", 0, 4) "}", 4, "larger than any file"},
        {"{" TENSOR("a", "F32", "[4611686018427387904, 0]", 0, 4) "}", 4, "has 4 bytes"},
        {"{" TENSOR("a", "F32", "[99999999999999999999]", 0, 4) "}", 4, "too big integer"},
        {"{" TENSOR("a", "F32", "[-1]", 0, 4) "}", 4, "number 1 of 'shape'"},
        {"{" TENSOR("a", "F32", "[1.0]", 0, 4) "}", 4, "number 1 of 'shape'"},
        {"{" TENSOR("a", "F32", "[1,1,1,1,1,1,1,1,1]", 0, 4) "}", 4, "has 9 dimensions"},
        {"{" TENSOR("a", "F32", "3", 0, 4) "}", 4, "'shape' is missing"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0]}}", 4, "'data_offsets'"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[-4,0]}}", 4, "'data_offsets'"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[9223372036854775804,"
         "9223372036854775807]}}",
         4, "has 3 bytes"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":[9223372036854775804,"
         "9223372036854775807]}}",
         4, "ends at byte 9,223,372"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[9,9]}}", 4, "ends at byte"},
        {"{" TENSOR("a\\n", "F32", "[1]", 0, 4) "}", 4, "control character"},
        {"{" TENSOR("a\\u0000", "F32", "[1]", 0, 4) "}", 4, "\\u0000"},
        {"{" TENSOR("", "F32", "[1]", 0, 4) "}", 4, "name has 0 bytes"},
        {"{\"__metadata__\": []}", 0, "is no object"},
        {"{\"__metadata__\": {\"a\": 1}}", 0, "'a' of '__metadata__' is no string"},
        {"{\"__metadata__\": {}, \"__metadata__\": {}}", 0, "'__metadata__' twice"},
        {"{}", 1, "no tensors, but 1 bytes"},
        {"{\"a\xFF\": {}}", 0, "unable to decode byte 0xff"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        assert_refused(safetensors_file(cases[i].header, cases[i].data_bytes), cases[i].words);
}

static void a_length_of_header_that_cannot_be_is_refused(void **state)
{
    (void)state;
    static const struct { uint64_t bytes; const char *words; } cases[] = {
        {100000001, "at most 100,000,000"},
        {UINT64_MAX, "at most 100,000,000"},
        {100000000, "the header ends at byte"},
        {3, "the header ends at byte 11, but the file has 10"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        Buf file = safetensors_file("{}", 0);
        memcpy(file.data, &cases[i].bytes, 8);
        assert_refused(file, cases[i].words);
    }
    Buf empty;
    buf_init(&empty, 8);
    assert_refused(empty, "has 0 bytes");
}

/* A header may be 100 MB: what it may not do is become gigabytes. */
static void a_large_header_of_nothing_but_brackets_is_refused_early(void **state)
{
    (void)state;
    Buf header;
    buf_init(&header, 1 << 25);
    buf_put_text(&header, "{\"a\": [");
    for (int i = 0; i < 5000000; i++)
        buf_put_text(&header, "[],");
    buf_put_text(&header, "[]]}");
    assert_refused(safetensors_file(header.data, 0), "a value of more than 65,536 bytes");
    buf_clear(&header);
    buf_put_text(&header, "{\"a\": ");
    for (int i = 0; i < 3000; i++)
        buf_put_char(&header, '[');
    assert_refused(safetensors_file(header.data, 0), "maximum parsing depth");
    buf_deinit(&header);
}

static void a_file_cut_short_anywhere_is_refused(void **state)
{
    (void)state;
    Buf file = safetensors_file(good, 39);
    for (size_t bytes = 0; bytes < file.bytes; bytes++)
        assert_false(opens_or_refuses(file.data, bytes));
    buf_deinit(&file);
}

static void any_flipped_bit_gives_a_sound_model_or_words(void **state)
{
    (void)state;
    Buf file = safetensors_file(good, 39);
    int opened = 0;
    for (size_t bit = 0; bit < 8 * file.bytes; bit++) {
        file.data[bit / 8] ^= (char)(1 << bit % 8);
        opened += opens_or_refuses(file.data, file.bytes);
        file.data[bit / 8] ^= (char)(1 << bit % 8);
    }
    assert_true(opened > 0 && opened < (int)(8 * file.bytes));
    buf_deinit(&file);
}

/* ---- directories ---- */

static Buf one_tensor(const char *name)
{
    char header[256];
    snprintf(header, sizeof header,
             "{\"%s\": {\"dtype\": \"F32\", \"shape\": [1], \"data_offsets\": [0, 4]}}", name);
    return safetensors_file(header, 4);
}

#define INDEX(a, b)                                                                                \
    "{\"metadata\": {\"total_size\": 8}, \"weight_map\": {\"a\": \"" a "\", \"b\": \"" b "\"}}"

static void shards_are_opened_through_their_index(void **state)
{
    (void)state;
    char directory[64];
    temporary_directory(directory);
    write_file(directory, "m-1.safetensors", one_tensor("a"));
    Store *single = assert_opens(directory);
    assert_int_equal(store_count(single), 1);
    store_free(single);
    write_file(directory, "m-2.safetensors", one_tensor("b"));
    assert_open_fails(directory, BAD_ARGUMENT, "holds 'm-1.safetensors' and 'm-2.safetensors'");
    const char *index = write_file(directory, "model.safetensors.index.json",
                                   text_file(INDEX("m-1.safetensors", "m-2.safetensors")));
    for (int i = 0; i < 2; i++) {
        Store *s = assert_opens(i ? index : directory);
        assert_int_equal(store_count(s), 2);
        assert_int_equal(store_file_count(s), 2);
        assert_non_null(strstr(store_find(s, "b")->file->path, "m-2.safetensors"));
        store_free(s);
    }
    remove_directory(directory);
}

static void an_index_that_lies_is_refused(void **state)
{
    (void)state;
    static const struct { const char *index; Err code; const char *words; } cases[] = {
        {INDEX("m-1.safetensors", "m-3.safetensors"), NOT_FOUND,
         "names the file 'm-3.safetensors', which is missing"},
        {INDEX("m-1.safetensors", "../m-2.safetensors"), BAD_FILE, "outside of the directory"},
        {INDEX("m-1.safetensors", "x/../../m-2.safetensors"), BAD_FILE, "outside of the directory"},
        {INDEX("m-1.safetensors", ".."), BAD_FILE, "outside of the directory"},
        {INDEX("m-1.safetensors", "/etc/passwd"), BAD_FILE, "outside of the directory"},
        {INDEX("m-1.safetensors", ""), BAD_FILE, "outside of the directory"},
        {INDEX("m-1.safetensors", "m-1.safetensors"), NOT_FOUND,
         "tensor 'b' should be in 'm-1.safetensors', but is not there"},
        {INDEX("m-2.safetensors", "m-1.safetensors"), BAD_FILE,
         "tensor 'a' should be in 'm-2.safetensors', but is in"},
        {INDEX("m-1.safetensors", "copy.safetensors"), BAD_FILE, "of this name is also in"},
        {"{\"weight_map\": {\"a\": 1}}", BAD_FILE, "the file of tensor 'a' is no string"},
        {"{\"weight_map\": []}", BAD_FILE, "'{' expected"},
        {"{\"weight_map\": {}, \"weight_map\": {}}", BAD_FILE, "twice"},
        {"{}", BAD_FILE, "no 'weight_map'"},
        {"", BAD_FILE, "it ends here"},
    };
    char directory[64];
    temporary_directory(directory);
    write_file(directory, "m-1.safetensors", one_tensor("a"));
    write_file(directory, "m-2.safetensors", one_tensor("b"));
    write_file(directory, "copy.safetensors", one_tensor("a"));
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        write_file(directory, "model.safetensors.index.json", text_file(cases[i].index));
        assert_open_fails(directory, cases[i].code, cases[i].words);
    }
    remove_directory(directory);
}

static void what_is_no_model_is_said_to_be_none(void **state)
{
    (void)state;
    char directory[64], path[128];
    temporary_directory(directory);
    assert_open_fails(directory, NOT_FOUND, "holds no weights");
    snprintf(path, sizeof path, "%s/absent.gguf", directory);
    assert_open_fails(path, NOT_FOUND, "No such file");
    assert_open_fails(write_file(directory, "empty.gguf", text_file("")), BAD_FILE,
                      "does not begin with 'GGUF'");
    assert_open_fails(write_file(directory, "empty.safetensors", text_file("")), BAD_FILE,
                      "has 0 bytes");
    snprintf(path, sizeof path, "%s/model.safetensors", directory);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_open_fails(directory, BAD_FILE, "is not a regular file");
    remove_directory(directory);
}

static void real_checkpoints_open(void **state)
{
    (void)state;
    static const char *const patterns[] = {"fixtures/hf/README.md", "models/README.md"};
    for (size_t i = 0; i < COUNT_OF(patterns); i++) {
        const char *readme = shared_path(patterns[i]);
        if (!readme)
            continue;
        char pattern[512];
        snprintf(pattern, sizeof pattern, "%.*s*/model.safetensors",
                 (int)(strlen(readme) - strlen("README.md")), readme);
        glob_t found;
        assert_int_equal(glob(pattern, 0, NULL, &found), 0);
        for (size_t j = 0; j < found.gl_pathc; j++) {
            *strrchr(found.gl_pathv[j], '/') = 0;   /* the directory, as a person names it */
            Store *s = assert_opens(found.gl_pathv[j]);
            assert_true(store_count(s) > 0);
            store_free(s);
        }
        globfree(&found);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_is_read_in_the_order_of_its_bytes),
        cmocka_unit_test(every_dtype_has_its_size),
        cmocka_unit_test(a_header_that_contradicts_itself_or_the_file_is_named),
        cmocka_unit_test(a_length_of_header_that_cannot_be_is_refused),
        cmocka_unit_test(a_large_header_of_nothing_but_brackets_is_refused_early),
        cmocka_unit_test(a_file_cut_short_anywhere_is_refused),
        cmocka_unit_test(any_flipped_bit_gives_a_sound_model_or_words),
        cmocka_unit_test(shards_are_opened_through_their_index),
        cmocka_unit_test(an_index_that_lies_is_refused),
        cmocka_unit_test(what_is_no_model_is_said_to_be_none),
        cmocka_unit_test(real_checkpoints_open),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* GGUF files: a good one is read as it is written, and nothing that a bad one says is believed. */
#include "test.h"

#include <math.h>
#include <time.h>

#include "store_files.h"

/* ---- good files ---- */

static void every_type_of_value_is_read_and_converted_only_where_it_fits(void **state)
{
    (void)state;
    GgufDraft d = draft_new();
    draft_key(&d, "u8", GGUF_U8), buf_put_char(&d.head, (char)200);
    draft_key(&d, "i8", GGUF_I8), buf_put_char(&d.head, -3);
    draft_u16(&d, "u16", 65535);
    draft_key(&d, "i16", GGUF_I16), buf_put(&d.head, &(int16_t){-300}, 2);
    draft_u32(&d, "u32", 4000000000u);
    draft_key(&d, "i32", GGUF_I32), buf_put(&d.head, &(int32_t){-70000}, 4);
    draft_key(&d, "f32", GGUF_F32), buf_put(&d.head, &(float){0.5f}, 4);
    draft_key(&d, "bool", GGUF_BOOL), buf_put_char(&d.head, 1);
    draft_text(&d, "text", "caf\xC3\xA9");
    draft_key(&d, "u64", GGUF_U64), put_u64(&d.head, UINT64_MAX);
    draft_key(&d, "i64", GGUF_I64), put_u64(&d.head, (uint64_t)INT64_MIN);
    draft_key(&d, "f64", GGUF_F64), buf_put(&d.head, &(double){-1e300}, 8);
    Buf file = draft_file(&d);
    Store *s;
    assert_int_equal(store_open_bytes(buf_span(&file), "vocabulary.gguf", &s, NULL), OK);
    const Gguf *g = store_gguf(s);
    assert_int_equal(store_count(s), 0);
    assert_int_equal(gguf_count(g), 12);

    uint64_t u = 0;
    int64_t i = 0;
    double x = 0;
    bool b = false;
    Span text;
    Error err;
    assert_true(gguf_u64(g, "u8", &u, &err) == OK && u == 200);
    assert_true(gguf_u64(g, "u16", &u, &err) == OK && u == 65535);
    assert_true(gguf_u64(g, "u32", &u, &err) == OK && u == 4000000000u);
    assert_true(gguf_u64(g, "u64", &u, &err) == OK && u == UINT64_MAX);
    assert_true(gguf_i64(g, "i8", &i, &err) == OK && i == -3);
    assert_true(gguf_i64(g, "i16", &i, &err) == OK && i == -300);
    assert_true(gguf_i64(g, "i32", &i, &err) == OK && i == -70000);
    assert_true(gguf_i64(g, "i64", &i, &err) == OK && i == INT64_MIN);
    assert_true(gguf_f64(g, "f32", &x, &err) == OK && x == 0.5);
    assert_true(gguf_f64(g, "f64", &x, &err) == OK && x == -1e300);
    assert_true(gguf_f64(g, "i32", &x, &err) == OK && x == -70000);
    assert_true(gguf_bool(g, "bool", &b, &err) == OK && b);
    assert_true(gguf_string(g, "text", &text, &err) == OK && span_is(text, "caf\xC3\xA9"));

    assert_int_equal(gguf_u64(g, "absent", &u, &err), NOT_FOUND);
    assert_string_equal(err.text, "vocabulary.gguf: the key 'absent' is missing");
    assert_int_equal(gguf_u64(g, "i32", &u, &err), BAD_FILE);
    assert_non_null(strstr(err.text, "'i32' is -70,000"));
    assert_int_equal(gguf_i64(g, "u64", &i, &err), BAD_FILE);
    assert_int_equal(gguf_u64(g, "text", &u, &err), BAD_FILE);
    assert_non_null(strstr(err.text, "'text' is of type string"));
    assert_int_equal(gguf_u64(g, "f32", &u, &err), BAD_FILE);
    assert_int_equal(gguf_bool(g, "u8", &b, &err), BAD_FILE);
    assert_int_equal(gguf_string(g, "u8", &text, &err), BAD_FILE);
    assert_false(gguf_has(g, "absent"));
    assert_true(gguf_has(g, "bool"));
    store_free(s);
    buf_deinit(&file);
}

static void draft_array(GgufDraft *d, const char *key, uint32_t type, uint64_t count)
{
    draft_key(d, key, GGUF_ARRAY);
    put_u32(&d->head, type);
    put_u64(&d->head, count);
}

static void arrays_give_their_elements_and_know_their_type(void **state)
{
    (void)state;
    GgufDraft d = draft_new();
    draft_array(&d, "strings", GGUF_STRING, 3);
    put_string(&d.head, "a"), put_string(&d.head, ""), put_string(&d.head, "ccc");
    draft_array(&d, "i32s", GGUF_I32, 2);
    put_u32(&d.head, (uint32_t)-5), put_u32(&d.head, 7);
    draft_array(&d, "f32s", GGUF_F32, 1);
    buf_put(&d.head, &(float){INFINITY}, 4);
    draft_array(&d, "nested", GGUF_ARRAY, 2);
    put_u32(&d.head, GGUF_U8), put_u64(&d.head, 1), buf_put_char(&d.head, 9);
    put_u32(&d.head, GGUF_STRING), put_u64(&d.head, 1), put_string(&d.head, "x");
    draft_array(&d, "empty", GGUF_STRING, 0);
    draft_u32(&d, "last", 1);
    Buf file = draft_file(&d);
    Store *s;
    Error err;
    assert_int_equal(store_open_bytes(buf_span(&file), "a.gguf", &s, &err), OK);
    const Gguf *g = store_gguf(s);

    GgufArray a;
    Span text[3];
    assert_int_equal(gguf_strings(g, "strings", &a, &err), OK);
    Reader r = {a.bytes, 0};
    for (int i = 0; i < 3; i++)
        assert_true(gguf_next_string(&r, &text[i]));
    assert_false(gguf_next_string(&r, &text[0]));
    assert_true(a.count == 3 && span_is(text[1], "") && span_is(text[2], "ccc"));
    assert_int_equal(gguf_integers(g, "i32s", &a, &err), OK);
    assert_true(a.count == 2 && gguf_array_i64(&a, 0) == -5 && gguf_array_i64(&a, 1) == 7);
    assert_int_equal(gguf_floats(g, "i32s", &a, &err), OK);
    assert_true(gguf_array_f64(&a, 0) == -5);
    assert_int_equal(gguf_floats(g, "f32s", &a, &err), OK);
    assert_true(isinf(gguf_array_f64(&a, 0)));
    assert_int_equal(gguf_strings(g, "empty", &a, &err), OK);
    assert_int_equal(a.count, 0);
    assert_int_equal(gguf_integers(g, "f32s", &a, &err), BAD_FILE);
    assert_non_null(strstr(err.text, "'f32s' is an array of f32"));
    assert_int_equal(gguf_strings(g, "nested", &a, &err), BAD_FILE);
    assert_int_equal(gguf_strings(g, "last", &a, &err), BAD_FILE);
    assert_int_equal(gguf_strings(g, "none", &a, &err), NOT_FOUND);
    store_free(s);
    buf_deinit(&file);
}

static GgufDraft small_model(void)
{
    GgufDraft d = draft_new();
    draft_u32(&d, "general.alignment", 32);
    draft_text(&d, "general.architecture", "llama");
    draft_tensor(&d, "output.weight", 4, 3);
    draft_tensor(&d, "output_norm.weight", 5, 1);
    return d;
}

static void tensors_come_outermost_dimension_first_with_their_bytes(void **state)
{
    (void)state;
    GgufDraft d = small_model();
    Buf file = draft_file(&d);
    Store *s;
    assert_int_equal(store_open_bytes(buf_span(&file), "a.gguf", &s, NULL), OK);
    assert_int_equal(store_count(s), 2);
    const StoreTensor *t = store_find(s, "output.weight");
    assert_non_null(t);
    assert_ptr_equal(t, store_at(s, 0));
    assert_ptr_equal(t->format, &format_f32);
    assert_true(t->dims == 2 && t->dim[0] == 3 && t->dim[1] == 4);
    assert_true(store_tensor_width(t) == 4 && store_tensor_elems(t) == 12);
    assert_int_equal(t->bytes.bytes, 48);
    assert_int_equal(t->offset % 32, 0);
    float last;
    memcpy(&last, t->bytes.data + 44, sizeof last);
    assert_true(last == 11);
    assert_null(store_find(s, "output.bias"));
    assert_string_equal(store_at(s, 1)->name, "output_norm.weight");
    store_free(s);
    buf_deinit(&file);
}

static void a_vocabulary_of_256k_strings_opens_fast(void **state)
{
    (void)state;
    GgufDraft d = draft_new();
    draft_array(&d, "tokenizer.ggml.tokens", GGUF_STRING, 256000);
    for (int i = 0; i < 256000; i++) {
        char token[16];
        snprintf(token, sizeof token, "token%d", i);
        put_string(&d.head, token);
    }
    Buf file = draft_file(&d);
    struct timespec begin, end;
    Store *s;
    double best = 1;
    for (int turn = 0; turn < 5; turn++) {   /* the machine may be busy: the best counts */
        clock_gettime(CLOCK_MONOTONIC, &begin);
        assert_int_equal(store_open_bytes(buf_span(&file), "a.gguf", &s, NULL), OK);
        clock_gettime(CLOCK_MONOTONIC, &end);
        store_free(s);
        best = fmin(best, (double)(end.tv_sec - begin.tv_sec) +
                              1e-9 * (double)(end.tv_nsec - begin.tv_nsec));
    }
    assert_true(best < 0.03);
    buf_deinit(&file);
}

/* ---- bad files ---- */

static void a_file_cut_short_anywhere_is_refused(void **state)
{
    (void)state;
    GgufDraft d = small_model();
    Buf file = draft_file(&d);
    for (size_t bytes = 0; bytes < file.bytes; bytes++)
        assert_false(opens_or_refuses(file.data, bytes));
    assert_true(opens_or_refuses(file.data, file.bytes));
    buf_deinit(&file);
}

static void any_flipped_bit_gives_a_sound_model_or_words(void **state)
{
    (void)state;
    GgufDraft d = small_model();
    draft_array(&d, "a", GGUF_ARRAY, 1);
    put_u32(&d.head, GGUF_STRING), put_u64(&d.head, 1), put_string(&d.head, "x");
    Buf file = draft_file(&d);
    int opened = 0;
    for (size_t bit = 0; bit < 8 * file.bytes; bit++) {
        file.data[bit / 8] ^= (char)(1 << bit % 8);
        opened += opens_or_refuses(file.data, file.bytes);
        file.data[bit / 8] ^= (char)(1 << bit % 8);
    }
    assert_true(opened > 0 && opened < (int)(8 * file.bytes));
    buf_deinit(&file);
}

static void versions_that_cannot_be_read_are_named(void **state)
{
    (void)state;
    static const struct { uint32_t version; const char *words; } cases[] = {
        {1, "version 1"}, {0x03000000, "big-endian"}, {4, "version 4"}, {0, "version 0"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        GgufDraft d = small_model();
        d.version = cases[i].version;
        assert_refused(draft_file(&d), cases[i].words);
    }
    GgufDraft d = small_model();
    d.version = 2;
    Buf file = draft_file(&d);
    assert_true(opens_or_refuses(file.data, file.bytes));
    buf_deinit(&file);
}

typedef struct BadTensor {
    const char *name;
    uint32_t dims;
    uint64_t dim[5];
    uint32_t type;
    uint64_t offset;
    const char *words;
} BadTensor;

static void a_tensor_that_contradicts_the_file_is_named(void **state)
{
    (void)state;
    static const BadTensor cases[] = {
        {"x", 2, {4, 1000}, 0, 64, "tensor 'x': ends at byte"},
        {"x", 2, {1ull << 62, 1}, 0, 64, "'x': its 4,611,686,018,427,387,904 elements"},
        {"x", 2, {1ull << 62, 1ull << 62}, 0, 64, "'x': a dimension of 4,611,686,018,427,387,904"},
        {"x", 1, {UINT64_MAX}, 0, 64, "'x': a dimension of 18,446,744,073,709,551,615"},
        {"x", 4, {1 << 16, 1 << 16, 1 << 16, 1 << 16}, 0, 64, "'x': a dimension"},
        {"x", 1, {4}, 0, 65, "no multiple of the alignment 32"},
        {"x", 1, {4}, 0, UINT64_MAX - 31, "'x': ends at byte 18,446,744,073,709,551,615"},
        {"x", 1, {4}, 0, 1ull << 40, "'x': ends at byte 1,099,511,"},
        {"x", 1, {4}, 0, 32, "must not overlap"},
        {"x", 1, {4}, 777, 64, "type 777"},
        {"x", 1, {4}, UINT32_MAX, 64, "type 4294967295"},
        {"x", 5, {1, 1, 1, 1, 1}, 0, 64, "has 5 dimensions"},
        {"x", 1, {33}, 8, 64, "'x': its rows have 33 elements, but Q8_0 comes in blocks of 32"},
        {"output.weight", 1, {4}, 0, 64, "also in broken.file"},
        {"", 1, {4}, 0, 64, "name has 0 bytes"},
        {"a\nb", 1, {4}, 0, 64, "control character 0x0A"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        const BadTensor *c = &cases[i];
        GgufDraft d = draft_new();
        draft_tensor(&d, "output.weight", 4, 4);
        draft_info(&d, c->name, c->dims, c->dim, c->type, c->offset);
        pad(&d.data, 128);
        assert_refused(draft_file(&d), c->words);
    }
}

static void counts_that_the_file_cannot_hold_are_refused_before_any_memory_is_taken(void **state)
{
    (void)state;
    static const uint64_t counts[] = {3, 1000, 1 << 20, UINT32_MAX, 1ull << 62, UINT64_MAX};
    for (size_t i = 0; i < COUNT_OF(counts); i++) {
        GgufDraft d = small_model();
        d.keys = counts[i];
        assert_refused(draft_file(&d), "");
        d = small_model();
        d.tensors = counts[i];
        assert_refused(draft_file(&d), "");
        d = draft_new();
        draft_array(&d, "a", GGUF_U64, counts[i]);
        assert_refused(draft_file(&d), "key 'a'");
        d = draft_new();
        draft_array(&d, "a", GGUF_STRING, counts[i]);
        assert_refused(draft_file(&d), "key 'a'");
        d = draft_new();
        draft_key(&d, "a", GGUF_STRING);
        put_u64(&d.head, counts[i]);
        assert_refused(draft_file(&d), "key 'a'");
    }
}

static void keys_that_make_no_sense_are_named(void **state)
{
    (void)state;
    GgufDraft d = draft_new();
    draft_u32(&d, "twice", 1), draft_u32(&d, "twice", 2);
    assert_refused(draft_file(&d), "'twice' twice");
    d = draft_new();
    draft_key(&d, "odd", 13), put_u64(&d.head, 0);
    assert_refused(draft_file(&d), "type 13");
    d = draft_new();
    draft_u32(&d, "", 1);
    assert_refused(draft_file(&d), "0 bytes");
    d = draft_new();
    draft_u32(&d, "a\x1b[2J", 1);
    assert_refused(draft_file(&d), "0x1B");
    static const uint32_t alignments[] = {0, 3, 24, 1u << 31};
    for (size_t i = 0; i < COUNT_OF(alignments); i++) {
        d = draft_new();
        draft_u32(&d, "general.alignment", alignments[i]);
        assert_refused(draft_file(&d), "general.alignment");
    }
    d = draft_new();
    draft_text(&d, "general.alignment", "32");
    assert_refused(draft_file(&d), "general.alignment");
}

static void arrays_within_arrays_stop_at_their_limit(void **state)
{
    (void)state;
    for (int depth = 1; depth < 10000; depth *= 3) {
        GgufDraft d = draft_new();
        draft_key(&d, "deep", GGUF_ARRAY);
        for (int i = 1; i < depth; i++)
            put_u32(&d.head, GGUF_ARRAY), put_u64(&d.head, 1);
        put_u32(&d.head, GGUF_U8), put_u64(&d.head, 0);
        if (depth > GGUF_ARRAY_DEPTH_MAX) {
            assert_refused(draft_file(&d), "arrays within arrays");
            continue;
        }
        Buf file = draft_file(&d);
        assert_true(opens_or_refuses(file.data, file.bytes));
        buf_deinit(&file);
    }
}

/* ---- split files ---- */

static Buf part_of(int part, int parts, int tensors_said, const char *tensor)
{
    GgufDraft d = draft_new();
    if (part == 0)
        draft_text(&d, "general.architecture", "llama");
    draft_u16(&d, "split.no", (uint16_t)part);
    draft_u16(&d, "split.count", (uint16_t)parts);
    draft_key(&d, "split.tensors.count", GGUF_I32);
    put_u32(&d.head, (uint32_t)tensors_said);
    draft_tensor(&d, tensor, 4, 4);
    return draft_file(&d);
}

static void a_split_model_opens_whole_from_any_of_its_parts(void **state)
{
    (void)state;
    char directory[64];
    temporary_directory(directory);
    const char *path[4] = {directory};
    path[1] = write_file(directory, "m-00001-of-00003.gguf", part_of(0, 3, 3, "a"));
    path[2] = write_file(directory, "m-00002-of-00003.gguf", part_of(1, 3, 3, "b"));
    path[3] = write_file(directory, "m-00003-of-00003.gguf", part_of(2, 3, 3, "c"));
    for (int i = 0; i < 4; i++) {
        Store *s = assert_opens(path[i]);
        assert_int_equal(store_count(s), 3);
        assert_int_equal(store_file_count(s), 3);
        assert_string_equal(store_at(s, 0)->name, "a");
        assert_string_equal(store_find(s, "c")->file->path, path[3]);
        assert_true(gguf_has(store_gguf(s), "general.architecture"));
        store_free(s);
    }
    unlink(path[2]);
    assert_open_fails(path[3], NOT_FOUND, "m-00002-of-00003.gguf: part 2 of 3 is missing");
    write_file(directory, "m-00002-of-00003.gguf", part_of(2, 3, 3, "b"));
    assert_open_fails(path[1], BAD_FILE, "says that it is part 3 of 3");
    write_file(directory, "m-00002-of-00003.gguf", part_of(1, 3, 3, "a"));
    assert_open_fails(path[1], BAD_FILE,
                      "m-00002-of-00003.gguf: tensor 'a': a tensor of this name is also in");
    for (int i = 0; i < 3; i++) {
        static const char *const names[] = {"a", "b", "c"};
        char name[32];
        snprintf(name, sizeof name, "n-%05d-of-00003.gguf", i + 1);
        write_file(directory, name, part_of(i, 3, 4, names[i]));
    }
    assert_open_fails(directory, BAD_ARGUMENT, "name the file");
    char moved[128];
    snprintf(moved, sizeof moved, "%s/n-00001-of-00003.gguf", directory);
    assert_open_fails(moved, BAD_FILE, "3 tensors together, but split.tensors.count says 4");
    snprintf(moved, sizeof moved, "%s/renamed.gguf", directory);
    assert_int_equal(rename(path[1], moved), 0);
    assert_open_fails(moved, BAD_FILE, "does not end in '-00001-of-00003.gguf'");
    remove_directory(directory);
}

/* ---- real files ---- */

static void real_files_open(void **state)
{
    (void)state;
    static const struct { const char *path; uint64_t tokens; } cases[] = {
        {"gguf/draft-IQ4_XS.gguf", 0},
        {"gguf/draft-Q2_K.gguf", 0},
        {"gguf/draft-Q4_0.gguf", 0},
        {"gguf/draft-Q4_K_M.gguf", 0},
        {"gguf/draft-Q6_K.gguf", 0},
        {"gguf/draft-Q8_0.gguf", 0},
        {"tokenizers/ggml-vocab-gpt-2.gguf", 50257},
        {"tokenizers/ggml-vocab-llama-spm.gguf", 32000},
        {"tokenizers/ggml-vocab-falcon.gguf", 65024},
        {"tokenizers/ggml-vocab-starcoder.gguf", 49152},
        {"tokenizers/ggml-vocab-deepseek-coder.gguf", 32256},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char name[128];
        snprintf(name, sizeof name, "fixtures/%s", cases[i].path);
        const char *path = shared_path(name);
        if (!path)
            continue;
        Store *s = assert_opens(path);
        GgufArray tokens;
        assert_int_equal(gguf_strings(store_gguf(s), "tokenizer.ggml.tokens", &tokens, NULL), OK);
        if (cases[i].tokens)
            assert_int_equal(tokens.count, cases[i].tokens);
        else
            assert_int_equal(store_find(s, "token_embd.weight")->dim[0], tokens.count);
        store_free(s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_type_of_value_is_read_and_converted_only_where_it_fits),
        cmocka_unit_test(arrays_give_their_elements_and_know_their_type),
        cmocka_unit_test(tensors_come_outermost_dimension_first_with_their_bytes),
        cmocka_unit_test(a_vocabulary_of_256k_strings_opens_fast),
        cmocka_unit_test(a_file_cut_short_anywhere_is_refused),
        cmocka_unit_test(any_flipped_bit_gives_a_sound_model_or_words),
        cmocka_unit_test(versions_that_cannot_be_read_are_named),
        cmocka_unit_test(a_tensor_that_contradicts_the_file_is_named),
        cmocka_unit_test(counts_that_the_file_cannot_hold_are_refused_before_any_memory_is_taken),
        cmocka_unit_test(keys_that_make_no_sense_are_named),
        cmocka_unit_test(arrays_within_arrays_stop_at_their_limit),
        cmocka_unit_test(a_split_model_opens_whole_from_any_of_its_parts),
        cmocka_unit_test(real_files_open),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

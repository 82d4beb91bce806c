/* What ridge writes it can read, within others' limits; a full disk costs only the attempt. */
#include "test.h"

#include <dirent.h>
#include <math.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "base/file_out.h"
#include "store/gguf_write.h"
#include "store/safetensors_write.h"
#include "store/store_check.h"
#include "store_files.h"

static char directory[64];

static const char *in_directory(const char *name)
{
    static char path[128];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    return path;
}

static int files_in_directory(void)
{
    int n = 0;
    DIR *d = opendir(directory);
    for (struct dirent *e; (e = readdir(d));)
        n += e->d_name[0] != '.';
    closedir(d);
    return n;
}

/* ---- GGUF ---- */

/* Tensor t is filled with t + 1 + index, one value at a time: pieces are put together as well. */
static Err fill_count(void *context, size_t tensor, FileOut *out, Error *err)
{
    const size_t *elems = context;
    for (size_t i = 0; i < elems[tensor]; i++) {
        float x = (float)(tensor + 1 + i);
        TRY(file_out_put(out, &x, sizeof x, err));
    }
    return OK;
}

static GgufWriter *writer_of_all_types(uint32_t alignment)
{
    GgufWriter *w = gguf_writer_new();
    static const int16_t shorts[] = {-1, 2, -3};
    const Span strings[] = {span_text("a"), span_text(""), span_text("\xF0\x9F\x98\x80")};
    if (alignment)
        gguf_put_u32(w, "general.alignment", alignment);
    gguf_put_text(w, "text", "hello");
    gguf_put_i32(w, "i32", -5);
    gguf_put_u64(w, "u64", UINT64_MAX);
    gguf_put_f32(w, "f32", 0.25f);
    gguf_put_bool(w, "yes", true);
    gguf_put(w, "f64", GGUF_F64, &(double){1e-300});
    gguf_put(w, "i8", GGUF_I8, &(int8_t){-8});
    gguf_put_array(w, "shorts", GGUF_I16, shorts, 3);
    gguf_put_strings(w, "strings", strings, 3);
    gguf_put_tensor(w, "matrix", &format_f32, 2, (int64_t[]){3, 5});
    gguf_put_tensor(w, "vector", &format_f32, 1, (int64_t[]){7});
    return w;
}

static const size_t all_types_elems[] = {15, 7};

static void check_all_types(const char *path, uint32_t alignment)
{
    Store *s = assert_opens(path);
    const Gguf *g = store_gguf(s);
    uint64_t u;
    int64_t i;
    double x;
    bool b;
    Span text;
    GgufArray a;
    assert_int_equal(gguf_version(g), 3);
    assert_true(gguf_string(g, "text", &text, NULL) == OK && span_is(text, "hello"));
    assert_true(gguf_i64(g, "i32", &i, NULL) == OK && i == -5);
    assert_true(gguf_u64(g, "u64", &u, NULL) == OK && u == UINT64_MAX);
    assert_true(gguf_f64(g, "f32", &x, NULL) == OK && x == 0.25);
    assert_true(gguf_bool(g, "yes", &b, NULL) == OK && b);
    assert_true(gguf_f64(g, "f64", &x, NULL) == OK && x == 1e-300);
    assert_true(gguf_i64(g, "i8", &i, NULL) == OK && i == -8);
    assert_true(gguf_integers(g, "shorts", &a, NULL) == OK && a.count == 3 &&
                gguf_array_i64(&a, 2) == -3);
    assert_true(gguf_strings(g, "strings", &a, NULL) == OK && a.count == 3);
    for (size_t t = 0; t < 2; t++) {
        const StoreTensor *tensor = store_at(s, t);
        assert_int_equal(tensor->offset % alignment, 0);
        for (size_t e = 0; e < all_types_elems[t]; e++) {
            float value;
            memcpy(&value, tensor->bytes.data + e * sizeof value, sizeof value);
            assert_true(value == (float)(t + 1 + e));
        }
    }
    const StoreTensor *matrix = store_find(s, "matrix");
    assert_true(matrix->dims == 2 && matrix->dim[0] == 3 && matrix->dim[1] == 5);
    assert_int_equal(store_file(s, 0)->bytes.bytes % alignment, 0);
    store_free(s);
}

static void a_written_gguf_is_read_back(void **state)
{
    (void)state;
    static const uint32_t alignments[] = {0, 64, 4096};
    for (size_t n = 0; n < COUNT_OF(alignments); n++) {
        GgufWriter *w = writer_of_all_types(alignments[n]);
        const char *path = in_directory("all.gguf");
        assert_int_equal(gguf_write(w, path, fill_count, (void *)all_types_elems, NULL), OK);
        gguf_writer_free(w);
        check_all_types(path, alignments[n] ? alignments[n] : 32);
    }
}

static void metadata_is_copied_from_file_to_file_whatever_its_type(void **state)
{
    (void)state;
    const char *from = shared_path("fixtures/tokenizers/ggml-vocab-falcon.gguf");
    if (!from)
        return;
    Store *s = assert_opens(from);
    const Gguf *g = store_gguf(s);
    GgufWriter *w = gguf_writer_new();
    for (size_t i = 0; i < gguf_count(g); i++) {
        GgufEntry e = gguf_at(g, i);
        gguf_put_entry(w, &e);
    }
    const char *to = in_directory("copy.gguf");
    Error err;
    assert_int_equal(gguf_write(w, to, fill_count, NULL, &err), OK);
    Store *copy = assert_opens(to);
    assert_int_equal(gguf_count(store_gguf(copy)), gguf_count(g));
    for (size_t i = 0; i < gguf_count(g); i++) {
        GgufEntry a = gguf_at(g, i), b = gguf_at(store_gguf(copy), i);
        assert_true(a.type == b.type && span_equal(a.key, b.key) && span_equal(a.value, b.value));
    }
    gguf_writer_free(w);
    store_free(copy);
    store_free(s);
}

static void assert_write_fails(GgufWriter *w, const char *words)
{
    Error err = {0};
    static const size_t elems[] = {4, 4, 4};
    int before = files_in_directory();
    Err result = gguf_write(w, in_directory("wrong.gguf"), fill_count, (void *)elems, &err);
    if (result == OK || !strstr(err.text, words))
        print_error("wanted '%s', got: %s\n", words, err.text);
    assert_int_not_equal(result, OK);
    assert_non_null(strstr(err.text, words));
    assert_non_null(strstr(err.text, "wrong.gguf"));
    assert_int_equal(files_in_directory(), before);
    gguf_writer_free(w);
}

static void what_no_reader_would_take_is_not_written(void **state)
{
    (void)state;
    const Format *q8_0 = format_of_gguf(8);
    static const Format nameless = {.name = "A8", .gguf_id = -1, .block_elems = 1, .block_bytes = 1};
    GgufWriter *w = gguf_writer_new();
    gguf_put_u32(w, "a", 1), gguf_put_u32(w, "a", 2);
    assert_write_fails(w, "key 'a' is given twice");
    w = gguf_writer_new();
    gguf_put_u32(w, "general.alignment", 12);
    assert_write_fails(w, "general.alignment");
    w = gguf_writer_new();
    gguf_put_tensor(w, "t", &format_f32, 1, (int64_t[]){4});
    gguf_put_tensor(w, "t", &format_f32, 1, (int64_t[]){4});
    assert_write_fails(w, "tensor 't' is given twice");
    w = gguf_writer_new();
    gguf_put_tensor(w, "t", q8_0, 2, (int64_t[]){32, 33});
    assert_write_fails(w, "rows of 33 elements");
    w = gguf_writer_new();
    gguf_put_tensor(w, "t", &nameless, 1, (int64_t[]){4});
    assert_write_fails(w, "no number for");
    w = gguf_writer_new();
    gguf_put_tensor(w, "t", &format_f32, 2, (int64_t[]){1ll << 62, 1ll << 62});
    assert_write_fails(w, "larger than any file");
    w = gguf_writer_new();
    gguf_put_tensor(w, "a.name.of.sixty.four.bytes.which.is.one.more.than.ggml.has.room.",
                    &format_f32, 1, (int64_t[]){4});
    assert_write_fails(w, "1 to 63 bytes");
    w = gguf_writer_new();
    gguf_put_tensor(w, "t", &format_f32, 1, (int64_t[]){5});
    assert_write_fails(w, "was given 16 bytes, but its dimensions and type ask for 20");
}

/* ---- safetensors ---- */

static void a_written_safetensors_is_read_back(void **state)
{
    (void)state;
    static const float logits[6] = {1, -2, 3.5f, 0, 1e30f, -1e-30f};
    static const int32_t ids[3] = {1, 2, 3};
    const SafetensorsItem items[] = {
        {"logits", &format_f32, 2, {2, 3}, logits},
        {"a \"quoted\" \xC3\xA9 name", &format_i32, 1, {3}, ids},
        {"empty", &format_f32, 1, {0}, NULL},
    };
    const SafetensorsText texts[] = {{"format", "pt"}, {"note", "two\nlines"}};
    const char *path = in_directory("out.safetensors");
    assert_int_equal(safetensors_write(path, items, 3, texts, 2, NULL), OK);
    Store *s = assert_opens(path);
    assert_string_equal(store_text(s, "note"), "two\nlines");
    const StoreTensor *t = store_find(s, "logits");
    assert_true(t->dims == 2 && t->dim[0] == 2 && t->dim[1] == 3 && t->offset % 8 == 0);
    assert_memory_equal(t->bytes.data, logits, sizeof logits);
    assert_memory_equal(store_find(s, items[1].name)->bytes.data, ids, sizeof ids);
    assert_non_null(store_find(s, "empty"));
    store_free(s);

    const SafetensorsItem twice[] = {items[0], items[0]};
    Error err;
    assert_int_equal(safetensors_write(path, twice, 2, NULL, 0, &err), BAD_ARGUMENT);
    assert_non_null(strstr(err.text, "out.safetensors: tensor 'logits': its name is taken"));
    const SafetensorsItem blocks = {"q", format_of_gguf(8), 1, {32}, logits};
    assert_int_equal(safetensors_write(path, &blocks, 1, NULL, 0, &err), UNSUPPORTED);
    assert_non_null(strstr(err.text, "Q8_0"));
}

/* ---- what the disk may do ---- */

static Err fill_much(void *context, size_t tensor, FileOut *out, Error *err)
{
    (void)context, (void)tensor;
    return file_out_zeros(out, 4 << 20, err);
}

/* A limit on the size of files stands for the full disk: write() fails half-way just as then. */
static void a_full_disk_leaves_the_old_file_and_nothing_else(void **state)
{
    (void)state;
    const char *path = in_directory("model.gguf");
    write_file(directory, "model.gguf", text_file("the old one"));
    int before = files_in_directory();
    signal(SIGXFSZ, SIG_IGN);
    struct rlimit old, small;
    getrlimit(RLIMIT_FSIZE, &old);
    small = old;
    small.rlim_cur = 1 << 20;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    GgufWriter *w = gguf_writer_new();
    gguf_put_tensor(w, "t", &format_f32, 1, (int64_t[]){1 << 20});
    Error err;
    Err result = gguf_write(w, path, fill_much, NULL, &err);
    setrlimit(RLIMIT_FSIZE, &old);
    gguf_writer_free(w);

    assert_int_equal(result, IO_FAILED);
    assert_non_null(strstr(err.text, "model.gguf: File too large, after 1,048,576 bytes"));
    assert_non_null(strstr(err.text, "nothing was changed"));
    assert_int_equal(files_in_directory(), before);
    char kept[16] = {0};
    FILE *f = fopen(path, "rb");
    assert_int_equal(fread(kept, 1, sizeof kept, f), 11);
    fclose(f);
    assert_string_equal(kept, "the old one");
}

static void only_regular_files_are_replaced(void **state)
{
    (void)state;
    FileOut *out;
    Error err;
    assert_int_equal(file_out_new("/dev/null", &out, &err), BAD_ARGUMENT);
    assert_int_equal(file_out_new(directory, &out, &err), BAD_ARGUMENT);
    assert_int_equal(file_out_new(in_directory("no/such/place"), &out, &err), NOT_FOUND);
    assert_non_null(strstr(err.text, "no/such/place: cannot be written"));
    assert_int_equal(file_out_new(in_directory("new"), &out, &err), OK);
    file_out_drop(out);
    assert_int_equal(access(in_directory("new"), F_OK), -1);
}

/* ---- ridge check ---- */

typedef struct Notes {
    char text[4096];
    int warnings;
} Notes;

static void keep_note(void *context, const StoreNote *note)
{
    Notes *n = context;
    strncat(n->text, note->text, sizeof n->text - strlen(n->text) - 2);
    strcat(n->text, "\n");
    n->warnings += note->warning;
}

static void a_check_tells_what_is_odd_about_the_numbers(void **state)
{
    (void)state;
    static const float wild[6] = {1, INFINITY, 3, NAN, -INFINITY, 0}, zeros[4];
    const SafetensorsItem items[] = {
        {"wild", &format_f32, 2, {2, 3}, wild},
        {"zeros", &format_f32, 2, {2, 2}, zeros},
        {"bias", &format_f32, 1, {4}, zeros},
    };
    const char *path = in_directory("odd.safetensors");
    assert_int_equal(safetensors_write(path, items, 3, NULL, 0, NULL), OK);
    Notes notes = {0};
    Error err;
    assert_int_equal(store_check(path, keep_note, &notes, &err), OK);
    assert_int_equal(notes.warnings, 2);
    assert_non_null(strstr(notes.text, "tensor 'wild': 3 of 6 values are infinite or no number, "
                                       "the first at index 1"));
    assert_non_null(strstr(notes.text, "tensor 'zeros': all 4 values are zero"));
    assert_non_null(strstr(notes.text, "3 tensors of 56 bytes"));

    GgufDraft d = draft_new();
    draft_tensor(&d, "a", 4, 4);
    put_u64(&d.data, 1);
    pad(&d.data, 256);
    draft_tensor(&d, "b", 4, 4);
    pad(&d.data, 1024);
    path = write_file(directory, "holes.gguf", draft_file(&d));
    notes = (Notes){0};
    assert_int_equal(store_check(path, keep_note, &notes, &err), OK);
    assert_int_equal(notes.warnings, 2);
    assert_non_null(strstr(notes.text, "192 bytes from byte"));
    assert_non_null(strstr(notes.text, "704 bytes from byte"));
    assert_int_equal(store_check(in_directory("absent"), keep_note, &notes, &err), NOT_FOUND);
}

static void real_files_pass_the_check(void **state)
{
    (void)state;
    static const char *const names[] = {
        "fixtures/gguf/draft-Q8_0.gguf",          "fixtures/gguf/draft-Q2_K.gguf",
        "fixtures/gguf/draft-IQ4_XS.gguf",        "fixtures/hf/mamba2/model.safetensors",
        "fixtures/hf/qwen3/expected.safetensors", "models/draft/model.safetensors",
    };
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        const char *path = shared_path(names[i]);
        Notes notes = {0};
        Error err = {0};
        if (!path)
            continue;
        assert_int_equal(store_check(path, keep_note, &notes, &err), OK);
        assert_non_null(strstr(notes.text, " tensors of "));
        if (notes.warnings)
            print_error("%s: %s", path, notes.text);
        assert_int_equal(notes.warnings, 0);
    }
}

static int make_directory(void **state)
{
    (void)state;
    temporary_directory(directory);
    return 0;
}

static int drop_directory(void **state)
{
    (void)state;
    remove_directory(directory);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_written_gguf_is_read_back),
        cmocka_unit_test(metadata_is_copied_from_file_to_file_whatever_its_type),
        cmocka_unit_test(what_no_reader_would_take_is_not_written),
        cmocka_unit_test(a_written_safetensors_is_read_back),
        cmocka_unit_test(a_full_disk_leaves_the_old_file_and_nothing_else),
        cmocka_unit_test(only_regular_files_are_replaced),
        cmocka_unit_test(a_check_tells_what_is_odd_about_the_numbers),
        cmocka_unit_test(real_files_pass_the_check),
    };
    return cmocka_run_group_tests(tests, make_directory, drop_directory);
}

/* ridge convert keeps what it is given: each weight in its place, each key, and the old file when it fails. */
#include <dirent.h>
#include <math.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/prng.h"
#include "model/decoder.h"
#include "model/model_open.h"
#include "store/safetensors_write.h"
#include "test.h"
#include "tools/convert.h"

/* A checkpoint whose numbers all differ, so that a dimension taken for another is seen. */
enum { D = 64, F = 96, L = 2, N = 4, K = 2, H = 32, V = 100, TENSORS_MAX = 40 };
static const char config[] =
    "{\"model_type\": \"llama\", \"hidden_size\": 64, \"intermediate_size\": 96, \"num_hidden_layers\": 2,"
    " \"num_attention_heads\": 4, \"num_key_value_heads\": 2, \"head_dim\": 32, \"vocab_size\": 100,"
    " \"rms_norm_eps\": 1e-5, \"max_position_embeddings\": 512, \"attention_bias\": true, \"tie_word_embeddings\": false,"
    " \"rope_parameters\": {\"rope_type\": \"llama3\", \"rope_theta\": 10000.0, \"factor\": 8.0, \"low_freq_factor\": 1.0,"
    " \"high_freq_factor\": 4.0, \"original_max_position_embeddings\": 64}}";

static const struct {
    const char *hf, *gguf; /* behind "model.layers.%d." and "blk.%d." */
    int rows, width, heads; /* heads: of the rows that a GGUF pairs up */
} layer_tensors[] = {
    {"input_layernorm.weight", "attn_norm.weight", 0, D, 0},
    {"self_attn.q_proj.weight", "attn_q.weight", N *H, D, N},
    {"self_attn.k_proj.weight", "attn_k.weight", K *H, D, K},
    {"self_attn.v_proj.weight", "attn_v.weight", K *H, D, 0},
    {"self_attn.o_proj.weight", "attn_output.weight", D, N *H, 0},
    {"self_attn.q_proj.bias", "attn_q.bias", 0, N *H, N},
    {"self_attn.k_proj.bias", "attn_k.bias", 0, K *H, K},
    {"self_attn.v_proj.bias", "attn_v.bias", 0, K *H, 0},
    {"self_attn.o_proj.bias", "attn_output.bias", 0, D, 0},
    {"post_attention_layernorm.weight", "ffn_norm.weight", 0, D, 0},
    {"mlp.gate_proj.weight", "ffn_gate.weight", F, D, 0},
    {"mlp.up_proj.weight", "ffn_up.weight", F, D, 0},
    {"mlp.down_proj.weight", "ffn_down.weight", D, F, 0},
};

typedef struct Source { /* a tensor of the checkpoint */
    char hf[96], gguf[64];
    int rows, width, heads;
    float *values;
} Source;

static char directory[64];
static Source sources[TENSORS_MAX];
static int source_count;

static const char *in_directory(const char *name)
{
    static char path[4][512];
    static int turn;
    char *out = path[turn++ & 3];
    snprintf(out, sizeof path[0], "%s/%s", directory, name);
    return out;
}

static Source *add_source(int rows, int width, int heads)
{
    static PrngStream stream;
    Source *s = &sources[source_count++];
    int elems = (rows ? rows : 1) * width;
    *s = (Source){.rows = rows, .width = width, .heads = heads, .values = malloc((size_t)elems * sizeof(float))};
    for (int i = 0; i < elems; i++)
        s->values[i] = (float)(stream_unit(&stream) - 0.5);
    return s;
}

static void add_sources(void)
{
    static const struct {
        const char *hf, *gguf;
        int rows;
    } others[] = {{"model.embed_tokens.weight", "token_embd.weight", V}, {"model.norm.weight", "output_norm.weight", 0},
                  {"lm_head.weight", "output.weight", V}};
    for (size_t i = 0; i < COUNT_OF(others); i++) {
        Source *s = add_source(others[i].rows, D, 0);
        snprintf(s->hf, sizeof s->hf, "%s", others[i].hf);
        snprintf(s->gguf, sizeof s->gguf, "%s", others[i].gguf);
    }
    for (int l = 0; l < L; l++)
        for (size_t i = 0; i < COUNT_OF(layer_tensors); i++) {
            Source *s = add_source(layer_tensors[i].rows, layer_tensors[i].width, layer_tensors[i].heads);
            snprintf(s->hf, sizeof s->hf, "model.layers.%d.%s", l, layer_tensors[i].hf);
            snprintf(s->gguf, sizeof s->gguf, "blk.%d.%s", l, layer_tensors[i].gguf);
        }
}

static int write_checkpoint(void **state)
{
    (void)state;
    SafetensorsItem items[TENSORS_MAX];
    Error err;
    snprintf(directory, sizeof directory, "/tmp/ridge-convert-XXXXXX");
    assert_non_null(mkdtemp(directory));
    add_sources();
    for (int i = 0; i < source_count; i++) {
        const Source *s = &sources[i];
        items[i] = (SafetensorsItem){s->hf, &format_f32, s->rows ? 2 : 1, {s->rows ? s->rows : s->width, s->width}, s->values};
    }
    FILE *f = fopen(in_directory("config.json"), "w");
    fputs(config, f);
    fclose(f);
    return safetensors_write(in_directory("model.safetensors"), items, (size_t)source_count, NULL, 0, &err);
}

static int remove_checkpoint(void **state)
{
    (void)state;
    DIR *d = opendir(directory);
    for (struct dirent *e; (e = readdir(d));)
        if (e->d_name[0] != '.')
            unlink(in_directory(e->d_name));
    closedir(d);
    for (int i = 0; i < source_count; i++)
        free(sources[i].values);
    return rmdir(directory);
}

/* ---- converting ---- */

static Err try_convert(const char *from, ConvertOptions options, const char *to, ConvertReport *report, Error *err)
{
    Package p;
    options.threads = 1;
    if (package_open(&p, from, err) != OK)
        print_error("%s\n", err->text), assert_true(false);
    Err result = convert_model(&p, &options, to, NULL, report, err);
    package_close(&p);
    return result;
}

static Store *converted(const char *from, ConvertOptions options, const char *to)
{
    Error err;
    ConvertReport report;
    Store *out;
    if (try_convert(from, options, to, &report, &err) != OK || store_open(to, &out, &err) != OK)
        print_error("%s\n", err.text), assert_true(false);
    return out;
}

static void drop(Store *s, const char *name)
{
    store_free(s);
    unlink(in_directory(name));
}

/* What GGUF wants: in each head the pairs that turn together lie side by side. Written from the other end
 * than convert.c does it: where row r of the checkpoint goes to. */
static int place_of_row(int r, int rows, int heads)
{
    if (!heads)
        return r;
    int size = rows / heads, head = r / size, i = r % size, half = size / 2;
    return head * size + (i < half ? 2 * i : 2 * (i - half) + 1);
}

/* The largest difference between a tensor of the checkpoint and what the GGUF holds, over its largest value in
 * the same 32 of a row. */
static double difference(const Source *s, const Store *gguf, bool turned)
{
    const StoreTensor *t = store_find(gguf, s->gguf);
    assert_non_null(t);
    int rows = s->rows ? s->rows : s->width, width = s->rows ? s->width : 1, heads = turned ? s->heads : 0;
    assert_int_equal(store_tensor_elems(t), rows * width);
    float *values = malloc((size_t)rows * (size_t)width * sizeof *values);
    t->format->decode(values, t->bytes.data, (size_t)rows * (size_t)width);
    double worst = 0;
    for (int r = 0; r < rows; r++)
        for (int at = 0; at < width; at += 32) {
            const float *was = s->values + r * width + at, *is = values + place_of_row(r, rows, heads) * width + at;
            double most = 0, off = 0;
            for (int i = 0; i < 32 && at + i < width; i++) {
                most = fmax(most, fabs(was[i]));
                off = fmax(off, fabs(was[i] - is[i]));
            }
            worst = fmax(worst, off / most);
        }
    free(values);
    return worst;
}

static void f32_keeps_every_bit_and_pairs_the_rows_that_turn(void **state)
{
    (void)state;
    Store *s = converted(directory, (ConvertOptions){.format = &format_f32}, in_directory("out.gguf"));
    for (int i = 0; i < source_count; i++)
        if (difference(&sources[i], s, true) != 0)
            print_error("%s\n", sources[i].gguf), assert_true(false);
    const StoreTensor *divisors = store_find(s, "rope_freqs.weight"); /* how a GGUF says llama3 */
    assert_non_null(divisors);
    assert_int_equal(store_tensor_elems(divisors), H / 2);
    assert_int_equal(store_count(s), source_count + 1);
    drop(s, "out.gguf");
}

/* A block of Q8_0 has its largest value at 127, and rounds to halves; the scale is an F16. */
static void q8_0_is_off_by_half_a_step_at_most(void **state)
{
    (void)state;
    Store *s = converted(directory, (ConvertOptions){.format = format_find("q8_0")}, in_directory("out.gguf"));
    for (int i = 0; i < source_count; i++) {
        double off = difference(&sources[i], s, true);
        assert_true(sources[i].rows ? off > 0 && off < 0.5 / 127 + 1e-3 : off == 0); /* vectors stay F32 */
    }
    drop(s, "out.gguf");
}

static void the_tables_can_have_a_format_of_their_own(void **state)
{
    (void)state;
    ConvertOptions options = {.format = format_find("q4_0"), .table_format = format_find("q8_0")};
    Store *s = converted(directory, options, in_directory("out.gguf"));
    assert_ptr_equal(store_find(s, "token_embd.weight")->format, options.table_format);
    assert_ptr_equal(store_find(s, "output.weight")->format, options.table_format);
    assert_ptr_equal(store_find(s, "blk.1.ffn_up.weight")->format, options.format);
    drop(s, "out.gguf");
}

/* Blocks of 256 fit no row of this model. */
static void rows_that_blocks_do_not_fill_stay_f32_and_are_counted(void **state)
{
    (void)state;
    ConvertReport report;
    Error err;
    assert_int_equal(try_convert(directory, (ConvertOptions){.format = format_find("q4_k")}, in_directory("out.gguf"),
                                 &report, &err), OK);
    assert_int_equal(report.kept_f32, 2 + 7 * L);
    unlink(in_directory("out.gguf"));
}

/* ---- keys ---- */

static uint64_t number(const Store *s, const char *key)
{
    uint64_t value;
    Error err;
    if (gguf_u64(store_gguf(s), key, &value, &err) != OK)
        print_error("%s\n", err.text), assert_true(false);
    return value;
}

static void assert_text(const Store *s, const char *key, const char *wanted)
{
    Span text;
    assert_int_equal(gguf_string(store_gguf(s), key, &text, NULL), OK);
    assert_true(span_is(text, wanted));
}

static void the_shape_is_written_under_the_names_that_gguf_has(void **state)
{
    (void)state;
    static const struct {
        const char *key;
        uint64_t value;
    } wanted[] = {
        {"llama.embedding_length", D}, {"llama.feed_forward_length", F}, {"llama.block_count", L},
        {"llama.attention.head_count", N}, {"llama.attention.head_count_kv", K}, {"llama.attention.key_length", H},
        {"llama.attention.value_length", H}, {"llama.rope.dimension_count", H}, {"llama.context_length", 512},
        {"llama.vocab_size", V}, {"general.file_type", 7}, {"general.quantization_version", 2},
    };
    Store *s = converted(directory, (ConvertOptions){.format = format_find("q8_0")}, in_directory("out.gguf"));
    for (size_t i = 0; i < COUNT_OF(wanted); i++)
        assert_int_equal(number(s, wanted[i].key), wanted[i].value);
    assert_text(s, "general.architecture", "llama");
    assert_text(s, "tokenizer.ggml.model", "none"); /* there is no tokenizer, and llama.cpp wants to be told */
    drop(s, "out.gguf");
}

static void the_name_is_the_folders_or_the_one_given(void **state)
{
    (void)state;
    char with_slash[80];
    snprintf(with_slash, sizeof with_slash, "%s/", directory);
    Store *s = converted(with_slash, (ConvertOptions){.format = &format_f32}, in_directory("out.gguf"));
    assert_text(s, "general.name", strrchr(directory, '/') + 1);
    drop(s, "out.gguf");
    s = converted(directory, (ConvertOptions){.format = &format_f32, .name = "Some Name"}, in_directory("out.gguf"));
    assert_text(s, "general.name", "Some Name");
    drop(s, "out.gguf");
}

/* Two conversions are one: rows are not paired again, keys are kept but for those that describe the format. */
static void a_gguf_quantised_again_keeps_its_keys_and_rows(void **state)
{
    (void)state;
    Store *first = converted(directory, (ConvertOptions){.format = &format_f32, .name = "kept"}, in_directory("first.gguf"));
    Store *again = converted(in_directory("first.gguf"), (ConvertOptions){.format = format_find("q8_0")},
                             in_directory("again.gguf"));
    Store *direct = converted(directory, (ConvertOptions){.format = format_find("q8_0")}, in_directory("direct.gguf"));
    assert_int_equal(gguf_count(store_gguf(first)), gguf_count(store_gguf(again)));
    for (size_t i = 0; i < gguf_count(store_gguf(first)); i++) {
        GgufEntry was = gguf_at(store_gguf(first), i);
        char key[128];
        snprintf(key, sizeof key, "%.*s", (int)was.key.bytes, (const char *)was.key.data);
        const GgufEntry *is = gguf_find(store_gguf(again), key);
        assert_non_null(is);
        assert_true(!strcmp(key, "general.file_type") || (is->type == was.type && span_equal(is->value, was.value)));
    }
    assert_int_equal(number(first, "general.file_type"), 0);
    assert_int_equal(number(again, "general.file_type"), 7);
    for (size_t i = 0; i < store_count(direct); i++) {
        const StoreTensor *t = store_at(direct, i), *same = store_find(again, t->name);
        assert_non_null(same);
        assert_ptr_equal(t->format, same->format);
        assert_true(span_equal(t->bytes, same->bytes));
    }
    drop(first, "first.gguf");
    drop(again, "again.gguf");
    drop(direct, "direct.gguf");
}

/* ---- refusals ---- */

static int files_in_directory(void)
{
    int n = 0;
    DIR *d = opendir(directory);
    for (struct dirent *e; (e = readdir(d));)
        n += e->d_name[0] != '.';
    closedir(d);
    return n;
}

static void a_format_that_is_only_read_is_refused_by_name(void **state)
{
    (void)state;
    ConvertReport report;
    Error err;
    int before = files_in_directory();
    assert_int_equal(try_convert(directory, (ConvertOptions){.format = format_find("iq2_xs")}, in_directory("out.gguf"),
                                 &report, &err), UNSUPPORTED);
    assert_non_null(strstr(err.text, "IQ2_XS can be read but not written"));
    assert_int_equal(files_in_directory(), before);
}

/* A limit on the size of files stands for the full disk: write() fails half-way just as then. */
static void a_full_disk_leaves_nothing(void **state)
{
    (void)state;
    ConvertReport report;
    Error err;
    int before = files_in_directory();
    signal(SIGXFSZ, SIG_IGN);
    struct rlimit old, small;
    getrlimit(RLIMIT_FSIZE, &old);
    small = old;
    small.rlim_cur = 100000;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    Err result = try_convert(directory, (ConvertOptions){.format = &format_f32}, in_directory("out.gguf"), &report, &err);
    setrlimit(RLIMIT_FSIZE, &old);
    assert_int_equal(result, IO_FAILED);
    assert_non_null(strstr(err.text, "out.gguf"));
    assert_int_equal(files_in_directory(), before);
}

/* A window in some layers only: a GGUF of this family usually has one window, which all layers have. */
static void windows_that_differ_between_layers_are_told_layer_by_layer(void **state)
{
    (void)state;
    ConvertReport report;
    Error err;
    FILE *f = fopen(in_directory("config.json"), "w");
    fprintf(f, "{\"model_type\": \"smollm3\", \"sliding_window\": 32, \"use_sliding_window\": true, "
               "\"layer_types\": [\"full_attention\", \"sliding_attention\"],%s",
            strchr(config, ',') + 1);
    fclose(f);
    Err result = try_convert(directory, (ConvertOptions){.format = &format_f32}, in_directory("out.gguf"), &report, &err);
    f = fopen(in_directory("config.json"), "w");
    fputs(config, f);
    fclose(f);
    assert_int_equal(result, OK);
    Checkpoint c;
    Model *model;
    assert_int_equal(checkpoint_open(&c, in_directory("out.gguf"), &err), OK);
    result = model_describe(&c, &model, &err);
    if (result != OK)
        print_error("%s\n", err.text);
    assert_int_equal(result, OK);
    for (int l = 0; l < model->shape.L; l++)
        assert_int_equal(decoder_shape(&model->shape)->layer[l].attention.how.window, l ? 32 : 0);
    model_close(model);
    checkpoint_close(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(f32_keeps_every_bit_and_pairs_the_rows_that_turn),
        cmocka_unit_test(q8_0_is_off_by_half_a_step_at_most),
        cmocka_unit_test(the_tables_can_have_a_format_of_their_own),
        cmocka_unit_test(rows_that_blocks_do_not_fill_stay_f32_and_are_counted),
        cmocka_unit_test(the_shape_is_written_under_the_names_that_gguf_has),
        cmocka_unit_test(the_name_is_the_folders_or_the_one_given),
        cmocka_unit_test(a_gguf_quantised_again_keeps_its_keys_and_rows),
        cmocka_unit_test(a_format_that_is_only_read_is_refused_by_name),
        cmocka_unit_test(a_full_disk_leaves_nothing),
        cmocka_unit_test(windows_that_differ_between_layers_are_told_layer_by_layer),
    };
    return cmocka_run_group_tests(tests, write_checkpoint, remove_checkpoint);
}

/* Made-up models: what ridge synth writes can be opened, weighs what it should, and is always the same. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/file_map.h"
#include "model/model_open.h"
#include "test.h"
#include "model/synth.h"

static const char config[] =
    "{\"model_type\": \"qwen2\", \"hidden_size\": 128, \"intermediate_size\": 256, \"num_hidden_layers\": 2,"
    " \"num_attention_heads\": 4, \"num_key_value_heads\": 2, \"vocab_size\": 70000, \"rms_norm_eps\": 1e-6,"
    " \"max_position_embeddings\": 512, \"rope_theta\": 10000.0, \"tie_word_embeddings\": true}";

typedef struct Files {
    char directory[64], config[96], model[96];
} Files;

static Files files_new(void)
{
    Files f;
    snprintf(f.directory, sizeof f.directory, "/tmp/ridge-synth-XXXXXX");
    assert_non_null(mkdtemp(f.directory));
    snprintf(f.config, sizeof f.config, "%s/config.json", f.directory);
    snprintf(f.model, sizeof f.model, "%s/model.gguf", f.directory);
    FILE *out = fopen(f.config, "w");
    assert_non_null(out);
    fputs(config, out);
    fclose(out);
    return f;
}

static void files_remove(const Files *f)
{
    unlink(f->config);
    unlink(f->model);
    rmdir(f->directory);
}

static void write_model(const Files *f, const char *format, uint64_t seed, int threads)
{
    Error err;
    SynthOptions o = {.config = f->config, .name = "tiny", .format = format_find(format), .seed = seed};
    assert_int_equal(team_new(&o.team, threads, false, &err), OK);
    if (synth_write(&o, f->model, &err) != OK)
        print_error("%s\n", err.text), assert_true(false);
    team_free(o.team);
}

static uint64_t hash_of_span(Span bytes)
{
    uint64_t hash = 1469598103934665603u;
    for (size_t i = 0; i < bytes.bytes; i++)
        hash = (hash ^ bytes.data[i]) * 1099511628211u;
    return hash;
}

static uint64_t hash_of(const char *path)
{
    FileMap map;
    Error err;
    assert_int_equal(file_map_init(&map, path, &err), OK);
    uint64_t hash = hash_of_span(map.span);
    file_map_deinit(&map);
    return hash;
}

/* The file has each weight that its family asks for, in the format that was asked for: protects the
 * benchmarks, which are to measure that format and no other. */
static void every_weight_is_there_in_the_format_asked_for(void **state)
{
    (void)state;
    static const char *const formats[] = {"F32", "F16", "BF16", "Q8_0", "Q4_0"};
    Files f = files_new();
    for (size_t i = 0; i < COUNT_OF(formats); i++) {
        write_model(&f, formats[i], 0, 2);
        Checkpoint c;
        Model *m;
        Error err;
        assert_int_equal(checkpoint_open(&c, f.model, &err), OK);
        if (model_describe(&c, &m, &err) != OK)
            print_error("%s\n", err.text), assert_true(false);
        assert_int_equal(m->shape.V, 70000);
        assert_int_equal(m->shape.K, 2);
        assert_true(m->shape.tied);
        assert_ptr_equal(store_find(c.store, "blk.1.ffn_down.weight")->format, format_find(formats[i]));
        assert_ptr_equal(store_find(c.store, "token_embd.weight")->format, format_find(formats[i]));
        assert_ptr_equal(store_find(c.store, "blk.1.attn_q.bias")->format, &format_f32);
        model_close(m);
        checkpoint_close(&c);
    }
    files_remove(&f);
}

/* Mean and deviation of each tensor: activations neither die nor overflow in a deep model. */
static void matrices_keep_the_size_of_what_passes_through_them(void **state)
{
    (void)state;
    Files f = files_new();
    write_model(&f, "F32", 7, 2);
    Checkpoint c;
    Error err;
    assert_int_equal(checkpoint_open(&c, f.model, &err), OK);
    const StoreTensor *t = store_find(c.store, "blk.0.ffn_down.weight");
    const float *x = (const float *)(const void *)t->bytes.data;
    double n = (double)store_tensor_elems(t), sum = 0, squares = 0;
    for (int64_t i = 0; i < store_tensor_elems(t); i++)
        sum += x[i], squares += (double)x[i] * x[i];
    double deviation = 1 / sqrt(256);
    assert_true(fabs(sum / n) < 5 * deviation / sqrt(n));
    assert_true(fabs(sqrt(squares / n) / deviation - 1) < 5 / sqrt(2 * n));
    checkpoint_close(&c);
    files_remove(&f);
}

static void the_same_seed_gives_the_same_file_whatever_the_threads(void **state)
{
    (void)state;
    Files f = files_new();
    write_model(&f, "Q8_0", 1, 1);
    uint64_t one = hash_of(f.model);
    write_model(&f, "Q8_0", 1, 3);
    assert_true(hash_of(f.model) == one);
    write_model(&f, "Q8_0", 2, 3);
    assert_true(hash_of(f.model) != one);
    files_remove(&f);
}

/* The same model in memory: each tensor that the file has, in its format, of values as large as the file's. Protects
 * `-m synth:SHAPE:FORMAT`, whose pools must have the deviation of the matrix that they fill. */
static void a_model_in_memory_has_what_the_file_has(void **state)
{
    (void)state;
    char name[128];
    Files f = files_new();
    Error err;
    Checkpoint file, made;
    write_model(&f, "BF16", 0, 2);
    snprintf(name, sizeof name, "synth:%s:bf16", f.config);
    assert_int_equal(checkpoint_open(&file, f.model, &err), OK);
    if (checkpoint_open(&made, name, &err) != OK)
        print_error("%s\n", err.text), assert_true(false);
    assert_int_equal(store_count(made.store), store_count(file.store));
    float x[256];
    for (size_t i = 0; i < store_count(file.store); i++) {
        const StoreTensor *a = store_at(file.store, i), *b = store_find(made.store, a->name);
        assert_non_null(b);
        assert_ptr_equal(a->format, b->format);
        assert_int_equal(a->bytes.bytes, b->bytes.bytes);
        if (a->format == &format_f32) {          /* a vector: the same values */
            assert_memory_equal(a->bytes.data, b->bytes.data, a->bytes.bytes);
            continue;
        }
        double squares = 0, n = (double)store_tensor_elems(b), deviation = 1 / sqrt((double)store_tensor_width(b));
        for (size_t at = 0; at < b->bytes.bytes; at += 512) {
            b->format->decode(x, b->bytes.data + at, 256);
            for (int k = 0; k < 256; k++)
                squares += (double)x[k] * x[k];
        }
        assert_true(fabs(sqrt(squares / n) / deviation - 1) < 0.02);
    }
    checkpoint_close(&made);
    checkpoint_close(&file);
    files_remove(&f);
}

/* A matrix that is larger than its pool goes on without a break: its blocks are whole, wherever the pool begins anew. */
static void blocks_stay_whole_where_a_pool_begins_anew(void **state)
{
    (void)state;
    static const char *const formats[] = {"Q8_0", "Q4_0", "Q5_1"};
    Files f = files_new();
    Error err;
    for (size_t i = 0; i < COUNT_OF(formats); i++) {
        char name[128];
        Checkpoint c;
        snprintf(name, sizeof name, "synth:%s:%s", f.config, formats[i]);
        assert_int_equal(checkpoint_open(&c, name, &err), OK);
        const StoreTensor *t = store_find(c.store, "token_embd.weight");
        assert_true(t->bytes.bytes > 3 << 20);
        float x[128];
        double largest = 0;
        for (size_t row = 0; row < 70000; row++) {
            t->format->decode(x, t->bytes.data + row * format_row_bytes(t->format, 128), 128);
            for (int k = 0; k < 128; k++)
                largest = fabs(x[k]) > largest ? fabs(x[k]) : largest;
        }
        assert_true(largest < 7 / sqrt(128));    /* a broken scale would be anything */
        checkpoint_close(&c);
    }
    files_remove(&f);
}

static void names_of_made_up_models_are_checked(void **state)
{
    (void)state;
    static const struct { const char *name, *told; } bad[] = {
        {"synth::q8_0", "synth:SHAPE:FORMAT"}, {"synth:tinyllama-1.1b:q9", "'q9' is no"},
        {"synth:no-such-shape:q8_0", "no shape 'no-such-shape'"}, {"synth:", "synth:SHAPE:FORMAT"},
        {"synth:tinyllama-1.1b:", "'' is no number format"},
        {"synth:tinyllama-1.1b:q8_0:", "'' is no number format"},
    };
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        Checkpoint c;
        Error err;
        assert_int_not_equal(checkpoint_open(&c, bad[i].name, &err), OK);
        if (!strstr(err.text, bad[i].told))
            print_error("%s\n", err.text), assert_true(false);
    }
}

/* Without a format a shape is what checkpoints are: BF16. */
static void a_shape_alone_is_bf16(void **state)
{
    (void)state;
    Checkpoint c;
    Error err;
    must_be_ok(checkpoint_open(&c, "synth:smollm2-135m", &err), &err);
    const StoreTensor *t = store_find(c.store, "blk.0.attn_q.weight");
    assert_non_null(t);
    assert_string_equal(t->format->name, "BF16");
    checkpoint_close(&c);
}

static int by_text(const void *a, const void *b)
{
    const Span *x = a, *y = b;
    int order = memcmp(x->data, y->data, x->bytes < y->bytes ? x->bytes : y->bytes);
    return order ? order : (x->bytes > y->bytes) - (x->bytes < y->bytes);
}

/* Each merge "left right" makes a token, and no token is there twice: else other programs refuse the
 * file, or cannot encode a text with it. */
static void each_token_is_new_and_made_by_its_merge(void **state)
{
    (void)state;
    enum { V = 70000 };
    static Span tokens[V];
    Files f = files_new();
    write_model(&f, "Q8_0", 0, 2);
    Checkpoint c;
    Error err;
    GgufArray list, merges;
    assert_int_equal(checkpoint_open(&c, f.model, &err), OK);
    const Gguf *g = store_gguf(c.store);
    assert_int_equal(gguf_strings(g, "tokenizer.ggml.tokens", &list, &err), OK);
    assert_int_equal(gguf_strings(g, "tokenizer.ggml.merges", &merges, &err), OK);
    assert_int_equal(list.count, V);
    assert_int_equal(merges.count, V - 257);
    Reader reader = {list.bytes, 0};
    for (int i = 0; i < V; i++)
        assert_true(gguf_next_string(&reader, &tokens[i]));
    reader = (Reader){merges.bytes, 0};
    for (int i = 256; i < V - 1; i++) {
        Span merge;
        assert_true(gguf_next_string(&reader, &merge));
        const uint8_t *space = memchr(merge.data, ' ', merge.bytes);
        assert_non_null(space);
        size_t left = (size_t)(space - merge.data);
        assert_int_equal(tokens[i].bytes, merge.bytes - 1);
        assert_memory_equal(tokens[i].data, merge.data, left);
        assert_memory_equal(tokens[i].data + left, space + 1, merge.bytes - 1 - left);
    }
    qsort(tokens, V, sizeof tokens[0], by_text);
    for (int i = 1; i < V; i++)
        assert_true(by_text(&tokens[i - 1], &tokens[i]) < 0);
    checkpoint_close(&c);
    files_remove(&f);
}

static void what_cannot_be_written_is_said(void **state)
{
    (void)state;
    Error err;
    Files f = files_new();
    SynthOptions o = {.config = f.config, .name = "tiny", .format = format_find("Q4_K")};
    assert_int_equal(team_new(&o.team, 1, false, &err), OK);
    assert_int_equal(synth_write(&o, f.model, &err), BAD_ARGUMENT);   /* rows of 128, blocks of 256 */
    assert_non_null(strstr(err.text, "blocks of 256"));
    assert_int_not_equal(access(f.model, F_OK), 0);
    o.config = "/nowhere/config.json";
    assert_int_not_equal(synth_write(&o, f.model, &err), OK);
    assert_non_null(strstr(err.text, "/nowhere/config.json"));
    team_free(o.team);
    files_remove(&f);
}

/* Pages of files that count as this process's memory. */
static long file_bytes(void)
{
    long shared = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    assert_non_null(f);
    assert_int_equal(fscanf(f, "%*d %*d %ld", &shared), 1);
    fclose(f);
    return shared * sysconf(_SC_PAGESIZE);
}

/* A share of a file that was packed leaves this process's memory, and no other does; all of it can be read again. */
static void a_file_is_let_go_in_shares(void **state)
{
    (void)state;
    enum { SHARES = 3 };
    FileMap map;
    Error err;
    Files f = files_new();
    write_model(&f, "F32", 5, 1);
    assert_int_equal(file_map_init(&map, f.model, &err), OK);
    file_map_expect(&map);
    uint64_t hash = hash_of_span(map.span);
    long share = (long)map.span.bytes / SHARES, slack = 4 << 20, before = file_bytes();
    assert_true(share > 2 * slack);
    for (int i = 0; i < SHARES; i++) {
        file_map_let_go(&map, i, SHARES);
        assert_true(labs(before - (i + 1) * share - file_bytes()) < slack);
    }
    assert_true(hash_of_span(map.span) == hash);
    file_map_deinit(&map);
    files_remove(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_weight_is_there_in_the_format_asked_for),
        cmocka_unit_test(matrices_keep_the_size_of_what_passes_through_them),
        cmocka_unit_test(a_model_in_memory_has_what_the_file_has),
        cmocka_unit_test(blocks_stay_whole_where_a_pool_begins_anew),
        cmocka_unit_test(names_of_made_up_models_are_checked),
        cmocka_unit_test(a_shape_alone_is_bf16),
        cmocka_unit_test(the_same_seed_gives_the_same_file_whatever_the_threads),
        cmocka_unit_test(each_token_is_new_and_made_by_its_merge),
        cmocka_unit_test(what_cannot_be_written_is_said),
        cmocka_unit_test(a_file_is_let_go_in_shares),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

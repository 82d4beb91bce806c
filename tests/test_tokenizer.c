/* Real vocabularies: the ids that the reference implementations give, exactly, and the text back. */
#include "test.h"


#include "base/json.h"
#include "tokenizer_fixtures.h"

static size_t parse_ids(const char *line, const char *end, int32_t *ids, size_t max)
{
    size_t count = 0;
    while (line < end && count < max) {
        char *next;
        long id = strtol(line, &next, 10);
        if (next == line || next > end)
            break;
        ids[count++] = (int32_t)id;
        line = next;
    }
    return count;
}

/* Line i of .out has the ids of string i of .inp, which a line of its own separates from the next. */
static void each_reference_string_has_its_ids(const char *name)
{
    static const char separator[] = "\n__ggml_vocab_test__\n";
    char relative[3][200];
    static const char *const endings[] = {"", ".inp", ".out"};
    for (int i = 0; i < 3; i++)
        snprintf(relative[i], sizeof relative[i], "fixtures/tokenizers/ggml-vocab-%s.gguf%s", name, endings[i]);
    Tokenizer *t = open_gguf_tokenizer(relative[0]);
    if (!t)
        skip();
    FileMap in, out;
    assert_int_equal(file_map_init(&in, shared_path(relative[1]), NULL), OK);
    assert_int_equal(file_map_init(&out, shared_path(relative[2]), NULL), OK);
    char *texts = strndup((const char *)in.span.data, in.span.bytes);
    const char *line = (const char *)out.span.data, *end = line + out.span.bytes;
    int strings = 0;
    for (char *text = texts; text; strings++) {
        char *next = strstr(text, separator);
        Span span = next ? span_of(text, (size_t)(next - text)) : span_text(text);
        const char *line_end = memchr(line, '\n', (size_t)(end - line));
        int32_t ids[2000];
        size_t count = parse_ids(line, line_end ? line_end : end, ids, COUNT_OF(ids));
        if (!next && span.bytes == 0)
            break;
        assert_ids(t, span, 0, ids, count);
        assert_decodes(t, ids, count, span);
        line = line_end ? line_end + 1 : end;
        text = next ? next + strlen(separator) : NULL;
    }
    assert_true(strings > 40);
    free(texts);
    file_map_deinit(&in);
    file_map_deinit(&out);
    tokenizer_free(t);
}

static void gpt2_strings_have_their_ids(void **state) { (void)state; each_reference_string_has_its_ids("gpt-2"); }
static void llama_strings_have_their_ids(void **state) { (void)state; each_reference_string_has_its_ids("llama-spm"); }
static void falcon_strings_have_their_ids(void **state) { (void)state; each_reference_string_has_its_ids("falcon"); }
static void starcoder_strings_have_their_ids(void **state) { (void)state; each_reference_string_has_its_ids("starcoder"); }
static void deepseek_strings_have_their_ids(void **state)
{
    (void)state;
    each_reference_string_has_its_ids("deepseek-coder");
}

static void assert_sample(const Tokenizer *t, const json_t *sample)
{
    const json_t *wanted = json_object_get(sample, "prompt_ids"), *id;
    int32_t ids[4096];
    size_t i;
    assert_true(json_array_size(wanted) <= COUNT_OF(ids));
    json_array_foreach(wanted, i, id)
        ids[i] = (int32_t)json_integer_value(id);
    const char *prompt = json_string_value(json_object_get(sample, "prompt"));
    assert_non_null(prompt);
    assert_ids(t, span_text(prompt), ENCODE_ADD_SPECIAL | ENCODE_PARSE_SPECIAL, ids, json_array_size(wanted));
    assert_decodes(t, ids, json_array_size(wanted), span_text(prompt));
}

/* The prompts of the trained models' results, which were tokenised by Hugging Face tokenizers. */
static void prompts_of_the_trained_models_have_their_ids(void **state)
{
    (void)state;
    static const char *const models[] = {"base", "draft", "mha", "gqa", "mqa", "mla", "cla", "swa", "hybrid", "linear",
                                         "diffusion", "medusa", "eagle"};
    Tokenizer *t = open_default_tokenizer();
    if (!t)
        skip();
    int samples = 0;
    for (size_t m = 0; m < COUNT_OF(models); m++) {
        char relative[100];
        snprintf(relative, sizeof relative, "models/%s/results.json", models[m]);
        const char *path = shared_path(relative);
        json_t *results;
        const json_t *sample;
        size_t i;
        if (!path)
            continue;
        assert_int_equal(json_read_file(path, 1 << 26, &results, NULL), OK);
        json_array_foreach(json_object_get(results, "samples"), i, sample)
            if (json_object_get(sample, "prompt_ids")) {
                assert_sample(t, sample);
                samples++;
            }
        json_decref(results);
    }
    assert_true(samples >= 13);
    tokenizer_free(t);
}

static void whole_files_have_their_token_counts_and_come_back(void **state)
{
    (void)state;
    static const char *const parts[] = {"real", "story", "chat"};
    Tokenizer *t = open_default_tokenizer();
    const char *path = shared_path("models/base/results.json");
    json_t *results;
    if (!t || !path)
        skip();
    assert_int_equal(json_read_file(path, 1 << 26, &results, NULL), OK);
    for (size_t i = 0; i < COUNT_OF(parts); i++) {
        char relative[100];
        FileMap text;
        snprintf(relative, sizeof relative, "corpus/valid_%s.txt", parts[i]);
        assert_int_equal(file_map_init(&text, shared_path(relative), NULL), OK);
        Encoding e = encode_span(t, text.span, ENCODE_PARSE_SPECIAL);
        const json_t *valid = json_object_get(json_object_get(results, "valid"), parts[i]);
        assert_int_equal(e.count, json_integer_value(json_object_get(valid, "tokens_in_file")));
        assert_decodes(t, e.ids, e.count, text.span);
        encoding_deinit(&e);
        file_map_deinit(&text);
    }
    json_decref(results);
    tokenizer_free(t);
}

/* The same vocabulary in GGUF, where the regular expression is only a name. */
static void a_gguf_gives_the_ids_of_the_checkpoint_it_was_made_from(void **state)
{
    (void)state;
    Tokenizer *json = open_default_tokenizer(), *gguf = open_gguf_tokenizer("fixtures/gguf/draft-Q4_0.gguf");
    const char *path = shared_path("corpus/valid_chat.txt");
    FileMap text;
    if (!json || !gguf || !path)
        skip();
    assert_int_equal(file_map_init(&text, path, NULL), OK);
    Encoding e = encode_span(json, text.span, ENCODE_PARSE_SPECIAL);
    assert_ids(gguf, text.span, ENCODE_PARSE_SPECIAL, e.ids, e.count);
    encoding_deinit(&e);
    e = encode_span(json, text.span, 0);
    assert_ids(gguf, text.span, 0, e.ids, e.count);
    encoding_deinit(&e);
    assert_int_equal(tokenizer_size(json), tokenizer_size(gguf));
    assert_int_equal(tokenizer_specials(json)->eos, tokenizer_specials(gguf)->eos);
    file_map_deinit(&text);
    tokenizer_free(json);
    tokenizer_free(gguf);
}

/* One word of a megabyte: some tenths of a second in n log n; a quadratic merge would run for hours, into
 * the time limit of tests/run. */
static void a_megabyte_without_a_space_is_merged_in_n_log_n(void **state)
{
    (void)state;
    static const char *const vocabularies[] = {"gpt-2", "llama-spm"};
    enum { BYTES = 1 << 20 };
    char *text = malloc(BYTES);
    uint32_t random = 1;
    for (int i = 0; i < BYTES; i++)
        text[i] = "etaoinsh"[(random = random * 1664525 + 1013904223) >> 24 & 7];
    for (size_t i = 0; i < COUNT_OF(vocabularies); i++) {
        char relative[100];
        snprintf(relative, sizeof relative, "fixtures/tokenizers/ggml-vocab-%s.gguf", vocabularies[i]);
        Tokenizer *t = open_gguf_tokenizer(relative);
        if (!t) {
            free(text);
            skip();
        }
        Encoding e = encode_span(t, span_of(text, BYTES), 0);
        assert_decodes(t, e.ids, e.count, span_of(text, BYTES));
        encoding_deinit(&e);
        tokenizer_free(t);
    }
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gpt2_strings_have_their_ids),
        cmocka_unit_test(llama_strings_have_their_ids),
        cmocka_unit_test(falcon_strings_have_their_ids),
        cmocka_unit_test(starcoder_strings_have_their_ids),
        cmocka_unit_test(deepseek_strings_have_their_ids),
        cmocka_unit_test(prompts_of_the_trained_models_have_their_ids),
        cmocka_unit_test(whole_files_have_their_token_counts_and_come_back),
        cmocka_unit_test(a_gguf_gives_the_ids_of_the_checkpoint_it_was_made_from),
        cmocka_unit_test(a_megabyte_without_a_space_is_merged_in_n_log_n),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* What a checkpoint's tokenizer becomes in a GGUF: the same ids for every text, or a refusal that says why. */
#include <dirent.h>
#include <stdarg.h>
#include <unistd.h>

#include "test.h"
#include "tools/gguf_vocabulary.h"

#define METASPACE "\xE2\x96\x81"

static char directory[64];

/* ---- a folder with a tokenizer ---- */

static const char *in_directory(const char *name)
{
    static char path[2][512];
    static int turn;
    char *out = path[turn++ & 1];
    snprintf(out, sizeof path[0], "%s/%s", directory, name);
    return out;
}

static void empty_directory(void)
{
    DIR *d = opendir(directory);
    for (struct dirent *e; (e = readdir(d));)
        if (e->d_name[0] != '.')
            unlink(in_directory(e->d_name));
    closedir(d);
}

static void write_text(const char *name, const char *text, size_t bytes)
{
    FILE *f = fopen(in_directory(name), "wb");
    assert_non_null(f);
    fwrite(text, 1, bytes, f);
    fclose(f);
}

typedef struct Text { /* what a test builds a file of */
    char *bytes;
    size_t count;
    FILE *out;
} Text;

static void text_open(Text *t) { t->out = open_memstream(&t->bytes, &t->count); }

static void text_become(Text *t, const char *name)
{
    fclose(t->out);
    write_text(name, t->bytes, t->count);
    free(t->bytes);
}

/* ---- there and back ---- */

static const char *const texts[] = {
    "", "the cat", "the cat in the thing", "a", "The  cats'  thing\n\n then\t", "caf\u00E9 \u4F60\u597D \U0001F600",
    "thethethecatcat inging", "trailing  ", "q\u0301 1234 \uFB01", "<0x41><new>cat",
};
static const char with_specials[] = "<s>the</s><0x41> <new>cat";

static Err try_put(int32_t vocabulary, Error *err)
{
    Package p;
    GgufWriter *w = gguf_writer_new();
    if (package_open(&p, directory, err) != OK)
        print_error("%s\n", err->text), assert_true(false);
    gguf_put_text(w, "general.architecture", "llama");
    Err result = gguf_vocabulary_put(&p, vocabulary, w, err);
    package_close(&p);
    if (result == OK)
        result = gguf_write(w, in_directory("out.gguf"), NULL, NULL, err);
    gguf_writer_free(w);
    return result;
}

static void assert_same_encoding(const Tokenizer *a, const Tokenizer *b, const char *text, unsigned flags)
{
    Encoding one, two;
    Error err;
    assert_int_equal(tokenizer_encode(a, span_text(text), flags, &one, &err), OK);
    assert_int_equal(tokenizer_encode(b, span_text(text), flags, &two, &err), OK);
    if (one.count != two.count || (one.count && memcmp(one.ids, two.ids, one.count * sizeof *one.ids))) {
        print_error("'%s' is not cut alike, flags %u:", text, flags);
        for (size_t i = 0; i < one.count || i < two.count; i++)
            print_error(" %d/%d", i < one.count ? one.ids[i] : -1, i < two.count ? two.ids[i] : -1);
        print_error("\n");
        assert_true(false);
    }
    encoding_deinit(&one);
    encoding_deinit(&two);
}

/* The folder's tokenizer and the GGUF made of it give the same ids; GGUF calls its kind `model`. */
static void assert_round_trip(int32_t vocabulary, const char *model)
{
    static const unsigned ways[] = {0, ENCODE_ADD_SPECIAL, ENCODE_PARSE_SPECIAL};
    Package before, after;
    Error err;
    Span said;
    if (try_put(vocabulary, &err) != OK || package_open(&after, in_directory("out.gguf"), &err) != OK)
        print_error("%s\n", err.text), assert_true(false);
    unlink(in_directory("out.gguf"));
    assert_int_equal(package_open(&before, directory, &err), OK);
    assert_int_equal(gguf_string(after.checkpoint.keys.gguf, "tokenizer.ggml.model", &said, &err), OK);
    assert_true(span_is(said, model));
    assert_int_equal(tokenizer_size(after.tokenizer), vocabulary);
    for (size_t i = 0; i < COUNT_OF(texts); i++)
        for (size_t way = 0; way < COUNT_OF(ways); way++)
            assert_same_encoding(before.tokenizer, after.tokenizer, texts[i], ways[way]);
    assert_same_encoding(before.tokenizer, after.tokenizer, with_specials, ENCODE_PARSE_SPECIAL);
    assert_int_equal(tokenizer_specials(after.tokenizer)->eos, tokenizer_specials(before.tokenizer)->eos);
    package_close(&before);
    package_close(&after);
    empty_directory();
}

static void assert_refused(int32_t vocabulary, const char *reason)
{
    Error err = {0};
    assert_int_equal(try_put(vocabulary, &err), UNSUPPORTED);
    if (!strstr(err.text, reason))
        print_error("'%s' is not said in: %s\n", reason, err.text), assert_true(false);
    empty_directory();
}

/* ---- a vocabulary: <unk> <s> </s>, the bytes, pieces of several letters in the order of merging, letters ---- */

static const char *const merged[] = {
    "th", "he", "the", METASPACE "t", METASPACE "th", METASPACE "the", "in", "ng", "ing", METASPACE "c", "at", "cat",
    METASPACE "cat", "thi", "thing", METASPACE "thing", METASPACE METASPACE, "ca",
};
static const char *const letters[] = {
    METASPACE, "a", "c", "e", "f", "g", "h", "i", "n", "q", "s", "t", "T", "'", "\u00E9", "\u4F60", "1",
};
enum {
    BYTES_AT = 3, MERGED_AT = BYTES_AT + 256, LETTERS_AT = MERGED_AT + (int)COUNT_OF(merged),
    PIECES = LETTERS_AT + (int)COUNT_OF(letters),
};

static const char *piece(int id, char scratch[8])
{
    static const char *const first[] = {"<unk>", "<s>", "</s>"};
    if (id < BYTES_AT)
        return first[id];
    if (id >= LETTERS_AT)
        return letters[id - LETTERS_AT];
    if (id >= MERGED_AT)
        return merged[id - MERGED_AT];
    snprintf(scratch, 8, "<0x%02X>", id - BYTES_AT);
    return scratch;
}

static bool is_piece(const char *text, size_t bytes)
{
    char scratch[8];
    for (int id = MERGED_AT; id < PIECES; id++)
        if (strlen(piece(id, scratch)) == bytes && !memcmp(piece(id, scratch), text, bytes))
            return true;
    return false;
}

/* ---- tokenizer.model ---- */

static void put_varint(FILE *out, uint64_t v)
{
    for (; v >= 128; v >>= 7)
        fputc((int)(v & 127) | 128, out);
    fputc((int)v, out);
}

static void put_number(FILE *out, unsigned field, uint64_t value)
{
    put_varint(out, field << 3);
    put_varint(out, value);
}

static void put_message(FILE *out, unsigned field, const char *bytes, size_t count)
{
    put_varint(out, field << 3 | 2);
    put_varint(out, count);
    fwrite(bytes, 1, count, out);
}

static void put_model_piece(FILE *out, int id, bool byte_pieces)
{
    char scratch[8];
    Text t;
    float score = id < MERGED_AT ? 0 : -(float)(id - MERGED_AT) - 1;
    int type = id == 0 ? 2 : id < BYTES_AT ? 3 : id < MERGED_AT ? (byte_pieces ? 6 : 5) : 1;
    text_open(&t);
    put_message(t.out, 1, piece(id, scratch), strlen(piece(id, scratch)));
    put_varint(t.out, 2 << 3 | 5);
    fwrite(&score, sizeof score, 1, t.out);
    put_number(t.out, 3, (uint64_t)type);
    fclose(t.out);
    put_message(out, 1, t.bytes, t.count);
    free(t.bytes);
}

typedef struct SentencePiece {
    int kind; /* 1 Unigram, 2 BPE */
    bool byte_fallback, dummy_prefix, remove_extra_spaces;
} SentencePiece;

static void write_sentencepiece(SentencePiece s)
{
    Text file, part;
    text_open(&file);
    for (int id = 0; id < PIECES; id++)
        put_model_piece(file.out, id, s.byte_fallback);
    text_open(&part);
    put_number(part.out, 3, (uint64_t)s.kind);
    put_number(part.out, 35, s.byte_fallback);
    fclose(part.out);
    put_message(file.out, 2, part.bytes, part.count);
    free(part.bytes);
    text_open(&part);
    put_number(part.out, 3, s.dummy_prefix);
    put_number(part.out, 4, s.remove_extra_spaces);
    fclose(part.out);
    put_message(file.out, 3, part.bytes, part.count);
    free(part.bytes);
    text_become(&file, "tokenizer.model");
}

static void a_sentencepiece_bpe_keeps_its_ids(void **state)
{
    (void)state;
    for (int prefix = 0; prefix < 2; prefix++) {
        write_sentencepiece((SentencePiece){.kind = 2, .byte_fallback = true, .dummy_prefix = prefix});
        assert_round_trip(PIECES, "llama");
    }
}

static void a_sentencepiece_unigram_keeps_its_ids(void **state)
{
    (void)state;
    for (int way = 0; way < 4; way++) {
        write_sentencepiece((SentencePiece){.kind = 1, .dummy_prefix = way & 1, .remove_extra_spaces = way >> 1});
        assert_round_trip(PIECES, "t5");
    }
}

static void what_sentencepiece_does_and_gguf_cannot_say_is_refused(void **state)
{
    (void)state;
    write_sentencepiece((SentencePiece){.kind = 1, .byte_fallback = true, .dummy_prefix = true});
    assert_refused(PIECES, "Unigram tokenizer whose unknown characters fall back to bytes");
    write_sentencepiece((SentencePiece){.kind = 2, .dummy_prefix = true});
    assert_refused(PIECES, "do not fall back to bytes");
    write_sentencepiece((SentencePiece){.kind = 2, .byte_fallback = true, .dummy_prefix = true, .remove_extra_spaces = true});
    assert_refused(PIECES, "in another way than any 'llama' tokenizer of a GGUF");
}

/* ---- tokenizer.json of SentencePiece's kinds ---- */

static const char added[] = "\"added_tokens\": [{\"id\": 0, \"content\": \"<unk>\", \"special\": true},"
                            " {\"id\": 1, \"content\": \"<s>\", \"special\": true},"
                            " {\"id\": 2, \"content\": \"</s>\", \"special\": true},"
                            " {\"id\": 300, \"content\": \"<new>\", \"special\": false, \"normalized\": false}]";
static const char escape_spaces[] =
    "{\"type\": \"Sequence\", \"normalizers\": [{\"type\": \"Prepend\", \"prepend\": \"" METASPACE "\"},"
    " {\"type\": \"Replace\", \"pattern\": {\"String\": \" \"}, \"content\": \"" METASPACE "\"}]}";
static const char metaspace[] = "{\"type\": \"Metaspace\", \"replacement\": \"" METASPACE "\","
                                " \"prepend_scheme\": \"always\", \"split\": false}";
static const char starts_with_bos[] =
    "{\"type\": \"TemplateProcessing\", \"single\": [{\"SpecialToken\": {\"id\": \"<s>\", \"type_id\": 0}},"
    " {\"Sequence\": {\"id\": \"A\", \"type_id\": 0}}], \"pair\": [], \"special_tokens\":"
    " {\"<s>\": {\"id\": \"<s>\", \"ids\": [1], \"tokens\": [\"<s>\"]}}}";
static const char config[] = "{\"bos_token\": \"<s>\", \"eos_token\": \"</s>\", \"unk_token\": \"<unk>\"}";

static void put_head(FILE *out, const char *normalizer, const char *pre_tokenizer)
{
    fprintf(out, "{%s, \"normalizer\": %s, \"pre_tokenizer\": %s, \"post_processor\": %s, \"decoder\": null,\n", added,
            normalizer, pre_tokenizer, starts_with_bos);
}

/* left_out: a pair of letters that the merges do not list. late: one more merge of "the", at the end. */
static void put_merges(FILE *out, const char *left_out, bool late)
{
    const char *comma = "";
    for (size_t i = 0; i < COUNT_OF(merged); i++)
        for (size_t at = 1; at < strlen(merged[i]); at++) {
            const char *rest = merged[i] + at;
            char line[32];
            snprintf(line, sizeof line, "%.*s %s", (int)at, merged[i], rest);
            bool kept_back = late && !strcmp(line, "t he");
            if (!is_piece(merged[i], at) || !is_piece(rest, strlen(rest)) || !strcmp(line, left_out) || kept_back)
                continue;
            fprintf(out, "%s\"%s\"", comma, line);
            comma = ", ";
        }
    fprintf(out, late ? ", \"t he\"" : "");
}

static void write_json_bpe(const char *normalizer, const char *pre_tokenizer, const char *left_out, bool late)
{
    char scratch[8];
    Text t;
    text_open(&t);
    put_head(t.out, normalizer, pre_tokenizer);
    fprintf(t.out, "\"model\": {\"type\": \"BPE\", \"unk_token\": \"<unk>\", \"fuse_unk\": true, \"byte_fallback\": true,"
                   " \"vocab\": {");
    for (int id = 0; id < PIECES; id++)
        fprintf(t.out, "%s\"%s\": %d", id ? ", " : "", piece(id, scratch), id);
    fprintf(t.out, "}, \"merges\": [");
    put_merges(t.out, left_out, late);
    fprintf(t.out, "]}}");
    text_become(&t, "tokenizer.json");
    write_text("tokenizer_config.json", config, strlen(config));
}

/* As Llama 2 and Mistral publish theirs: the order of the merges becomes scores. Ids beyond the last piece
 * are those of the model's table. */
static void a_json_bpe_of_characters_keeps_its_ids(void **state)
{
    (void)state;
    write_json_bpe(escape_spaces, "null", "", false);
    assert_round_trip(320, "llama");
    write_json_bpe("null", metaspace, "", false);
    assert_round_trip(320, "llama");
}

static void merges_that_no_score_can_say_are_refused(void **state)
{
    (void)state;
    write_json_bpe(escape_spaces, "null", "t he", false);
    assert_refused(320, "its merges never join 't' and 'he'");
    write_json_bpe(escape_spaces, "null", "", true);
    assert_refused(320, "merges of 'the' stand in several places");
}

static void a_normaliser_that_gguf_has_no_word_for_is_refused(void **state)
{
    (void)state;
    write_json_bpe("{\"type\": \"Sequence\", \"normalizers\": [{\"type\": \"NFKC\"}, {\"type\": \"Lowercase\"}]}", metaspace,
                   "", false);
    assert_refused(320, "reads 'Hello");
}

static void write_json_unigram(const char *normalizer, const char *pre_tokenizer)
{
    char scratch[8];
    Text t;
    text_open(&t);
    put_head(t.out, normalizer, pre_tokenizer);
    fprintf(t.out, "\"model\": {\"type\": \"Unigram\", \"unk_id\": 0, \"vocab\": [");
    for (int id = 0; id < PIECES; id++)
        fprintf(t.out, "%s[\"%s\", %d]", id ? ", " : "", piece(id, scratch), id < MERGED_AT ? -90 : MERGED_AT - id - 1);
    fprintf(t.out, "]}}");
    text_become(&t, "tokenizer.json");
    write_text("tokenizer_config.json", config, strlen(config));
}

static void a_json_unigram_keeps_its_ids(void **state)
{
    (void)state;
    write_json_unigram("null", metaspace);
    assert_round_trip(320, "t5");
}

/* ---- WordPiece, WordLevel ---- */

static void write_json_words(const char *type)
{
    static const char *const words[] = {"[UNK]", "[CLS]", "[SEP]", "the", "cat", "in", "##ing", "th", "##s", "a", "'"};
    Text t;
    text_open(&t);
    fprintf(t.out, "{\"added_tokens\": [{\"id\": 0, \"content\": \"[UNK]\", \"special\": true}, {\"id\": 1, \"content\":"
                   " \"[CLS]\", \"special\": true}, {\"id\": 2, \"content\": \"[SEP]\", \"special\": true}],"
                   " \"normalizer\": {\"type\": \"BertNormalizer\", \"lowercase\": true}, \"pre_tokenizer\":"
                   " {\"type\": \"BertPreTokenizer\"}, \"post_processor\": {\"type\": \"BertProcessing\", \"sep\":"
                   " [\"[SEP]\", 2], \"cls\": [\"[CLS]\", 1]}, \"decoder\": {\"type\": \"WordPiece\"},"
                   " \"model\": {\"type\": \"%s\", \"unk_token\": \"[UNK]\", \"continuing_subword_prefix\": \"##\","
                   " \"max_input_chars_per_word\": 100, \"vocab\": {", type);
    for (size_t i = 0; i < COUNT_OF(words); i++)
        fprintf(t.out, "%s\"%s\": %zu", i ? ", " : "", words[i], i);
    fprintf(t.out, "}}}");
    text_become(&t, "tokenizer.json");
    static const char words_config[] = "{\"sep_token\": \"[SEP]\", \"unk_token\": \"[UNK]\"}";
    write_text("tokenizer_config.json", words_config, sizeof words_config - 1);
}

static void wordpiece_keeps_its_ids(void **state)
{
    (void)state;
    write_json_words("WordPiece");
    assert_round_trip(11, "bert");
}

static void kinds_that_gguf_does_not_know_are_refused_by_name(void **state)
{
    (void)state;
    write_json_words("WordLevel");
    assert_refused(11, "kind WordLevel");
}

/* ---- byte-level BPE ---- */

/* Its alphabet is spelled here by the rule: printable bytes are themselves, the others count up from U+0100. */
static void put_byte_letters(FILE *out)
{
    int others = 0;
    for (int b = 0; b < 256; b++) {
        bool plain = (b >= '!' && b <= '~') || (b >= 0xA1 && b <= 0xAC) || b >= 0xAE;
        fprintf(out, "%s\"\\u%04x\": %d", b ? ", " : "", plain ? b : 256 + others++, b);
    }
}

/* NFC goes first in Qwen's tokenizers, and GGUF has no word for it: they are written all the same. */
static void a_byte_level_bpe_keeps_its_ids_and_finds_its_name(void **state)
{
    (void)state;
    static const char *const normalizers[] = {"null", "{\"type\": \"NFC\"}"};
    for (size_t i = 0; i < COUNT_OF(normalizers); i++) {
        Text t;
        text_open(&t);
        fprintf(t.out, "{\"added_tokens\": [{\"id\": 260, \"content\": \"<|end|>\", \"special\": true}], \"normalizer\": %s,"
                       " \"pre_tokenizer\": {\"type\": \"ByteLevel\", \"add_prefix_space\": false, \"use_regex\": true},"
                       " \"post_processor\": null, \"decoder\": {\"type\": \"ByteLevel\"}, \"model\": {\"type\": \"BPE\","
                       " \"vocab\": {", normalizers[i]);
        put_byte_letters(t.out);
        fprintf(t.out, ", \"th\": 256, \"the\": 257, \"\u0120the\": 258, \"at\": 259}, \"merges\": [[\"t\", \"h\"],"
                       " [\"th\", \"e\"], [\"\u0120\", \"the\"], [\"a\", \"t\"]]}}");
        text_become(&t, "tokenizer.json");
        static const char end_config[] = "{\"eos_token\": \"<|end|>\"}";
        write_text("tokenizer_config.json", end_config, sizeof end_config - 1);
        assert_round_trip(264, "gpt2");
    }
}

/* ---- the rest ---- */

static void a_vocabulary_larger_than_the_model_is_refused(void **state)
{
    (void)state;
    Error err;
    write_json_words("WordPiece");
    assert_int_equal(try_put(9, &err), BAD_FILE);
    assert_non_null(strstr(err.text, "the tokenizer has id 10, but the model's vocabulary has 9 entries"));
    empty_directory();
}

static void every_chat_template_goes_along(void **state)
{
    (void)state;
    static const char two[] = "{\"eos_token\": \"[SEP]\", \"chat_template\": [{\"name\": \"default\", \"template\": \"one\"},"
                              " {\"name\": \"tool_use\", \"template\": \"two\"}]}";
    Package after;
    Error err;
    write_json_words("WordPiece");
    write_text("tokenizer_config.json", two, sizeof two - 1);
    assert_int_equal(try_put(11, &err), OK);
    assert_int_equal(package_open(&after, in_directory("out.gguf"), &err), OK);
    assert_string_equal(package_chat(&after, NULL, false)->text, "one");
    assert_string_equal(package_chat(&after, NULL, true)->text, "two");
    package_close(&after);
    empty_directory();
}

static int make_directory(void **state)
{
    (void)state;
    snprintf(directory, sizeof directory, "/tmp/ridge-vocabulary-XXXXXX");
    return mkdtemp(directory) ? 0 : -1;
}

static int remove_directory(void **state)
{
    (void)state;
    empty_directory();
    return rmdir(directory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_sentencepiece_bpe_keeps_its_ids),
        cmocka_unit_test(a_sentencepiece_unigram_keeps_its_ids),
        cmocka_unit_test(what_sentencepiece_does_and_gguf_cannot_say_is_refused),
        cmocka_unit_test(a_json_bpe_of_characters_keeps_its_ids),
        cmocka_unit_test(merges_that_no_score_can_say_are_refused),
        cmocka_unit_test(a_normaliser_that_gguf_has_no_word_for_is_refused),
        cmocka_unit_test(a_json_unigram_keeps_its_ids),
        cmocka_unit_test(wordpiece_keeps_its_ids),
        cmocka_unit_test(kinds_that_gguf_does_not_know_are_refused_by_name),
        cmocka_unit_test(a_byte_level_bpe_keeps_its_ids_and_finds_its_name),
        cmocka_unit_test(a_vocabulary_larger_than_the_model_is_refused),
        cmocka_unit_test(every_chat_template_goes_along),
    };
    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}

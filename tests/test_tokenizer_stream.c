/* Text as it comes: whole characters only, stop strings whatever the parts; and the two other sources. */
#include "test.h"

#include "text/detokenizer.h"
#include "text/pre_names.h"
#include "text/stop_matcher.h"
#include "tokenizer_fixtures.h"

/* ---- SentencePiece files made by hand ---- */

static void put_varint(Buf *b, uint64_t value)
{
    for (; value >= 0x80; value >>= 7)
        buf_put_char(b, (char)(value | 0x80));
    buf_put_char(b, (char)value);
}

static void put_number(Buf *b, int field, uint64_t value)
{
    put_varint(b, (uint64_t)field << 3);
    put_varint(b, value);
}

static void put_bytes(Buf *b, int field, Span bytes)
{
    put_varint(b, (uint64_t)field << 3 | 2);
    put_varint(b, bytes.bytes);
    buf_put_span(b, bytes);
}

static void put_piece(Buf *model, const char *text, float score, int type)
{
    Buf piece;
    buf_init(&piece, 1000);
    put_bytes(&piece, 1, span_text(text));
    put_varint(&piece, 2 << 3 | 5);
    buf_put(&piece, &score, sizeof score);
    put_number(&piece, 3, (uint64_t)type);
    put_bytes(model, 1, buf_span(&piece));
    buf_deinit(&piece);
}

enum { NORMAL = 1, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE };
enum { UNIGRAM = 1, BPE = 2 };

static void put_specs(Buf *model, int type, bool byte_fallback, bool prefix, bool remove_extra)
{
    Buf spec;
    buf_init(&spec, 1000);
    put_number(&spec, 3, (uint64_t)type);
    put_number(&spec, 35, byte_fallback);
    put_bytes(model, 2, buf_span(&spec));
    buf_clear(&spec);
    put_number(&spec, 3, prefix);
    put_number(&spec, 4, remove_extra);
    put_bytes(model, 3, buf_span(&spec));
    buf_deinit(&spec);
}

static void put_common(Buf *model)
{
    buf_init(model, 1 << 16);
    put_piece(model, "<unk>", 0, UNKNOWN);
    put_piece(model, "<s>", 0, CONTROL);
    put_piece(model, "</s>", 0, CONTROL);
    put_piece(model, "▁", -1, NORMAL);       /* 3 */
    put_piece(model, "a", -2, NORMAL);
    put_piece(model, "b", -3, NORMAL);
    put_piece(model, "▁a", -4, NORMAL);      /* 6 */
    put_piece(model, "ab", -3.5f, NORMAL);
    put_piece(model, "bb", -1.5f, UNUSED);   /* 8 */
    put_piece(model, "TOK", 0, USER_DEFINED);
}

static Tokenizer *open_model(const Buf *model)
{
    Tokenizer *t;
    Error err = {0};
    if (tokenizer_open_sentencepiece(buf_span(model), (Span){0}, "test.model", &t, &err) != OK)
        stop_with(err.text);
    return t;
}

static void sentencepiece_bpe_merges_by_score_and_cuts_unused_pieces_again(void **state)
{
    (void)state;
    Buf model;
    put_common(&model);
    put_piece(&model, "<0xC3>", 0, BYTE);    /* 10 */
    put_piece(&model, "<0xA9>", 0, BYTE);
    put_specs(&model, BPE, true, true, false);
    Tokenizer *t = open_model(&model);
    assert_ids(t, span_text("ab"), 0, IDS(3, 7));            /* ab before ▁a */
    assert_ids(t, span_text("aa"), 0, IDS(6, 4));
    assert_ids(t, span_text("bb"), 0, IDS(3, 5, 5));
    assert_ids(t, span_text("é"), 0, IDS(3, 10, 11));
    assert_ids(t, span_text("aTOKb"), 0, IDS(6, 9, 5));
    assert_ids(t, span_text("<s>a"), ENCODE_PARSE_SPECIAL | ENCODE_ADD_SPECIAL, IDS(1, 1, 6));
    assert_ids(t, span_text(""), 0, NULL, 0);
    assert_comes_back(t, span_text("  ab é TOK"), 0);
    tokenizer_free(t);
    buf_deinit(&model);
}

static void sentencepiece_unigram_normalises_spaces_and_fuses_unknowns(void **state)
{
    (void)state;
    Buf model;
    put_common(&model);
    put_specs(&model, UNIGRAM, false, true, true);
    Tokenizer *t = open_model(&model);
    assert_ids(t, span_text("  a  b "), 0, IDS(3, 4, 3, 5));   /* -3 beats ▁a's -4 */
    assert_ids(t, span_text("axyb"), 0, IDS(3, 4, 0, 5));
    assert_ids(t, span_text("abb"), 0, IDS(3, 7, 5));
    assert_ids(t, span_text("a\xFF" "b"), 0, IDS(3, 4, 0, 5));
    tokenizer_free(t);
    buf_deinit(&model);
}

static void a_model_file_that_is_cut_or_wrong_is_refused_by_name(void **state)
{
    (void)state;
    Buf model;
    Error err = {0};
    Tokenizer *t;
    put_common(&model);
    put_specs(&model, BPE, false, true, false);
    for (size_t bytes = 0; bytes < model.bytes; bytes += 3)   /* some cuts fall between pieces: then it opens */
        if (tokenizer_open_sentencepiece(span_of(model.data, bytes), (Span){0}, "m", &t, &err) == OK)
            tokenizer_free(t);
        else
            assert_non_null(strstr(err.text, "m: "));
    put_piece(&model, "a", 0, NORMAL);
    assert_int_equal(tokenizer_open_sentencepiece(buf_span(&model), (Span){0}, "m", &t, &err), BAD_FILE);
    assert_non_null(strstr(err.text, "'a' has two ids, 4 and 10"));
    buf_clear(&model);
    put_piece(&model, "a", __builtin_nanf(""), NORMAL);
    assert_int_equal(tokenizer_open_sentencepiece(buf_span(&model), (Span){0}, "m", &t, &err), BAD_FILE);
    assert_non_null(strstr(err.text, "is not a number"));
    assert_int_equal(tokenizer_open_sentencepiece(span_text("no model"), (Span){0}, "m", &t, &err), BAD_FILE);
    buf_deinit(&model);
}

/* ---- plain arrays ---- */

static Span texts[] = {{(const uint8_t *)"a", 1}, {(const uint8_t *)"b", 1}, {(const uint8_t *)"ab", 2},
                       {(const uint8_t *)"\\xff", 4}};

static TokenizerSpec small_spec(const char *model)
{
    TokenizerSpec s;
    tokenizer_spec_init(&s, "x.gguf");
    s.model = span_text(model);
    s.pieces = texts;
    s.pieces_count = COUNT_OF(texts);
    return s;
}

static void an_unknown_pre_tokeniser_or_model_is_an_error_not_a_guess(void **state)
{
    (void)state;
    Tokenizer *t;
    Error err;
    TokenizerSpec s = small_spec("gpt2");
    s.pre = span_text("next-year");
    assert_int_equal(tokenizer_open_spec(&s, &t, &err), UNSUPPORTED);
    assert_non_null(strstr(err.text, "'next-year'"));
    s = small_spec("other");
    assert_int_equal(tokenizer_open_spec(&s, &t, &err), UNSUPPORTED);
    assert_non_null(strstr(err.text, "'other'"));
    s = small_spec("gpt2");
    s.eos = 4;
    assert_int_equal(tokenizer_open_spec(&s, &t, &err), BAD_FILE);
    assert_non_null(strstr(err.text, "tokenizer.ggml.eos_token_id is 4, but there are 4 tokens"));
    s = small_spec("none");
    assert_int_equal(tokenizer_open_spec(&s, &t, &err), OK);
    Encoding e;
    assert_int_equal(tokenizer_encode(t, span_text("a"), 0, &e, &err), UNSUPPORTED);
    encoding_deinit(&e);
    tokenizer_free(t);
}

static void greedy_pieces_are_bytes(void **state)
{
    (void)state;
    Tokenizer *t;
    TokenizerSpec s = small_spec("rwkv");
    assert_int_equal(tokenizer_open_spec(&s, &t, NULL), OK);
    assert_ids(t, span_text("aab\xFF" "b"), 0, IDS(0, 2, 3, 1));
    assert_comes_back(t, span_text("aab\xFF" "b"), 0);
    tokenizer_free(t);
}

/* Every name of the table must have expressions that compile. */
static void every_pre_tokeniser_name_opens(void **state)
{
    (void)state;
    const PreName *pre;
    int count = 0;
    for (; (pre = pre_name_at(count)); count++) {
        Tokenizer *t;
        Error err = {0};
        TokenizerSpec s = small_spec("gpt2");
        s.pre = span_text(pre->name);
        if (tokenizer_open_spec(&s, &t, &err) != OK)
            stop_with(err.text);
        Encoding e = encode_span(t, span_text("ab  ba 12345 中ab's\n\n"), 0);
        assert_true(e.count >= 3);
        encoding_deinit(&e);
        tokenizer_free(t);
    }
    assert_true(count > 80);
}

/* ---- the stream ---- */

static void a_stream_gives_whole_characters_and_the_same_text(void **state)
{
    (void)state;
    Tokenizer *t = open_json_text(
        "{\"decoder\": {\"type\": \"Sequence\", \"decoders\": [{\"type\": \"Replace\", \"pattern\": {\"String\": \"▁\"}, "
        "\"content\": \" \"}, {\"type\": \"ByteFallback\"}, {\"type\": \"Fuse\"}, {\"type\": \"Strip\", \"content\": \" \", "
        "\"start\": 1, \"stop\": 0}]}, \"model\": {\"type\": \"BPE\", \"merges\": [], \"vocab\": {\"▁a\": 0, \"<0xE3>\": 1, "
        "\"<0x81>\": 2, \"<0x82>\": 3, \"<0xFF>\": 4, \"b\": 5}}}");
    static const struct {
        int32_t id;
        const char *so_far;
    } steps[] = {{0, "a"}, {1, "a"}, {2, "a"}, {3, "aあ"}, {0, "aあ a"}, {1, "aあ a"}, {5, "aあ a\xEF\xBF\xBD" "b"},
                 {4, "aあ a\xEF\xBF\xBD" "b\xEF\xBF\xBD"}, {1, "aあ a\xEF\xBF\xBD" "b\xEF\xBF\xBD"}};
    Detokenizer d;
    Buf out;
    buf_init(&out, 1000);
    detokenizer_init(&d, t, 0);
    for (size_t i = 0; i < COUNT_OF(steps); i++) {
        assert_true(detokenizer_put(&d, steps[i].id, &out));
        assert_string_equal(out.data, steps[i].so_far);
    }
    assert_true(detokenizer_finish(&d, &out));
    assert_string_equal(out.data, "aあ a\xEF\xBF\xBD" "b\xEF\xBF\xBD\xEF\xBF\xBD");
    buf_clear(&out);
    detokenizer_init(&d, t, DECODE_CONTINUES);
    assert_true(detokenizer_put(&d, 0, &out));
    assert_string_equal(out.data, " a");
    buf_deinit(&out);
    tokenizer_free(t);
}

static StopMatcher *stops(size_t count, ...)
{
    Span strings[8];
    StopMatcher *m;
    va_list args;
    va_start(args, count);
    for (size_t i = 0; i < count; i++)
        strings[i] = span_text(va_arg(args, const char *));
    va_end(args);
    assert_int_equal(stop_matcher_new(strings, count, &m, NULL), OK);
    return m;
}

static void a_stop_string_is_held_back_until_it_is_known(void **state)
{
    (void)state;
    StopMatcher *m = stops(2, "\nUser:", "END");
    Buf out;
    int stopped;
    buf_init(&out, 1000);
    assert_true(stop_matcher_put(m, span_text("Yes.\nUs"), &out, &stopped));
    assert_string_equal(out.data, "Yes.");
    assert_true(stop_matcher_put(m, span_text("ed up\nUse"), &out, &stopped));
    assert_string_equal(out.data, "Yes.\nUsed up");
    assert_int_equal(stopped, -1);
    assert_true(stop_matcher_put(m, span_text("r: hi"), &out, &stopped));
    assert_int_equal(stopped, 0);
    assert_true(stop_matcher_put(m, span_text("more"), &out, &stopped) && stop_matcher_finish(m, &out));
    assert_string_equal(out.data, "Yes.\nUsed up");
    stop_matcher_reset(m);
    buf_clear(&out);
    assert_true(stop_matcher_put(m, span_text("the EN"), &out, &stopped) && stop_matcher_finish(m, &out));
    assert_string_equal(out.data, "the EN");
    /* A twin is at another place in the same strings. */
    StopMatcher *twin = stop_matcher_twin(m);
    buf_clear(&out);
    assert_true(stop_matcher_put(twin, span_text("One END"), &out, &stopped) && stopped >= 0);
    stop_matcher_reset(m);
    assert_true(stop_matcher_put(m, span_text("D"), &out, &stopped) && stopped < 0);
    stop_matcher_free(twin);
    buf_deinit(&out);
    stop_matcher_free(m);
    Error err;
    assert_int_equal(stop_matcher_new(&(Span){0}, 1, &m, &err), BAD_ARGUMENT);
}

/* What a search of the whole text finds: the first byte at which a string is complete, and the longest there. */
static size_t stop_of(const char *text, const char *const *strings, size_t count, int *which)
{
    *which = -1;
    for (size_t end = 1; text[end - 1]; end++) {
        size_t longest = 0;
        for (size_t i = 0; i < count; i++) {
            size_t bytes = strlen(strings[i]);
            if (bytes <= end && bytes > longest && !memcmp(text + end - bytes, strings[i], bytes)) {
                longest = bytes;
                *which = (int)i;
            }
        }
        if (longest)
            return end - longest;
    }
    return strlen(text);
}

static void stop_strings_are_found_whatever_the_parts(void **state)
{
    (void)state;
    static const char *const strings[] = {"abab", "bb", "aabb", "cabac"};
    StopMatcher *m = stops(4, strings[0], strings[1], strings[2], strings[3]);
    Buf out;
    buf_init(&out, 1000);
    uint32_t random = 7;
    for (int round = 0; round < 3000; round++) {
        char text[24] = "";
        for (size_t i = 0; i < sizeof text - 1; i++)
            text[i] = "aabc"[(random = random * 1664525 + 1013904223) >> 24 & 3];
        int wanted, stopped = -1;
        size_t bytes = stop_of(text, strings, COUNT_OF(strings), &wanted);
        stop_matcher_reset(m);
        buf_clear(&out);
        for (size_t at = 0, part; at < sizeof text - 1 && stopped < 0; at += part) {
            part = 1 + ((random = random * 1664525 + 1013904223) >> 24) % 4;
            part = part < sizeof text - 1 - at ? part : sizeof text - 1 - at;
            assert_true(stop_matcher_put(m, span_of(text + at, part), &out, &stopped));
        }
        assert_true(stop_matcher_finish(m, &out));
        assert_int_equal(stopped, wanted);
        assert_true(span_equal(buf_span(&out), span_of(text, bytes)));
    }
    buf_deinit(&out);
    stop_matcher_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sentencepiece_bpe_merges_by_score_and_cuts_unused_pieces_again),
        cmocka_unit_test(sentencepiece_unigram_normalises_spaces_and_fuses_unknowns),
        cmocka_unit_test(a_model_file_that_is_cut_or_wrong_is_refused_by_name),
        cmocka_unit_test(an_unknown_pre_tokeniser_or_model_is_an_error_not_a_guess),
        cmocka_unit_test(greedy_pieces_are_bytes),
        cmocka_unit_test(every_pre_tokeniser_name_opens),
        cmocka_unit_test(a_stream_gives_whole_characters_and_the_same_text),
        cmocka_unit_test(a_stop_string_is_held_back_until_it_is_known),
        cmocka_unit_test(stop_strings_are_found_whatever_the_parts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

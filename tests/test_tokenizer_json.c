/* Each stage of tokenizer.json does what the reference implementation does: the expected values are its. */
#include "test.h"

#include "tokenizer_fixtures.h"

static Tokenizer *open_with(const char *stages, const char *model)
{
    char json[8192];
    snprintf(json, sizeof json, "{%s%s\"model\": %s}", stages, *stages ? ", " : "", model);
    return open_json_text(json);
}

/* ---- a model that gives the normalised text back, byte by byte ---- */

static void assert_normal(const char *normalizer, const char *text, const char *wanted)
{
    Buf json;
    buf_init(&json, 1 << 16);
    buf_printf(&json, "{\"normalizer\": %s, \"decoder\": {\"type\": \"ByteFallback\"}, \"model\": {\"type\": \"BPE\", "
               "\"byte_fallback\": true, \"merges\": [], \"vocab\": {", normalizer);
    for (int i = 0; i < 256; i++)
        buf_printf(&json, "%s\"<0x%02X>\": %d", i ? ", " : "", i, i);
    buf_put_text(&json, "}}}");
    Tokenizer *t = open_json_text(json.data);
    Encoding e = encode_span(t, span_text(text), 0);
    assert_decodes(t, e.ids, e.count, span_text(wanted));
    encoding_deinit(&e);
    tokenizer_free(t);
    buf_deinit(&json);
}

static void normalisers_write_what_the_reference_writes(void **state)
{
    (void)state;
    static const struct {
        const char *normalizer, *text, *wanted;
    } cases[] = {
        {"null", "Aé", "Aé"},
        {"{\"type\": \"NFC\"}", "e\xCC\x81 \xE1\x84\x92\xE1\x85\xA1\xE1\x86\xAB", "é 한"},
        {"{\"type\": \"NFC\"}", "a\xCC\x96\xCC\x81", "á\xCC\x96"},             /* a mark below does not block */
        {"{\"type\": \"NFD\"}", "é한", "e\xCC\x81\xE1\x84\x92\xE1\x85\xA1\xE1\x86\xAB"},
        {"{\"type\": \"NFKC\"}", "ﬁ①Ａ½", "fi1A1\xE2\x81\x84" "2"},
        {"{\"type\": \"NFKD\"}", "Å", "A\xCC\x8A"},
        {"{\"type\": \"Lowercase\"}", "\xC4\xB0\xCE\x91\xCE\xA3 \xE1\xBA\x9E", "i\xCC\x87\xCE\xB1\xCF\x83 ß"},
        {"{\"type\": \"StripAccents\"}", "e\xCC\x81\xE0\xA4\x83\xE2\x83\x9D", "e"},
        {"{\"type\": \"Strip\", \"strip_left\": true, \"strip_right\": true}", "\xC2\xA0 a \xE3\x80\x80", "a"},
        {"{\"type\": \"Strip\", \"strip_left\": false, \"strip_right\": true}", " a ", " a"},
        {"{\"type\": \"Prepend\", \"prepend\": \"_\"}", "a", "_a"},
        {"{\"type\": \"Replace\", \"pattern\": {\"String\": \" \"}, \"content\": \"▁\"}", " a  b", "▁a▁▁b"},
        {"{\"type\": \"Replace\", \"pattern\": {\"Regex\": \" {2,}\"}, \"content\": \"▁\"}", "a  b c   d", "a▁b c▁d"},
        {"{\"type\": \"BertNormalizer\"}", "a\xE2\x80\x8B\xC2\xAD" "b\xEF\xBF\xBD\x01É\xE3\x80\x80中İ", "abe  中 i"},
        {"{\"type\": \"BertNormalizer\", \"lowercase\": false}", "É", "É"},
        {"{\"type\": \"Nmt\"}", "\x01\t\x0b\x0c\x7f\xC2\xA0\xE2\x80\x8B▁", "  \xC2\xA0  "},
        {"{\"type\": \"ByteLevel\"}", "é \n", "Ã©ĠĊ"},
        {"{\"type\": \"Sequence\", \"normalizers\": [{\"type\": \"NFD\"}, {\"type\": \"StripAccents\"}]}", "é", "e"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        assert_normal(cases[i].normalizer, cases[i].text, cases[i].wanted);
}

/* A run of marks is sorted, not bubbled: two orders of class by turns, 60,000 of them. */
static void a_long_run_of_combining_marks_is_no_attack(void **state)
{
    (void)state;
    enum { PAIRS = 30000 };
    Tokenizer *t = open_with("\"normalizer\": {\"type\": \"NFC\"}", "{\"type\": \"WordLevel\", \"unk_token\": \"u\", "
                             "\"vocab\": {\"u\": 0}}");
    char *text = malloc(4 * PAIRS);
    for (int i = 0; i < PAIRS; i++)
        memcpy(text + 4 * i, "\xCC\x81\xCC\x96", 4);   /* classes 230 and 220 */
    Encoding e = encode_span(t, span_of(text, 4 * PAIRS), 0);
    assert_int_equal(e.count, 1);
    encoding_deinit(&e);
    free(text);
    tokenizer_free(t);
}

/* ---- a model that gives one token a word: places show the cuts ---- */

static void assert_words(const char *pretokenizer, const char *text, const char *wanted)
{
    char stages[2048];
    snprintf(stages, sizeof stages, "\"pre_tokenizer\": %s", pretokenizer);
    Tokenizer *t = open_with(stages, "{\"type\": \"WordLevel\", \"unk_token\": \"u\", \"vocab\": {\"u\": 0}}");
    Encoding e = encode_span(t, span_text(text), ENCODE_PLACES);
    char got[1024] = "";
    for (size_t i = 0; i < e.count; i++)
        snprintf(got + strlen(got), sizeof got - strlen(got), "%s%.*s", i ? "|" : "",
                 (int)(e.places[i].end - e.places[i].begin), text + e.places[i].begin);
    assert_string_equal(got, wanted);
    encoding_deinit(&e);
    tokenizer_free(t);
}

#define SPLIT(behavior, invert) \
    "{\"type\": \"Split\", \"pattern\": {\"Regex\": \"-\"}, \"behavior\": \"" behavior "\", \"invert\": " invert "}"

static void pre_tokenisers_cut_where_the_reference_cuts(void **state)
{
    (void)state;
    static const struct {
        const char *pretokenizer, *text, *wanted;
    } cases[] = {
        {SPLIT("Removed", "false"), "--a--b-c--", "a|b|c"},
        {SPLIT("Removed", "true"), "--a--b-c--", "-|-|-|-|-|-|-"},
        {SPLIT("Isolated", "false"), "--a--b-c--", "-|-|a|-|-|b|-|c|-|-"},
        {SPLIT("MergedWithPrevious", "false"), "--a--b-c--", "-|-|a-|-|b-|c-|-"},
        {SPLIT("MergedWithPrevious", "true"), "--a--b-c--", "-|-a|-|-b|-c|-|-"},
        {SPLIT("MergedWithNext", "false"), "--a--b-c--", "-|-a|-|-b|-c|-|-"},
        {SPLIT("MergedWithNext", "true"), "--a--b-c--", "-|-|a-|-|b-|c-|-"},
        {SPLIT("Contiguous", "false"), "--a--b-c--", "--|a|--|b|-|c|--"},
        {"{\"type\": \"Split\", \"pattern\": {\"Regex\": \"\\\\s+$\"}, \"behavior\": \"Isolated\"}", "a  \nb  ", "a|  |\nb|  "},
        {"{\"type\": \"Split\", \"pattern\": {\"Regex\": \"\\\\s\"}, \"behavior\": \"Isolated\"}", "a\xE1\xA0\x8E" "b\xC2\x85",
         "a\xE1\xA0\x8E" "b|\xC2\x85"},
        {"{\"type\": \"Split\", \"pattern\": {\"Regex\": \"\\\\w\"}, \"behavior\": \"Removed\"}", "aé\xE2\x80\x8C²_Ⅷ५¼⑼",
         "\xE2\x80\x8C|⑼"},
        {"{\"type\": \"Split\", \"pattern\": {\"Regex\": \"(?=(\\\\d{3})+(?!\\\\d))\"}, \"behavior\": \"MergedWithNext\"}",
         "a1234567b", "a1|234|567b"},
        {"{\"type\": \"Split\", \"pattern\": {\"Regex\": \"[\\\\p{L}&&[^\\\\p{Han}]]+\"}, \"behavior\": \"Isolated\"}", "ab中文cd",
         "ab|中文|cd"},
        {"{\"type\": \"Split\", \"pattern\": {\"Regex\": \"(?i:'s|'t)\"}, \"behavior\": \"Isolated\"}", "a'ſb'S", "a|'ſ|b|'S"},
        {"{\"type\": \"Split\", \"pattern\": {\"String\": \" \"}, \"behavior\": \"Removed\"}", "ab  中文 cd", "ab|中文|cd"},
        {"{\"type\": \"ByteLevel\", \"add_prefix_space\": false}", "I'm  12 ok", "I|'m| | 12| ok"},
        {"{\"type\": \"Metaspace\"}", " a  b▁c ", " a| | b|▁c| "},
        {"{\"type\": \"Whitespace\"}", "aé² _Ⅷ ¼ ...", "aé|²|_Ⅷ|¼|..."},
        {"{\"type\": \"WhitespaceSplit\"}", "a.b\xE3\x80\x80 c", "a.b|c"},
        {"{\"type\": \"BertPreTokenizer\"}", "a.b c$„", "a|.|b|c|$|„"},
        {"{\"type\": \"Digits\", \"individual_digits\": true}", "a12²½Ⅷ५b", "a|1|2|²|½|Ⅷ|५|b"},
        {"{\"type\": \"Digits\", \"individual_digits\": false}", "a12b", "a|12|b"},
        {"{\"type\": \"Punctuation\", \"behavior\": \"Contiguous\"}", "a..b!$ +c„“", "a|..|b|!$| |+|c|„“"},
        {"{\"type\": \"CharDelimiterSplit\", \"delimiter\": \"-\"}", "a--b", "a|b"},
        {"{\"type\": \"FixedLength\", \"length\": 2}", "éabcd", "éa|bc|d"},
        {"{\"type\": \"Sequence\", \"pretokenizers\": [{\"type\": \"WhitespaceSplit\"}, {\"type\": \"Punctuation\"}]}", "a. b",
         "a|.|b"},
        /* byte letters of ² are no digits of the text, but ½ has the byte BD, whose letter is */
        {"{\"type\": \"Sequence\", \"pretokenizers\": [{\"type\": \"ByteLevel\", \"add_prefix_space\": false, \"use_regex\": "
         "false}, {\"type\": \"Digits\", \"individual_digits\": true}]}", "a\xC2\xBD", "a\xC2|\xBD"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        assert_words(cases[i].pretokenizer, cases[i].text, cases[i].wanted);
}

/* ---- BPE ---- */

static void merges_in_both_notations_go_by_rank_then_from_the_left(void **state)
{
    (void)state;
    static const char *const merges[] = {"[\"b c\", \"a b\", \"a a\", \"aa a\"]",
                                         "[[\"b\", \"c\"], [\"a\", \"b\"], [\"a\", \"a\"], [\"aa\", \"a\"]]"};
    for (int i = 0; i < 2; i++) {
        char model[512];
        snprintf(model, sizeof model, "{\"type\": \"BPE\", \"vocab\": {\"a\": 0, \"b\": 1, \"c\": 2, \"bc\": 3, \"ab\": 4, "
                 "\"aa\": 5, \"aaa\": 6}, \"merges\": %s}", merges[i]);
        Tokenizer *t = open_with("", model);
        assert_ids(t, span_text("abc"), 0, IDS(0, 3));
        assert_ids(t, span_text("aaaaa"), 0, IDS(5, 6));   /* aa aa a, then the left one cannot, the right one does */
        assert_ids(t, span_text("xaby"), 0, IDS(4));       /* without an unknown token they are left out */
        tokenizer_free(t);
    }
}

static void unknown_characters_are_fused_or_bytes_as_the_model_says(void **state)
{
    (void)state;
    static const char vocab[] = "\"merges\": [], \"vocab\": {\"?\": 0, \"a\": 1, \"<0xC3>\": 2, \"<0xA9>\": 3}}";
    static const struct {
        const char *settings;
        size_t count;
        int32_t ids[5];
    } cases[] = {
        {"\"unk_token\": \"?\", \"fuse_unk\": false", 4, {1, 0, 0, 1}},
        {"\"unk_token\": \"?\", \"fuse_unk\": true", 3, {1, 0, 1}},
        {"\"unk_token\": \"?\", \"byte_fallback\": true", 5, {1, 2, 3, 0, 1}},
        {"\"unk_token\": null", 2, {1, 1}},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char model[512];
        snprintf(model, sizeof model, "{\"type\": \"BPE\", %s, %s", cases[i].settings, vocab);
        Tokenizer *t = open_with("", model);
        assert_ids(t, span_text("aéza"), 0, cases[i].ids, cases[i].count);
        tokenizer_free(t);
    }
}

static void a_word_that_is_a_piece_stays_whole_where_merges_are_ignored(void **state)
{
    (void)state;
    for (int ignore = 0; ignore < 2; ignore++) {
        char model[512];
        snprintf(model, sizeof model, "{\"type\": \"BPE\", \"ignore_merges\": %s, \"merges\": [], \"vocab\": {\"a\": 0, "
                 "\"b\": 1, \"ab\": 2}}", ignore ? "true" : "false");
        Tokenizer *t = open_with("", model);
        if (ignore)
            assert_ids(t, span_text("ab"), 0, IDS(2));
        else
            assert_ids(t, span_text("ab"), 0, IDS(0, 1));
        tokenizer_free(t);
    }
}

static void prefixes_and_suffixes_of_pieces_belong_to_their_place_in_the_word(void **state)
{
    (void)state;
    Tokenizer *t = open_with("\"pre_tokenizer\": {\"type\": \"WhitespaceSplit\"}, \"decoder\": {\"type\": \"BPEDecoder\", "
                             "\"suffix\": \"</w>\"}", "{\"type\": \"BPE\", \"end_of_word_suffix\": \"</w>\", \"vocab\": {\"l\": "
                             "0, \"o\": 1, \"w</w>\": 2, \"lo\": 3, \"low</w>\": 4, \"o</w>\": 5}, \"merges\": [\"l o\", "
                             "\"lo w</w>\"]}");
    assert_ids(t, span_text("low lo"), 0, IDS(4, 0, 5));
    assert_decodes(t, IDS(4, 0, 5), span_text("low lo"));
    tokenizer_free(t);
    t = open_with("", "{\"type\": \"BPE\", \"continuing_subword_prefix\": \"##\", \"vocab\": {\"a\": 0, \"##b\": 1, \"ab\": 2, "
                      "\"##c\": 3}, \"merges\": [\"a ##b\"]}");
    assert_ids(t, span_text("abc"), 0, IDS(2, 3));
    tokenizer_free(t);
}

/* ---- the other models ---- */

static void unigram_takes_the_most_probable_way(void **state)
{
    (void)state;
    Tokenizer *t = open_with("\"pre_tokenizer\": {\"type\": \"Metaspace\"}, \"decoder\": {\"type\": \"Metaspace\"}",
                             "{\"type\": \"Unigram\", \"unk_id\": 0, \"vocab\": [[\"<unk>\", 0], [\"▁\", -2], [\"a\", -2], "
                             "[\"▁ab\", -5], [\"b\", -2.5], [\"▁a\", -2.4], [\"bb\", -4]]}");
    assert_ids(t, span_text("ab"), 0, IDS(5, 4));         /* -4.9 beats -5 */
    assert_ids(t, span_text("abb"), 0, IDS(5, 6));        /* -6.4 beats -7.4 and -7.5 */
    assert_ids(t, span_text("axyb"), 0, IDS(5, 0, 4));    /* unknown ones are one */
    assert_decodes(t, IDS(5, 4, 5), span_text("ab a"));
    tokenizer_free(t);
}

static void wordpiece_takes_the_longest_piece_or_nothing_of_the_word(void **state)
{
    (void)state;
    Tokenizer *t = open_with("\"normalizer\": {\"type\": \"BertNormalizer\"}, \"pre_tokenizer\": {\"type\": "
                             "\"BertPreTokenizer\"}, \"decoder\": {\"type\": \"WordPiece\", \"prefix\": \"##\", \"cleanup\": "
                             "true}, \"post_processor\": {\"type\": \"BertProcessing\", \"sep\": [\"[SEP]\", 2], \"cls\": "
                             "[\"[CLS]\", 1]}", "{\"type\": \"WordPiece\", \"unk_token\": \"[UNK]\", "
                             "\"continuing_subword_prefix\": \"##\", \"max_input_chars_per_word\": 12, \"vocab\": {\"[UNK]\": "
                             "0, \"[CLS]\": 1, \"[SEP]\": 2, \"un\": 3, \"##aff\": 4, \"##able\": 5, \"##a\": 6, \".\": 7, "
                             "\"unaff\": 8}}");
    assert_ids(t, span_text("UNaffable."), 0, IDS(8, 5, 7));
    assert_ids(t, span_text("unaffx un"), ENCODE_ADD_SPECIAL, IDS(1, 0, 3, 2));
    assert_ids(t, span_text("unaaaaaaaaaaa"), 0, IDS(0));   /* 13 characters */
    assert_decodes(t, IDS(8, 5, 3, 7), span_text("unaffable un."));
    tokenizer_free(t);
}

/* ---- added tokens, and what goes around a text ---- */

#define ADDED(id, content, flags) "{\"id\": " #id ", \"content\": \"" content "\", " flags "}"

static void added_tokens_are_found_as_their_flags_say(void **state)
{
    (void)state;
    Tokenizer *t = open_with(
        "\"normalizer\": {\"type\": \"Lowercase\"}, \"added_tokens\": ["
        ADDED(10, "<s>", "\"special\": true") ", " ADDED(11, "<s>x", "\"special\": true") ", "
        ADDED(12, "one", "\"single_word\": true, \"normalized\": false") ", "
        ADDED(13, "[L]", "\"lstrip\": true, \"normalized\": false") ", "
        ADDED(14, "[R]", "\"rstrip\": true, \"normalized\": false") ", " ADDED(15, "Big", "\"normalized\": true") "]",
        "{\"type\": \"BPE\", \"merges\": [], \"unk_token\": \"?\", \"vocab\": {\"?\": 0, \"a\": 1, \" \": 2, \"<\": 3, \"s\": "
        "4, \">\": 5, \"b\": 6, \"i\": 7, \"g\": 8, \"o\": 9}}");
    assert_ids(t, span_text("a<s>"), ENCODE_PARSE_SPECIAL, IDS(1, 10));
    assert_ids(t, span_text("a<s>x"), ENCODE_PARSE_SPECIAL, IDS(1, 11));
    assert_ids(t, span_text("a<s>"), 0, IDS(1, 3, 4, 5));
    assert_ids(t, span_text("one"), 0, IDS(12));
    assert_ids(t, span_text("a one a"), 0, IDS(1, 2, 12, 2, 1));
    assert_ids(t, span_text("oneo"), 0, IDS(9, 0, 0, 9));
    assert_ids(t, span_text("one\xE2\x80\x8D"), 0, IDS(9, 0, 0, 0));   /* a joiner is part of a word */
    assert_ids(t, span_text("a  [L]  a"), 0, IDS(1, 13, 2, 2, 1));
    assert_ids(t, span_text("a  [R]  a"), 0, IDS(1, 2, 2, 14, 1));
    assert_ids(t, span_text("aBIGa"), 0, IDS(1, 15, 1));
    assert_true(tokenizer_is_special(t, 10) && tokenizer_is_control(t, 10) && !tokenizer_is_special(t, 12));
    assert_int_equal(tokenizer_find(t, span_text("<s>x")), 11);
    tokenizer_free(t);
}

/* "ü" as an added token is that letter, although the byte alphabet writes another byte so. */
static void an_added_token_decodes_to_its_own_text(void **state)
{
    (void)state;
    Tokenizer *t = open_with("\"pre_tokenizer\": {\"type\": \"ByteLevel\", \"add_prefix_space\": false}, \"decoder\": {\"type\": "
                             "\"ByteLevel\"}, \"added_tokens\": [" ADDED(9, "ü", "\"normalized\": false") "]",
                             "{\"type\": \"BPE\", \"merges\": [], \"vocab\": {\"f\": 0, \"Ã\": 1, \"©\": 2}}");
    assert_ids(t, span_text("füé"), 0, IDS(0, 9, 1, 2));
    assert_decodes(t, IDS(0, 9, 1, 2), span_text("füé"));
    assert_true(span_is(tokenizer_piece(t, 1), "Ã"));
    assert_true(span_is(tokenizer_piece_bytes(t, 1), "\xC3"));
    tokenizer_free(t);
}

#define TEMPLATE "\"added_tokens\": [" ADDED(0, "<s>", "\"special\": true") ", " ADDED(1, "</s>", "\"special\": true") \
    "], \"post_processor\": {\"type\": \"TemplateProcessing\", \"single\": [{\"SpecialToken\": {\"id\": \"<s>\"}}, "       \
    "{\"Sequence\": {\"id\": \"A\"}}], \"special_tokens\": {\"<s>\": {\"ids\": [0]}}}"

static void the_config_has_the_last_word_on_begin_and_end(void **state)
{
    (void)state;
    static const struct {
        const char *config;
        size_t count;
        int32_t ids[3];
    } cases[] = {
        {"", 2, {0, 2}},
        {"{\"bos_token\": \"<s>\", \"add_bos_token\": false}", 1, {2}},
        {"{\"bos_token\": {\"content\": \"<s>\"}, \"eos_token\": \"</s>\", \"add_bos_token\": true, \"add_eos_token\": true}", 3,
         {0, 2, 1}},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        Tokenizer *t;
        Error err;
        static const char json[] = "{" TEMPLATE ", \"model\": {\"type\": \"BPE\", \"merges\": [], \"vocab\": {\"<s>\": 0, "
                                   "\"</s>\": 1, \"a\": 2}}}";
        assert_int_equal(tokenizer_open_json(span_text(json), span_text(cases[i].config), "t", &t, &err), OK);
        assert_ids(t, span_text("a"), ENCODE_ADD_SPECIAL, cases[i].ids, cases[i].count);
        assert_ids(t, span_text("a"), 0, IDS(2));
        if (i == 2)
            assert_true(tokenizer_specials(t)->add_bos && tokenizer_is_end(t, 1) && !tokenizer_is_end(t, 0));
        tokenizer_free(t);
    }
}

static void places_are_those_of_the_users_text(void **state)
{
    (void)state;
    Tokenizer *t = open_with(TEMPLATE ", \"normalizer\": {\"type\": \"NFKC\"}", "{\"type\": \"BPE\", \"merges\": [\"f i\", "
                             "\"fi n\"], \"vocab\": {\"<s>\": 0, \"</s>\": 1, \"f\": 2, \"i\": 3, \"n\": 4, \"fi\": 5, \"fin\": "
                             "6, \"é\": 7}}");
    Encoding e = encode_span(t, span_text("ﬁne\xCC\x81</s>n"), ENCODE_ADD_SPECIAL | ENCODE_PARSE_SPECIAL | ENCODE_PLACES);
    static const struct {
        int32_t id;
        uint32_t begin, end;
    } wanted[] = {{0, 0, 0}, {6, 0, 4}, {7, 4, 7}, {1, 7, 11}, {4, 11, 12}};
    assert_int_equal(e.count, COUNT_OF(wanted));
    for (size_t i = 0; i < e.count; i++) {
        assert_int_equal(e.ids[i], wanted[i].id);
        assert_int_equal(e.places[i].begin, wanted[i].begin);
        assert_int_equal(e.places[i].end, wanted[i].end);
    }
    encoding_deinit(&e);
    tokenizer_free(t);
}

static void broken_text_is_replaced_as_the_reference_does(void **state)
{
    (void)state;
    assert_normal("null", "a\xFF\xE2\x96" "b\xF0\x9F\x98", "a\xEF\xBF\xBD\xEF\xBF\xBD" "b\xEF\xBF\xBD");
    assert_normal("null", "\xED\xA0\x80\xC0\xAF", "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD");
}

static void decoders_of_sentencepiece_files_make_text_of_pieces(void **state)
{
    (void)state;
    Tokenizer *t = open_with("\"decoder\": {\"type\": \"Sequence\", \"decoders\": [{\"type\": \"Replace\", \"pattern\": "
                             "{\"String\": \"▁\"}, \"content\": \" \"}, {\"type\": \"ByteFallback\"}, {\"type\": \"Fuse\"}, "
                             "{\"type\": \"Strip\", \"content\": \" \", \"start\": 1, \"stop\": 0}]}", "{\"type\": \"BPE\", "
                             "\"merges\": [], \"vocab\": {\"▁a\": 0, \"<0xE3>\": 1, \"<0x81>\": 2, \"<0x82>\": 3, \"▁\": 4}}");
    Buf out;
    buf_init(&out, 1000);
    assert_decodes(t, IDS(4, 0, 1, 2, 3, 0), span_text(" aあ a"));
    assert_true(tokenizer_decode(t, (int32_t[]){0, 99, -1, 0}, 4, DECODE_CONTINUES, &out));
    assert_string_equal(out.data, " a a");   /* text stands before; ids without a piece give nothing */
    buf_deinit(&out);
    tokenizer_free(t);
}

/* ---- files that are wrong ---- */

static void wrong_files_are_refused_by_name(void **state)
{
    (void)state;
    static const struct {
        const char *json, *says;
    } cases[] = {
        {"", "not JSON"},
        {"{\"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": 0,", "not JSON"},
        {"{}", "no 'model'"},
        {"{\"model\": {\"type\": \"BPE\"}}", "no 'vocab'"},
        {"{\"model\": {\"type\": \"Magic\", \"vocab\": {}}}", "'Magic' is not known"},
        {"{\"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": 0, \"b\": 0}}}", "id 0 belongs to two pieces, 'a' and 'b'"},
        {"{\"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": 0, \"a\": 1}}}", "'a' has two ids"},
        {"{\"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": -1}}}", "has the id -1"},
        {"{\"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": 16777216}}}", "has the id 16777216"},
        {"{\"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": 16777215}}}", "1 pieces, but ids up to 16777215"},
        {"{\"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": 1.5}}}", "a piece and its id"},
        {"{\"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": 0}, \"merges\": [\"a b\"]}}", "merge 0, 'a' with 'b', needs"},
        {"{\"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": 0}, \"merges\": [\"aa\"]}}", "two pieces with a space"},
        {"{\"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": 0}, \"unk_token\": \"u\"}}", "unk_token 'u' is not"},
        {"{\"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": 0}, \"byte_fallback\": 1}}", "'byte_fallback' should be"},
        {"{\"model\": {\"type\": \"Unigram\", \"vocab\": [[\"a\", 1e999]]}}", "a piece and its score"},
        {"{\"model\": {\"type\": \"Unigram\", \"vocab\": [[\"a\", NaN]]}}", "a piece and its score"},
        {"{\"model\": {\"type\": \"Unigram\", \"unk_id\": 5, \"vocab\": [[\"a\", 0]]}}", "unk_id 5"},
        {"{\"normalizer\": {\"type\": \"Odd\"}, \"model\": {\"type\": \"BPE\", \"vocab\": {}}}", "normalizer: the type 'Odd'"},
        {"{\"pre_tokenizer\": {\"type\": \"Split\", \"pattern\": {\"Regex\": \"(\"}}, \"model\": {\"type\": \"BPE\", \"vocab\": "
         "{}}}", "expression '(' cannot be read"},
        {"{\"added_tokens\": [{\"id\": 0, \"content\": \"x\"}], \"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": 0}}}",
         "id 0 belongs to two pieces"},
        {"{\"added_tokens\": [{\"content\": \"x\"}], \"model\": {\"type\": \"BPE\", \"vocab\": {}}}", "has no 'id'"},
        {"{\"post_processor\": {\"type\": \"BertProcessing\", \"sep\": [\"x\", 7], \"cls\": [\"x\", 7]}, \"model\": {\"type\": "
         "\"BPE\", \"vocab\": {\"a\": 0}}}", "token 7, which is not"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        Tokenizer *t;
        Error err = {0};
        assert_int_not_equal(tokenizer_open_json(span_text(cases[i].json), (Span){0}, "dir/tokenizer.json", &t, &err), OK);
        assert_null(t);
        if (!strstr(err.text, cases[i].says))
            print_error("'%s' does not say '%s'\n", err.text, cases[i].says);
        assert_non_null(strstr(err.text, cases[i].says));
        assert_int_equal(strncmp(err.text, "dir/tokenizer.json", 18), 0);
    }
}

/* An expression that backtracks without end costs a bounded number of steps, then the request is refused. */
static void a_regular_expression_gives_up(void **state)
{
    (void)state;
    Tokenizer *t = open_with("\"pre_tokenizer\": {\"type\": \"Split\", \"pattern\": {\"Regex\": \"(a+)+[bc]\"}, \"behavior\": "
                             "\"Isolated\"}", "{\"type\": \"BPE\", \"merges\": [], \"vocab\": {\"a\": 0}}");
    Encoding e;
    Error err;
    char text[100];
    memset(text, 'a', sizeof text);
    assert_int_equal(tokenizer_encode(t, span_of(text, sizeof text), 0, &e, &err), LIMIT_REACHED);
    encoding_deinit(&e);
    tokenizer_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(normalisers_write_what_the_reference_writes),
        cmocka_unit_test(a_long_run_of_combining_marks_is_no_attack),
        cmocka_unit_test(pre_tokenisers_cut_where_the_reference_cuts),
        cmocka_unit_test(merges_in_both_notations_go_by_rank_then_from_the_left),
        cmocka_unit_test(unknown_characters_are_fused_or_bytes_as_the_model_says),
        cmocka_unit_test(a_word_that_is_a_piece_stays_whole_where_merges_are_ignored),
        cmocka_unit_test(prefixes_and_suffixes_of_pieces_belong_to_their_place_in_the_word),
        cmocka_unit_test(unigram_takes_the_most_probable_way),
        cmocka_unit_test(wordpiece_takes_the_longest_piece_or_nothing_of_the_word),
        cmocka_unit_test(added_tokens_are_found_as_their_flags_say),
        cmocka_unit_test(an_added_token_decodes_to_its_own_text),
        cmocka_unit_test(the_config_has_the_last_word_on_begin_and_end),
        cmocka_unit_test(places_are_those_of_the_users_text),
        cmocka_unit_test(broken_text_is_replaced_as_the_reference_does),
        cmocka_unit_test(decoders_of_sentencepiece_files_make_text_of_pieces),
        cmocka_unit_test(wrong_files_are_refused_by_name),
        cmocka_unit_test(a_regular_expression_gives_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

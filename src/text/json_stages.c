#include "text/json_stages.h"

#include <stdio.h>
#include <stdlib.h>

#include "text/json_fields.h"

enum { STAGE_DEPTH_MAX = 8, WHERE_BYTES = 512, BASE64_GROUP = 4 };

/* ---- a stage, or a sequence of them ---- */

static Err read_stage(Tokenizer *t, const json_t *stage, const char *name, const char *list_key,
                      const StageReader *readers, int depth, Error *err)
{
    Span type;
    const json_t *list, *item;
    char where[WHERE_BYTES];
    snprintf(where, sizeof where, "%s: %s", t->name, name);
    if (!stage || json_is_null(stage))
        return OK;
    if (!json_is_object(stage))
        return fail(err, BAD_FILE, "%s should be an object", where);
    TRY(field_text(stage, "type", where, &type, err));
    if (span_is(type, "Sequence")) {
        if (depth == STAGE_DEPTH_MAX)
            return fail(err, BAD_FILE, "%s: sequences are nested deeper than %d", where, STAGE_DEPTH_MAX);
        TRY(field_array(stage, list_key, where, &list, err));
        size_t i;
        json_array_foreach(list, i, item)
            TRY(read_stage(t, item, name, list_key, readers, depth + 1, err));
        return OK;
    }
    for (; readers->type; readers++)
        if (span_is(type, readers->type))
            return readers->read(t, stage, where, err);
    return fail(err, UNSUPPORTED, "%s: the type '%.*s' is not known; ridge cannot tokenise as this model does", where,
                (int)span_first(type, 64).bytes, type.data ? (const char *)type.data : "");
}

Err json_stage(Tokenizer *t, const json_t *stage, const char *name, const char *list_key, const StageReader *readers,
               Error *err)
{
    return read_stage(t, stage, name, list_key, readers, 0, err);
}

Err json_pattern(const json_t *stage, const char *where, Span *text, bool *is_regex, Error *err)
{
    const json_t *pattern = json_object_get(stage, "pattern");
    const json_t *regex = json_object_get(pattern, "Regex"), *string = json_object_get(pattern, "String");
    *is_regex = regex != NULL;
    const json_t *given = regex ? regex : string ? string : pattern;
    *text = json_span(given);
    return json_is_string(given) ? OK : fail(err, BAD_FILE, "%s: 'pattern' should be a String or a Regex", where);
}

static Err keep(Tokenizer *t, Span *text, Error *err)
{
    *text = tokenizer_keep(t, *text);
    return text->data ? OK : fail(err, NO_MEMORY, "%s: no memory for a string of its stages", t->name);
}

/* ---- normalisers ---- */

static Err add_plain(Tokenizer *t, NormStepKind kind, const char *where, Error *err)
{
    return normalizer_add(&t->normalizer, (NormStep){.kind = kind}, where, err);
}

#define PLAIN_NORMALIZER(function, kind)                                                              \
    static Err function(Tokenizer *t, const json_t *stage, const char *where, Error *err)             \
    {                                                                                                 \
        (void)stage;                                                                                  \
        return add_plain(t, kind, where, err);                                                        \
    }
PLAIN_NORMALIZER(read_nfc, NORM_NFC)
PLAIN_NORMALIZER(read_nfd, NORM_NFD)
PLAIN_NORMALIZER(read_nfkc, NORM_NFKC)
PLAIN_NORMALIZER(read_nfkd, NORM_NFKD)
PLAIN_NORMALIZER(read_lowercase, NORM_LOWERCASE)
PLAIN_NORMALIZER(read_nmt, NORM_NMT)
PLAIN_NORMALIZER(read_norm_bytes, NORM_BYTE_ALPHABET)

static Err read_strip_accents(Tokenizer *t, const json_t *stage, const char *where, Error *err)
{
    (void)stage;
    return normalizer_add(&t->normalizer, (NormStep){.kind = NORM_REMOVE_CLASS, .in_class = char_is_mark}, where, err);
}

static Err read_strip(Tokenizer *t, const json_t *stage, const char *where, Error *err)
{
    NormStep step = {.kind = NORM_STRIP};
    TRY(field_bool(stage, "strip_left", true, where, &step.left, err));
    TRY(field_bool(stage, "strip_right", true, where, &step.right, err));
    return normalizer_add(&t->normalizer, step, where, err);
}

static Err read_prepend(Tokenizer *t, const json_t *stage, const char *where, Error *err)
{
    NormStep step = {.kind = NORM_PREPEND};
    TRY(field_text(stage, "prepend", where, &step.string, err));
    TRY(keep(t, &step.string, err));
    return normalizer_add(&t->normalizer, step, where, err);
}

static Err read_replace(Tokenizer *t, const json_t *stage, const char *where, Error *err)
{
    NormStep step = {.kind = NORM_REPLACE_STRING};
    bool is_regex;
    TRY(json_pattern(stage, where, &step.string, &is_regex, err));
    TRY(field_text(stage, "content", where, &step.by, err));
    TRY(keep(t, &step.string, err));
    TRY(keep(t, &step.by, err));
    if (is_regex) {
        step.kind = NORM_REPLACE_PATTERN;
        TRY(pattern_new(step.string, where, &step.pattern, err));
    }
    return normalizer_add(&t->normalizer, step, where, err);
}

static Err read_bert(Tokenizer *t, const json_t *stage, const char *where, Error *err)
{
    bool clean, han, lowercase, accents;
    TRY(field_bool(stage, "clean_text", true, where, &clean, err));
    TRY(field_bool(stage, "handle_chinese_chars", true, where, &han, err));
    TRY(field_bool(stage, "lowercase", true, where, &lowercase, err));
    TRY(field_bool(stage, "strip_accents", lowercase, where, &accents, err));
    if (clean)
        TRY(add_plain(t, NORM_BERT_CLEAN, where, err));
    if (han)
        TRY(add_plain(t, NORM_BERT_HAN, where, err));
    if (accents) {
        TRY(add_plain(t, NORM_NFD, where, err));
        NormStep step = {.kind = NORM_REMOVE_CLASS, .in_class = char_is_nonspacing_mark};
        TRY(normalizer_add(&t->normalizer, step, where, err));
    }
    return lowercase ? add_plain(t, NORM_LOWERCASE, where, err) : OK;
}

static int base64_value(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? c - 'A' : c >= 'a' && c <= 'z' ? c - 'a' + 26 : c >= '0' && c <= '9' ? c - '0' + 52
         : c == '+' ? 62 : c == '/' ? 63 : -1;
}

static Err read_base64(Span text, const char *where, Buf *out, Error *err)
{
    while (text.bytes && text.data[text.bytes - 1] == '=')
        text.bytes--;
    uint32_t bits = 0;
    for (size_t i = 0; i < text.bytes; i++) {
        int value = base64_value(text.data[i]);
        if (value < 0)
            return fail(err, BAD_FILE, "%s: 'precompiled_charsmap' is not base64 at byte %zu", where, i);
        bits = bits << 6 | (uint32_t)value;
        if (i % BASE64_GROUP)   /* 6 bits are over after the first letter of a group, 4, 2, 0 after the others */
            buf_put_char(out, (char)(bits >> (6 - 2 * (i % BASE64_GROUP))));
    }
    return out->full ? fail(err, BAD_FILE, "%s: 'precompiled_charsmap' is larger than %d bytes", where,
                            CHARSMAP_BYTES_MAX) : OK;
}

static Err read_precompiled(Tokenizer *t, const json_t *stage, const char *where, Error *err)
{
    NormStep step = {.kind = NORM_CHARSMAP_GRAPHEMES};
    Span text;
    TRY(field_text(stage, "precompiled_charsmap", where, &text, err));
    Buf blob;
    buf_init(&blob, CHARSMAP_BYTES_MAX);
    Err result = read_base64(text, where, &blob, err);
    if (result == OK)
        result = charsmap_read(&step.charsmap, buf_span(&blob), t->arena, where, err);
    buf_deinit(&blob);
    return result == OK ? normalizer_add(&t->normalizer, step, where, err) : result;
}

Err json_normalizer(Tokenizer *t, const json_t *stage, Error *err)
{
    static const StageReader readers[] = {
        {"NFC", read_nfc},           {"NFD", read_nfd},
        {"NFKC", read_nfkc},         {"NFKD", read_nfkd},
        {"Lowercase", read_lowercase}, {"StripAccents", read_strip_accents},
        {"Strip", read_strip},       {"Prepend", read_prepend},
        {"Replace", read_replace},   {"BertNormalizer", read_bert},
        {"Nmt", read_nmt},           {"Precompiled", read_precompiled},
        {"ByteLevel", read_norm_bytes}, {NULL, NULL},
    };
    return json_stage(t, stage, "normalizer", "normalizers", readers, err);
}

/* ---- pre-tokenisers ---- */

/* What ByteLevel and GPT-2 cut by: Radford et al. 2019. */
static const char gpt2_words[] = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";
/* Whitespace is matched by another library, whose \w has decimal digits only, and the two joiners. */
#define PLAIN_WORD "\\p{L}\\p{Nl}\\p{Nd}\\p{M}\\p{Pc}\\x{24B6}-\\x{24E9}\\x{1F130}-\\x{1F149}" \
                   "\\x{1F150}-\\x{1F169}\\x{1F170}-\\x{1F189}\\x{200C}\\x{200D}"
static const char plain_words[] = "[" PLAIN_WORD "]+|[^" PLAIN_WORD "\\s]+";

static Err add_class(Tokenizer *t, CharClass *in_class, SplitWay way, const char *where, Error *err)
{
    return pretokenizer_add(&t->pretokenizer, (PreStep){.kind = PRE_SPLIT_CLASS, .way = way, .in_class = in_class},
                            where, err);
}

static Err read_way(const json_t *stage, SplitWay absent, const char *where, SplitWay *out, Error *err)
{
    static const char *const names[] = {"Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"};
    Span behavior;
    TRY(field_text(stage, "behavior", where, &behavior, err));
    *out = absent;
    if (!behavior.bytes)
        return OK;
    for (size_t i = 0; i < COUNT_OF(names); i++)
        if (span_is(behavior, names[i])) {
            *out = (SplitWay)i;
            return OK;
        }
    return fail(err, UNSUPPORTED, "%s: the behavior '%.*s' is not known", where, (int)span_first(behavior, 64).bytes,
                (const char *)behavior.data);
}

static Err read_byte_level(Tokenizer *t, const json_t *stage, const char *where, Error *err)
{
    bool prefix, use_regex;
    TRY(field_bool(stage, "add_prefix_space", true, where, &prefix, err));
    TRY(field_bool(stage, "use_regex", true, where, &use_regex, err));
    if (prefix)
        TRY(pretokenizer_add(&t->pretokenizer, (PreStep){.kind = PRE_PREFIX_SPACE}, where, err));
    if (use_regex)
        TRY(pretokenizer_add_pattern(&t->pretokenizer, span_text(gpt2_words), SPLIT_ISOLATED, false, where, err));
    return pretokenizer_add(&t->pretokenizer, (PreStep){.kind = PRE_BYTE_ALPHABET}, where, err);
}

static Err read_split(Tokenizer *t, const json_t *stage, const char *where, Error *err)
{
    PreStep step = {.kind = PRE_SPLIT_STRING};
    bool is_regex;
    TRY(json_pattern(stage, where, &step.string, &is_regex, err));
    TRY(read_way(stage, SPLIT_ISOLATED, where, &step.way, err));
    TRY(field_bool(stage, "invert", false, where, &step.invert, err));
    TRY(keep(t, &step.string, err));
    if (is_regex)
        return pretokenizer_add_pattern(&t->pretokenizer, step.string, step.way, step.invert, where, err);
    return pretokenizer_add(&t->pretokenizer, step, where, err);
}

static Err read_prepend_scheme(const json_t *stage, const char *where, PrependWhen *out, Error *err)
{
    static const char *const names[] = {"never", "first", "always"};
    Span scheme;
    bool prefix;
    TRY(field_text(stage, "prepend_scheme", where, &scheme, err));
    TRY(field_bool(stage, "add_prefix_space", true, where, &prefix, err));   /* what older files say instead */
    *out = prefix ? PREPEND_ALWAYS : PREPEND_NEVER;
    for (size_t i = 0; i < COUNT_OF(names); i++)
        if (span_is(scheme, names[i])) {
            *out = (PrependWhen)i;
            return OK;
        }
    return scheme.bytes == 0 ? OK : fail(err, UNSUPPORTED, "%s: the prepend_scheme '%.*s' is not known", where,
                                         (int)span_first(scheme, 64).bytes, (const char *)scheme.data);
}

static Err read_replacement(Tokenizer *t, const json_t *stage, const char *where, Span *out, Error *err)
{
    TRY(field_text(stage, "replacement", where, out, err));
    if (!out->bytes)
        *out = span_text("\xE2\x96\x81");
    return keep(t, out, err);
}

static Err read_metaspace(Tokenizer *t, const json_t *stage, const char *where, Error *err)
{
    PreStep step = {.kind = PRE_METASPACE};
    bool cuts;
    TRY(read_prepend_scheme(stage, where, &step.prepend, err));
    TRY(read_replacement(t, stage, where, &step.string, err));
    TRY(field_bool(stage, "split", true, where, &cuts, err));
    TRY(pretokenizer_add(&t->pretokenizer, step, where, err));
    if (!cuts)
        return OK;
    PreStep cut = {.kind = PRE_SPLIT_STRING, .way = SPLIT_MERGED_NEXT, .string = step.string};
    return pretokenizer_add(&t->pretokenizer, cut, where, err);
}

static Err read_whitespace(Tokenizer *t, const json_t *stage, const char *where, Error *err)
{
    (void)stage;
    return pretokenizer_add_pattern(&t->pretokenizer, span_text(plain_words), SPLIT_REMOVED, true, where, err);
}

static Err read_whitespace_split(Tokenizer *t, const json_t *stage, const char *where, Error *err)
{
    (void)stage;
    return add_class(t, char_is_space, SPLIT_REMOVED, where, err);
}

static Err read_bert_words(Tokenizer *t, const json_t *stage, const char *where, Error *err)
{
    TRY(read_whitespace_split(t, stage, where, err));
    return add_class(t, char_is_punctuation, SPLIT_ISOLATED, where, err);
}

static Err read_digits(Tokenizer *t, const json_t *stage, const char *where, Error *err)
{
    bool individual;
    TRY(field_bool(stage, "individual_digits", false, where, &individual, err));
    return add_class(t, char_is_numeric, individual ? SPLIT_ISOLATED : SPLIT_CONTIGUOUS, where, err);
}

static Err read_punctuation(Tokenizer *t, const json_t *stage, const char *where, Error *err)
{
    SplitWay way;
    TRY(read_way(stage, SPLIT_ISOLATED, where, &way, err));
    return add_class(t, char_is_punctuation, way, where, err);
}

static Err read_delimiter(Tokenizer *t, const json_t *stage, const char *where, Error *err)
{
    PreStep step = {.kind = PRE_SPLIT_STRING, .way = SPLIT_REMOVED};
    TRY(field_text(stage, "delimiter", where, &step.string, err));
    TRY(keep(t, &step.string, err));
    return pretokenizer_add(&t->pretokenizer, step, where, err);
}

static Err read_fixed_length(Tokenizer *t, const json_t *stage, const char *where, Error *err)
{
    int64_t length;
    TRY(field_int(stage, "length", 5, where, &length, err));
    if (length < 1)
        return fail(err, BAD_FILE, "%s: 'length' is %lld; it should be at least 1", where, (long long)length);
    return pretokenizer_add(&t->pretokenizer, (PreStep){.kind = PRE_FIXED_LENGTH, .length = (size_t)length}, where, err);
}

Err json_pretokenizer(Tokenizer *t, const json_t *stage, Error *err)
{
    static const StageReader readers[] = {
        {"ByteLevel", read_byte_level},     {"Split", read_split},
        {"Metaspace", read_metaspace},      {"Whitespace", read_whitespace},
        {"WhitespaceSplit", read_whitespace_split}, {"BertPreTokenizer", read_bert_words},
        {"Digits", read_digits},            {"Punctuation", read_punctuation},
        {"CharDelimiterSplit", read_delimiter}, {"FixedLength", read_fixed_length},
        {NULL, NULL},
    };
    return json_stage(t, stage, "pre_tokenizer", "pretokenizers", readers, err);
}

/* ---- post-processors: what goes before and after a text ---- */

static Err put_affix(Tokenizer *t, Affix *affix, int64_t id, const char *where, Error *err)
{
    if (!vocab_has(&t->vocab, id))
        return fail(err, BAD_FILE, "%s: adds the token %lld, which is not in the vocabulary", where, (long long)id);
    return affix_add(affix, (int32_t)id) ? OK
         : fail(err, BAD_FILE, "%s: adds more than %d tokens at one side", where, AFFIX_TOKENS_MAX);
}

static Err put_special(Tokenizer *t, const json_t *specials, Span name, Affix *affix, const char *where, Error *err)
{
    const json_t *special = json_object_getn(specials, (const char *)name.data, name.bytes), *id;
    const json_t *ids = json_object_get(special, "ids");
    size_t i;
    if (!json_is_array(ids))
        return fail(err, BAD_FILE, "%s: its template names the token '%.*s', which is not in 'special_tokens'", where,
                    (int)span_first(name, 64).bytes, (const char *)name.data);
    json_array_foreach(ids, i, id) {
        if (!json_is_integer(id))
            return fail(err, BAD_FILE, "%s: 'ids' should be whole numbers", where);
        TRY(put_affix(t, affix, json_integer_value(id), where, err));
    }
    return OK;
}

static Err read_template(Tokenizer *t, const json_t *stage, const char *where, Error *err)
{
    const json_t *single, *part, *specials = json_object_get(stage, "special_tokens");
    size_t i;
    bool after = false;
    TRY(field_array(stage, "single", where, &single, err));
    json_array_foreach(single, i, part) {
        const json_t *special = json_object_get(part, "SpecialToken");
        if (json_object_get(part, "Sequence"))
            after = true;
        else if (!special || !json_is_string(json_object_get(special, "id")))
            return fail(err, BAD_FILE, "%s: part %zu of 'single' is neither a SpecialToken nor a Sequence", where, i);
        else
            TRY(put_special(t, specials, json_span(json_object_get(special, "id")), after ? &t->after : &t->before,
                            where, err));
    }
    return OK;
}

/* ["[CLS]", 101] */
static Err put_pair(Tokenizer *t, const json_t *stage, const char *key, Affix *affix, const char *where, Error *err)
{
    const json_t *id = json_array_get(json_object_get(stage, key), 1);
    if (!json_is_integer(id))
        return fail(err, BAD_FILE, "%s: '%s' should be a token and its id", where, key);
    return put_affix(t, affix, json_integer_value(id), where, err);
}

static Err read_cls_sep(Tokenizer *t, const json_t *stage, const char *where, Error *err)
{
    TRY(put_pair(t, stage, "cls", &t->before, where, err));
    return put_pair(t, stage, "sep", &t->after, where, err);
}

static Err read_nothing(Tokenizer *t, const json_t *stage, const char *where, Error *err)
{
    (void)t, (void)stage, (void)where, (void)err;
    return OK;   /* ByteLevel as a post-processor only trims places */
}

Err json_post_processor(Tokenizer *t, const json_t *stage, Error *err)
{
    static const StageReader readers[] = {
        {"TemplateProcessing", read_template}, {"BertProcessing", read_cls_sep},
        {"RobertaProcessing", read_cls_sep},   {"ByteLevel", read_nothing}, {NULL, NULL},
    };
    return json_stage(t, stage, "post_processor", "processors", readers, err);
}

/* ---- decoders ---- */

static Err decode_bytes(Tokenizer *t, const json_t *stage, const char *where, Error *err)
{
    (void)stage;
    return decoder_add(&t->decoder, (DecodeStep){.kind = DECODE_BYTE_ALPHABET}, where, err);
}

static Err decode_fallback(Tokenizer *t, const json_t *stage, const char *where, Error *err)
{
    (void)stage;
    return decoder_add(&t->decoder, (DecodeStep){.kind = DECODE_BYTE_FALLBACK}, where, err);
}

static Err decode_metaspace(Tokenizer *t, const json_t *stage, const char *where, Error *err)
{
    DecodeStep step = {.kind = DECODE_REPLACE, .by = span_text(" ")};
    PrependWhen prepend;
    TRY(read_prepend_scheme(stage, where, &prepend, err));
    TRY(read_replacement(t, stage, where, &step.string, err));
    if (prepend != PREPEND_NEVER) {
        t->decoder.first_string = span_text(" ");
        t->decoder.first_times = 1;
        t->decoder.first_piece_only = true;
    }
    return decoder_add(&t->decoder, step, where, err);
}

/* Before Fuse a Strip is for each piece, after it for the whole text. */
static Err decode_strip(Tokenizer *t, const json_t *stage, const char *where, Error *err)
{
    DecodeStep step = {.kind = DECODE_STRIP};
    int64_t start, stop;
    TRY(field_text(stage, "content", where, &step.string, err));
    TRY(field_int(stage, "start", 0, where, &start, err));
    TRY(field_int(stage, "stop", 0, where, &stop, err));
    TRY(keep(t, &step.string, err));
    if (start < 0 || start > VOCAB_PIECE_BYTES_MAX || stop < 0 || stop > VOCAB_PIECE_BYTES_MAX)
        return fail(err, BAD_FILE, "%s: 'start' and 'stop' should be from 0 to %d", where, VOCAB_PIECE_BYTES_MAX);
    if (!t->decoder.fused) {
        step.left = (int)start;
        step.right = (int)stop;
        return decoder_add(&t->decoder, step, where, err);
    }
    if (stop > 0)
        return fail(err, UNSUPPORTED, "%s: strips the end of the whole text, which cannot be done as it comes", where);
    t->decoder.first_string = step.string;
    t->decoder.first_times = (int)start;
    return OK;
}

static Err decode_fuse(Tokenizer *t, const json_t *stage, const char *where, Error *err)
{
    (void)stage, (void)where, (void)err;
    t->decoder.fused = true;
    return OK;
}

static Err decode_replace(Tokenizer *t, const json_t *stage, const char *where, Error *err)
{
    DecodeStep step = {.kind = DECODE_REPLACE};
    bool is_regex;
    TRY(json_pattern(stage, where, &step.string, &is_regex, err));
    if (is_regex)
        return fail(err, UNSUPPORTED, "%s: replaces by a regular expression", where);
    TRY(field_text(stage, "content", where, &step.by, err));
    TRY(keep(t, &step.string, err));
    TRY(keep(t, &step.by, err));
    return decoder_add(&t->decoder, step, where, err);
}

static Err decode_wordpiece(Tokenizer *t, const json_t *stage, const char *where, Error *err)
{
    DecodeStep step = {.kind = DECODE_WORDPIECE};
    TRY(field_text(stage, "prefix", where, &step.string, err));
    TRY(field_bool(stage, "cleanup", true, where, &step.clean, err));
    TRY(keep(t, &step.string, err));
    return decoder_add(&t->decoder, step, where, err);
}

static Err decode_word_end(Tokenizer *t, const json_t *stage, const char *where, Error *err)
{
    DecodeStep step = {.kind = DECODE_WORD_END};
    TRY(field_text(stage, "suffix", where, &step.string, err));
    TRY(keep(t, &step.string, err));
    return decoder_add(&t->decoder, step, where, err);
}

Err json_decoder(Tokenizer *t, const json_t *stage, Error *err)
{
    static const StageReader readers[] = {
        {"ByteLevel", decode_bytes},       {"ByteFallback", decode_fallback}, {"Fuse", decode_fuse},
        {"Metaspace", decode_metaspace},   {"Strip", decode_strip},           {"Replace", decode_replace},
        {"WordPiece", decode_wordpiece},   {"BPEDecoder", decode_word_end},   {NULL, NULL},
    };
    if (!stage || json_is_null(stage)) {   /* pieces are put side by side with a space between them */
        DecodeStep step = {.kind = DECODE_WORDPIECE};
        return decoder_add(&t->decoder, step, t->name, err);
    }
    return json_stage(t, stage, "decoder", "decoders", readers, err);
}

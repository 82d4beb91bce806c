/* cmd_tokenize.c -- ridge tokenize: text to ids and back. */
#include <stdio.h>
#include <string.h>

#include "main/id_list.h"
#include "main/session.h"

typedef struct TokenizeFlags {
    const char *model, *text, *file;
    bool json, decode, add_special, parse_special, skip_special, count;
} TokenizeFlags;

#define AT(field) offsetof(TokenizeFlags, field)
static const Flag own_flags[] = {
    {"--model", "-m", "MODEL", FLAG_TEXT, AT(model),
     "checkpoint directory or .gguf file, weights not needed; without it the default model", 0, 0, 0, 0},
    {"--prompt", "-p", "TEXT", FLAG_TEXT, AT(text), "the text; without it and -f, standard input", 0, 0, 0, 0},
    {"--file", "-f", "FILE", FLAG_TEXT, AT(file), "the text, from a file", 0, 0, 0, 0},
    {"--decode", NULL, NULL, FLAG_SWITCH, AT(decode), "the other way: ids (1,2,3 or 1 2 3 or [1, 2, 3]) to text", 0, 0,
     0, 0},
    {"--add-special", NULL, NULL, FLAG_SWITCH, AT(add_special),
     "put what begins and ends a text for this model around it", 0, 0, 0, 0},
    {"--no-parse-special", NULL, NULL, FLAG_OFF, AT(parse_special),
     "take \"<|im_end|>\" in the text for those letters, not for the token", 0, 0, 0, 0},
    {"--skip-special", NULL, NULL, FLAG_SWITCH, AT(skip_special), "with --decode: leave out control tokens", 0, 0, 0,
     0},
    {"--count", NULL, NULL, FLAG_SWITCH, AT(count), "print only how many tokens there are", 0, 0, 0, 0},
    {"--json", NULL, NULL, FLAG_SWITCH, AT(json),
     "print {\"ids\": [...], \"pieces\": [...]}, or with --decode {\"text\": ...}", 0, 0, 0, 0},
};

/* A JSON text of bytes that may be no UTF-8: those become U+FFFD. */
static json_t *text_json(Span s)
{
    json_t *whole = json_stringn((const char *)s.data, s.bytes);
    if (whole)
        return whole;
    Buf clean;
    buf_init(&clean, 4 * s.bytes + 4);
    for (size_t i = 0; i < s.bytes;) {
        size_t bytes = 1 + (s.data[i] >= 0xC2) + (s.data[i] >= 0xE0) + (s.data[i] >= 0xF0);
        json_t *one = bytes <= s.bytes - i ? json_stringn((const char *)s.data + i, bytes) : NULL;
        buf_put(&clean, one ? (const char *)s.data + i : "\xEF\xBF\xBD", one ? bytes : 3);
        i += one ? bytes : 1;
        json_decref(one);
    }
    whole = json_stringn(clean.data, clean.bytes);
    buf_deinit(&clean);
    return whole;
}

static void print_people(const Tokenizer *t, const Encoding *e)
{
    for (size_t i = 0; i < e->count; i++) {
        Span piece = tokenizer_piece(t, e->ids[i]);
        printf("%6d  %.*s\n", e->ids[i], (int)piece.bytes, (const char *)piece.data);
    }
    printf("%zu tokens\n", e->count);
}

static void print_json(const Tokenizer *t, const Encoding *e)
{
    json_t *ids = json_array(), *pieces = json_array();
    for (size_t i = 0; i < e->count; i++) {
        json_array_append_new(ids, json_integer(e->ids[i]));
        json_array_append_new(pieces, text_json(tokenizer_piece(t, e->ids[i])));
    }
    json_t *whole = json_pack("{s:o, s:o}", "ids", ids, "pieces", pieces);
    json_dumpf(whole, stdout, JSON_COMPACT);
    putchar('\n');
    json_decref(whole);
}

static Err encode(const Tokenizer *t, const TokenizeFlags *flags, Span text, Error *err)
{
    Encoding encoding;
    unsigned how = (flags->add_special ? ENCODE_ADD_SPECIAL : 0) | (flags->parse_special ? ENCODE_PARSE_SPECIAL : 0);
    Err result = tokenizer_encode(t, text, how, &encoding, err);
    if (result == OK && flags->count)
        printf("%zu\n", encoding.count);
    else if (result == OK)
        (flags->json ? print_json : print_people)(t, &encoding);
    encoding_deinit(&encoding);
    return result;
}

static Err decode(const Tokenizer *t, const TokenizeFlags *flags, const char *text, Error *err)
{
    IdList list = {0};
    Buf out;
    buf_init(&out, (size_t)1 << 30);
    Err result = id_list_read(&list, text, tokenizer_size(t), err);
    if (result == OK &&
        !tokenizer_decode(t, list.ids, (size_t)list.count, flags->skip_special ? DECODE_SKIP_SPECIAL : 0, &out))
        result = fail(err, NO_MEMORY, "no memory for the text of %d tokens", list.count);
    if (result == OK && flags->json) {
        json_t *whole = json_pack("{s:o}", "text", text_json(buf_span(&out)));
        json_dumpf(whole, stdout, JSON_COMPACT);
        putchar('\n');
        json_decref(whole);
    } else if (result == OK) {
        fwrite(out.data, 1, out.bytes, stdout);
    }
    buf_deinit(&out);
    id_list_deinit(&list);
    return result;
}

static Err work(const TokenizeFlags *flags, Error *err)
{
    Package package;
    Buf text;
    TRY(package_open(&package, flags->model, err));
    Err result = package.tokenizer ? OK : fail(err, BAD_ARGUMENT, "%s: has no tokenizer", package.path);
    if (result == OK) {
        result = text_input(flags->text, flags->file, &text, err);
        if (result == OK)
            result = flags->decode ? decode(package.tokenizer, flags, text.data, err)
                                   : encode(package.tokenizer, flags, buf_span(&text), err);
        buf_deinit(&text);
    }
    package_close(&package);
    return result == OK ? stdout_flush(err) : result;
}

static int run(int argc, char **argv);
static const FlagGroup groups[] = {FLAG_GROUP("options", own_flags, NULL), {0}};
const Command command_tokenize = {
    .name = "tokenize",
    .arguments = "[-m MODEL] [-p TEXT | -f FILE] [options]",
    .summary = "text to token ids and back",
    .description = "Shows how a model reads a text: ids, pieces, count. Nothing is put before or after the text unless "
                   "--add-special asks for it; special tokens in the text are recognised.",
    .examples = "  ridge tokenize -p 'Hello, world'\n  echo '[72, 101]' | ridge tokenize --decode\n"
                "  ridge tokenize -m vocabulary.gguf --json < text.txt\n",
    .groups = groups,
    .run = run,
};

static int run(int argc, char **argv)
{
    Error err;
    TokenizeFlags flags = {.parse_special = true};
    int status, word_count;
    const FlagGroup filled[] = {FLAG_GROUP("options", own_flags, &flags), {0}};
    if (!command_begin(&command_tokenize, filled, argc, argv, NULL, 0, &word_count, &status))
        return status;
    return work(&flags, &err) == OK ? 0 : command_fail(&err);
}

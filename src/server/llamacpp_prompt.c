#include "server/llamacpp_prompt.h"

#include <stdio.h>
#include <stdlib.h>

#include "text/detokenizer.h"
#include "text/json_fields.h"

enum { EXTRAS_MAX = 256, GAP_BYTES_MAX = 1 << 28 };

/* ---- lists of ids ---- */

void token_list_deinit(TokenList *l)
{
    free(l->ids);
    *l = (TokenList){0};
}

bool llamacpp_ids_add(Fields *f, const char *name, TokenList *l, int32_t id)
{
    if (l->count == l->capacity) {
        int32_t capacity = l->capacity ? 2 * l->capacity : 64;
        int32_t *grown = l->capacity < INT32_MAX / 2 ? realloc(l->ids, (size_t)capacity * sizeof *grown) : NULL;
        if (!grown) {
            fields_refuse(f, name, "there is no memory for more than %d tokens", l->count);
            return false;
        }
        l->ids = grown;
        l->capacity = capacity;
    }
    l->ids[l->count++] = id;
    return true;
}

bool llamacpp_ids_text(Fields *f, const char *name, Span text, const Service *s, unsigned flags, TokenList *l)
{
    Error err = {0};
    Encoding e;
    if (!s->tokenizer) {
        fields_refuse(f, name, "the model has no tokenizer, so it cannot read text");
        return false;
    }
    bool good = tokenizer_encode(s->tokenizer, text, flags, &e, &err) == OK;
    if (!good)
        fields_refuse(f, name, "%s", err.text);
    for (size_t i = 0; good && i < e.count; i++)
        good = llamacpp_ids_add(f, name, l, e.ids[i]);
    encoding_deinit(&e);
    return good;
}

static bool add_number(Fields *f, const char *name, json_t *value, const Service *s, TokenList *l)
{
    json_int_t id = json_integer_value(value);
    if (!json_is_integer(value) || id < 0 || id >= service_vocabulary(s)) {
        fields_refuse(f, name, "has an entry that is neither a text nor a token id from 0 to %d", service_vocabulary(s) - 1);
        return false;
    }
    return llamacpp_ids_add(f, name, l, (int32_t)id);
}

static bool read_mixed(Fields *f, const char *name, json_t *list, const Service *s, unsigned flags, TokenList *l)
{
    json_t *entry;
    size_t i;
    json_array_foreach(list, i, entry)
    {
        unsigned here = i == 0 ? flags : flags & ~(unsigned)ENCODE_ADD_SPECIAL;
        bool good = json_is_string(entry) ? llamacpp_ids_text(f, name, json_span(entry), s, here, l)
                                          : add_number(f, name, entry, s, l);
        if (!good)
            return false;
    }
    return true;
}

bool llamacpp_ids_read(Fields *f, const char *name, json_t *value, const Service *s, unsigned flags, TokenList *l)
{
    if (!fields_ok(f))
        return false;
    if (json_is_object(value)) {
        if (json_array_size(json_object_get(value, "multimodal_data")) > 0)
            fields_refuse(f, name, "multimodal_data is not something that this model can read; it reads text only");
        value = json_object_get(value, "prompt_string");
    }
    if (fields_ok(f) && json_is_string(value))
        return llamacpp_ids_text(f, name, json_span(value), s, flags, l);
    if (fields_ok(f) && json_is_array(value))
        return read_mixed(f, name, value, s, flags, l);
    fields_refuse(f, name, "must be a text, a list of token ids and texts, or a list of such prompts");
    return false;
}

/* ---- prompts ---- */

static void give_prompt(Fields *f, const char *name, TokenList *l, GenerationSpec *spec)
{
    if (fields_ok(f) && spec->prompt_count == PROMPTS_MAX)
        fields_refuse(f, name, "has more than %d prompts", PROMPTS_MAX);
    if (fields_ok(f)) {
        spec->prompts[spec->prompt_count++] = (PromptIds){l->ids, l->count};
        *l = (TokenList){0};
    }
    token_list_deinit(l);
}

static void read_prompt(Fields *f, json_t *value, GenerationSpec *spec, const Service *s)
{
    TokenList l = {0};
    llamacpp_ids_read(f, "prompt", value, s, ENCODE_ADD_SPECIAL | ENCODE_PARSE_SPECIAL, &l);
    give_prompt(f, "prompt", &l, spec);
}

static bool has_number(json_t *list)
{
    json_t *entry;
    size_t i;
    json_array_foreach(list, i, entry)
        if (json_is_number(entry))
            return true;
    return false;
}

void llamacpp_prompts_read(Fields *f, GenerationSpec *spec, const Service *s)
{
    json_t *prompt = fields_any(f, "prompt"), *entry;
    size_t i;
    if (fields_ok(f) && !prompt)
        fields_refuse(f, "prompt", "is missing");
    if (!json_is_array(prompt) || has_number(prompt)) {
        read_prompt(f, prompt, spec, s);
        return;
    }
    if (json_array_size(prompt) == 0)
        fields_refuse(f, "prompt", "has no prompt");
    json_array_foreach(prompt, i, entry)
        if (fields_ok(f))
            read_prompt(f, entry, spec, s);
}

/* ---- a text with a gap ---- */

static void add_special(Fields *f, TokenList *l, int32_t id)
{
    if (id != TOKEN_NONE)
        llamacpp_ids_add(f, "input_prefix", l, id);
}

static void add_text(Fields *f, const char *name, const char *text, const Service *s, TokenList *l)
{
    if (fields_ok(f) && text && *text)
        llamacpp_ids_text(f, name, span_text(text), s, 0, l);
}

/* Files beside the one with the gap: each under its name where the model has a token for that, else one after another. */
static void add_extras(Fields *f, const Service *s, TokenList *l)
{
    const SpecialTokens *special = tokenizer_specials(s->tokenizer);
    json_t *list = fields_array(f, "input_extra", EXTRAS_MAX), *entry;
    bool named = special->fim_repo != TOKEN_NONE && special->fim_file != TOKEN_NONE;
    char path[40];
    size_t i;
    if (named && json_array_size(list) > 0) {
        add_special(f, l, special->fim_repo);
        add_text(f, "input_extra", "myproject\n", s, l);
    }
    json_array_foreach(list, i, entry)
    {
        const char *filename = NULL, *text = NULL;
        snprintf(path, sizeof path, "input_extra[%zu].", i);
        Fields e = fields_of(entry, path, f->error);
        if (!json_is_object(entry))
            fields_refuse(&e, "", "must be an object");
        fields_text(&e, "filename", 4096, &filename);
        fields_text(&e, "text", GAP_BYTES_MAX, &text);
        if (fields_ok(f) && !text)
            fields_refuse(&e, "text", "is missing");
        if (named) {
            add_special(f, l, special->fim_file);
            add_text(f, "input_extra", filename ? filename : "tmp", s, l);
            add_text(f, "input_extra", "\n", s, l);
        }
        add_text(f, "input_extra", text, s, l);
    }
    if (named && json_array_size(list) > 0) {
        add_special(f, l, special->fim_file);
        add_text(f, "input_extra", "filename\n", s, l);
    }
}

void llamacpp_gap_read(Fields *f, GenerationSpec *spec, const Service *s)
{
    const SpecialTokens *special = s->tokenizer ? tokenizer_specials(s->tokenizer) : NULL;
    const char *prefix = NULL, *suffix = NULL, *prompt = NULL;
    TokenList l = {0};
    fields_text(f, "input_prefix", GAP_BYTES_MAX, &prefix);
    fields_text(f, "input_suffix", GAP_BYTES_MAX, &suffix);
    fields_text(f, "prompt", GAP_BYTES_MAX, &prompt);
    if (fields_ok(f) && !prefix)
        fields_refuse(f, "input_prefix", "is missing");
    if (fields_ok(f) && !suffix)
        fields_refuse(f, "input_suffix", "is missing");
    if (fields_ok(f) && (!special || special->fim_prefix < 0 || special->fim_suffix < 0 || special->fim_middle < 0)) {
        fields_refuse(f, NULL, "the model has no tokens for a text with a gap (fill-in-the-middle)");
        f->error->status = 501;
    }
    if (!fields_ok(f))
        return;
    if (special->add_bos)
        add_special(f, &l, special->bos);
    add_extras(f, s, &l);
    add_special(f, &l, special->fim_prefix);
    add_text(f, "input_prefix", prefix, s, &l);
    add_special(f, &l, special->fim_suffix);
    add_text(f, "input_suffix", suffix, s, &l);
    add_special(f, &l, special->fim_middle);
    add_text(f, "prompt", prompt, s, &l);
    give_prompt(f, "prompt", &l, spec);
}

/* ---- back to text ---- */

json_t *llamacpp_text(const Tokenizer *t, const int32_t *ids, int32_t count)
{
    Buf text;
    Detokenizer d;
    bool good = true;
    buf_init(&text, (size_t)1 << 30);
    detokenizer_init(&d, t, 0);
    for (int32_t i = 0; good && i < count; i++)
        good = detokenizer_put(&d, ids[i], &text);
    json_t *out = good && detokenizer_finish(&d, &text) ? json_stringn(text.data, text.bytes) : NULL;
    buf_deinit(&text);
    return out;
}

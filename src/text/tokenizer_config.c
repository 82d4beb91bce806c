#include "text/tokenizer_config.h"

#include <stdio.h>
#include <stdlib.h>

#include "text/json_fields.h"

enum { WHERE_BYTES = 512 };

Err config_read(Span text, const char *tokenizer_name, json_t **out, Error *err)
{
    *out = NULL;
    if (text.bytes == 0)
        return OK;
    char what[WHERE_BYTES];
    snprintf(what, sizeof what, "the tokenizer_config.json beside %s", tokenizer_name);
    TRY(json_read(text, CONFIG_BYTES_MAX, what, out, err));
    return json_is_object(*out) ? OK : fail(err, BAD_FILE, "%s should be an object", what);
}

/* ---- added tokens ---- */

static Err read_added(const json_t *entry, int64_t id, const char *where, AddedToken *out, Error *err)
{
    *out = (AddedToken){0};
    TRY(field_text(entry, "content", where, &out->text, err));
    TRY(field_bool(entry, "special", false, where, &out->special, err));
    TRY(field_bool(entry, "single_word", false, where, &out->single_word, err));
    TRY(field_bool(entry, "lstrip", false, where, &out->lstrip, err));
    TRY(field_bool(entry, "rstrip", false, where, &out->rstrip, err));
    TRY(field_bool(entry, "normalized", !out->special, where, &out->normalized, err));
    if (!json_is_string(json_object_get(entry, "content")))
        return fail(err, BAD_FILE, "%s: an added token has no 'content'", where);
    if (out->text.bytes > VOCAB_PIECE_BYTES_MAX)
        return fail(err, BAD_FILE, "%s: the added token %lld has %zu bytes; at most %d are read", where, (long long)id,
                    out->text.bytes, VOCAB_PIECE_BYTES_MAX);
    if (id < 0 || id >= VOCAB_PIECES_MAX)
        return fail(err, BAD_FILE, "%s: the added token '%.*s' has the id %lld; ids go from 0 to %d", where,
                    (int)span_first(out->text, 64).bytes, (const char *)out->text.data, (long long)id,
                    VOCAB_PIECES_MAX - 1);
    out->id = (int32_t)id;
    return OK;
}

static int32_t find_added(const AddedTokens *a, Span text)
{
    const Trie *tries[] = {&a->raw, &a->normal};
    for (int i = 0; i < 2; i++) {
        int32_t node = trie_walk(tries[i], TRIE_ROOT, text);
        if (node && trie_value(tries[i], node) >= 0)
            return trie_value(tries[i], node);
    }
    return -1;
}

static Err add_one(Tokenizer *t, const json_t *entry, int64_t id, Error *err)
{
    AddedToken token;
    TRY(read_added(entry, id, t->name, &token, err));
    if (token.text.bytes && find_added(&t->added, token.text) >= 0)
        return OK;   /* said twice */
    token.text = tokenizer_keep(t, token.text);
    if (!token.text.data || !added_tokens_add(&t->added, token))
        return fail(err, LIMIT_REACHED, "%s: has more than %d added tokens, or no memory is left for them", t->name,
                    ADDED_TOKENS_MAX);
    return OK;
}

static Err add_listed(Tokenizer *t, const json_t *list, Error *err)
{
    size_t i;
    const json_t *entry;
    if (list && !json_is_null(list) && !json_is_array(list))
        return fail(err, BAD_FILE, "%s: 'added_tokens' should be a list", t->name);
    json_array_foreach(list, i, entry) {
        if (!json_is_integer(json_object_get(entry, "id")))
            return fail(err, BAD_FILE, "%s: added token %zu has no 'id'", t->name, i);
        TRY(add_one(t, entry, json_integer_value(json_object_get(entry, "id")), err));
    }
    return OK;
}

static Err add_keyed(Tokenizer *t, const json_t *object, Error *err)
{
    const char *key;
    json_t *entry;
    json_object_foreach((json_t *)object, key, entry) {
        char *end;
        long long id = strtoll(key, &end, 10);
        if (end == key || *end)
            return fail(err, BAD_FILE, "%s: tokenizer_config.json: '%s' in 'added_tokens_decoder' is no id", t->name, key);
        TRY(add_one(t, entry, id, err));
    }
    return OK;
}

/* Pieces of the vocabulary that are added tokens too give them their ids; the others become pieces. */
static Err settle(Tokenizer *t, Error *err)
{
    AddedTokens *a = &t->added;
    uint8_t *known = calloc(a->count + 1, 1);
    if (!known)
        return fail(err, NO_MEMORY, "%s: no memory for its added tokens", t->name);
    size_t pieces = a->count ? t->vocab.count : 0;
    for (size_t i = 0; i < pieces; i++) {
        Piece *p = &t->vocab.pieces[i];
        int32_t at = find_added(a, span_of(t->vocab.text.data + p->offset, p->bytes));
        if (at < 0)
            continue;
        known[at] = 1;
        a->list[at].id = p->id;
        if (p->kind == PIECE_NORMAL)
            p->kind = a->list[at].special ? PIECE_CONTROL : PIECE_USER;
    }
    Err result = OK;
    for (size_t i = 0; i < a->count && result == OK; i++)
        if (!known[i])
            result = vocab_add(&t->vocab, a->list[i].id, a->list[i].text, PIECE_ADDED, 0, err);
    free(known);
    return result;
}

Err config_add_tokens(Tokenizer *t, const json_t *added_tokens, const json_t *config, Error *err)
{
    TRY(add_listed(t, added_tokens, err));
    TRY(add_keyed(t, json_object_get(config, "added_tokens_decoder"), err));
    return settle(t, err);
}

/* ---- special tokens ---- */

/* A token's spelling: "x", or {"content": "x", ..}. A spelling that is no piece is no token. */
static void read_special(const Tokenizer *t, const json_t *config, const char *key, int32_t *out)
{
    const json_t *value = json_object_get(config, key);
    Span text = json_span(json_is_object(value) ? json_object_get(value, "content") : value);
    int32_t id = text.bytes ? vocab_find(&t->vocab, text) : TOKEN_NONE;
    if (id >= 0)
        *out = id;
}

static void remove_from(Affix *a, int32_t id)
{
    int kept = 0;
    for (int i = 0; i < a->count; i++)
        if (a->ids[i] != id)
            a->ids[kept++] = a->ids[i];
    a->count = kept;
}

/* true: once, at the outer end; false: not at all; not said: as the post-processor has it. */
static Err choose_affix(Tokenizer *t, const json_t *config, const char *key, int32_t id, bool at_start, Error *err)
{
    const json_t *said = json_object_get(config, key);
    Affix *affix = at_start ? &t->before : &t->after;
    if (!said || json_is_null(said) || id < 0)
        return OK;
    if (!json_is_boolean(said))
        return fail(err, BAD_FILE, "%s: tokenizer_config.json: '%s' should be true or false", t->name, key);
    if (json_is_false(said)) {
        remove_from(affix, id);
    } else if (!affix_has(affix, id)) {
        if (affix->count == AFFIX_TOKENS_MAX)
            return fail(err, BAD_FILE, "%s: adds more than %d tokens at one side", t->name, AFFIX_TOKENS_MAX);
        if (at_start)
            memmove(affix->ids + 1, affix->ids, (size_t)affix->count * sizeof *affix->ids);
        affix->ids[at_start ? 0 : affix->count] = id;
        affix->count++;
    }
    return OK;
}

Err config_apply(Tokenizer *t, const json_t *config, Error *err)
{
    SpecialTokens *s = &t->specials;
    read_special(t, config, "bos_token", &s->bos);
    read_special(t, config, "eos_token", &s->eos);
    read_special(t, config, "unk_token", &s->unk);
    read_special(t, config, "pad_token", &s->pad);
    read_special(t, config, "sep_token", &s->sep);
    read_special(t, config, "mask_token", &s->mask);
    TRY(choose_affix(t, config, "add_bos_token", s->bos, true, err));
    return choose_affix(t, config, "add_eos_token", s->eos, false, err);
}

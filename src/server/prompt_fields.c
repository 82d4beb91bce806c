#include "server/prompt_fields.h"

#include <stdio.h>
#include <stdlib.h>

static void take_ids(Fields *f, PromptFields *r, const int32_t *ids, size_t count)
{
    int32_t *copy = malloc((count ? count : 1) * sizeof *copy);
    if (!copy || count > INT32_MAX || r->count == r->most) {
        free(copy);
        fields_refuse(f, r->name, "there is no memory for %zu tokens", count);
        return;
    }
    if (count)
        memcpy(copy, ids, count * sizeof *copy);
    r->out[r->count++] = (PromptIds){copy, (int32_t)count};
}

static bool encode(Fields *f, PromptFields *r, Span text, unsigned flags, Encoding *out)
{
    Error err = {0};
    if (tokenizer_encode(r->service->tokenizer, text, flags, out, &err) == OK)
        return true;
    fields_refuse(f, r->name, "%s", err.text);
    return false;
}

/* <prefix> before <suffix> after <middle>: the answer is what stood between (Bavarian et al. 2022, "Efficient Training
 * of Language Models to Fill in the Middle"). */
static void add_gap(Fields *f, PromptFields *r, Span before)
{
    const SpecialTokens *s = tokenizer_specials(r->service->tokenizer);
    Encoding parts[2] = {0};
    if (s->fim_prefix < 0 || s->fim_suffix < 0 || s->fim_middle < 0) {
        fields_refuse(f, "suffix", "the model has no tokens for a text with a gap (fill-in-the-middle)");
        return;
    }
    bool good = encode(f, r, before, 0, &parts[0]) && encode(f, r, span_text(r->suffix), 0, &parts[1]);
    size_t count = 0, most = parts[0].count + parts[1].count + 4;
    int32_t *ids = good ? malloc(most * sizeof *ids) : NULL;
    if (ids) {
        if (s->add_bos && s->bos >= 0 && r->flags & ENCODE_ADD_SPECIAL)
            ids[count++] = s->bos;
        ids[count++] = s->fim_prefix;
        for (size_t i = 0; i < parts[0].count; i++)
            ids[count++] = parts[0].ids[i];
        ids[count++] = s->fim_suffix;
        for (size_t i = 0; i < parts[1].count; i++)
            ids[count++] = parts[1].ids[i];
        ids[count++] = s->fim_middle;
        take_ids(f, r, ids, count);
    }
    free(ids);
    encoding_deinit(&parts[0]);
    encoding_deinit(&parts[1]);
}

static void add_text(Fields *f, PromptFields *r, json_t *text)
{
    Encoding encoding = {0};
    Span span = span_of(json_string_value(text), json_string_length(text));
    if (r->suffix) {
        add_gap(f, r, span);
        return;
    }
    if (encode(f, r, span, r->flags, &encoding))
        take_ids(f, r, encoding.ids, encoding.count);
    encoding_deinit(&encoding);
}

static void add_ids(Fields *f, PromptFields *r, json_t *list, const char *path)
{
    size_t i, count = json_array_size(list);
    json_t *id;
    int32_t vocabulary = r->service->o.model ? r->service->o.model->shape.V : tokenizer_size(r->service->tokenizer);
    int32_t *ids = malloc((count ? count : 1) * sizeof *ids);
    if (r->suffix)
        fields_refuse(f, "suffix", "needs a prompt of text, not of token ids");
    if (!ids)
        fields_refuse(f, r->name, "there is no memory for %zu tokens", count);
    json_array_foreach(list, i, id)
    {
        json_int_t value = json_is_integer(id) ? json_integer_value(id) : -1;
        if (value < 0 || value >= vocabulary)
            fields_refuse(f, path, "entry %zu must be a token id from 0 to %d", i, vocabulary - 1);
        if (!fields_ok(f))
            break;
        ids[i] = (int32_t)value;
    }
    if (fields_ok(f))
        take_ids(f, r, ids, count);
    free(ids);
}

void prompt_fields_read(Fields *f, PromptFields *r)
{
    json_t *prompt = fields_any(f, r->name), *entry;
    size_t i;
    char path[40];
    if (!fields_ok(f))
        return;
    if (json_is_string(prompt)) {
        add_text(f, r, prompt);
        return;
    }
    if (!json_is_array(prompt) || json_array_size(prompt) == 0) {
        fields_refuse(f, r->name, "must be a text, a list of texts, a list of token ids, or a list of such lists");
        return;
    }
    if (json_is_number(json_array_get(prompt, 0))) {
        add_ids(f, r, prompt, r->name);
        return;
    }
    if (json_array_size(prompt) > (size_t)r->most)
        fields_refuse(f, r->name, "has %zu entries; at most %d are allowed", json_array_size(prompt), r->most);
    json_array_foreach(prompt, i, entry)
    {
        snprintf(path, sizeof path, "%s[%zu]", r->name, i);
        if (!fields_ok(f))
            break;
        if (json_is_string(entry))
            add_text(f, r, entry);
        else if (json_is_array(entry))
            add_ids(f, r, entry, path);
        else
            fields_refuse(f, path, "must be a text or a list of token ids");
    }
}

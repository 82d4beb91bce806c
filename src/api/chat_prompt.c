#include "api/chat_prompt.h"

#include <string.h>
#include <time.h>

Err chat_prompt_template(const Package *p, ChatTemplate **out, Error *err)
{
    const ChatSource *source = package_chat(p, NULL, false);
    *out = NULL;
    return source ? chat_template_new(out, span_text(source->text), "chat_template", err) : OK;
}

Err chat_prompt_render(const Package *p, const ChatTemplate *template, json_t *messages, bool add_generation_prompt, Buf *out,
                       Error *err)
{
    ChatPrompt prompt = {.messages = messages, .add_generation_prompt = add_generation_prompt};
    return chat_prompt_render_all(p, template, &prompt, out, err);
}

/* What has a meaning of its own wins over what a caller adds under the same name. */
static json_t *context_of(const Package *p, const ChatPrompt *prompt)
{
    json_t *context = json_object();
    if (context && prompt->extra)
        json_object_update(context, prompt->extra);
    json_t *own = json_pack("{s:O, s:O?, s:b, s:s, s:s}", "messages", prompt->messages, "tools", prompt->tools,
                            "add_generation_prompt", (int)prompt->add_generation_prompt, "bos_token",
                            p->bos_text ? p->bos_text : "", "eos_token", p->eos_text ? p->eos_text : "");
    if (own && !json_object_get(context, "documents"))
        json_object_set_new(own, "documents", json_null());
    bool good = own && context && json_object_update(context, own) == 0;
    json_decref(own);
    if (good)
        return context;
    json_decref(context);
    return NULL;
}

/* Where `part` stands last in text[from, end); -1: nowhere. */
static int64_t find_last(const Buf *text, size_t from, Span part)
{
    for (size_t at = text->bytes - from >= part.bytes ? text->bytes - part.bytes + 1 : from; at > from; at--)
        if (!memcmp(text->data + at - 1, part.data, part.bytes))
            return (int64_t)at - 1;
    return -1;
}

static Span trimmed(Span s)
{
    while (s.bytes && strchr(" \t\r\n", s.data[s.bytes - 1]))
        s.bytes--;
    while (s.bytes && strchr(" \t\r\n", s.data[0]))
        s = span_from(s, 1);
    return s;
}

/* Templates may trim a content, so it is looked for without its ends; as it was written it comes back if it is there. */
static Err cut_after_last(const ChatPrompt *prompt, Buf *out, size_t from, Error *err)
{
    json_t *last = json_array_get(prompt->messages, json_array_size(prompt->messages) - 1);
    json_t *content = json_object_get(last, "content");
    Span whole = span_of(json_string_value(content), json_string_length(content));
    int64_t at = whole.bytes ? find_last(out, from, whole) : -1;
    if (at < 0)
        at = find_last(out, from, whole = trimmed(whole));
    if (at < 0 || whole.bytes == 0)
        return fail(err, BAD_ARGUMENT, "the last message has no content that could be continued");
    buf_cut(out, (size_t)at + whole.bytes);
    return OK;
}

Err chat_prompt_render_all(const Package *p, const ChatTemplate *template, const ChatPrompt *prompt, Buf *out, Error *err)
{
    time_t seconds = time(NULL);
    struct tm now;
    size_t before = out->bytes;
    localtime_r(&seconds, &now);
    json_t *context = context_of(p, prompt);
    Err result = context ? chat_template_render(template, context, &now, out, err)
                         : fail(err, NO_MEMORY, "no memory for the conversation");
    json_decref(context);
    if (result == OK && prompt->continue_last)
        result = cut_after_last(prompt, out, before, err);
    return result;
}

bool chat_prompt_knows_tools(const Package *p)
{
    const ChatSource *source = package_chat(p, NULL, true);
    return source && strstr(source->text, "tools");
}

#include "api/chat_prompt.h"

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
    time_t seconds = time(NULL);
    struct tm now;
    localtime_r(&seconds, &now);
    json_t *context = json_pack("{s:O, s:n, s:n, s:b, s:s, s:s}", "messages", messages, "tools", "documents",
                                "add_generation_prompt", (int)add_generation_prompt, "bos_token",
                                p->bos_text ? p->bos_text : "", "eos_token", p->eos_text ? p->eos_text : "");
    Err result = context ? chat_template_render(template, context, &now, out, err)
                         : fail(err, NO_MEMORY, "no memory for the conversation");
    json_decref(context);
    return result;
}

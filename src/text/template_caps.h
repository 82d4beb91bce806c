/* template_caps.h -- what a chat template can do with a conversation in OpenAI's form, and the conversation as it wants it.
 *
 *     {"role": "assistant", "content": null, "tool_calls": [{"id": "call_8f2", "function": {"name": "weather",
 *      "arguments": "{\"city\": \"Oslo\"}"}}]}
 *
 * is what clients send back. One template writes `arguments` as it comes, another wants an object to go through, a
 * third fails on a content of null. What a template is like is found by trying: small conversations are rendered
 * once, when the template is opened, and what comes out is looked at. No template is known by its name.
 */
#ifndef TEXT_TEMPLATE_CAPS_H
#define TEXT_TEMPLATE_CAPS_H

#include "base/json.h"
#include "base/span.h"
#include "text/chat_template.h"
#include "text/dialect.h"

typedef struct TemplateCaps {
    const Dialect *dialect;
    bool system;               /* writes system messages; otherwise they go before the next user's */
    bool developer;            /* knows the role `developer`; otherwise it is system's */
    bool parts;                /* takes only a content of [{"type": "text", ...}]; otherwise parts are joined */
    bool null_content;         /* takes calls with a content of null; otherwise it is "" */
    bool tools;                /* writes the tools of the request */
    bool calls;                /* writes the calls that an assistant made; otherwise they become text in its dialect,
                                  and where that has none the template leaves them out */
    bool arguments_object;     /* wants arguments as an object, not as the text that came */
    bool short_ids;            /* takes only ids of nine letters and digits */
    const char *reasoning;     /* which field of a message is written as its reasoning; NULL: none */
} TemplateCaps;

TemplateCaps template_caps_find(const ChatTemplate *, Span source);

/* A copy of `messages` as the template wants them. BAD_ARGUMENT names the place: "messages[2].content: ...". */
Err template_caps_messages(const TemplateCaps *, json_t *messages, json_t **out, Error *);

#endif

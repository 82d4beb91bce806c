/* chat_prompt.h -- from messages to the prompt that a model was trained on.
 *
 * The context is what transformers' apply_chat_template gives a template: messages, tools and documents
 * (None), add_generation_prompt, the model's bos_token and eos_token, and what a caller adds by name. */
#ifndef API_CHAT_PROMPT_H
#define API_CHAT_PROMPT_H

#include "model/package.h"
#include "text/chat_template.h"

/* The template of the model for conversations without tools. *out NULL: it has none. */
Err chat_prompt_template(const Package *, ChatTemplate **out, Error *err);
/* Appends. messages: [{"role": ..., "content": ...}, ...], left as it is. */
Err chat_prompt_render(const Package *, const ChatTemplate *, json_t *messages, bool add_generation_prompt, Buf *out,
                       Error *err);

typedef struct ChatPrompt {
    json_t *messages;              /* all borrowed, and left as they are */
    json_t *tools;                 /* [{"type": "function", "function": {...}}, ...]; NULL: none */
    json_t *extra;                 /* {"enable_thinking": false, ...}: what a template may ask for beside; NULL: none */
    bool add_generation_prompt;
    bool continue_last;            /* the prompt ends where the content of the last message does */
} ChatPrompt;

Err chat_prompt_render_all(const Package *, const ChatTemplate *, const ChatPrompt *, Buf *out, Error *err);
/* Whether the model's template for tools looks at them at all. */
bool chat_prompt_knows_tools(const Package *);

#endif

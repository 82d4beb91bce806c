/* chat_prompt.h -- from messages to the prompt that a model was trained on.
 *
 * The context is what transformers' apply_chat_template gives a template: messages, tools and documents
 * (None), add_generation_prompt, and the model's bos_token and eos_token. */
#ifndef API_CHAT_PROMPT_H
#define API_CHAT_PROMPT_H

#include "model/package.h"
#include "text/chat_template.h"

/* The template of the model for conversations without tools. *out NULL: it has none. */
Err chat_prompt_template(const Package *, ChatTemplate **out, Error *err);
/* Appends. messages: [{"role": ..., "content": ...}, ...], left as it is. */
Err chat_prompt_render(const Package *, const ChatTemplate *, json_t *messages, bool add_generation_prompt, Buf *out,
                       Error *err);

#endif

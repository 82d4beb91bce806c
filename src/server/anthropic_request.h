/* anthropic_request.h -- the body of Anthropic's /v1/messages, as the conversation that it is.
 *
 *     {"system": ..., "messages": [{"role": "user", "content": [blocks]}, ...], "tools": [{"name", "input_schema"}], ...}
 *
 *     text          joined by line breaks; turns of one role that follow each other are one turn
 *     thinking      the reasoning of an assistant's turn, where the model's template shows it
 *     tool_use      a call of an assistant's turn
 *     tool_result   a message of its own, before the text of the user's turn; it must answer a call that was made
 *     others        refused by their name
 *
 * A last turn of the assistant is the beginning of the answer. Without "thinking" the template is told not to
 * open a section of reasoning; budget_tokens is checked, and no more: what bounds an answer is max_tokens.
 */
#ifndef SERVER_ANTHROPIC_REQUEST_H
#define SERVER_ANTHROPIC_REQUEST_H

#include "server/conversation.h"

/* system, messages, tools, tool_choice, thinking: what counts as input. Errors are those of the Fields. */
void anthropic_read_conversation(Fields *, Conversation *);
/* max_tokens, stop_sequences, temperature, top_p, top_k, stream, output_config.format. */
void anthropic_read_options(Fields *, GenerationSpec *, const Service *);

#endif

/* anthropic_answer.h -- an answer as Anthropic's /v1/messages gives it: a message, or the events of one.
 *
 *     message_start, ping
 *     content_block_start, content_block_delta ..., content_block_stop      thinking, then text, then each tool_use
 *     message_delta (stop_reason, usage), message_stop
 *
 * Both tell the same: the blocks of the events, put together, are the content of the message.
 */
#ifndef SERVER_ANTHROPIC_ANSWER_H
#define SERVER_ANTHROPIC_ANSWER_H

#include "server/generation.h"

/* What the wire keeps, for generation_begin(); NULL: no memory. */
void *anthropic_answer_new(void);
extern const Wire anthropic_wire;

json_t *anthropic_error_json(const ApiError *);
void anthropic_error_event(Exchange *, const ApiError *);

#endif

/* conversation_items.h -- messages of the items that /v1/responses and /v1/conversations speak in.
 *
 *     {"role", "content"}                                            a message
 *     {"type": "function_call", "call_id", "name", "arguments"}      part of a message of the assistant
 *     {"type": "function_call_output", "call_id", "output"}          a message of the tool
 *     {"type": "reasoning"}                                          not shown to a model again
 */
#ifndef SERVER_CONVERSATION_ITEMS_H
#define SERVER_CONVERSATION_ITEMS_H

#include "server/conversation.h"

/* Checks and adds; errors name the field, as "input[2].role". */
void conversation_add_items(Conversation *, Fields *, const char *name, json_t *items);

#endif

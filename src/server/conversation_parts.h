/* conversation_parts.h -- for conversation*.c: tools for a model whose template knows none. */
#ifndef SERVER_CONVERSATION_PARTS_H
#define SERVER_CONVERSATION_PARTS_H

#include "server/conversation.h"

/* The messages with the tools in the first one (of the system) and with calls written out; owned by the caller. */
json_t *conversation_fold_tools(const Conversation *);

#endif

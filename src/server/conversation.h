/* conversation.h -- from messages and tools, in OpenAI's form, to a prompt and what its answer may look like.
 *
 *     messages, tools --> checked, contents as plain text, arguments as objects --> the model's template --> ids
 *     tool_choice     --> which texts count as calls, and a grammar where a call must come
 *
 * A model whose template knows no tools gets them all the same: they are listed in its system message, calls in the
 * history are written out, and the answer is read in the same notation, that of the dialect "hermes".
 */
#ifndef SERVER_CONVERSATION_H
#define SERVER_CONVERSATION_H

#include "server/fields.h"
#include "server/generation.h"
#include "server/service.h"

typedef enum ToolChoice { TOOLS_AUTO, TOOLS_NONE, TOOLS_REQUIRED, TOOLS_NAMED } ToolChoice;

enum { TOOLS_MAX = 128, TOOL_NAME_BYTES_MAX = 64, MESSAGES_MAX = 1 << 14 };

typedef struct Conversation {
    json_t *messages;              /* owned: checked, and as templates want them */
    json_t *tools;                 /* owned; NULL: none */
    json_t *extra;                 /* owned: more for the template; NULL: none */
    ToolChoice choice;
    char tool[TOOL_NAME_BYTES_MAX + 1];   /* TOOLS_NAMED */
    bool parallel;                 /* several calls in one answer */
    bool add_generation_prompt, continue_last;
    int32_t thinking_tokens;       /* as GenerationSpec says */
} Conversation;

void conversation_init(Conversation *);
void conversation_deinit(Conversation *);

/* Checks and adds: errors name the field, below `path` ("messages"). `list`: of OpenAI's messages. */
void conversation_add_messages(Conversation *, Fields *, const char *path, json_t *list);
/* One of them; the paths of errors begin with the message's. */
void conversation_add_message(Conversation *, Fields *message);
/* How much a model should think, in a word: for its template, unless that was told more plainly in `extra`. "none" is
 * a bound, as well. */
void conversation_read_effort(Conversation *, Fields *, const char *name);
/* One message whose content is plain text already. */
void conversation_add(Conversation *, const char *role, const char *content);
/* [{"type": "function", "function": {"name", "description", "parameters"}}, ...]. How the caller's own form names an entry
 * in errors ("tools[%zu].") and what it says of the function ("function.", or "" where the entry says it itself). */
void conversation_set_tools(Conversation *, Fields *, const char *entry, const char *inner, json_t *list);
/* OpenAI's tool_choice: a word, a function, or those that may be called ("allowed_tools"). After the tools. nested: as chats
 * have it, where what an object says lies a level deeper ({"type": "function", "function": {"name"}}). */
void conversation_read_tool_choice(Conversation *, Fields *, bool nested);
/* TOOLS_NAMED: {"name": ...} of one of them; `path`: what stands before "name" in errors. */
void conversation_choose_tool(Conversation *, Fields *, json_t *named, const char *path);

/* Renders; fills of the spec: prompts[0], dialect, reads_calls, reads_reasoning, reasoning_open, thinking_tokens, one_call,
 * tools and, where a call must come, grammar. `param`: what errors of the template name ("messages"). */
bool conversation_prompt(const Conversation *, const Service *, GenerationSpec *, const char *param, ApiError *);

/* The rendered text alone, for those who only want to see it. */
bool conversation_render(const Conversation *, const Service *, Buf *out, const char *param, ApiError *);

/* Text of a content: a string, or a list of parts {"type": "text", "text"}, each kind in `kinds` (NULL ends it); parts
 * are joined by line breaks. What is no text is refused by its name. NULL: refused. Owned by the caller. */
json_t *content_text(Fields *, const char *name, json_t *content);

#endif

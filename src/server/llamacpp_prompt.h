/* llamacpp_prompt.h -- prompts in the forms that llama.cpp's server takes.
 *
 *     "text"    [12, 34]    [12, "text", 34]    {"prompt_string": "text"}    or a list of these
 *
 * A list with a number in it is one prompt, of ids and texts mixed; a list without is several prompts. Control tokens
 * that are spelled out in a text are control tokens; the begin of text comes before a prompt that begins with text.
 */
#ifndef SERVER_LLAMACPP_PROMPT_H
#define SERVER_LLAMACPP_PROMPT_H

#include "server/fields.h"
#include "server/generation.h"
#include "server/service.h"

/* A growing list of ids. */
typedef struct TokenList {
    int32_t *ids;
    int32_t count, capacity;
} TokenList;

/* One of a field's forms; flags: EncodeFlags of a text at its beginning. False: refused. */
bool llamacpp_ids_read(Fields *, const char *name, json_t *value, const Service *, unsigned flags, TokenList *);
bool llamacpp_ids_text(Fields *, const char *name, Span text, const Service *, unsigned flags, TokenList *);
bool llamacpp_ids_add(Fields *, const char *name, TokenList *, int32_t id);
void token_list_deinit(TokenList *);

/* "prompt": all of them, into the spec. */
void llamacpp_prompts_read(Fields *, GenerationSpec *, const Service *);
/* input_prefix, input_suffix, input_extra, prompt: a text with a gap. */
void llamacpp_gap_read(Fields *, GenerationSpec *, const Service *);

/* Text of ids, with control tokens spelled out; broken characters as U+FFFD. NULL: no memory. */
json_t *llamacpp_text(const Tokenizer *, const int32_t *ids, int32_t count);

#endif

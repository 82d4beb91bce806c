/* package.h -- all that a path holds beside the weights: the tokenizer, the chat templates, the defaults.
 *
 *     directory   tokenizer.json or tokenizer.model, tokenizer_config.json, chat_template.jinja,
 *                 generation_config.json, config.json
 *     .gguf       tokenizer.ggml.*, tokenizer.chat_template
 *
 * Each part is optional here: whoever needs one that is absent says so to the user in its own words.
 * A directory or GGUF without weights is fine for what reads no weights.
 */
#ifndef MODEL_PACKAGE_H
#define MODEL_PACKAGE_H

#include "model/model_open.h"
#include "text/tokenizer.h"

typedef struct ChatSource { /* a template as the model ships it */
    char *name; /* "default", "tool_use" */
    char *text;
} ChatSource;

enum { CHAT_SOURCES_MAX = 16 };

typedef struct Package {
    char *path;
    Checkpoint checkpoint; /* store NULL: there are no weights */
    Tokenizer *tokenizer; /* NULL: none */
    ChatSource chat[CHAT_SOURCES_MAX];
    int chat_count;
    json_t *generation; /* generation_config.json; NULL: none */
    char *bos_text, *eos_text; /* as templates want them; NULL: none */
} Package;

/* path NULL: the default model. Checks that tokenizer and weights agree on the vocabulary. */
Err package_open(Package *, const char *path, Error *err);
void package_close(Package *);

/* The template called `name`; NULL: "tool_use" where there are tools and it exists, else "default", else
 * the only one. NULL: there is none. */
const ChatSource *package_chat(const Package *, const char *name, bool tools);

/* Where the default model is: $RIDGE_MODEL, models/ beside the program or above it, the installed one. */
Err default_model_path(char *out, size_t bytes, Error *err);

#endif

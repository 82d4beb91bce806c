/* tokenizer_config.h -- what tokenizer_config.json says beside a tokenizer's own file.
 *
 *     bos_token, eos_token, unk_token, pad_token, sep_token, mask_token     which pieces they are
 *     add_bos_token, add_eos_token     said outright they win over the post-processor of tokenizer.json
 *     added_tokens_decoder             tokens that the tokenizer's own file may not list
 */
#ifndef TEXT_TOKENIZER_CONFIG_H
#define TEXT_TOKENIZER_CONFIG_H

#include "base/json.h"
#include "text/tokenizer_parts.h"

enum { CONFIG_BYTES_MAX = 1 << 26 };

Err config_read(Span text, const char *tokenizer_name, json_t **out, Error *err);   /* empty text: *out NULL */

/* Before vocab_finish: the "added_tokens" of a tokenizer.json (or NULL), then those of the config. A token
 * that the vocabulary spells already keeps its id there. */
Err config_add_tokens(Tokenizer *, const json_t *added_tokens, const json_t *config, Error *err);

/* After vocab_finish and the post-processor. */
Err config_apply(Tokenizer *, const json_t *config, Error *err);

#endif

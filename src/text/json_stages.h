/* json_stages.h -- the stages that tokenizer.json describes, compiled into a Tokenizer.
 *
 * Every type that is in common use is known; another one is an error that names it (UNSUPPORTED):
 * leaving out a step would give other ids without a word.
 */
#ifndef TEXT_JSON_STAGES_H
#define TEXT_JSON_STAGES_H

#include "base/json.h"
#include "text/tokenizer_parts.h"

Err json_normalizer(Tokenizer *, const json_t *stage, Error *err);        /* each: null is no stage */
Err json_pretokenizer(Tokenizer *, const json_t *stage, Error *err);
Err json_post_processor(Tokenizer *, const json_t *stage, Error *err);    /* after vocab_finish */
Err json_decoder(Tokenizer *, const json_t *stage, Error *err);

/* A stage's type and the function that reads it; the last row has no type. */
typedef struct StageReader {
    const char *type;
    Err (*read)(Tokenizer *, const json_t *stage, const char *where, Error *err);
} StageReader;

/* Reads one stage, or the list under `list_key` of a "Sequence", one level after another. */
Err json_stage(Tokenizer *, const json_t *stage, const char *name, const char *list_key, const StageReader *, Error *err);

/* {"String": "x"} or {"Regex": "x"}; a bare string counts as the first. */
Err json_pattern(const json_t *stage, const char *where, Span *text, bool *is_regex, Error *err);

#endif

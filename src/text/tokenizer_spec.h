/* tokenizer_spec.h -- a tokenizer as plain arrays: what the metadata of a GGUF file says.
 *
 * This room knows no file format but its own two, so whoever reads a GGUF fills one of these from
 * the keys named on the right; nothing needs to outlive tokenizer_open_spec().
 */
#ifndef TEXT_TOKENIZER_SPEC_H
#define TEXT_TOKENIZER_SPEC_H

#include "text/tokenizer.h"

typedef enum SpecType {   /* the numbers of tokenizer.ggml.token_type */
    SPEC_UNDEFINED,
    SPEC_NORMAL,
    SPEC_UNKNOWN,
    SPEC_CONTROL,
    SPEC_USER_DEFINED,
    SPEC_UNUSED,
    SPEC_BYTE,
} SpecType;

/* tokenizer.ggml.model: GGUF's names for the kinds of tokenizers. */
#define SPEC_BYTE_BPE "gpt2"
#define SPEC_CHARACTER_BPE "llama"
#define SPEC_UNIGRAM "t5"
#define SPEC_WORDPIECE "bert"

typedef enum SpecChoice { SPEC_DEFAULT, SPEC_NO, SPEC_YES } SpecChoice;   /* DEFAULT: the key is absent */

typedef struct TokenizerSpec {
    const char *name;                 /* of the source, for errors */
    Span model;                       /* tokenizer.ggml.model: llama gpt2 bert t5 rwkv gemma4 none */
    Span pre;                         /* tokenizer.ggml.pre; needed by gpt2 only, empty: absent */
    const Span *pieces;               /* tokenizer.ggml.tokens */
    size_t pieces_count;
    const float *scores;              /* tokenizer.ggml.scores; [pieces_count], or NULL */
    const int32_t *types;             /* tokenizer.ggml.token_type; [pieces_count], or NULL */
    const Span *merges;               /* tokenizer.ggml.merges, each "left right" */
    size_t merges_count;
    Span charsmap;                    /* tokenizer.ggml.precompiled_charsmap, or empty */
    int32_t bos, eos, eot, eom, unk, sep, pad, mask;            /* tokenizer.ggml.bos_token_id ... */
    int32_t fim_prefix, fim_suffix, fim_middle, fim_pad, fim_repo, fim_file;
    SpecChoice add_bos, add_eos, add_sep, add_space_prefix, remove_extra_whitespaces, lowercase;
} TokenizerSpec;

/* All ids TOKEN_NONE, everything else empty. */
void tokenizer_spec_init(TokenizerSpec *, const char *name);

Err tokenizer_open_spec(const TokenizerSpec *, Tokenizer **out, Error *err);

#endif

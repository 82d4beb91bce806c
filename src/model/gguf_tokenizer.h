/* gguf_tokenizer.h -- opens the tokenizer that a GGUF carries in its metadata (tokenizer.ggml.*). */
#ifndef MODEL_GGUF_TOKENIZER_H
#define MODEL_GGUF_TOKENIZER_H

#include "store/gguf.h"
#include "text/tokenizer.h"

Err gguf_tokenizer_open(const Gguf *, const char *where, Tokenizer **out, Error *err);

#endif

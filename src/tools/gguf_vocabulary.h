/* gguf_vocabulary.h -- writes a checkpoint's tokenizer as GGUF metadata (tokenizer.ggml.*). */
#ifndef TOOLS_GGUF_VOCABULARY_H
#define TOOLS_GGUF_VOCABULARY_H

#include "model/package.h"

/* vocabulary: entries of the model's embedding; ids without a piece become unused ones. UNSUPPORTED:
 * a tokenizer for which GGUF has no name. */
Err gguf_vocabulary_put(const Package *, int32_t vocabulary, GgufWriter *, Error *err);

#endif

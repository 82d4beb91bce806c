/* gguf_vocabulary.h -- writes a checkpoint's tokenizer and chat templates as GGUF metadata (tokenizer.*).
 *
 * A GGUF says of a tokenizer which pieces it has (tools/spec_of_tokenizer.h), and of its normaliser and the
 * way it cuts words only a name or a few choices, which no checkpoint has in these words. So each that
 * is possible is opened and tried on a sample of many scripts, signs and spaces, and the first that gives
 * the checkpoint's own ids is written. None: the conversion is refused, with the place of the difference.
 *
 * Two things that a GGUF cannot say are passed over, as all converters do: whether characters are composed
 * (NFC) first, and whether a space goes before a text that begins with one.
 */
#ifndef TOOLS_GGUF_VOCABULARY_H
#define TOOLS_GGUF_VOCABULARY_H

#include "model/package.h"

/* vocabulary: entries of the model's embedding; ids without a piece become unused ones. */
Err gguf_vocabulary_put(const Package *, int32_t vocabulary, GgufWriter *, Error *err);

#endif

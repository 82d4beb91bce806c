/* spec_of_tokenizer.h -- an open tokenizer as the arrays that GGUF has for it: tokenizer_open_spec() backwards.
 *
 *     kind of tokenizer      GGUF calls it   its pieces there     what orders the merging
 *     BPE over bytes         gpt2            as they are          the list of merges
 *     BPE over characters    llama           as they are          a score a piece
 *     Unigram                t5              as they are          a score a piece
 *     WordPiece              bert            the -> U+2581 the    (the longest piece is taken)
 *                                            ##ing -> ing
 *
 * What the arrays cannot say is refused by name. How words are cut and texts normalised is not looked at
 * here: the caller tries what GGUF offers, and keeps what gives the same ids (tools/gguf_vocabulary.h).
 *
 * "llama" joins any two neighbours that make a piece; a tokenizer.json joins only pairs that its merges
 * list. Both are the same where the merges of one piece stand together and none of its pairs is left out,
 * as in every tokenizer.json that was made from a SentencePiece model.
 */
#ifndef TOOLS_SPEC_OF_TOKENIZER_H
#define TOOLS_SPEC_OF_TOKENIZER_H

#include "base/arena.h"
#include "text/tokenizer_spec.h"

/* size: entries of the model's embedding; ids without a piece become unused ones. The arrays live in the
 * arena and in the tokenizer. */
Err spec_of_tokenizer(const Tokenizer *, size_t size, const char *name, Arena *, TokenizerSpec *out, Error *err);

#endif

/* synth_vocabulary.h -- a made-up vocabulary of any size, as a byte-level BPE writes it to a GGUF.
 *
 *     0 ... 255        the bytes
 *     256 + i          token i / 256, then byte i % 256; and the merge that makes it
 *     the last         <|end|>: begins and ends texts, and pads them
 *
 * So every text has tokens, every token is made by merges, and no two are alike.
 */
#ifndef MODEL_SYNTH_VOCABULARY_H
#define MODEL_SYNTH_VOCABULARY_H

#include "store/gguf_write.h"

Err synth_vocabulary_put(GgufWriter *, int32_t tokens, Error *err);   /* at least 257 */

#endif

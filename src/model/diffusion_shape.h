/* diffusion_shape.h -- what a diffusion model says of itself beside its block: it sees both ways, one token is the
 * mask, and a row predicts its own position or the next one.
 */
#ifndef MODEL_DIFFUSION_SHAPE_H
#define MODEL_DIFFUSION_SHAPE_H

#include "model/decoder.h"

/* After decoder_read(). logits_shift: the family's own way, which a GGUF may contradict. */
Err diffusion_read(const Keys *, bool logits_shift, ModelShape *, Error *);

#endif

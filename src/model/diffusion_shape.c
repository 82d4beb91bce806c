#include "model/diffusion_shape.h"

Err diffusion_read(const Keys *k, bool logits_shift, ModelShape *s, Error *err)
{
    s->bidirectional = true;
    for (int l = 0; l < s->L; l++)
        decoder_shape(s)->layer[l].attention.how.bidirectional = true;
    TRY(keys_int(k, "mask_token_id", "/tokenizer.ggml.mask_token_id", 0, s->V - 1, &s->mask_id, err));
    TRY(keys_bool_or(k, NULL, "/diffusion.shift_logits", logits_shift, &s->logits_shift, err));
    keys_record_bool(k, "attention.causal", false);
    return OK;
}

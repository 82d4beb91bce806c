/* s4d.c -- a language model of S4D layers (Gu et al. 2022): state spaces in diagonal form, and nothing else.
 *
 *     x = embed(tokens);  x += s4d(norm(x)), or x = norm(x + s4d(x));  logits = decoder(x)
 *
 * The names are those of the example in the authors' repository (state-spaces/s4, example.py and models/s4/s4d.py), with
 * an embedding for its encoder. No published checkpoint has a config.json; what is read:
 *
 *     {"model_type": "s4d", "d_model", "n_layers", "vocab_size", "d_state": 64 (half of it complex modes), "prenorm": false}
 *
 *     encoder.weight, decoder.{weight,bias}, norms.N.{weight,bias}, s4_layers.N.D, s4_layers.N.output_linear.0.{weight,bias},
 *     s4_layers.N.kernel.{log_dt, C [D, modes, 2], log_A_real, A_imag}
 */
#include "model/decoder.h"
#include "model/long_conv.h"

enum { STATES = 64, STATES_MAX = 1 << 12, STATE_WIDTH_MAX = 1 << 28 };

static const DecoderNames names = {.layer = "norms.%d", .embed = "encoder", .head = "decoder", .mlp = ""};

static Err read_shape(const Keys *k, Arena *arena, ModelShape *s, Error *err)
{
    DecoderShape *m;
    int32_t states;
    bool before;
    S4dShape *part = ARENA_NEW(arena, S4dShape);
    if (!part)
        return fail(err, NO_MEMORY, "%s: no memory for its shape", k->where);
    DecoderUsual usual = {.names = &names, .norm = NORM_LAYER, .activation = GELU, .no_attention = true};
    TRY(decoder_read(k, arena, s, &usual, &m, err));
    TRY(keys_int_or(k, "d_state", NULL, 2, STATES_MAX, STATES, &states, err));
    TRY(keys_bool_or(k, "prenorm", NULL, false, &before, err));
    if (states % 2 || (int64_t)s->D * states > STATE_WIDTH_MAX)
        return fail(err, BAD_FILE, "%s: d_state %d must be even, and times d_model %d at most %d", k->where, states, s->D,
                    STATE_WIDTH_MAX);
    *part = (S4dShape){.space = {.D = s->D, .modes = states / 2, .spaces = s->D, .how = ZERO_ORDER_HOLD,
                                 .prefix = "s4_layers.%d.kernel.", .a_real = "log_A_real"},
                       .activation = GELU, .prefix = "s4_layers.%d."};
    m->head_bias = true;
    for (int l = 0; l < s->L; l++)
        decoder_stage(&m->layer[l], 0, 1,
                      &(Branch){.part = &part_s4d, .shape = part, .pre = before ? "" : NULL, .post = before ? NULL : "",
                                .pre_gguf = "", .post_gguf = "", .on_stream = !before});
    return OK;
}

const Arch arch_s4d = {
    .names = {"s4d"},
    .read_shape = read_shape,
    .kv_layout = decoder_kv_layout,
    .declare = decoder_declare,
    .forward = decoder_forward,
};

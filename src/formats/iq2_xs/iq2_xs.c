/* iq2_xs.c -- 2.31 bits: a codebook of 512 patterns. Decoded only.
 *
 *     | d: f16 | 32 x u16: entry of 9 bits, 7 signs | 16 x scale of 4 bits |
 *     74 bytes a block of 256
 *
 *     x = d (1/2 + scale) / 4 x level, signed; a scale for each 16 elements
 */
#include "base/half.h"
#include "core/format.h"
#include "formats/bits.h"
#include "formats/iq_grids.h"

typedef struct IQ2XSBlock {
    uint8_t d[2];
    uint8_t q[64];
    uint8_t scales[8];
} IQ2XSBlock;
_Static_assert(sizeof(IQ2XSBlock) == 74, "as in files");

static void iq2_xs_decode(float *x, const void *blocks, size_t elems)
{
    const IQ2XSBlock *b = blocks;
    for (; elems; elems -= IQ_ELEMS, x += IQ_ELEMS, b++) {
        float d = f16_load(b->d);
        for (unsigned j = 0; j < 32; j++) {
            unsigned q = u16_load(b->q + 2 * j);
            float scale = d * (0.5f + (float)bits_get(b->scales, 4, 1, j / 2)) * 0.25f;
            iq2_decode_8(x + 8 * j, scale, iq2_xs_grid[q & 511], iq_signs(q >> 9));
        }
    }
}

const Format format_iq2_xs = {
    .name = "IQ2_XS",
    .gguf_id = 17,
    .block_elems = IQ_ELEMS,
    .block_bytes = sizeof(IQ2XSBlock),
    .activation = &format_f32,
    .decode = iq2_xs_decode,
};

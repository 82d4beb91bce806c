/* iq2_xxs.c -- 2.06 bits: a codebook of 256 patterns. Decoded only.
 *
 *     | d: f16 | 8 groups of 32: 4 x entry of 8 bits, u32 |       66 bytes a block of 256
 *
 *     u32: 4 x 7 signs, then a scale of 4 bits;  x = d (1/2 + scale) / 4 x level, signed
 */
#include "base/half.h"
#include "core/format.h"
#include "formats/iq_grids.h"

typedef struct IQ2XXSBlock {
    uint8_t d[2];
    struct {
        uint8_t entry[4], signs[4];
    } group[8];
} IQ2XXSBlock;
_Static_assert(sizeof(IQ2XXSBlock) == 66, "as in files");

static void iq2_xxs_decode(float *x, const void *blocks, size_t elems)
{
    const IQ2XXSBlock *b = blocks;
    for (; elems; elems -= IQ_ELEMS, x += IQ_ELEMS, b++) {
        float d = f16_load(b->d);
        for (int g = 0; g < 8; g++) {
            uint32_t signs = u32_load(b->group[g].signs);
            float scale = d * (0.5f + (float)(signs >> 28)) * 0.25f;
            for (int j = 0; j < 4; j++) {
                unsigned entry = iq2_xxs_grid[b->group[g].entry[j]];
                iq2_decode_8(x + 32 * g + 8 * j, scale, entry, iq_signs(signs >> 7 * j & 127));
            }
        }
    }
}

const Format format_iq2_xxs = {
    .name = "IQ2_XXS",
    .gguf_id = 16,
    .block_elems = IQ_ELEMS,
    .block_bytes = sizeof(IQ2XXSBlock),
    .activation = &format_f32,
    .decode = iq2_xxs_decode,
};

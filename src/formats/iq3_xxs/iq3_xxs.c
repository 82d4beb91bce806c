/* iq3_xxs.c -- 3.06 bits: a codebook of 256 patterns of 4. Decoded only.
 *
 *     | d: f16 | 64 x entry of 8 bits | 8 x u32 |       98 bytes a block of 256
 *
 *     u32: 4 x 7 signs, then a scale of 4 bits;  x = d (1/2 + scale) / 2 x level, signed
 */
#include "base/half.h"
#include "core/format.h"
#include "formats/iq_grids.h"

typedef struct IQ3XXSBlock {
    uint8_t d[2];
    uint8_t entry[64];
    uint8_t signs[32];
} IQ3XXSBlock;
_Static_assert(sizeof(IQ3XXSBlock) == 98, "as in files");

static const float level[8] = {4, 12, 20, 28, 36, 44, 52, 62};

static void iq3_xxs_decode(float *x, const void *blocks, size_t elems)
{
    const IQ3XXSBlock *b = blocks;
    for (; elems; elems -= IQ_ELEMS, x += IQ_ELEMS, b++) {
        float d = f16_load(b->d);
        for (int j = 0; j < 64; j++) {
            uint32_t group = u32_load(b->signs + j / 8 * 4);
            float scale = d * (0.5f + (float)(group >> 28)) * 0.5f;
            unsigned signs = iq_signs(group >> j / 2 % 4 * 7 & 127) >> j % 2 * 4;
            iq3_decode_4(x + 4 * j, scale, level, iq3_xxs_grid[b->entry[j]], signs);
        }
    }
}

const Format format_iq3_xxs = {
    .name = "IQ3_XXS",
    .gguf_id = 18,
    .block_elems = IQ_ELEMS,
    .block_bytes = sizeof(IQ3XXSBlock),
    .activation = &format_f32,
    .decode = iq3_xxs_decode,
};

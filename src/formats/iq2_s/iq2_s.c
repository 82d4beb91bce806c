/* iq2_s.c -- 2.56 bits: a codebook of 1,024 patterns. Decoded only.
 *
 *     | d: f16 | 32 x lower 8 bits of an entry | 32 x 8 signs | 32 x upper 2 bits | 16 x scale |
 *     82 bytes a block of 256
 *
 *     x = d (1/2 + scale) / 4 x level, signed; a scale for each 16 elements
 */
#include "base/half.h"
#include "core/format.h"
#include "formats/bits.h"
#include "formats/iq_grids.h"

typedef struct IQ2SBlock {
    uint8_t d[2];
    uint8_t low[32];
    uint8_t signs[32];
    uint8_t high[8];
    uint8_t scales[8];
} IQ2SBlock;
_Static_assert(sizeof(IQ2SBlock) == 82, "as in files");

static void iq2_s_decode(float *x, const void *blocks, size_t elems)
{
    const IQ2SBlock *b = blocks;
    for (; elems; elems -= IQ_ELEMS, x += IQ_ELEMS, b++) {
        float d = f16_load(b->d);
        for (unsigned j = 0; j < 32; j++) {
            unsigned entry = b->low[j] | bits_get(b->high, 2, 1, j) << 8;
            float scale = d * (0.5f + (float)bits_get(b->scales, 4, 1, j / 2)) * 0.25f;
            iq2_decode_8(x + 8 * j, scale, iq2_s_grid[entry], b->signs[j]);
        }
    }
}

const Format format_iq2_s = {
    .name = "IQ2_S",
    .gguf_id = 22,
    .block_elems = IQ_ELEMS,
    .block_bytes = sizeof(IQ2SBlock),
    .activation = &format_f32,
    .decode = iq2_s_decode,
};

/* iq3_s.c -- 3.44 bits: a codebook of 512 patterns of 4. Decoded only.
 *
 *     | d: f16 | 64 x lower 8 bits of an entry | 64 x ninth bit | 256 signs | 8 x scale of 4 bits |
 *     110 bytes a block of 256
 *
 *     x = d (1 + 2 scale) x level, signed; a scale for each 32 elements
 */
#include "base/half.h"
#include "core/format.h"
#include "formats/bits.h"
#include "formats/iq_grids.h"

typedef struct IQ3SBlock {
    uint8_t d[2];
    uint8_t low[64];
    uint8_t high[8];
    uint8_t signs[32];
    uint8_t scales[4];
} IQ3SBlock;
_Static_assert(sizeof(IQ3SBlock) == 110, "as in files");

static const float level[8] = {1, 3, 5, 7, 9, 11, 13, 15};

static void iq3_s_decode(float *x, const void *blocks, size_t elems)
{
    const IQ3SBlock *b = blocks;
    for (; elems; elems -= IQ_ELEMS, x += IQ_ELEMS, b++) {
        float d = f16_load(b->d);
        for (unsigned j = 0; j < 64; j++) {
            unsigned entry = b->low[j] | bits_get(b->high, 1, 1, j) << 8;
            float scale = d * (float)(1 + 2 * bits_get(b->scales, 4, 1, j / 8));
            iq3_decode_4(x + 4 * j, scale, level, iq3_s_grid[entry], bits_get(b->signs, 4, 1, j));
        }
    }
}

const Format format_iq3_s = {
    .name = "IQ3_S",
    .gguf_id = 21,
    .block_elems = IQ_ELEMS,
    .block_bytes = sizeof(IQ3SBlock),
    .activation = &format_f32,
    .decode = iq3_s_decode,
};

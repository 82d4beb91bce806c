/* iq1_s.c -- 1.56 bits: a codebook of 2,048 patterns of -1, 0, 1. Decoded only.
 *
 *     | d: f16 | 32 x lower 8 bits of an entry | 8 x u16 |       50 bytes a block of 256
 *
 *     u16 of 32 elements: 4 x upper 3 bits of an entry, a scale of 3 bits, the sign of delta = 1/8
 *     x = d (1 + 2 scale) x (level + delta)
 */
#include "base/half.h"
#include "core/format.h"
#include "formats/iq_grids.h"

typedef struct IQ1SBlock {
    uint8_t d[2];
    uint8_t low[32];
    uint8_t high[16];
} IQ1SBlock;
_Static_assert(sizeof(IQ1SBlock) == 50, "as in files");

static void iq1_s_decode(float *x, const void *blocks, size_t elems)
{
    const IQ1SBlock *b = blocks;
    for (; elems; elems -= IQ_ELEMS, x += IQ_ELEMS, b++) {
        float d = f16_load(b->d);
        for (int j = 0; j < 32; j++) {
            unsigned high = u16_load(b->high + j / 4 * 2);
            float scale = d * (float)(1 + 2 * (high >> 12 & 7));
            unsigned entry = b->low[j] | (high >> j % 4 * 3 & 7) << 8;
            iq1_decode_8(x + 8 * j, scale, high & 0x8000 ? -0.125f : 0.125f, iq1_grid[entry]);
        }
    }
}

const Format format_iq1_s = {
    .name = "IQ1_S",
    .gguf_id = 19,
    .block_elems = IQ_ELEMS,
    .block_bytes = sizeof(IQ1SBlock),
    .activation = &format_f32,
    .decode = iq1_s_decode,
};

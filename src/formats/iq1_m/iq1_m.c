/* iq1_m.c -- 1.75 bits: IQ1_S with a scale for each 16 elements and a delta for each 8. Decoded only.
 *
 *     | 32 x lower 8 bits of an entry | 32 x 4 bits | 4 x u16 |       56 bytes a block of 256
 *
 *     4 bits: the upper 3 of the entry, the sign of delta = 1/8
 *     u16 of 64 elements: 4 x scale of 3 bits, and 4 bits of d, whose f16 is spread over all four
 *     x = d (1 + 2 scale) x (level + delta)
 */
#include "base/half.h"
#include "core/format.h"
#include "formats/bits.h"
#include "formats/iq_grids.h"

typedef struct IQ1MBlock {
    uint8_t low[32];
    uint8_t high[16];
    uint8_t scales[8];
} IQ1MBlock;
_Static_assert(sizeof(IQ1MBlock) == 56, "as in files");

static float iq1_m_scale(const IQ1MBlock *b)
{
    unsigned bits = 0;
    for (int i = 0; i < 4; i++)
        bits |= (unsigned)(b->scales[2 * i + 1] >> 4) << 4 * i;
    return f16_to_f32((uint16_t)bits);
}

static void iq1_m_decode(float *x, const void *blocks, size_t elems)
{
    const IQ1MBlock *b = blocks;
    for (; elems; elems -= IQ_ELEMS, x += IQ_ELEMS, b++) {
        float d = iq1_m_scale(b);
        for (unsigned j = 0; j < 32; j++) {
            unsigned high = bits_get(b->high, 4, 1, j), scales = u16_load(b->scales + j / 8 * 2);
            float scale = d * (float)(1 + 2 * (scales >> j / 2 % 4 * 3 & 7));
            float delta = high & 8 ? -0.125f : 0.125f;
            iq1_decode_8(x + 8 * j, scale, delta, iq1_grid[b->low[j] | (high & 7) << 8]);
        }
    }
}

const Format format_iq1_m = {
    .name = "IQ1_M",
    .gguf_id = 29,
    .block_elems = IQ_ELEMS,
    .block_bytes = sizeof(IQ1MBlock),
    .activation = &format_f32,
    .decode = iq1_m_decode,
};

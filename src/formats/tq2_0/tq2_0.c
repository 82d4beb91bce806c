/* tq2_0.c -- ternary, -1 0 1 in 2 bits each. Decoded only.
 *
 *     | q: 64 bytes | d: f16 |
 *     66 bytes a block of 256, 2.0625 bits an element       x = d (q - 1)
 *
 *     byte 32 h + i of q holds elements 128 h + i, + 32, + 64, + 96
 */
#include "base/half.h"
#include "core/format.h"
#include "formats/bits.h"

enum { TQ2_0_ELEMS = 256 };

typedef struct TQ20Block {
    uint8_t q[64];
    uint8_t d[2];
} TQ20Block;
_Static_assert(sizeof(TQ20Block) == 66, "as in files");

static void tq2_0_decode(float *x, const void *blocks, size_t elems)
{
    const TQ20Block *b = blocks;
    for (; elems; elems -= TQ2_0_ELEMS, x += TQ2_0_ELEMS, b++) {
        float d = f16_load(b->d);
        for (unsigned i = 0; i < TQ2_0_ELEMS; i++)
            x[i] = d * (float)((int)bits_get(b->q, 2, 32, i) - 1);
    }
}

const Format format_tq2_0 = {
    .name = "TQ2_0",
    .gguf_id = 35,
    .block_elems = TQ2_0_ELEMS,
    .block_bytes = sizeof(TQ20Block),
    .activation = &format_f32,
    .decode = tq2_0_decode,
};

/* tq1_0.c -- ternary, five -1 0 1 in a byte. Decoded only.
 *
 *     | 32 bytes: elements 0-159 | 16 bytes: 160-239 | 4 bytes: 240-255 | d: f16 |
 *     54 bytes a block of 256, 1.6875 bits an element       x = d (digit - 1)
 *
 * A byte b stands for the fraction b / 256; its first base-3 digit is the whole part of 3 b / 256,
 * and the next digits follow from what is left. Digit n of byte i of a run of bytes belongs to
 * element n x run + i.
 */
#include "base/half.h"
#include "core/format.h"

enum { TQ1_0_ELEMS = 256 };

typedef struct TQ10Block {
    uint8_t q[52];
    uint8_t d[2];
} TQ10Block;
_Static_assert(sizeof(TQ10Block) == 54, "as in files");

static void tq1_0_run(float *x, float d, const uint8_t *bytes, int run, int digits)
{
    for (int i = 0; i < run; i++) {
        uint8_t left = bytes[i];
        for (int n = 0; n < digits; n++) {
            unsigned tripled = 3u * left;
            x[n * run + i] = d * (float)((int)(tripled >> 8) - 1);
            left = (uint8_t)tripled;
        }
    }
}

static void tq1_0_decode(float *x, const void *blocks, size_t elems)
{
    const TQ10Block *b = blocks;
    for (; elems; elems -= TQ1_0_ELEMS, x += TQ1_0_ELEMS, b++) {
        float d = f16_load(b->d);
        tq1_0_run(x, d, b->q, 32, 5);
        tq1_0_run(x + 160, d, b->q + 32, 16, 5);
        tq1_0_run(x + 240, d, b->q + 48, 4, 4);
    }
}

const Format format_tq1_0 = {
    .name = "TQ1_0",
    .gguf_id = 34,
    .block_elems = TQ1_0_ELEMS,
    .block_bytes = sizeof(TQ10Block),
    .activation = &format_f32,
    .decode = tq1_0_decode,
};

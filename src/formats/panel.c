/* panel.c -- see panel.h. */
#include "formats/panel.h"

enum { PART = 256 };   /* k at a time */

/* 32 weights of one lane of what expand() gave: q scale - min, as all integer formats decode. */
static void lane_of_block(float *x, const Panel *p, const uint8_t *expanded, int lane)
{
    const float *scales = (const float *)(expanded + PANEL_BLOCK * PANEL_ROWS);
    const float *mins = scales + p->scales * PANEL_ROWS;
    for (int k = 0; k < PANEL_BLOCK; k++) {
        float scale = scales[k * p->scales / PANEL_BLOCK * PANEL_ROWS + lane];
        int q = expanded[k / 4 * 64 + lane * 4 + k % 4] - 128;
        x[k] = scale * (float)q;
        if (p->mins)
            x[k] -= mins[k * p->mins / PANEL_BLOCK * PANEL_ROWS + lane];
    }
}

void panel_row(const Panel *p, float *x, const void *panels, int64_t row, int64_t width)
{
    _Alignas(64) uint8_t expanded[PART * PANEL_ROWS * sizeof(float)];
    const uint8_t *panel = (const uint8_t *)panels + (size_t)(row / PANEL_ROWS) * p->bytes(width);
    int lane = (int)(row % PANEL_ROWS);
    for (int64_t from = 0; from < width; from += PART) {
        int64_t to = from + PART < width ? from + PART : width;
        p->expand(expanded, panel, from, to);
        const uint8_t *at = expanded;
        for (int64_t k = from; k < to && p->scales; k += PANEL_BLOCK, at += panel_expanded_bytes(p))
            lane_of_block(x + k, p, at, lane);
        for (int64_t k = from; k < to && !p->scales; k++, at += PANEL_ROWS * sizeof(float))
            x[k] = ((const float *)at)[lane];
    }
}

/* panel_float.h -- the loops of all float formats: for each k, 16 rows side by side. Included at the end
 * of a <format>_cpu.c, which has defined
 *
 *     PANEL_FORMAT                    f16: the Panel is panel_f16_<tier>, the Format is format_f16
 *     ELEM_BYTES                      of one weight
 *     Vf weights(const uint8_t *)     of 16 weights, from memory
 */
#include "formats/panel.h"
#include "kernels/kit/simd.h"
#include "kernels/kit/transpose.h"

#define FORMAT_OF_PANEL TIER_PASTE(format, PANEL_FORMAT)
extern const Format FORMAT_OF_PANEL;

#define STREAMS 2   /* each sum waits for itself: two are in flight */
enum { ROWS_AT_ONCE = VF_REGISTERS >= 32 ? PANEL_ROWS_OF_X : 6 };
#define SCALES 0
#define MINS 0

enum { STEP_BYTES = PANEL_ROWS * ELEM_BYTES };   /* of one k */

static size_t panel_bytes(int64_t width) { return (size_t)(width * STEP_BYTES + 63) & ~(size_t)63; }

#if ELEM_BYTES == 1
#define put_elems vi_to_i8
#elif ELEM_BYTES == 2
#define put_elems vi_to_u16
#else
#define put_elems vi_store
#endif

/* 16 bytes of 16 rows, to the four lines that hold them in a panel. */
INLINE void turn(uint8_t *out, const uint8_t *rows, size_t row_bytes)
{
    Vf fours[4];
    vf_turn_4(fours, rows, (int64_t)row_bytes);
    UNROLL
    for (int byte = 0; byte < 16; byte += ELEM_BYTES)
        put_elems(out + byte / ELEM_BYTES * STEP_BYTES, vi_shr(vf_bits(fours[byte / 4]), 8 * (byte % 4)));
}

static void pack(void *panel, const void *rows, size_t row_bytes, int n, int64_t width)
{
    enum { AT_ONCE = 16 / ELEM_BYTES };
    int64_t done = 0;
    for (; n == PANEL_ROWS && done + AT_ONCE <= width; done += AT_ONCE)
        turn((uint8_t *)panel + done * STEP_BYTES, (const uint8_t *)rows + done * ELEM_BYTES, row_bytes);
    for (int lane = 0; lane < n; lane++) {
        const uint8_t *row = (const uint8_t *)rows + (size_t)lane * row_bytes;
        uint8_t *to = (uint8_t *)panel + lane * ELEM_BYTES;
        for (int64_t k = done; k < width; k++)
            memcpy(to + k * STEP_BYTES, row + k * ELEM_BYTES, ELEM_BYTES);
    }
}

static void expand(void *out, const void *panel, int64_t from, int64_t to)
{
    float *at = out;
    for (int64_t k = from; k < to; k++, at += PANEL_ROWS) {
        const uint8_t *w = (const uint8_t *)panel + k * STEP_BYTES;
        if (k * STEP_BYTES % 64 == 0)
            prefetch(w + READ_AHEAD);
        vf_store(at, weights(w));
    }
}

INLINE void multiply(const PanelJob *job, int first, int rows, int panels)
{
    Vf acc[PANEL_ROWS_OF_X][STREAMS];
    UNROLL
    for (int r = 0; r < rows; r++) {
        UNROLL
        for (int p = 0; p < panels; p++)
            acc[r][p] = vf_zero();
    }
    for (int64_t k = 0; k < job->width; k++) {
        UNROLL
        for (int p = 0; p < panels; p++) {
            const uint8_t *at = (const uint8_t *)job->panel[first + p] + k * STEP_BYTES;
            if (k * STEP_BYTES % 64 == 0)
                prefetch(at + READ_AHEAD);
            Vf w = weights(at);
            UNROLL
            for (int r = 0; r < rows; r++) {
                const float *x = (const float *)((const uint8_t *)job->x + (size_t)r * job->x_row_bytes);
                acc[r][p] = vf_fma(vf_all(x[k]), w, acc[r][p]);
            }
        }
    }
    UNROLL
    for (int r = 0; r < rows; r++) {
        UNROLL
        for (int p = 0; p < panels; p++)
            vf_store(job->sums + (r * PANEL_STREAMS + first + p) * PANEL_ROWS, acc[r][p]);
    }
}

#include "formats/panel_pairs.h"
#include "formats/panel_end.h"

/* panel_int.h -- the loops of all integer formats. Included at the end of a <format>_cpu.c, which has
 * defined (see q4_0_cpu.c for the smallest one):
 *
 *     PANEL_FORMAT                  q4_0: the Panel is panel_q4_0_<tier>, the Format is format_q4_0
 *     Unit                          the smallest run of a panel that starts at a multiple of 64 bytes
 *     UNIT_BLOCKS                   it holds so many times 16 x 32 weights
 *     SCALES, MINS                  of 32 weights: 1 or 2, 0 to 2
 *     Vi weights(const Unit *, int i, int j)     16 x 4 weights, each + 128: k = 4 j ... of block i
 *     Vf scale(const Unit *, int i, int s)       of block i, s-th of SCALES
 *     Vf minimum(const Unit *, int i, int s)     s-th of MINS; what is subtracted (only if there are mins)
 *     void pack_lane(Unit *, int lane, const void *blocks, int blocks_of_32)    into zeros
 *
 * and, if it can do better where a unit is full, PACK_UNIT and
 *     void pack_unit(Unit *, const uint8_t *blocks, size_t row_bytes)           all lanes, all blocks
 *
 * and, if its bytes lie as the processor's tiles read them, signed,
 *     TILE_OF(const Unit *, int i)                                              8 x 64 bytes: block i
 */
#include "formats/panel_bits.h"

#define FORMAT_OF_PANEL TIER_PASTE(format, PANEL_FORMAT)
extern const Format FORMAT_OF_PANEL;

#define STREAMS 2
enum { ROWS_AT_ONCE = VF_REGISTERS >= 32 ? PANEL_ROWS_OF_X : 4 };      /* with as many sums of integers */

#if MINS == 0
INLINE Vf minimum(const Unit *u, int i, int s) { return (void)u, (void)i, (void)s, vf_zero(); }
#endif

static size_t panel_bytes(int64_t width)
{
    int64_t blocks = width / PANEL_BLOCK;
    return (size_t)((blocks + UNIT_BLOCKS - 1) / UNIT_BLOCKS) * sizeof(Unit);
}

static void pack(void *panel, const void *rows, size_t row_bytes, int n, int64_t width)
{
    _Static_assert(sizeof(Unit) % 64 == 0, "loads are aligned");
    int blocks = (int)(width / PANEL_BLOCK), done = 0;
#ifdef PACK_UNIT
    for (; n == PANEL_ROWS && done + UNIT_BLOCKS <= blocks; done += UNIT_BLOCKS)
        pack_unit((Unit *)panel + done / UNIT_BLOCKS,
                  (const uint8_t *)rows + format_row_bytes(&FORMAT_OF_PANEL, (int64_t)done * PANEL_BLOCK), row_bytes);
#endif
    for (int lane = 0; lane < n; lane++) {
        const uint8_t *row = (const uint8_t *)rows + (size_t)lane * row_bytes;
        for (int b = done; b < blocks; b += UNIT_BLOCKS) {
            int left = blocks - b < UNIT_BLOCKS ? blocks - b : UNIT_BLOCKS;
            const uint8_t *from = row + format_row_bytes(&FORMAT_OF_PANEL, (int64_t)b * PANEL_BLOCK);
            pack_lane((Unit *)panel + b / UNIT_BLOCKS, lane, from, left);
        }
    }
}

/* The lines of a unit, READ_AHEAD further on, in `steps` shares: all at once would keep what is needed now waiting. */
INLINE void read_ahead(const Unit *u, int step, int steps)
{
    enum { LINES = sizeof(Unit) / 64 };
    for (int line = step * LINES / steps; line < (step + 1) * LINES / steps; line++)
        prefetch((const uint8_t *)u + READ_AHEAD + 64 * line);
}

static void expand(void *out, const void *panel, int64_t from, int64_t to)
{
    uint8_t *at = out;
    for (int64_t b = from / PANEL_BLOCK; b < to / PANEL_BLOCK; b++) {
        const Unit *u = (const Unit *)panel + b / UNIT_BLOCKS;
        int i = (int)(b % UNIT_BLOCKS);
        read_ahead(u, i, UNIT_BLOCKS);
        UNROLL
        for (int j = 0; j < 8; j++, at += 64)
            vi_store(at, weights(u, i, j));
        for (int s = 0; s < SCALES; s++, at += 64)
            vf_store((float *)at, scale(u, i, s));
        for (int s = 0; s < MINS; s++, at += 64)
            vf_store((float *)at, minimum(u, i, s));
    }
}

/* Adds what the s-th part of block i, all of it where SCALES is 1, gives for each of `rows` rows and `panels` panels.
 * Panels go in step: their memory is asked for in turn, and there are twice as many sums that do not wait for each other. */
INLINE void multiply_part(Vf acc[][STREAMS], const Unit *const u[], int panels, int i, int s, const XBlock *const x[], int rows)
{
    Vi sum[PANEL_ROWS_OF_X][STREAMS];
    UNROLL
    for (int r = 0; r < rows; r++) {
        UNROLL
        for (int p = 0; p < panels; p++)
            sum[r][p] = vi_all(x[r]->start[SCALES == 1 ? 0 : 1 + s]);
    }
    UNROLL
    for (int j = s * 8 / SCALES; j < (s + 1) * 8 / SCALES; j++) {
        UNROLL
        for (int p = 0; p < panels; p++) {
            read_ahead(u[p], 8 * i + j, 8 * UNIT_BLOCKS);
            Vi w = weights(u[p], i, j);
            UNROLL
            for (int r = 0; r < rows; r++)
                sum[r][p] = vi_dot(sum[r][p], w, vi_group(x[r]->q + 4 * j));
        }
    }
    UNROLL
    for (int p = 0; p < panels; p++) {
        Vf d = scale(u[p], i, s);
        UNROLL
        for (int r = 0; r < rows; r++)
            acc[r][p] = vf_fma(vf_of_i(sum[r][p]), vf_mul(d, vf_all(x[r]->d)), acc[r][p]);
    }
}

/* Adds what block i of a unit gives; x is the block of the first row. */
INLINE void multiply_block(Vf acc[][STREAMS], const Unit *const u[], int panels, int i, const uint8_t *x, size_t x_row_bytes,
                           int rows)
{
    const XBlock *block[PANEL_ROWS_OF_X];
    UNROLL
    for (int r = 0; r < rows; r++)
        block[r] = (const XBlock *)(x + (size_t)r * x_row_bytes);
    UNROLL
    for (int s = 0; s < SCALES; s++)
        multiply_part(acc, u, panels, i, s, block, rows);
    UNROLL
    for (int s = 0; s < MINS; s++) {
        UNROLL
        for (int p = 0; p < panels; p++) {
            Vf m = minimum(u[p], i, s);
            UNROLL
            for (int r = 0; r < rows; r++)
                acc[r][p] = vf_fnma(m, vf_all(block[r]->dsum[MINS == 1 ? 0 : 1 + s]), acc[r][p]);
        }
    }
}

INLINE void multiply(const PanelJob *job, int first, int rows, int panels)
{
    Vf acc[PANEL_ROWS_OF_X][STREAMS];
    const Unit *u[STREAMS];
    UNROLL
    for (int p = 0; p < panels; p++) {
        u[p] = job->panel[first + p];
        UNROLL
        for (int r = 0; r < rows; r++)
            acc[r][p] = vf_zero();
    }
    const uint8_t *x = job->x;
    for (int64_t left = job->width / PANEL_BLOCK; left > 0; left -= UNIT_BLOCKS) {
        for (int i = 0; i < UNIT_BLOCKS && i < left; i++, x += sizeof(XBlock))
            multiply_block(acc, u, panels, i, x, job->x_row_bytes, rows);
        UNROLL
        for (int p = 0; p < panels; p++)
            u[p]++;
    }
    UNROLL
    for (int r = 0; r < rows; r++) {
        UNROLL
        for (int p = 0; p < panels; p++)
            vf_store(job->sums + (r * PANEL_STREAMS + first + p) * PANEL_ROWS, acc[r][p]);
    }
}

#if SCALES == 1   /* with two, tiles would have twice as much to add, and gain nothing */
#include "formats/panel_tiles.h"
#endif
#include "formats/panel_pairs.h"
#include "formats/panel_end.h"

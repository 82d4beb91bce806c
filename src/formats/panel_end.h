/* panel_end.h -- few() and the Panel, from the multiply() of panel_int.h or panel_float.h: built for
 * each number of rows, and for STREAMS panels or one. */
#define MULTIPLY_ROWS(rows)                                   \
    static void multiply_##rows(const PanelJob *job, int panels) \
    {                                                         \
        int p = 0;                                            \
        for (; p + STREAMS <= panels; p += STREAMS)           \
            multiply(job, p, rows, STREAMS);                  \
        for (; p < panels; p++)                               \
            multiply(job, p, rows, 1);                        \
    }
MULTIPLY_ROWS(1)
MULTIPLY_ROWS(2)
MULTIPLY_ROWS(3)
MULTIPLY_ROWS(4)
MULTIPLY_ROWS(5)
MULTIPLY_ROWS(6)
MULTIPLY_ROWS(7)
MULTIPLY_ROWS(8)

static void few(const PanelJob *job, int rows, int panels)
{
    typedef void Multiply(const PanelJob *, int panels);
    static Multiply *const by_rows[] = {multiply_1, multiply_2, multiply_3, multiply_4,
                                       multiply_5, multiply_6, multiply_7, multiply_8};
    by_rows[rows - 1](job, panels);
}

#ifndef PAIRS
#define PAIRS NULL
#endif
#ifndef TILES
#define TILES NULL
#define TILES_FROM 0
#endif

extern const Panel TIERED(TIER_PASTE(panel, PANEL_FORMAT));
const Panel TIERED(TIER_PASTE(panel, PANEL_FORMAT)) = {
    .format = &FORMAT_OF_PANEL,
    .scales = SCALES,
    .mins = MINS,
    .bytes = panel_bytes,
    .pack = pack,
    .expand = expand,
    .pairs = PAIRS,
    .few = few,
    .tiles = TILES,
    .tiles_from = TILES_FROM,
};

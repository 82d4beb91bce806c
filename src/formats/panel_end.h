/* panel_end.h -- few() and the Panel, from the multiply() of panel_int.h or panel_float.h: built for each number of rows
 * whose sums, ROWS_AT_ONCE at most, the processor has registers for; and for STREAMS panels or one, likewise. */
enum { ROWS_OF_STREAMS = VF_REGISTERS >= 32 ? PANEL_ROWS_OF_X : 2 };

#define MULTIPLY_ROWS(rows)                                                                                            \
    static void multiply_##rows(const PanelJob *job, int panels)                                                       \
    {                                                                                                                  \
        int p = 0;                                                                                                     \
        for (; rows <= ROWS_OF_STREAMS && p + STREAMS <= panels; p += STREAMS)                                         \
            multiply(job, p, rows <= ROWS_OF_STREAMS ? rows : 1, STREAMS);                                             \
        for (; p < panels; p++)                                                                                        \
            multiply(job, p, rows <= ROWS_AT_ONCE ? rows : 1, 1);                                                      \
    }
MULTIPLY_ROWS(1)
MULTIPLY_ROWS(2)
MULTIPLY_ROWS(3)
MULTIPLY_ROWS(4)
MULTIPLY_ROWS(5)
MULTIPLY_ROWS(6)
MULTIPLY_ROWS(7)
MULTIPLY_ROWS(8)

/* More rows than that go in equal parts. */
static void few(const PanelJob *job, int rows, int panels)
{
    typedef void Multiply(const PanelJob *, int panels);
    static Multiply *const by_rows[] = {multiply_1, multiply_2, multiply_3, multiply_4,
                                       multiply_5, multiply_6, multiply_7, multiply_8};
    int parts = (rows + ROWS_AT_ONCE - 1) / ROWS_AT_ONCE, each = (rows + parts - 1) / parts;
    for (int at = 0; at < rows; at += each) {
        PanelJob some = *job;
        some.x = (const uint8_t *)job->x + (size_t)at * job->x_row_bytes;
        some.sums = job->sums + at * PANEL_STREAMS * PANEL_ROWS;
        by_rows[(rows - at < each ? rows - at : each) - 1](&some, panels);
    }
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

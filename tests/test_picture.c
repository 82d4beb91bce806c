/* Drawings: a point lies where its numbers say, in the terminal and as SVG; predicted and measured are told apart. A picture
 * that is a decade off misleads more than none. */
#include <math.h>

#include "plan/profile.h"
#include "test.h"

static char *text_of(const Picture *p, bool colours)
{
    static Buf text;
    buf_deinit(&text);
    buf_init(&text, 1 << 20);
    picture_text(p, colours, &text);
    assert_false(text.full);
    return text.data;
}

static char *svg_of(const Picture *p)
{
    static Buf text;
    buf_deinit(&text);
    buf_init(&text, 1 << 20);
    picture_svg(p, 0, 0, &text);
    assert_false(text.full);
    return text.data;
}

/* The character of the drawing in a cell; cells of one byte before it in its row only, but for the axis. */
static char cell(const Picture *p, int column, int row)
{
    const char *line = text_of(p, false);
    for (int i = 0; i < 2 + row; i++)
        line = strchr(line, '\n') + 1;
    line += PICTURE_LEFT - 1;
    line += strlen("│");
    for (int i = 0; i <= column; i++)
        if (line[i] == '\n')
            return ' ';
    return line[column];
}

/* x: 1 to 100, y: 1 to 10,000: the middle of both axes, and the corners. */
static Picture simple(void)
{
    Picture p = {.title = "t", .x_title = "x", .y_title = "y"};
    picture_add_point(&p, (PicturePoint){.x = 1, .y = 1, .mark = 'a', .name = "a"});
    picture_add_point(&p, (PicturePoint){.x = 10, .y = 100, .mark = 'b', .colour = 2, .name = "b <&> \"q\""});
    picture_add_point(&p, (PicturePoint){.x = 100, .y = 10000, .mark = 'c', .name = "c"});
    return p;
}

static void points_lie_where_their_numbers_say_in_the_terminal(void **state)
{
    (void)state;
    Picture p = simple();
    PictureAxes a = picture_axes(&p);
    assert_true(a.x.from == 0 && a.x.to == 2 && a.y.from == 0 && a.y.to == 4);
    assert_true(picture_place(a.x, 10) == 0.5 && fabs(picture_place(a.y, 1000) - 0.75) < 1e-12);
    assert_int_equal(cell(&p, 0, PICTURE_ROWS - 1), 'a');
    assert_int_equal(cell(&p, 36, 10), 'b');            /* (72 - 1) / 2 and (20 - 1) / 2, rounded up */
    assert_int_equal(cell(&p, PICTURE_COLUMNS - 1, 0), 'c');
    assert_non_null(strstr(text_of(&p, false), "   10 k ┤"));
    assert_null(strchr(text_of(&p, false), '\033'));
    assert_non_null(strstr(text_of(&p, true), "\033[1;33mb\033[0m"));
}

static void points_lie_there_in_svg_too(void **state)
{
    (void)state;
    Picture p = simple();
    p.point[0].hollow = true;
    char middle[128];
    snprintf(middle, sizeof middle, "<circle class=\"measured c2\" cx=\"%.1f\" cy=\"%.1f\" r=\"5\"><title>b &lt;&amp;&gt; &quot;q&quot;",
             (SVG_LEFT + SVG_RIGHT) / 2.0, (SVG_TOP + SVG_BOTTOM) / 2.0);
    assert_non_null(strstr(svg_of(&p), middle));
    snprintf(middle, sizeof middle, "<circle class=\"predicted c0\" cx=\"%d.0\" cy=\"%d.0\"", SVG_LEFT, SVG_BOTTOM);
    assert_non_null(strstr(svg_of(&p), middle));
}

static void what_has_no_place_is_not_drawn(void **state)
{
    (void)state;
    Picture p = simple();
    picture_add_point(&p, (PicturePoint){.x = INFINITY, .y = 1, .mark = 'i'});
    picture_add_point(&p, (PicturePoint){.x = 0, .y = 1, .mark = 'z'});
    picture_add_point(&p, (PicturePoint){.x = NAN, .y = NAN, .mark = 'n'});
    assert_true(picture_axes(&p).x.to == 2);
    assert_null(strpbrk(text_of(&p, false), "izn"));
    for (int i = 0; i < 2 * PICTURE_POINTS_MAX; i++)
        picture_add_point(&p, (PicturePoint){.x = 1, .y = 1, .mark = 'm'});
    assert_int_equal(p.points, PICTURE_POINTS_MAX);
    Picture nothing = {.title = "t", .x_title = "x", .y_title = "y"};
    assert_non_null(text_of(&nothing, false));
    assert_non_null(svg_of(&nothing));
}

/* 10 GB/s, 1 T of int8, 0.1 T of fp32. */
static Profile profile(void)
{
    Profile p = {.model = "m", .machine = {.name = "here", .bytes_per_second = 10e9, .fp32 = 0.1e12, .int8 = 1e12}};
    /* 1 GB and 2 Gop in 0.2 s: 2 operations a byte; 10 Gop/s of 20. Two kinds of calls of one row, so one point. */
    ProfileLine mlp = {.part = "mlp", .op = "gated_mlp", .rows = 1, .least_rows = 1, .calls = 10,
                       .demand = {.bytes = 0.5e9, .operations = {[ARITHMETIC_INT8] = 1e9}}, .seconds = 0.1};
    profile_add_line(&p, mlp);
    profile_add_line(&p, mlp);
    ProfileLine norm = {.part = "mlp", .op = "rms_norm", .rows = 1, .least_rows = 1, .calls = 1, .seconds = 0.01};
    norm.demand.operations[ARITHMETIC_FP32] = 1e6;
    profile_add_line(&p, norm);
    mlp.rows = 64, mlp.least_rows = 8, mlp.seconds = 0.15;
    profile_add_line(&p, mlp);
    profile_choose_points(&p);
    return p;
}

static const PicturePoint *find(const Picture *p, char mark, bool hollow)
{
    for (int i = 0; i < p->points; i++)
        if (p->point[i].mark == mark && p->point[i].hollow == hollow)
            return &p->point[i];
    return NULL;
}

static void an_operation_is_a_point_under_its_roof(void **state)
{
    (void)state;
    Picture roofs;
    Profile p = profile();
    assert_int_equal(p.points, 3);
    assert_true(p.point[0].sum.calls == 20 && p.point[1].sum.rows == 64 && p.point[2].sum.demand.bytes == 0);
    profile_roofline(&p, &roofs);
    const PicturePoint *measured = find(&roofs, 'A', false), *possible = find(&roofs, 'A', true);
    assert_true(measured->x == 2 && fabs(measured->y - 10e9) < 1 && possible->x == 2 && fabs(possible->y - 20e9) < 1);
    assert_int_equal(roofs.lines, 3);                     /* the slope, int8, fp32 */
    assert_true(roofs.line[0].x[1] == 100 && roofs.line[0].y[1] == 1e12);
    assert_true(roofs.line[1].y[0] == 0.1e12 && roofs.line[1].x[0] == 10 && roofs.line[1].dashed);
    p.machine = (Machine){0};
    profile_choose_points(&p);
    profile_roofline(&p, &roofs);
    assert_true(roofs.lines == 0 && !find(&roofs, 'A', true) && find(&roofs, 'A', false));
}

/* A machine of 1 GB/s by its file, and a step that a faster one took: the clock is told beside bounds that dwarf it. */
static void what_was_measured_is_told_beside_what_is_only_foretold(void **state)
{
    (void)state;
    Profile p = {.machine = {.bytes_per_second = 1e9}};
    profile_add_line(&p, (ProfileLine){.part = "mlp", .op = "gated_mlp", .calls = 1, .demand = {.bytes = 1e12}});
    profile_add_line(&p, (ProfileLine){.part = "head", .op = "linear", .calls = 1, .demand = {.bytes = 1e6}});
    profile_add_line(&p, (ProfileLine){.part = "all", .op = "decode", .calls = 1, .demand = {.bytes = 1e12}, .seconds = 1e-3});
    profile_choose_points(&p);
    assert_int_equal(p.points, 2);                        /* and a bound that is nothing among bounds is left out */
    assert_string_equal(p.point[0].sum.op, "decode");
    assert_string_equal(p.point[1].sum.op, "gated_mlp");
}

/* A step of one answer: 1 GB of weights, 0.1 s by memory; of 4: the same and 4 times the past. */
static void batches_are_latency_over_throughput(void **state)
{
    (void)state;
    Picture curve;
    Profile p = profile();
    PhaseWork w = {.demand = {.bytes = 1.1e9}, .weight_bytes = 1e9, .cache_bytes = 0.1e9, .steps = 2, .seconds = 0.5, .sequences = 2};
    w.demand.bytes *= 2, w.weight_bytes *= 2, w.cache_bytes *= 2;
    profile_batches(&p, &curve);
    assert_int_equal(curve.points, 0);
    profile_add_batch(&p, &w);
    profile_add_batch(&p, &(PhaseWork){.seconds = 1});     /* nothing was decoded: left out */
    profile_batches(&p, &curve);
    assert_int_equal(p.batches, 1);
    assert_int_equal(curve.points, 9 + 1);
    assert_true(fabs(curve.point[0].y - 0.11) < 1e-9 && fabs(curve.point[2].y - 0.14) < 1e-9);
    assert_true(fabs(curve.point[2].x - 4 / 0.14) < 1e-6);
    assert_true(!curve.point[9].hollow && curve.point[9].y == 0.25 && curve.point[9].x == 4);
}

static void pages_are_whole(void **state)
{
    (void)state;
    Buf text;
    Profile p = profile();
    buf_init(&text, 1 << 20);
    snprintf(p.model, sizeof p.model, "<script>\"&\033");
    profile_html(&p, &text);
    assert_non_null(strstr(text.data, "<h1>&lt;script&gt;&quot;&amp;?</h1>"));
    assert_non_null(strstr(text.data, "\nA  mlp gated_mlp, 1 row "));
    assert_non_null(strstr(text.data, "</svg>\n"));
    assert_string_equal(text.data + text.bytes - 8, "</html>\n");
    buf_clear(&text);
    profile_svg(&p, &text);
    assert_int_equal(strncmp(text.data, "<svg ", 5), 0);
    assert_string_equal(text.data + text.bytes - 7, "</svg>\n");
    buf_deinit(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(points_lie_where_their_numbers_say_in_the_terminal),
        cmocka_unit_test(points_lie_there_in_svg_too),
        cmocka_unit_test(what_has_no_place_is_not_drawn),
        cmocka_unit_test(an_operation_is_a_point_under_its_roof),
        cmocka_unit_test(what_was_measured_is_told_beside_what_is_only_foretold),
        cmocka_unit_test(batches_are_latency_over_throughput),
        cmocka_unit_test(pages_are_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

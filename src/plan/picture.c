#include "plan/picture.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

void picture_add_point(Picture *p, PicturePoint point)
{
    if (p->points < PICTURE_POINTS_MAX)
        p->point[p->points++] = point;
}

void picture_add_line(Picture *p, PictureLine line)
{
    if (p->lines < PICTURE_LINES_MAX)
        p->line[p->lines++] = line;
}

/* ---- axes ---- */

static bool drawable(double x, double y) { return isfinite(x) && isfinite(y) && x > 0 && y > 0; }

typedef struct Extent { double least, most; } Extent;

static void extend(Extent *e, double value)
{
    e->least = value < e->least ? value : e->least;
    e->most = value > e->most ? value : e->most;
}

/* A hair inside a power of ten is on it. */
static PictureAxis axis_of(Extent e)
{
    if (e.most <= 0)
        return (PictureAxis){0, 1};
    PictureAxis a = {(int)floor(log10(e.least) + 1e-9), (int)ceil(log10(e.most) - 1e-9)};
    a.to += a.to == a.from;
    return a;
}

PictureAxes picture_axes(const Picture *p)
{
    Extent x = {INFINITY, 0}, y = x;
    for (int i = 0; i < p->points; i++)
        if (drawable(p->point[i].x, p->point[i].y))
            extend(&x, p->point[i].x), extend(&y, p->point[i].y);
    for (int l = 0; l < p->lines; l++)
        for (int i = 0; i < p->line[l].count; i++)
            if (drawable(p->line[l].x[i], p->line[l].y[i]))
                extend(&x, p->line[l].x[i]), extend(&y, p->line[l].y[i]);
    return (PictureAxes){axis_of(x), axis_of(y)};
}

double picture_place(PictureAxis a, double value) { return (log10(value) - a.from) / (a.to - a.from); }

/* "100 G" */
static void put_power(int power, char out[16])
{
    static const char *const thousands[] = {" p", " n", " u", " m", "", " k", " M", " G", " T", " P", " E"};
    int group = (int)floor(power / 3.0), rest = power - 3 * group;
    if (group < -4 || group > 6)
        snprintf(out, 16, "1e%d", power);
    else
        snprintf(out, 16, "%d%s", rest == 0 ? 1 : rest == 1 ? 10 : 100, thousands[group + 4]);
}

/* ---- the terminal ---- */

enum { CELL_BYTES = 4 };           /* of one character in UTF-8 */

typedef struct Cell { char text[CELL_BYTES]; int colour; } Cell;   /* colour -1: none */
typedef struct Grid { Cell cell[PICTURE_ROWS][PICTURE_COLUMNS]; } Grid;

static void put_cell(Grid *g, int column, int row, const char *text, int colour)
{
    if (column < 0 || column >= PICTURE_COLUMNS || row < 0 || row >= PICTURE_ROWS)
        return;
    Cell *c = &g->cell[row][column];
    snprintf(c->text, sizeof c->text, "%s", text);
    c->colour = colour;
}

static int column_of(const PictureAxes *a, double x) { return (int)lround(picture_place(a->x, x) * (PICTURE_COLUMNS - 1)); }
static int row_of(const PictureAxes *a, double y)
{
    return (int)lround((1 - picture_place(a->y, y)) * (PICTURE_ROWS - 1));
}

/* Between two points a straight line, as the axes are: a character a column. */
static void draw_part(Grid *g, const PictureAxes *a, const PictureLine *l, int i)
{
    double y0 = log10(l->y[i]), y1 = log10(l->y[i + 1]);
    bool level = fabs(y1 - y0) < 1e-9;
    int from = column_of(a, l->x[i]), to = column_of(a, l->x[i + 1]);
    for (int column = from; column <= to; column++) {
        double at = to > from ? (double)(column - from) / (to - from) : 0;
        const char *stroke = l->dashed ? (level ? "╌" : "·") : (level ? "─" : "╱");
        put_cell(g, column, row_of(a, pow(10, y0 + at * (y1 - y0))), stroke, -1);
    }
}

static void draw(Grid *g, const Picture *p, const PictureAxes *a)
{
    for (int l = 0; l < p->lines; l++)
        for (int i = 0; i + 1 < p->line[l].count; i++)
            if (drawable(p->line[l].x[i], p->line[l].y[i]) && drawable(p->line[l].x[i + 1], p->line[l].y[i + 1]))
                draw_part(g, a, &p->line[l], i);
    for (int hollow = 1; hollow >= 0; hollow--)        /* what was measured lies on top */
        for (int i = 0; i < p->points; i++) {
            const PicturePoint *q = &p->point[i];
            char mark[2] = {q->mark, 0};
            if (q->hollow == hollow && drawable(q->x, q->y))
                put_cell(g, column_of(a, q->x), row_of(a, q->y), hollow ? "○" : mark, q->colour);
        }
}

static void put_row(const Grid *g, int row, bool colours, Buf *out)
{
    for (int column = 0; column < PICTURE_COLUMNS; column++) {
        const Cell *c = &g->cell[row][column];
        if (colours && c->colour >= 0)
            buf_printf(out, "\033[1;%dm%s\033[0m", 31 + c->colour, c->text);
        else
            buf_put_text(out, c->text[0] ? c->text : " ");
    }
}

/* The number of the power of ten whose line this is. */
static void put_number(const PictureAxes *a, int row, Buf *out)
{
    char text[16] = "";
    for (int power = a->y.from; power <= a->y.to; power++)
        if (row_of(a, pow(10, power)) == row)
            put_power(power, text);
    buf_printf(out, "%*s ", PICTURE_LEFT - 2, text);
    buf_put_text(out, *text ? "┤" : "│");
}

static void put_below(const PictureAxes *a, Buf *out)
{
    char line[PICTURE_COLUMNS + 24], text[16];
    buf_printf(out, "%*s└", PICTURE_LEFT - 1, "");
    for (int column = 0; column < PICTURE_COLUMNS; column++) {
        bool on = false;
        for (int power = a->x.from; power <= a->x.to; power++)
            on |= column_of(a, pow(10, power)) == column;
        buf_put_text(out, on ? "┴" : "─");
    }
    memset(line, ' ', sizeof line);
    int end = 0;
    for (int power = a->x.from; power <= a->x.to; power++) {
        int at = column_of(a, pow(10, power));
        put_power(power, text);
        if (at < end || at + (int)strlen(text) >= (int)sizeof line)
            continue;
        memcpy(line + at, text, strlen(text));
        end = at + (int)strlen(text) + 1;
    }
    buf_printf(out, "\n%*s%.*s\n", PICTURE_LEFT, "", end - 1, line);
}

void picture_text(const Picture *p, bool colours, Buf *out)
{
    static const Grid empty;
    PictureAxes a = picture_axes(p);
    Grid g = empty;
    for (int row = 0; row < PICTURE_ROWS; row++)
        for (int column = 0; column < PICTURE_COLUMNS; column++)
            g.cell[row][column].colour = -1;
    draw(&g, p, &a);
    buf_printf(out, "%s\n%s\n", p->title, p->y_title);
    for (int row = 0; row < PICTURE_ROWS; row++) {
        put_number(&a, row, out);
        put_row(&g, row, colours, out);
        while (out->bytes > 0 && out->data[out->bytes - 1] == ' ')
            buf_cut(out, out->bytes - 1);
        buf_put_char(out, '\n');
    }
    put_below(&a, out);
    buf_printf(out, "%*s%s\n", PICTURE_LEFT + PICTURE_COLUMNS, "", p->x_title);
}

/* ---- SVG ---- */

void xml_put(Buf *out, const char *text)
{
    for (; *text; text++) {
        const char *entity = *text == '&'   ? "&amp;"
                             : *text == '<' ? "&lt;"
                             : *text == '>' ? "&gt;"
                             : *text == '"' ? "&quot;"
                                            : NULL;
        if (entity)
            buf_put_text(out, entity);
        else
            buf_put_char(out, ((unsigned char)*text < ' ' && *text != '\n') || *text == 127 ? '?' : *text);
    }
}

static double svg_x(const PictureAxes *a, double x) { return SVG_LEFT + picture_place(a->x, x) * (SVG_RIGHT - SVG_LEFT); }
static double svg_y(const PictureAxes *a, double y) { return SVG_BOTTOM - picture_place(a->y, y) * (SVG_BOTTOM - SVG_TOP); }

static void put_text(Buf *out, double x, double y, const char *how, const char *text)
{
    buf_printf(out, "<text x=\"%.1f\" y=\"%.1f\"%s>", x, y, how);
    xml_put(out, text);
    buf_put_text(out, "</text>\n");
}

static void svg_axes(const Picture *p, const PictureAxes *a, Buf *out)
{
    char text[16];
    for (int power = a->x.from; power <= a->x.to; power++) {
        double x = svg_x(a, pow(10, power));
        buf_printf(out, "<path class=\"grid\" d=\"M%.1f %dV%d\"/>\n", x, SVG_TOP, SVG_BOTTOM);
        put_power(power, text);
        put_text(out, x, SVG_BOTTOM + 18, " text-anchor=\"middle\"", text);
    }
    for (int power = a->y.from; power <= a->y.to; power++) {
        double y = svg_y(a, pow(10, power));
        buf_printf(out, "<path class=\"grid\" d=\"M%d %.1fH%d\"/>\n", SVG_LEFT, y, SVG_RIGHT);
        put_power(power, text);
        put_text(out, SVG_LEFT - 8, y + 4, " text-anchor=\"end\"", text);
    }
    put_text(out, SVG_LEFT, 18, " class=\"title\"", p->title);
    put_text(out, 8, SVG_TOP - 10, "", p->y_title);
    put_text(out, SVG_RIGHT, SVG_BOTTOM + 38, " text-anchor=\"end\"", p->x_title);
}

static void svg_line(const PictureLine *l, const PictureAxes *a, Buf *out)
{
    int last = -1;
    buf_printf(out, "<path class=\"roof%s\" d=\"", l->dashed ? " dashed" : "");
    for (int i = 0; i < l->count; i++)
        if (drawable(l->x[i], l->y[i])) {
            buf_printf(out, "%s%.1f %.1f", last < 0 ? "M" : "L", svg_x(a, l->x[i]), svg_y(a, l->y[i]));
            last = i;
        }
    buf_put_text(out, "\"/>\n");
    if (last >= 0 && l->name[0])
        put_text(out, svg_x(a, l->x[last]) - 4, svg_y(a, l->y[last]) - 6, " text-anchor=\"end\"", l->name);
}

static void svg_point(const PicturePoint *q, const PictureAxes *a, Buf *out)
{
    double x = svg_x(a, q->x), y = svg_y(a, q->y);
    char mark[2] = {q->mark, 0};
    buf_printf(out, "<circle class=\"%s c%d\" cx=\"%.1f\" cy=\"%.1f\" r=\"%d\"><title>", q->hollow ? "predicted" : "measured",
               q->colour, x, y, q->hollow ? 6 : 5);
    xml_put(out, q->name);
    buf_put_text(out, "</title></circle>\n");
    if (!q->hollow)
        put_text(out, x + 8, y + 4, " class=\"mark\"", q->label[0] ? q->label : mark);
}

void picture_svg(const Picture *p, int width, int down, Buf *out)
{
    PictureAxes a = picture_axes(p);
    char place[64] = "";
    if (width > 0)
        snprintf(place, sizeof place, " y=\"%d\" width=\"%d\" height=\"%d\"", down, width,
                 width * SVG_HEIGHT / SVG_WIDTH);
    buf_printf(out, "<svg class=\"picture\" xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\"%s role=\"img\" ",
               SVG_WIDTH, SVG_HEIGHT, place);
    buf_put_text(out, "aria-label=\"");
    xml_put(out, p->title);
    buf_put_text(out,
                 "\">\n<style>.picture{font:12px system-ui,sans-serif;color:#22252a;--c0:#b3382c;--c1:#2d7d46;--c2:#b07d12;"
                 "--c3:#2f6fbf;--c4:#8e4fb0;--c5:#1d8a93}\n@media (prefers-color-scheme:dark){.picture{color:#e4e3de;"
                 "--c0:#ee8478;--c1:#7fc795;--c2:#e3b54d;--c3:#6fa8ee;--c4:#c99be0;--c5:#6fd0d8}}\n.picture text{"
                 "fill:currentColor}.picture .title{font-weight:600}.picture .mark{font-size:10px}.picture .grid{"
                 "stroke:currentColor;opacity:.15}\n.picture .roof{stroke:currentColor;fill:none;stroke-width:2}"
                 ".picture .dashed{stroke-dasharray:5 4;stroke-width:1.2}.picture .predicted{fill:none;stroke-width:1.5}\n");
    for (int c = 0; c < PICTURE_COLOURS; c++)
        buf_printf(out, ".picture .measured.c%d{fill:var(--c%d)}.picture .predicted.c%d{stroke:var(--c%d)}", c, c, c, c);
    buf_put_text(out, "</style>\n");
    svg_axes(p, &a, out);
    for (int l = 0; l < p->lines; l++)
        svg_line(&p->line[l], &a, out);
    for (int i = 0; i < p->points; i++)
        if (drawable(p->point[i].x, p->point[i].y))
            svg_point(&p->point[i], &a, out);
    buf_put_text(out, "</svg>\n");
}

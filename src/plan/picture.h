/* picture.h -- a drawing with two logarithmic axes, for a terminal and as SVG: one description, the same places.
 *
 *     1 T  |            ,--------------  int8
 *          |         ,-'      o                  o  what was predicted
 *    100 G |      ,-'         B                  B  what was measured
 *          |   ,-'  A
 *     10 G +----------------------------
 *          1       10      100     1000
 *
 * Axes run from a power of ten to a power of ten, so that a reader can measure. Points and parts of lines with a
 * coordinate that is not positive, or not finite, are not drawn.
 */
#ifndef PLAN_PICTURE_H
#define PLAN_PICTURE_H

#include "base/buf.h"

enum { PICTURE_POINTS_MAX = 64, PICTURE_LINES_MAX = 8, PICTURE_LINE_POINTS = 16, PICTURE_COLOURS = 6 };

typedef struct PicturePoint {
    double x, y;
    char mark;                     /* in the terminal */
    bool hollow;                   /* predicted: a ring */
    int colour;                    /* [0, PICTURE_COLOURS) */
    char label[12];                /* beside it in SVG; "": the mark */
    char name[120];
} PicturePoint;

typedef struct PictureLine {
    double x[PICTURE_LINE_POINTS], y[PICTURE_LINE_POINTS];
    int count;
    bool dashed;
    char name[60];                 /* at its end */
} PictureLine;

typedef struct Picture {
    const char *title, *x_title, *y_title;
    PicturePoint point[PICTURE_POINTS_MAX];
    PictureLine line[PICTURE_LINES_MAX];
    int points, lines;
} Picture;

void picture_add_point(Picture *, PicturePoint);       /* one too many is left out */
void picture_add_line(Picture *, PictureLine);

typedef struct PictureAxis { int from, to; } PictureAxis;      /* powers of ten */
typedef struct PictureAxes { PictureAxis x, y; } PictureAxes;
PictureAxes picture_axes(const Picture *);
/* Where a value lies: 0 at the axis' beginning, 1 at its end. */
double picture_place(PictureAxis, double value);

/* Cells of the drawing itself; titles and numbers come beside it. colours: ANSI. */
enum { PICTURE_COLUMNS = 72, PICTURE_ROWS = 20, PICTURE_LEFT = 9 };
void picture_text(const Picture *, bool colours, Buf *);

/* Places of the drawing within the SVG's 760 x 440; the rest is for titles. */
enum { SVG_WIDTH = 760, SVG_HEIGHT = 440, SVG_LEFT = 70, SVG_RIGHT = 740, SVG_TOP = 40, SVG_BOTTOM = 390 };
/* An <svg> element with its own style, light and dark; width 0: as wide as there is room, else so wide, and so far down. */
void picture_svg(const Picture *, int width, int down, Buf *);

/* For XML: &, <, > and quotes become entities, control characters but the end of a line question marks. */
void xml_put(Buf *, const char *text);

#endif

/* canvas.h -- a text on a terminal that is drawn again and again in the same place.
 *
 * Each drawing starts where the first one did, takes away what was there, and breaks lines where the
 * terminal would, so that it is known how many there are. Of a text taller than the screen the last lines
 * are shown. What is drawn is for looking at: the text itself is printed afterwards, by whoever has it.
 */
#ifndef MAIN_CANVAS_H
#define MAIN_CANVAS_H

#include <stdio.h>

#include "base/buf.h"

typedef enum CanvasStyle { STYLE_PLAIN, STYLE_FRESH, STYLE_FAINT } CanvasStyle;

enum { CANVAS_LINES_MAX = 256 };

typedef struct Canvas {
    FILE *out;
    int width, height;       /* of the terminal, in cells */
    int drawn;               /* lines on the screen, less the one that the cursor is in */
    Buf text;                /* of the drawing that is being made */
    size_t starts[CANVAS_LINES_MAX];   /* where its last lines begin, by line number modulo */
    int line, column;
} Canvas;

void canvas_init(Canvas *, FILE *terminal);
void canvas_deinit(Canvas *);
void canvas_begin(Canvas *);
void canvas_put(Canvas *, Span utf8, CanvasStyle);
void canvas_end(Canvas *);           /* shows it in the place of the one before */

#endif

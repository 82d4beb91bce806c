#include "main/canvas.h"

#include <sys/ioctl.h>
#include <unistd.h>
#include <utf8proc.h>

enum { WIDTH_USUAL = 80, HEIGHT_USUAL = 24, TAB_CELLS = 4 };
static const size_t DRAWING_BYTES_MAX = (size_t)1 << 24;
static const char *const styles[] = {[STYLE_PLAIN] = "\033[0m", [STYLE_FRESH] = "\033[1;32m", [STYLE_FAINT] = "\033[2m"};

void canvas_init(Canvas *c, FILE *terminal)
{
    struct winsize size = {0};
    *c = (Canvas){.out = terminal, .width = WIDTH_USUAL, .height = HEIGHT_USUAL};
    if (ioctl(fileno(terminal), TIOCGWINSZ, &size) == 0 && size.ws_col > 1 && size.ws_row > 1) {
        c->width = size.ws_col;
        c->height = size.ws_row < CANVAS_LINES_MAX ? size.ws_row : CANVAS_LINES_MAX;
    }
    buf_init(&c->text, DRAWING_BYTES_MAX);
}

void canvas_deinit(Canvas *c) { buf_deinit(&c->text); }

void canvas_begin(Canvas *c)
{
    buf_clear(&c->text);
    c->line = c->column = 0;
    c->starts[0] = 0;
}

static void new_line(Canvas *c, CanvasStyle style)
{
    buf_put_text(&c->text, "\033[0m\r\n");
    c->column = 0;
    c->starts[++c->line % CANVAS_LINES_MAX] = c->text.bytes;
    buf_put_text(&c->text, styles[style]);
}

void canvas_put(Canvas *c, Span utf8, CanvasStyle style)
{
    buf_put_text(&c->text, styles[style]);
    for (size_t at = 0; at < utf8.bytes;) {
        utf8proc_int32_t code;
        utf8proc_ssize_t bytes = utf8proc_iterate(utf8.data + at, (utf8proc_ssize_t)(utf8.bytes - at), &code);
        if (bytes < 1) {
            code = '?';
            bytes = 1;
        }
        int cells = code == '\t' ? TAB_CELLS : code < ' ' ? 0 : utf8proc_charwidth(code);
        if (code == '\n' || c->column + cells > c->width)
            new_line(c, style);
        if (code == '\t')
            buf_printf(&c->text, "%*s", TAB_CELLS, "");
        else if (code >= ' ') /* no other control character may move the cursor */
            buf_put(&c->text, utf8.data + at, (size_t)bytes);
        c->column += cells;
        at += (size_t)bytes;
    }
}

void canvas_end(Canvas *c)
{
    int first = c->line + 1 > c->height ? c->line + 1 - c->height : 0;
    size_t from = c->starts[first % CANVAS_LINES_MAX];
    fputs("\033[0m\r", c->out);
    if (c->drawn)
        fprintf(c->out, "\033[%dA", c->drawn);
    fputs("\033[J", c->out);
    fwrite(c->text.data + from, 1, c->text.bytes - from, c->out);
    fputs("\033[0m", c->out);
    fflush(c->out);
    c->drawn = c->line - first;
}

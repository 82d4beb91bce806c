#include "main/bar.h"

#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"

static const double PROGRESS_AFTER_SECONDS = 0.5;

Bar bar_start(const char *what) { return (Bar){.what = what, .started = clock_seconds()}; }

void bar_show(Bar *b, int64_t done, int64_t total, const char *so_far)
{
    double seconds = clock_seconds() - b->started;
    if (seconds < PROGRESS_AFTER_SECONDS || !isatty(STDERR_FILENO))
        return;
    int filled = (int)(30 * done / total);
    b->shown = true;
    fprintf(stderr, "\r%s [%.*s%*s] %lld/%lld  %s  %.0f s left \x1b[K", b->what, filled, "##############################",
            30 - filled, "", (long long)done, (long long)total, so_far, seconds / (double)done * (double)(total - done));
}

void bar_hide(Bar *b)
{
    if (b->shown)
        fputs("\r\x1b[K", stderr);
    b->shown = false;
}

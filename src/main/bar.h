/* bar.h -- how far a long piece of work is, on a terminal.
 *
 *     scoring [##########                    ] 12/36  3.7012 nats/token  8 s left
 *
 * Written to stderr, only where that is a terminal and the work has taken half a second; bar_hide()
 * takes the line away, before anything else is printed. */
#ifndef MAIN_BAR_H
#define MAIN_BAR_H

#include <stdbool.h>
#include <stdint.h>

typedef struct Bar {
    const char *what;      /* "scoring" */
    double started;        /* clock_seconds() */
    bool shown;
} Bar;

Bar bar_start(const char *what);
void bar_show(Bar *, int64_t done, int64_t total, const char *so_far);     /* done > 0 */
void bar_hide(Bar *);

#endif

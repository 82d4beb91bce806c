/* score_sum.h -- log-probabilities added up, and the windows that a long text is cut into.
 *
 *     text      0 . . . . . . . . . . . . . . . . . . .
 *     window 0  [ . # # # # # # # ]                        context 8, stride 8, score_from 1:
 *     window 1                  [ . # # # # # # # ]        # is scored, . only read; what is left over
 *                                                          at the end makes no whole window and is dropped
 *
 *     window 0  [ . # # # # # # # ]                        context 8, stride 4: windows overlap, and each
 *     window 1          [ . . . . # # # # ]                token is scored once, with at least 4 before it
 *
 * llama.cpp's perplexity scores the second half of each window: score_from = context / 2 + 1.
 */
#ifndef TOOLS_SCORE_SUM_H
#define TOOLS_SCORE_SUM_H

#include "base/error.h"

typedef struct ScoreSum {
    int64_t tokens, bytes;      /* that were scored */
    double nats, squares;       /* sum of -ln p, and of its square */
} ScoreSum;

void score_sum_token(ScoreSum *, double logprob, int64_t bytes);
void score_sum_add(ScoreSum *, const ScoreSum *part);

typedef struct ScoreFigures {
    double nats_per_token;
    double bits_per_byte;       /* nats / ln 2 / bytes: comparable between tokenizers. NAN without bytes */
    double perplexity;          /* exp(nats_per_token) */
    double perplexity_error;    /* one standard error, as if tokens were independent. NAN below two tokens */
} ScoreFigures;

ScoreFigures score_figures(const ScoreSum *);   /* of at least one token */

typedef struct ScoreWindows {
    int32_t context;            /* tokens of a window, at least 2 */
    int32_t stride;             /* from one window's start to the next: 1 to context */
    int32_t score_from;         /* first token of a window that is scored: 1 to context - 1 */
} ScoreWindows;

typedef struct ScoreWindow {
    int64_t start;              /* its first token in the text */
    int32_t from;               /* tokens [from, context) of the window are scored */
} ScoreWindow;

/* BAD_ARGUMENT names the option; context_most is what the model can take. */
Err score_windows_check(const ScoreWindows *, int32_t context_most, Error *);
int64_t score_windows_count(const ScoreWindows *, int64_t tokens);
ScoreWindow score_window(const ScoreWindows *, int64_t index);

#endif

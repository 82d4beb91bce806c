#include "tools/score_sum.h"

#include <math.h>

void score_sum_token(ScoreSum *s, double logprob, int64_t bytes)
{
    s->tokens++;
    s->bytes += bytes;
    s->nats -= logprob;
    s->squares += logprob * logprob;
}

void score_sum_add(ScoreSum *s, const ScoreSum *part)
{
    s->tokens += part->tokens;
    s->bytes += part->bytes;
    s->nats += part->nats;
    s->squares += part->squares;
}

ScoreFigures score_figures(const ScoreSum *s)
{
    double n = (double)s->tokens, mean = s->nats / n;
    double variance = (s->squares - mean * s->nats) / (n - 1);       /* 0 / 0 for a single token */
    double error = sqrt((variance < 0 ? 0 : variance) / n);          /* of the mean; below 0 by rounding only */
    return (ScoreFigures){
        .nats_per_token = mean,
        .bits_per_byte = s->bytes > 0 ? s->nats / log(2) / (double)s->bytes : NAN,
        .perplexity = exp(mean),
        .perplexity_error = s->tokens > 1 ? exp(mean) * error : NAN,
    };
}

Err score_windows_check(const ScoreWindows *w, int32_t context_most, Error *err)
{
    if (w->context < 2 || w->context > context_most)
        return fail(err, BAD_ARGUMENT, "--context is %d; this model takes 2 to %d tokens", w->context, context_most);
    if (w->stride < 1 || w->stride > w->context)
        return fail(err, BAD_ARGUMENT, "--stride is %d; valid is 1 to the context, %d", w->stride, w->context);
    if (w->score_from < 1 || w->score_from >= w->context)
        return fail(err, BAD_ARGUMENT, "--score-from is %d; valid is 1 (nothing comes before token 0) to %d",
                    w->score_from, w->context - 1);
    return OK;
}

int64_t score_windows_count(const ScoreWindows *w, int64_t tokens)
{
    return tokens < w->context ? 0 : (tokens - w->context) / w->stride + 1;
}

ScoreWindow score_window(const ScoreWindows *w, int64_t index)
{
    int32_t seen = index ? w->context - w->stride : 0;      /* scored by the windows before, or read there */
    return (ScoreWindow){index * w->stride, seen > w->score_from ? seen : w->score_from};
}

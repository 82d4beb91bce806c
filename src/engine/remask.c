#include "engine/remask.h"

#include <math.h>
#include <stddef.h>

#include "kernels/choose/choose_scan.h"

static double margin(const float *logits, int32_t n, double peak, double scale, double total)
{
    float best = -INFINITY, second = -INFINITY;
    for (int32_t i = 0; i < n; i++)
        if (logits[i] > best) {
            second = best;
            best = logits[i];
        } else if (logits[i] > second) {
            second = logits[i];
        }
    return (exp((best - peak) * scale) - exp((second - peak) * scale)) / total;
}

/* -H = sum p ln p, where ln p = (z - peak) scale - ln total. */
static double negative_entropy(const float *logits, int32_t n, double peak, double scale, double total)
{
    double sum = 0;
    for (int32_t i = 0; i < n; i++) {
        double x = (logits[i] - peak) * scale;
        sum += logits[i] == -INFINITY ? 0 : exp(x) * x;
    }
    return sum / total - log(total);
}

double remask_confidence(Remask rule, const float *logits, int32_t n, int32_t id, float temperature, double unit)
{
    if (rule == REMASK_RANDOM || rule == REMASK_ORIGIN)
        return unit;
    const Scan *scan = scan_of(TIER_BEST);
    float peak = scan->peak(logits, n).value;
    float scale = rule == REMASK_LOW_CONFIDENCE || temperature <= 0 ? 1 : 1 / temperature;
    double total = scan->exp_sum(logits, n, peak, scale);
    if (rule == REMASK_TOPK_MARGIN)
        return margin(logits, n, (double)peak, (double)scale, total);
    if (rule == REMASK_ENTROPY)
        return negative_entropy(logits, n, (double)peak, (double)scale, total);
    return exp(((double)logits[id] - (double)peak) * (double)scale) / total;
}

double remask_noisy(double confidence, float temperature, double unit)
{
    double even = unit > 0 ? unit : 0x1p-54; /* below the smallest that is drawn */
    return confidence / (double)temperature - log(-log(even));
}

int32_t remask_count(int32_t masks, int32_t steps, int32_t step) { return masks / steps + (step < masks % steps); }

double remask_chance(int32_t steps, int32_t step)
{
    double span = (1 - REMASK_TIME_END) / steps, now = 1 - step * span;
    return step + 1 == steps ? 1 : span / now;
}

void remask_choose(Guess *guesses, int32_t count, int32_t stay)
{
    for (; stay > 0; stay--) {
        Guess *best = NULL;
        for (int32_t i = 0; i < count; i++)
            if (!guesses[i].stays && (!best || guesses[i].confidence > best->confidence))
                best = &guesses[i];
        if (!best)
            return;
        best->stays = true;
    }
}

/* quant.c -- see quant.h. */
#include "formats/quant.h"

#include <math.h>

#include "base/half.h"

Spread spread_of(const float *x, int n)
{
    Spread r = {.min = x[0], .max = x[0], .finite = true};
    for (int i = 0; i < n; i++) {
        float magnitude = fabsf(x[i]);
        if (!(magnitude <= 0x1.fffffep127f))
            return (Spread){.finite = false};
        if (magnitude > r.amax) {
            r.amax = magnitude;
            r.extreme = x[i];
        }
        r.min = x[i] < r.min ? x[i] : r.min;
        r.max = x[i] > r.max ? x[i] : r.max;
    }
    return r;
}

float scale_within_f16(float d)
{
    return d > F16_MAX ? F16_MAX : d < -F16_MAX ? -F16_MAX : d;
}

float scale_inverse(float d)
{
    return (f32_to_f16(d) & 0x7fff) == 0 ? 0 : 1 / d;
}

int round_within(float x, int low, int high)
{
    if (!(x > (float)low))
        return low;
    if (x >= (float)high)
        return high;
    int whole = (int)x;
    float rest = x - (float)whole;
    return whole + (rest >= 0.5f) - (rest <= -0.5f);
}

int floor_within(float x, int low, int high)
{
    if (!(x > (float)low))
        return low;
    return x >= (float)high ? high : (int)x;
}

void clip(float *out, const float *x, int n, float limit)
{
    for (int i = 0; i < n; i++)
        out[i] = x[i] > limit ? limit : x[i] < -limit ? -limit : x[i];
}

/* kernel_case_error.c -- how far what a kernel computed is from something else. */
#include <math.h>
#include <string.h>

#include "kernel_cases.h"

/* The largest |fast - reference| of a row, relative to the largest |reference| in it. */
static double row_error(const float *fast, const float *exact, int64_t width, float typical)
{
    double largest = typical, worst = 0;
    for (int64_t i = 0; i < width; i++)
        largest = fmax(largest, fabs(exact[i]));
    for (int64_t i = 0; i < width; i++) {
        double error = fabs((double)fast[i] - exact[i]);
        if (!(error <= worst))      /* a NaN counts as infinitely wrong */
            worst = isnan(error) ? INFINITY : error;
    }
    return worst == 0 ? 0 : worst / (largest + 1e-30);
}

double kernel_case_error(const KernelCase *c, const uint8_t *fast, const uint8_t *exact)
{
    double worst = 0;
    size_t at = 0;
    for (int o = 0; o < OP_OUTS; o++) {
        Tensor t = c->call.out[o];
        for (int32_t r = 0; !tensor_is_none(t) && r < t.dim[0]; r++, at += tensor_row_bytes(t)) {
            if (t.format == &format_f32)
                worst = fmax(worst, row_error((const float *)(fast + at), (const float *)(exact + at), tensor_width(t),
                                              c->typical));
            else if (memcmp(fast + at, exact + at, tensor_row_bytes(t)))
                worst = INFINITY;
        }
    }
    return worst;
}

/* linear_row.h -- what the references of all products are made of: one row of x, one row of w. */
#ifndef KERNELS_LINEAR_LINEAR_ROW_H
#define KERNELS_LINEAR_LINEAR_ROW_H

#include "core/format.h"

/* x as a weight with this activation meets it. */
void linear_round(float *to, const float *x, int64_t width, const Format *activation);
/* sum_k rounded[k] w[k] in f64; w: a plain row. */
double linear_dot(const float *rounded, const Format *format, const uint8_t *w, int64_t width);

#endif

/* norm.h -- the norm that a family puts before, behind and between the parts of a layer.
 *
 *     NORM_RMS      x / sqrt(mean(x^2) + eps) * gain + bias             (Zhang & Sennrich 2019; seldom a bias)
 *     NORM_LAYER    (x - mean) / sqrt(var + eps) * gain + bias          (Ba et al. 2016)
 *
 * A family says by values whether there is a gain, a bias, and whether the checkpoint stores gain - 1.
 */
#ifndef MODEL_NORM_H
#define MODEL_NORM_H

#include "model/linear_weights.h"

typedef enum NormKind { NORM_RMS, NORM_LAYER } NormKind;

typedef struct NormShape {
    NormKind kind;
    bool no_gain, bias;
    bool minus_one;            /* a checkpoint (not a GGUF) stores gain - 1 */
    const char *gain_name;     /* there; NULL: ".weight" */
    float eps;
} NormShape;

typedef struct Norm { Tensor gain, bias; } Norm;

/* hf, gguf: names without ".weight". */
void norm_declare(const NormShape *, WeightList *, Norm *, const char *hf, const char *gguf, int layer, int32_t width);
/* On each row, or on each head of [rows, heads, width]. y may be x. */
void norm_run(const NormShape *, Device *, Tensor y, Tensor x, const Norm *);

#endif

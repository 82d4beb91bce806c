/* packing.h -- weights of a checkpoint that lie in two tensors: values of few bits, and scales.
 *
 *     quantization_config      values                          scales
 *     fp8                      x.weight  F8 [R, C]             x.weight_scale_inv  F32 [ceil(R / 128), ceil(C / 128)]
 *     compressed-tensors       x.weight  F8 [R, C]             x.weight_scale      [1], [R, 1] or blocks
 *     mxfp4                    x_blocks  U8 [R, C / 32, 16]    x_scales            U8 [R, C / 32]
 *
 * What quantization_config says is read once, when the checkpoint is opened; a method that is not in this table is
 * refused by name, since its tensors would be read as something else. Whoever looks for a weight's tensor asks
 * packing_find(), whatever the checkpoint: a family knows nothing of it.
 *
 * Values with scales are multiplied out; values and scales that are blocks of a format taken apart are joined again
 * (Format.join), bit by bit. Activations stay as they are, so scales of activations are passed over.
 */
#ifndef MODEL_PACKING_H
#define MODEL_PACKING_H

#include "model/keys.h"

enum { PACKED_BLOCK_BYTES_MAX = 64 };

typedef struct Packing {             /* zeros: every weight is one tensor */
    bool scaled;                     /* 8-bit values have scales */
    int32_t block[2];                /* rows and columns that share one; 0: as the number of scales says */
    const Format *joins;             /* values and scales apart are its blocks; NULL: there are none */
} Packing;

/* Of a GGUF, and without quantization_config: none. */
Err packing_read(const Keys *, Packing *, Error *err);

/* Scales of a tensor that is [matrices, rows, width]. */
typedef struct Scales {
    const StoreTensor *tensor;       /* NULL: there are none */
    int64_t rows, width;
    int64_t block_rows, block_width; /* that share a scale; blocks begin anew with each matrix */
} Scales;

int64_t scales_number(const Scales *, int64_t value);   /* of the scale of the tensor's value of this number */
/* Multiplies n values of a row by theirs; the first is the tensor's value of this number. */
void scales_apply(const Scales *, int64_t value, float *x, int64_t n);

typedef struct PackedTensor {
    const StoreTensor *stored;       /* NULL: absent */
    StoreTensor view;                /* the same as a tensor of weights: its format and dimensions, not its bytes */
    Scales scales;
    int together;                    /* weights in a stored value: 1, or 2 if they are to be joined with their scales */
} PackedTensor;

Err packing_find(const Packing *, const Store *, const char *name, PackedTensor *out, Error *err);
/* A tensor about activations, which nobody declares. */
bool packing_ignores(const Packing *, const char *name);

#endif

/* product.h -- products with panels (formats/panel.h), for every operation that multiplies by a weight.
 *
 *     linear       prepare x | y = products
 *     linear3      prepare x | q, k, v = products
 *     gated_mlp    prepare x | products with gate and up, activation, prepare h | y += products with down
 *
 * Between the bars all threads wait for each other. Preparing turns rows of f32 into what the format of
 * the weight reads: XBlocks, or themselves. A product is split over threads by outputs, two panels a
 * unit: that is one block of activations, should its results be prepared again.
 *
 * A weight in plain rows (a format without panels, a matrix that was not repacked) is decoded to panels
 * of f32 as it is read: right, and slow.
 */
#ifndef KERNELS_LINEAR_PRODUCT_H
#define KERNELS_LINEAR_PRODUCT_H

#include "formats/panel.h"
#include "kernels/cpu_kernel.h"

enum {
    PRODUCT_UNIT = 2 * PANEL_ROWS,      /* outputs */
    PRODUCTS_PER_THREAD = 1 << 17,      /* worth a thread: some microseconds */
};

/* Rows of activations as some format of weights reads them. */
typedef struct Prepared {
    const void *rows;
    size_t row_bytes;
    int64_t count;
} Prepared;

/* y[rows, out] = x w^T + bias (+ y) */
typedef struct Product {
    Tensor y, w, bias;
    Prepared x;
    bool adds;
} Product;

/* Whether w can be multiplied with: it has panels, or can be decoded. */
bool TIERED(product_takes)(Tensor w);

/* Bytes of `rows` prepared rows for w; 0 where x itself will do. A multiple of 64. */
size_t TIERED(prepared_bytes)(Tensor w, int64_t rows);

/* What the rows of x will be once prepared in `memory`. */
Prepared TIERED(prepared)(Tensor x, Tensor w, void *memory);

/* This thread's part of the preparing. */
void TIERED(prepare)(Tensor x, Tensor w, void *memory, CpuPart);

void TIERED(product)(const Product *, Range outputs);   /* from a multiple of PRODUCT_UNIT */

#endif

/* product.h -- products with panels (formats/panel.h), for every operation that multiplies by a weight.
 *
 *     linear       prepare x | y = products
 *     linear3      prepare x | q, k, v = products
 *     gated_mlp    prepare x | products with gate and up, activation, prepare h | y += products with down
 *
 * Between the bars all threads wait for each other. A product is split over threads by outputs, two
 * panels a unit: that is one block of activations, should its results be prepared again.
 *
 * Preparing turns rows of f32 into what the loops for a weight read:
 *
 *     X_AS_IS        themselves       panels of floats
 *     X_BLOCKS       XBlocks          panels of integers
 *     X_TILES        XTiles           the same, many rows, on the tier that has tiles
 *     X_PAIRS        XPairs           all panels, many rows, where bf16 will do (near.h)
 *     X_ROUNDED      f32, rounded     plain rows of a format that rounds its activations
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
    NEAR_ROWS = 64,                     /* from so many on, weights are worth rounding */
    PRODUCT_ROWS = 256,                 /* of x that meet a weight at once, if there are many */
    PRODUCTS_PER_THREAD = 1 << 17,      /* worth a thread: some microseconds */
};

typedef enum XKind { X_AS_IS, X_BLOCKS, X_TILES, X_PAIRS, X_ROUNDED, X_KINDS } XKind;

/* Rows of x as the loops for some weight read them. A row lies in one piece, but for XTiles and XPairs: there 16 rows do, block
 * by block, and the rows that are missing from the last 16 are zeros, or anything in XPairs. */
typedef struct Prepared {
    XKind kind;
    uint8_t *rows;
    size_t row_bytes;
    int64_t count;
} Prepared;

XKind TIERED(x_kind)(Tensor w, int64_t rows);          /* rows: of x, that are prepared together */
size_t TIERED(x_row_bytes)(XKind, int64_t width);
/* Elements k to k + n of some rows, stride apart in x; k is a multiple of 32, n is 32 but at the end of what stays as it is.
 * Of XTiles a group at a time, or all that there is of it; of XPairs rows of one group. */
void TIERED(x_put)(const Prepared *, Range rows, int64_t k, const float *x, int64_t stride, int64_t n);

/* How many rows of a group the loops read: rows that are missing among them are zeros. */
static inline int64_t x_tiled_rows(int64_t rows) { return rows <= TILED_ROWS / 2 ? TILED_ROWS / 2 : TILED_ROWS; }

/* How many rows there is memory for. */
static inline int64_t x_rows(XKind kind, int64_t rows)
{
    return kind == X_TILES || kind == X_PAIRS ? (rows + TILED_ROWS - 1) / TILED_ROWS * TILED_ROWS : rows;
}

/* x prepared for each of some weights lies in one piece of memory: bytes, this thread's part of making
 * it, and where it is for weight i. */
size_t TIERED(prepared_bytes)(Tensor x, const Tensor *weights, int n);
void TIERED(prepare)(Tensor x, const Tensor *weights, int n, void *memory, CpuPart);
Prepared TIERED(prepared)(Tensor x, const Tensor *weights, int n, int i, void *memory);

/* y[r][o - y_from] = sum_k x[r][k] w[o][k] + bias[o] (+ y) */
typedef struct Product {
    Tensor y, w, bias;
    Prepared x;
    int64_t y_from;      /* the output that the first column of y is for */
    const int64_t *y_at; /* where in y, in floats, the results of each row of x go; NULL: row by row */
    bool adds;
} Product;

static inline bool product_takes(Tensor w) { return w.format->activation != NULL; }

void TIERED(product)(const Product *, Range outputs);   /* from a multiple of PRODUCT_UNIT */
/* This thread's part of all outputs, and what others have not come to of theirs. */
void TIERED(product_shared)(const Product *, CpuPart, int work);
/* Both, of the same outputs and width: where they are alike their weights are read side by side. */
void TIERED(product_pair)(const Product *, const Product *, Range outputs);

static inline int64_t product_threads(int64_t rows, const Tensor *weights, int n)
{
    int64_t products = 0;
    for (int i = 0; i < n; i++)
        products += rows * weights[i].dim[0] * weights[i].dim[1];
    return products / PRODUCTS_PER_THREAD;
}

#endif

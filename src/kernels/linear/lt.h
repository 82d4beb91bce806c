/* lt.h -- products of many rows through cuBLASLt, which is opened when a GPU is (libcublasLt.so.13 or .12): without it
 * they run on the house's own tiles, which are slower.
 *
 *     y[n][o] = sum_k x[n][k] w[o][k] (+ y)        w, x: bf16, rows of `in`; y: f32 or bf16; summed in f32
 */
#ifndef KERNELS_LINEAR_LT_H
#define KERNELS_LINEAR_LT_H

#ifdef __cplusplus
extern "C" {
#endif

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct Lt Lt;
enum { LT_WORKSPACE_BYTES = 32 << 20 };

Lt *lt_open(void);             /* NULL: the library is not there */
void lt_close(Lt *);

typedef struct LtProduct {
    const void *w, *x;
    void *y;
    int64_t y_step;
    int out, in, n;
    bool adds, rounds;         /* rounds: y is bf16 */
    bool twice;                /* another product of the same x goes along ... */
    int64_t w_other, y_other;  /* ... whose w and y lie so many numbers further on: 0 or more */
    void *trial;               /* as large as y: ways are tried on it; NULL: on y, unless that is added to */
} LtProduct;

/* false: the library has no way for this shape. workspace: LT_WORKSPACE_BYTES. */
bool lt_product(Lt *, const LtProduct *, void *workspace, void *stream);

#ifdef __cplusplus
}
#endif

#endif

/* choose_row.h -- choose.h for one row, on the host: what the reference runs, and the engine's own sampler. */
#ifndef KERNELS_CHOOSE_CHOOSE_ROW_H
#define KERNELS_CHOOSE_CHOOSE_ROW_H

#include "kernels/choose/choose.h"
#include "kernels/choose/choose_pick.h"

typedef struct ChooseRow {
    const float *logits;               /* [vocabulary] */
    int32_t vocabulary;
    const ChooseEdit *edits;           /* the first of its own */
    const uint32_t *allowed;           /* NULL: all */
} ChooseRow;

/* adjusted: room for a row. */
void choose_row(Picks *, float *adjusted, const ChooseHow *, const ChooseRow *, Chosen *out);

/* Of a token that something else chose: logit, peak, total, and the n best. */
void choose_tell(Picks *, const float *logits, int32_t vocabulary, int32_t id, int32_t n, Chosen *out);

#endif

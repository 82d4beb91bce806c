/* choose_row.h -- choose.h for one row, on the host: what the CPU's kernels run, and the engine's own sampler. */
#ifndef KERNELS_CHOOSE_CHOOSE_ROW_H
#define KERNELS_CHOOSE_CHOOSE_ROW_H

#include "kernels/choose/choose.h"
#include "kernels/choose/choose_pick.h"
#include "kernels/cpu_kernel.h"

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

/* Some rows of a call, each by choose_row(). */
void choose_range(const OpCall *, Range rows, float *scratch, const Scan *);
size_t choose_scratch_bytes(const OpCall *);      /* of each thread that calls it */

#endif

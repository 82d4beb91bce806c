/* step.h -- a step is a value: the rows of all sequences, flat, and what each may see.
 *
 *     rows      0 1 2 3 4 5 6 | 7 | 8 9 10        three sequences: a chunk of a prompt, one token being
 *     sequence  0 0 0 0 0 0 0 | 1 | 2 2 2         decoded, a token and two drafted ones being verified
 *
 * Only what mixes positions (attention, convolution, state) looks at which rows belong together;
 * everything else sees one [rows, width] matrix (selective batching; Yu et al. 2022, "Orca").
 * Prefill, a chunk of it, decoding, verifying, scoring: all the same thing.
 */
#ifndef CORE_STEP_H
#define CORE_STEP_H

#include "core/kv_view.h"

typedef struct Step {
    int32_t rows, seqs, outs;
    Tensor tokens;         /* [rows] I32 */
    Tensor positions;      /* [rows] I32 */
    Tensor row_seq;        /* [rows] I32, ascending */
    Tensor lengths;        /* [rows] I32: max(prompt length, position + 1), for rope that depends on it */
    Tensor out_rows;       /* [outs] I32: the rows whose logits are asked for */
    int32_t hiddens;       /* rows whose hidden state is asked for, with or without logits: 0 most of the time */
    Tensor hidden_rows;    /* [hiddens] I32 */
    Tensor hidden;         /* [hiddens, D] F32: receives them after the last norm, before the head */
    const KvView *layers;  /* one per layer of the model */
} Step;

static inline const KvView *kv_view(const Step *s, int layer) { return &s->layers[layer]; }

#endif

/* pooling.h -- one vector for a whole text: of the hidden states of its positions, the last or the mean.
 *
 *     POOL_LAST    h[T - 1]
 *     POOL_MEAN    (h[0] + h[1] + ... + h[T - 1]) / T      summed in f64, in the order of positions
 *
 * h is what the head would read: after the last norm. The order of the sum is that of the positions whatever
 * the chunks and the company, so an embedding has the same bits always. It is not scaled to length 1.
 */
#ifndef ENGINE_POOLING_H
#define ENGINE_POOLING_H

#include "engine/request.h"

/* BAD_ARGUMENT: names the field, and what is valid with it. */
Err pooling_check(const RequestOptions *, int32_t width, Error *);
/* The first position whose hidden state is wanted; of a request that does not pool, prompt_count. */
int32_t pooling_first(const RequestOptions *);

/* The state of one position; each wanted one once, in order. BAD_FILE: it is not made of numbers. The last one
 * fills request->options.embedding. */
Err pooling_add(Request *, int32_t position, const float *hidden, int32_t width, Error *);

#endif

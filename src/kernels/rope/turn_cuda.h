/* turn_cuda.h -- rope, rope and cache_write as one launch: queries and keys are turned by the same angles, then keys and
 * values written to the cache. q, k and v may come as products left them (kernels/linear3/linear3.cu), before they were rows
 * of f32. As such rows q is written, and of k and v what somebody reads besides.
 */
#ifndef KERNELS_ROPE_TURN_CUDA_H
#define KERNELS_ROPE_TURN_CUDA_H

#include "kernels/linear/parts_cuda.h"

enum { TURN_CALLS = 3, TURNED = 3 /* q, k, v */ };

/* Whether the next calls are those, of shapes that there is a way for. */
bool turn_comes(const OpCall *, int count);
/* from: of q, k and v, at 16 bytes; NULL: they are where the calls say. */
void turn_run(const OpCall *, int count, const Sums *from, const CudaRun *);

#endif

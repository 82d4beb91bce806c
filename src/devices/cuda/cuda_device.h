/* cuda_device.h -- an NVIDIA GPU as a Device.
 *
 * Work goes to one stream, in order. Operations are noted as they come and sent together, as a CUDA graph, when
 * somebody reads: a step like the last one (decoding is) is one launch (cuda_graph.h). read() is the only call that
 * waits. Memory is taken at start: weights through pinned staging, pools zeroed; the stack of activations and the
 * kernels' scratch as planning found them.
 *
 * The GPU's memory is not the host's (Device.apart): nobody but the device may look behind a tensor's data.
 *
 * CUDA is optional. A ridge that was built without it, a machine without a GPU or driver, a GPU that is too old: opening
 * says so and what to do. A GPU that is lost on the way is told by trouble(): from then on nothing is computed, and
 * what is read is NaN.
 */
#ifndef DEVICES_CUDA_CUDA_DEVICE_H
#define DEVICES_CUDA_CUDA_DEVICE_H

#include "core/device.h"

typedef struct CudaOptions {
    int index;            /* which GPU, from 0 */
    bool exact;           /* products keep activations as their contracts say; else bf16 is enough where rows are many */
    bool same;            /* a row's bits depend on neither the number of rows nor the others; exact as well. Slower */
    bool no_graphs;       /* each operation is launched by itself, as it comes */
} CudaOptions;

bool cuda_is_there(void);                          /* built with CUDA, and a GPU answers */
Err cuda_device_open(const CudaOptions *, Device **out, Error *err);   /* UNSUPPORTED: see above */
const char *cuda_device_title(const Device *);     /* "NVIDIA H200" */

#endif

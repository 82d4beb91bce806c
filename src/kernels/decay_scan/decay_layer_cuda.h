/* decay_layer_cuda.h -- a decay_scan with what a layer of Mamba-2 does before and after it (model/mamba2.h), in one launch. */
#ifndef KERNELS_DECAY_SCAN_DECAY_LAYER_CUDA_H
#define KERNELS_DECAY_SCAN_DECAY_LAYER_CUDA_H

#include "kernels/kit/cuda_kernel.h"

/* These calls, which begin with the add of dt's bias: how many they were; 0: they are none, or a later one reads what is
 * not written here (dt, the decays, dt u). */
int decay_layer_run(const OpCall *, int count, const CudaRun *);

#endif

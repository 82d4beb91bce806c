/* flow.h -- products of one row on Hopper, at the speed at which memory gives the weights. How: flow_cuda.h. */
#ifndef KERNELS_LINEAR_FLOW_H
#define KERNELS_LINEAR_FLOW_H

#include "kernels/linear/product_cuda.h"

/* What may be computed in the same launch. */
typedef struct FlowBeside {
    const OpCall *norm;              /* the rms_norm whose output is x (NULL: none); it is written as well */
    const Activation *gates;         /* the first of two products gates the second: only y of the first is written */
} FlowBeside;

bool flow_takes(const Product *, int n, WeightKind, const FlowBeside *, const CudaRun *);
void flow_run(const Product *, int n, WeightKind, const FlowBeside *, const CudaRun *);

#endif

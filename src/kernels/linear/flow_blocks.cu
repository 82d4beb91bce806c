/* flow_blocks.cu -- see flow_cuda.h: weights in planes. */
#include "kernels/linear/flow_cuda.h"

void flow_blocks(const Flow *f, WeightKind kind, const CudaRun *g)
{
    switch (kind) {
#define DO(K) case K: flow_columns<K>(*f, g); break;
        EACH_PLANE_KIND(DO)
#undef DO
    default: break;
    }
}

/* flow_floats.cu -- see flow_cuda.h: weights that are single numbers. */
#include "kernels/linear/flow_cuda.h"

void flow_floats(const Flow *f, WeightKind kind, const CudaRun *g)
{
    switch (kind) {
#define DO(K) case K: flow_columns<K>(*f, g); break;
        EACH_FLOW_PLAIN_KIND(DO)
#undef DO
    default: break;
    }
}

/* flow_blocks.cu -- see flow_cuda.h: weights in planes. */
#include "kernels/linear/flow_cuda.h"

template <int K> static void by_columns(const Flow &f, const CudaRun *g)
{
    if (f.columns == 1)
        flow_columns<K, 1>(f, g);
    else
        flow_columns<K, 2>(f, g);
}

void flow_blocks(const Flow *f, WeightKind kind, const CudaRun *g)
{
    switch (kind) {
#define DO(K) case K: by_columns<K>(*f, g); break;
        EACH_PLANE_KIND(DO)
#undef DO
    default: break;
    }
}

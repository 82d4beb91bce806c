/* flow_floats.cu -- see flow_cuda.h: weights that are single numbers. */
#include "kernels/linear/flow_cuda.h"

template <int K> static void by_columns(const Flow &f, const CudaRun *g)
{
    switch (f.columns) {
    case 1: flow_columns<K, 1>(f, g); break;
    case 2: flow_columns<K, 2>(f, g); break;
    default: flow_columns<K, 4>(f, g); break;
    }
}

void flow_floats(const Flow *f, WeightKind kind, const CudaRun *g)
{
    switch (kind) {
#define DO(K) case K: by_columns<K>(*f, g); break;
        EACH_FLOW_PLAIN_KIND(DO)
#undef DO
    default: break;
    }
}

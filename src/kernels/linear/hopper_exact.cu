/* hopper_exact.cu -- see hopper_cuda.h: x in three parts. */
#include "kernels/linear/hopper_line_cuda.h"

void hopper_exact(const Line &l, bool gates, const CudaRun *g)
{
    if (gates)
        by_rows<3, true>(l, g);
    else
        by_rows<3, false>(l, g);
}

/* hopper_near.cu -- see hopper_cuda.h: x in one part. */
#include "kernels/linear/hopper_line_cuda.h"

void hopper_near(const Line &l, bool gates, const CudaRun *g)
{
    if (gates)
        by_rows<1, true>(l, g);
    else
        by_rows<1, false>(l, g);
}

const void *hopper_code(void) { return (const void *)along_line<Way<8, 1, false>>; }

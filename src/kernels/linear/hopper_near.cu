/* hopper_near.cu -- see hopper_cuda.h: x in one part. */
#include "kernels/linear/hopper_line_cuda.h"

void hopper_near(const Line &l, const CudaRun *g) { by_rows<1>(l, g); }

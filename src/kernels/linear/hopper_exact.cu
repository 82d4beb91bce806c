/* hopper_exact.cu -- see hopper_cuda.h: x in three parts. */
#include "kernels/linear/hopper_line_cuda.h"

void hopper_exact(const Line &l, const CudaRun *g) { by_rows<HOPPER_PARTS>(l, g); }

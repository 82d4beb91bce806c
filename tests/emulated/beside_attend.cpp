/* beside_attend.cpp -- what attend.cu knows of that is not emulated: products by four warps, what reads attention's rows. */
#include "kernels/attend/attend_cuda.h"
#include "kernels/linear/parts_cuda.h"

static bool takes(const Attention *) { return false; }
static int none(const Attention *) { return 1; }
const AttendWay attend_hopper = {takes, none, none, true, 1, 1, 1, 1, NULL};

unsigned short *parts_place_of(const OpCall *, const CudaRun *) { return NULL; }
int parts_run_calls(const OpCall *, int, const CudaRun *) { return 0; }

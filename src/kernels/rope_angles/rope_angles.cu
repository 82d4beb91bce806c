/* rope_angles.cu -- see rope_angles.h. The same roundings as in the reference, step by step. */
#include "kernels/kit/cuda_kit.h"

static __device__ float dynamic_base(const RopeAngles &a, int length)
{
    float stretch = __fsub_rn(__fdiv_rn(__fmul_rn(a.factor, (float)length), (float)a.original_length), a.factor - 1);
    return __fmul_rn(a.base, (float)pow((double)stretch, (double)a.dims / (a.dims - 2)));
}

static __global__ void angles_of_rows(Rows angles, const int32_t *positions, const int32_t *lengths, Rows inv_freq,
                                      RopeAngles a)
{
    previous();
    int64_t r = blockIdx.x;
    int half = a.dims / 2, length = lengths ? lengths[r] : 0;
    bool beyond = a.kind != ROPE_FIXED && length > a.original_length;
    bool grown = beyond && a.kind == ROPE_DYNAMIC, longer = beyond && a.kind == ROPE_LONG;
    const float *table = row(inv_freq, longer ? 1 : 0);
    float base = grown ? dynamic_base(a, length) : 0, magnitude = longer ? a.magnitude_long : a.magnitude;
    for (int i = threadIdx.x; i < half; i += blockDim.x) {
        float turn = table[i];
        if (grown)
            turn = copysignf(__fdiv_rn(1, (float)pow((double)base, (double)__fdiv_rn((float)(2 * i), (float)a.dims))), turn);
        float angle = __fmul_rn((float)positions[r], turn);
        double s, c;
        sincos((double)angle, &s, &c);
        row(angles, r)[i] = __fmul_rn((float)c, magnitude);
        row(angles, r)[half + i] = __fmul_rn((float)s, magnitude);
    }
}

static void run(const OpCall *c, const CudaRun *g)
{
    Rows angles = rows_of(c->out[0]);
    const int32_t *lengths = c->angles.kind == ROPE_FIXED ? NULL : ids_of(c->in[1]);
    LAUNCH(angles_of_rows, angles.rows, 64, 0, g, angles, ids_of(c->in[0]), lengths, rows_of(c->in[2]), c->angles);
}

CUDA_KERNEL(rope_angles, NULL, NULL, run)

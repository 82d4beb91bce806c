/* attend_fold.h -- parts of the positions become one: by the block of threads that finishes last.
 *
 * Blocks of threads that have parts of the same queries each write (largest score, sum, sums of values) and count
 * themselves. The last one finds all parts there and adds them up in their order, so that the sums do not depend on who
 * was last.
 */
#ifndef KERNELS_ATTEND_ATTEND_FOLD_H
#define KERNELS_ATTEND_ATTEND_FOLD_H

#include "kernels/attend/attend_cuda.h"

#ifdef __CUDACC__
enum { FOLD_ABREAST = 8 };

/* A column of a query; parts come some at a time, so that all of them are on their way together. */
static __device__ inline void fold_column(const Attention &a, int r, int head, int column)
{
    int step = a.value_width + 2;
    const float *parts = a.parts + ((int64_t)r * a.heads + head) * a.count * step;
    float most = a.sinks ? a.sinks[head] : -INFINITY, total = a.sinks ? 1 : 0, sum = 0;
    for (int first = 0; first < a.count; first += FOLD_ABREAST, parts += FOLD_ABREAST * step) {
        float mosts[FOLD_ABREAST], totals[FOLD_ABREAST], sums[FOLD_ABREAST], larger = most;
#pragma unroll
        for (int p = 0; p < FOLD_ABREAST; p++) {
            bool there = first + p < a.count;
            mosts[p] = there ? __ldcg(parts + p * step) : -INFINITY;
            totals[p] = there ? __ldcg(parts + p * step + 1) : 0;
            sums[p] = there ? __ldcg(parts + p * step + 2 + column) : 0;
        }
#pragma unroll
        for (int p = 0; p < FOLD_ABREAST; p++)
            larger = fmaxf(larger, mosts[p]);
        float older = most == -INFINITY ? 0 : power2((most - larger) * LOG2_E);
        total *= older, sum *= older, most = larger;
#pragma unroll
        for (int p = 0; p < FOLD_ABREAST; p++) {
            float weight = mosts[p] == -INFINITY ? 0 : power2((mosts[p] - most) * LOG2_E);
            total = fmaf(weight, totals[p], total), sum = fmaf(weight, sums[p], sum);
        }
    }
    row(a.y, r)[(int64_t)head * a.value_width + column] = sum / total;
}

/* All threads, after they have written their part of these queries; `counter` is one that only these blocks of threads
 * have. */
static __device__ inline void fold_when_last(const Attention &a, int counter, int first_row, int rows, int first_head, int heads)
{
    __shared__ bool last;
    __threadfence();
    __syncthreads();
    if (threadIdx.x == 0)
        last = atomicAdd(&a.counters[counter], 1) == (unsigned)a.count - 1;
    __syncthreads();
    if (!last)
        return;
    __threadfence();
    for (int i = threadIdx.x; i < rows * heads * a.value_width; i += blockDim.x) {
        int query = i / a.value_width;
        fold_column(a, first_row + query / heads, first_head + query % heads, i % a.value_width);
    }
    if (threadIdx.x == 0)
        a.counters[counter] = 0;
}
#endif

#endif

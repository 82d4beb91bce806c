/* attend_cuda.h -- what the GPU's kernels of attend.h share. */
#ifndef KERNELS_ATTEND_ATTEND_CUDA_H
#define KERNELS_ATTEND_ATTEND_CUDA_H

#include "formats/planes_cuda.h"

typedef struct Past {
    const uint8_t *at;
    int64_t block_bytes;
    int width;
} Past;

typedef struct Attention {
    Attend how;
    Rows y, q;
    Past k, v;
    const int32_t *tables, *positions, *row_seq;
    int64_t table_step;
    const float *sinks, *slopes;
    float *parts;              /* of row, head, part: largest score, sum, sums of values */
    int heads, kv_heads, group, per_block, head_blocks;      /* per_block: query heads of a block of threads */
    int key_width, value_width, tokens, rows, count, part_tokens;
} Attention;

/* Heads of keys and values of 64, 128 or 256 numbers of 16 bits: attend_few.cu. */
bool attend_few_takes(const Attention *, WeightKind);
void attend_few(const Attention *, WeightKind, const CudaRun *);
/* How many query heads of a group a block of threads has: more of them cost more registers than they save reading, as the
 * blocks of a group run side by side and the L2 cache gives all but the first what they read. */
static inline int attend_few_heads(int group) { return group > 1 ? 2 : 1; }

#ifdef __CUDACC__
/* The row's positions [from, to). */
static __device__ inline int2 sees(const Attention &a, int r)
{
    int pos = a.positions[r], seq = a.row_seq[r], from = 0, to = pos + 1;
    if (a.how.bidirectional) {
        int first = first_at_least(a.row_seq, a.rows, seq), end = first_at_least(a.row_seq, a.rows, seq + 1);
        for (int i = first; i < end; i++)
            to = max(to, a.positions[i] + 1);
    }
    if (a.how.window > 0) {
        from = max(from, pos - a.how.window + 1);
        to = (int)min((long long)to, (long long)pos + a.how.window);
    }
    if (a.how.chunk > 0) {
        from = max(from, pos - pos % a.how.chunk);
        to = (int)min((long long)to, (long long)pos - pos % a.how.chunk + a.how.chunk);
    }
    return make_int2(from, to);
}

/* A product of query and key becomes a score. */
static __device__ inline float bend(const Attention &a, float s, int head, int j, int pos)
{
    s *= a.how.scale;
    if (a.how.softcap > 0)
        s = a.how.softcap * tanhf(s / a.how.softcap);
    if (!a.slopes)
        return s;
    float slope = a.slopes[head];
    if (a.how.coarse != 0)
        return s + a.how.coarse * (bf16_near(slope * bf16_near((float)j)) - bf16_near(slope * bf16_near((float)pos)));
    return s + slope * (float)(j - pos);
}
#endif

#endif

/* attend_cuda.h -- what the GPU's kernels of attend.h share. */
#ifndef KERNELS_ATTEND_ATTEND_CUDA_H
#define KERNELS_ATTEND_ATTEND_CUDA_H

#include "kernels/attend/attend_mma.h"

typedef struct Past {
    const uint8_t *at;
    int64_t block_bytes;
    int width, blocks;
} Past;

typedef struct Attention {
    Attend how;
    Rows y, q;
    Past k, v;                 /* the same where there are only keys */
    const int32_t *tables, *positions, *row_seq;
    int64_t table_step;
    const float *sinks, *slopes;
    float *parts;              /* of row, head, part: largest score, sum, sums of values */
    unsigned short *cut;       /* y goes there as parts of bf16 (kernels/linear/parts_cuda.h) and not to y; NULL: to y */
    int cut_parts;
    int heads, kv_heads, group, key_width, value_width, tokens, rows, seqs;
    int per_block, head_blocks;          /* query heads of a block of threads; blocks of a group */
    int rows_each, pieces;               /* rows of a block of threads, where it takes several; pieces that all fit into */
    int count;                           /* parts of what a row sees */
    WeightKind kind;                     /* of the cache */
    bool exact;                          /* else bf16 is near enough */
} Attention;

/* The kernels, of which the first that takes a call computes it (attend.cu). */
enum { PART_COST = 4 };
typedef struct AttendWay {
    bool (*takes)(const Attention *);
    int (*queries)(const Attention *);   /* of a block of threads: rows x heads of a group */
    int (*resident)(const Attention *);  /* blocks of threads that a multiprocessor has room for, about */
    bool rows_together;                  /* takes several rows of a sequence */
    int queries_most, resident_most;
    int part_cost;                       /* what a part costs beside its positions, in 64 of them: PART_COST */
    int waves;                           /* where positions are split, blocks of threads fill the GPU so often at most */
    void (*run)(const Attention *, const CudaRun *);
} AttendWay;

extern const AttendWay attend_hopper;    /* many rows, as Hopper multiplies; heads of 64 or 128 of BF16 */
extern const AttendWay attend_prompt;    /* many rows, on tensor cores */
extern const AttendWay attend_flow;      /* single rows, of a Hopper's cache in BF16; heads of 64 or 128 */
extern const AttendWay attend_group;     /* few rows, heads that share keys, on tensor cores */
extern const AttendWay attend_few;       /* rows one at a time, heads of 64, 128 or 256 numbers of 16 bits */

/* Rows of F32 that are read or written two numbers at a time. */
static inline bool pairs_fit(const Rows &r) { return (uintptr_t)r.at % 8 == 0 && r.step % 2 == 0; }

/* Queries that read the same keys. */
static inline int64_t attend_together(const Attention *a)
{
    return (int64_t)a->group * ((a->rows + a->seqs - 1) / (a->seqs > 0 ? a->seqs : 1));
}

#ifdef __CUDACC__
/* Of the sequence's rows [first, end) those that are i, i + stride, ...: their largest position. */
static __device__ inline int last_position(const Attention &a, int seq, int i, int stride)
{
    int last = 0, end = first_at_least(a.row_seq, a.rows, seq + 1);
    for (i += first_at_least(a.row_seq, a.rows, seq); i < end; i += stride)
        last = max(last, a.positions[i]);
    return last;
}

/* What a row at a position sees: [from, to). last: of its sequence's rows, where they see both ways. */
static __device__ inline int2 sees_from(const Attention &a, int pos, int last)
{
    int from = 0, to = a.how.bidirectional ? last + 1 : pos + 1;
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
static __device__ inline int2 sees(const Attention &a, int r)
{
    return sees_from(a, a.positions[r], a.how.bidirectional ? last_position(a, a.row_seq[r], 0, 1) : 0);
}

/* A number of y, or its parts. */
static __device__ inline void put_y(const Attention &a, float *y, unsigned short *cut, bool is_cut, float value)
{
    if (!is_cut) {
        *y = value;
        return;
    }
    for (int part = 0; part < a.cut_parts; part++, cut += a.rows * (int64_t)a.y.width) {
        unsigned near = bf16_two(value, 0);
        *cut = (unsigned short)near;
        value -= __uint_as_float(near << 16);
    }
}
static __device__ inline void put_y_at(const Attention &a, int64_t r, int64_t column, float value)
{
    put_y(a, row(a.y, r) + column, a.cut + r * a.y.width + column, a.cut != NULL, value);
}
/* Two neighbours, at 8 bytes. */
static __device__ inline void put_two_of_y(const Attention &a, float *y, unsigned short *cut, bool is_cut, float2 two)
{
    if (!is_cut) {
        *(float2 *)y = two;
        return;
    }
    for (int part = 0; part < a.cut_parts; part++, cut += a.rows * (int64_t)a.y.width) {
        unsigned near = bf16_two(two.x, two.y);
        *(unsigned *)cut = near;
        two.x -= __uint_as_float(near << 16), two.y -= __uint_as_float(near & 0xffff0000);
    }
}

/* What a slope adds. */
static __device__ inline float lean(const Attention &a, int head, int j, int pos)
{
    float slope = a.slopes[head];
    if (a.how.coarse != 0)
        return a.how.coarse * (near_bf16(slope * near_bf16((float)j)) - near_bf16(slope * near_bf16((float)pos)));
    return slope * (float)(j - pos);
}

/* A part of what a row sees, of `count` of about the same size, each a multiple of so many keys but for the last. Tables may be
 * wider than any sequence is long, so that they say nothing. */
static __device__ inline int2 part_of(const Attention &a, int2 seen, int part, int keys)
{
    int each = ((seen.y - seen.x + a.count - 1) / a.count + keys - 1) / keys * keys, from = min(seen.x + part * each, seen.y);
    return make_int2(from, min(from + each, seen.y));
}

/* A product of query and key becomes a score. */
static __device__ inline float bend(const Attention &a, float s, int head, int j, int pos)
{
    s *= a.how.scale;
    if (a.how.softcap > 0)
        s = a.how.softcap * tanhf(s / a.how.softcap);
    return a.slopes ? s + lean(a, head, j, pos) : s;
}
#endif

#endif

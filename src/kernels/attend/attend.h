/* attend.h -- each row looks back on its sequence's past (Vaswani et al. 2017) through a paged cache
 * (Kwon et al. 2023, "PagedAttention").
 *
 *     y[r][h] = sum_j p_j v_j / (sum_j p_j + e^sink[h]),   p_j = e^(s_j)
 *     s_j     = cap(scale q[r][h].k_j) + slope[h] (j - pos),   cap(s) = softcap tanh(s / softcap)
 *               or, where coarse is given:  ... + coarse (b(j) - b(pos)),   b(j) = bf16(slope[h] bf16(j))
 *
 * over the positions j that the row, itself at pos, sees:
 *
 *     plain            0 .. pos                      window w    only |j - pos| < w
 *     bidirectional    0 .. last                     chunk c     only j / c == pos / c
 *
 * last: the largest position of the sequence's rows in this step. A row always sees itself.
 *
 * q: [rows, heads, key width], y: [rows, heads, value width], F32; y may be q. Pools, tables, positions,
 * row_seq: core/kv_view.h; F32, F16, BF16 or any format that decodes. Query head h reads kv head
 * h / (heads / kv heads). v may be NONE: the values are then the first values of the keys (a latent).
 * sinks, slopes: [heads] F32 or NONE. Rows of one sequence lie together. Seen blocks must be held.
 *
 * A (row, head) is computed in one order of operations, whatever the chunking of the prompt, the size
 * of the blocks, the other rows and the threads:
 *
 *     positions   0 ........ 511 | 512 ...... 1023 | 1024 ...       segments, absolute
 *                 64 | 64 | 64 ...                                  stretches: running softmax
 *     a segment gives (largest score, sum of p, sum of p v); these are folded in ascending order
 *
 * so segments may be computed by different threads, and few rows with a long past are.
 *
 * In f64, with the largest score known beforehand, in the reference; a fast version may differ by 2e-5
 * of the largest value of the row as long as scores stay below 100.
 * Cost: 2 (key width + value width) operations a head and seen position; reads each seen key and
 * value of a sequence once; reads q, writes y.
 */
#ifndef KERNELS_ATTEND_ATTEND_H
#define KERNELS_ATTEND_ATTEND_H

#include "base/half.h"
#include "kernels/cpu_kernel.h"
#include "kernels/kit/kv_rows.h"
#include "kernels/kit/rows.h"
#include "kernels/op_spec.h"

/* A call, unpacked. */
typedef struct AttendCall {
    Attend how;
    Tensor y, q, k, v;                    /* v: the keys where there are no values */
    const int32_t *tables, *positions, *row_seq;
    const float *sinks, *slopes;          /* NULL: none */
    int64_t table_step;                   /* from one sequence's table to the next */
    int32_t rows, seqs, heads, group;     /* group: query heads that share a kv head */
    int32_t key_width, value_width;
    int32_t capacity;                     /* positions that a table has room for */
} AttendCall;

typedef struct Sees { int32_t from, to; } Sees;     /* positions [from, to) */

AttendCall attend_call(const OpCall *);             /* checks the shapes; reads no data */
double attend_operations(const AttendCall *);       /* of the positions that are seen */
Sees attend_sees(const AttendCall *, int32_t row, int32_t last);
/* The largest position of the row's sequence where rows see both ways; else the row's own. */
int32_t attend_last(const AttendCall *, int32_t row);
/* What a slope adds at a position, as bfloat16 has it. */
static inline float attend_coarse(float slope, int32_t position)
{
    return bf16_round(slope * bf16_round((float)position));
}
/* How many rows from this one on are of one sequence, position by position. */
int32_t attend_rows_together(const AttendCall *, int32_t row, int32_t most);

static inline const int32_t *attend_table(const AttendCall *a, int32_t row)
{
    return a->tables + a->row_seq[row] * a->table_step;
}

#endif

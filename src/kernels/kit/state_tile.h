/* state_tile.h -- some columns of a matrix [N, P] that is a state, in the L1 cache (for *_cpu.c files).
 *
 *     state   [N, P]         rows P apart          tile   [N, TILE_COLUMNS]     close together
 *
 * A scan changes each column of its matrix by itself, so a tile can stay with one thread for all rows of a
 * sequence. Its rows are filled up with zeros to a multiple of CHAINS, and columns beyond P are zeros: sums
 * over n run in CHAINS chains that do not wait for each other, always in the same order.
 */
#ifndef KERNELS_KIT_STATE_TILE_H
#define KERNELS_KIT_STATE_TILE_H

#include "base/checked.h"
#include "kernels/kit/simd.h"

enum {
    TILE_VECTORS = 2,
    TILE_COLUMNS = TILE_VECTORS * LANES,
    TILE_ROWS_MAX = 512,         /* N: 64 KiB of a tile; the largest known is 256 (xLSTM) */
    CHAINS = 4,
};

typedef struct StateTile {
    int rows, padded;            /* N, and N filled up */
    int last;                    /* columns of the tile that there are */
    _Alignas(64) float at[TILE_ROWS_MAX * TILE_COLUMNS];     /* no vector lies across two cache lines */
} StateTile;

/* Columns [0, last) of vector j of a row. */
INLINE int tile_lanes(const StateTile *t, int j)
{
    int n = t->last - j * LANES;
    return n < 0 ? 0 : n < LANES ? n : LANES;
}
INLINE Vf tile_load(const StateTile *t, const float *row, int j)
{
    return vf_load_n(row + j * LANES, tile_lanes(t, j));
}
INLINE void tile_store(const StateTile *t, float *row, int j, Vf v)
{
    vf_store_n(row + j * LANES, v, tile_lanes(t, j));
}

/* state: the tile's first column in the matrix's first row, or NULL: zeros. */
INLINE void tile_read(StateTile *t, const float *state, int rows, int64_t P, int64_t columns)
{
    t->rows = rows;
    t->padded = (rows + CHAINS - 1) / CHAINS * CHAINS;
    t->last = (int)min_i64(columns, TILE_COLUMNS);
    for (int n = 0; n < t->padded; n++)
        for (int j = 0; j < TILE_VECTORS; j++)
            vf_store(t->at + n * TILE_COLUMNS + j * LANES,
                     state && n < rows ? tile_load(t, state + n * P, j) : vf_zero());
}
INLINE void tile_write(const StateTile *t, float *state, int64_t P)
{
    for (int n = 0; n < t->rows; n++)
        for (int j = 0; j < TILE_VECTORS; j++)
            tile_store(t, state + n * P, j, vf_load(t->at + n * TILE_COLUMNS + j * LANES));
}

/* A vector of N values, filled up with zeros as the tile's rows are. */
INLINE void tile_column(const StateTile *t, float *to, const float *from)
{
    memcpy(to, from, (size_t)t->rows * sizeof *to);
    for (int n = t->rows; n < t->padded; n++)
        to[n] = 0;
}

INLINE Vf chains_sum(const Vf s[CHAINS]) { return vf_add(vf_add(s[0], s[1]), vf_add(s[2], s[3])); }

/* S = decay S + k value^T; sums = S^T q.  q, k: filled up as by tile_column(). */
INLINE void tile_add(StateTile *t, const float *q, const float *k, Vf decay, const Vf value[TILE_VECTORS],
                     Vf sums[TILE_VECTORS])
{
    Vf chain[TILE_VECTORS][CHAINS];
    UNROLL for (int j = 0; j < TILE_VECTORS; j++)
        UNROLL for (int i = 0; i < CHAINS; i++)
            chain[j][i] = vf_zero();
    for (int n = 0; n < t->padded; n += CHAINS)
        UNROLL for (int i = 0; i < CHAINS; i++) {
            Vf of_k = vf_all(k[n + i]), of_q = vf_all(q[n + i]);
            UNROLL for (int j = 0; j < TILE_VECTORS; j++) {
                float *at = t->at + (n + i) * TILE_COLUMNS + j * LANES;
                Vf S = vf_fma(of_k, value[j], vf_mul(decay, vf_load(at)));
                vf_store(at, S);
                chain[j][i] = vf_fma(of_q, S, chain[j][i]);
            }
        }
    UNROLL for (int j = 0; j < TILE_VECTORS; j++)
        sums[j] = chains_sum(chain[j]);
}

#endif

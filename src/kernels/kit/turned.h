/* turned.h -- numbers of 16 channels, turned so that a vector holds one number of all of them (for *_cpu.c files).
 *
 *     rows     channel 0: a b c ...           turned    a of channels 0 to 15
 *              channel 1: a b c ...                     b of channels 0 to 15
 *
 * For scans of which each channel has a state and parameters of its own: a lane is a channel, nothing is summed
 * across lanes, and all of it stays in the L1 cache through the rows of a sequence.
 */
#ifndef KERNELS_KIT_TURNED_H
#define KERNELS_KIT_TURNED_H

#include "kernels/kit/transpose.h"

enum { TURNED_MAX = 256 };       /* numbers of a channel: 16 KiB */

typedef struct Turned { _Alignas(64) float at[TURNED_MAX][LANES]; } Turned;

/* The numbers [0, n) of some channels; up to `padded`, and of channels that are not there, zeros. rows: of the first
 * channel, or NULL: all zeros. */
INLINE void turned_read(Turned *to, const float *rows, int64_t row_elems, int channels, int n, int padded)
{
    for (int from = 0; from < padded; from += LANES) {
        int columns = n - from < LANES ? n - from : LANES;
        Vf m[LANES];
        for (int i = 0; i < LANES; i++)
            m[i] = rows && i < channels && columns > 0 ? vf_load_n(rows + i * row_elems + from, columns) : vf_zero();
        vf_transpose(m);
        for (int i = 0; i < LANES && from + i < padded; i++)
            vf_store(to->at[from + i], m[i]);
    }
}

INLINE void turned_write(const Turned *from, float *rows, int64_t row_elems, int channels, int n)
{
    for (int at = 0; at < n; at += LANES) {
        int columns = n - at < LANES ? n - at : LANES;
        Vf m[LANES];
        for (int i = 0; i < LANES; i++)
            m[i] = i < columns ? vf_load(from->at[at + i]) : vf_zero();
        vf_transpose(m);
        for (int i = 0; i < channels; i++)
            vf_store_n(rows + i * row_elems + at, m[i], columns);
    }
}

#endif

/* embed.h
 *
 *     y[r][i] = factor * table[ids[r]][i]
 *
 * table: [vocabulary, width] of any format; ids: [rows] I32, each in [0, vocabulary) (the engine looks
 * at what comes from outside; here it is an ASSERT); y: [rows, width] F32.
 * Exact: the format's own decoding and one rounding, so every version gives the same bits.
 * Cost: rows width operations; reads rows of the table and 4 rows bytes, writes 4 rows width.
 */
#ifndef KERNELS_EMBED_EMBED_H
#define KERNELS_EMBED_EMBED_H

#include "kernels/cpu_kernel.h"
#include "kernels/kit/rows.h"
#include "kernels/op_spec.h"

/* y[r] = table[ids[r]] as F32, not yet multiplied. */
void embed_decode_row(const OpCall *, int64_t r);

#endif

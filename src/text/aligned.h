/* aligned.h -- text that remembers where in the user's text each of its bytes comes from.
 *
 *     the user wrote      ﬁ   n   e            bytes 0..4
 *     normalised          f i n e
 *     origin              0 0 3 4              so the token "ine" covers bytes 0 to 5 of the user's
 *
 * Normalisers and pre-tokenisers read a view and append to an Aligned; a token's place in the
 * user's text is then looked up, not computed backwards. Nobody who does not ask for places pays
 * for them: `tracks` false leaves the origins out.
 */
#ifndef TEXT_ALIGNED_H
#define TEXT_ALIGNED_H

#include "base/span.h"

typedef struct AlignedView {
    Span text;
    const uint32_t *origin;   /* of each byte; NULL: byte i comes from base + i */
    uint32_t base, end;       /* end: the origin just past the last byte */
} AlignedView;

typedef struct Aligned {
    uint8_t *data;
    uint32_t *origin;
    size_t bytes, capacity, bytes_max;
    bool tracks, failed;      /* failed: out of memory or over bytes_max; later puts do nothing */
} Aligned;

static inline uint32_t origin_at(const AlignedView *v, size_t i)
{
    return i >= v->text.bytes ? v->end : v->origin ? v->origin[i] : v->base + (uint32_t)i;
}
AlignedView aligned_slice(const AlignedView *, size_t begin, size_t end);

void aligned_init(Aligned *, bool tracks, size_t bytes_max);
void aligned_deinit(Aligned *);
void aligned_clear(Aligned *);
AlignedView aligned_view(const Aligned *, uint32_t end);

bool aligned_put(Aligned *, const void *data, size_t bytes, uint32_t origin);   /* all from one place */
bool aligned_put_code(Aligned *, uint32_t code, uint32_t origin);               /* one character */
bool aligned_copy(Aligned *, const AlignedView *from, size_t begin, size_t end);
void aligned_cut(Aligned *, size_t bytes);                                      /* keeps the first bytes */

#endif

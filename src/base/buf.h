/* buf.h -- bytes that grow, up to a limit given at birth.
 *
 * Every put returns false, and changes nothing, when `bytes_max` or memory would be exceeded; `full`
 * then stays set, so a caller may put many times and look once. There is always a zero byte after
 * the content, so data may be used as a C string when it holds no zero itself.
 */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include "base/span.h"

typedef struct Buf {
    char *data;
    size_t bytes, capacity, bytes_max;
    bool full;
} Buf;

void buf_init(Buf *, size_t bytes_max);
void buf_deinit(Buf *);
bool buf_put(Buf *, const void *data, size_t bytes);
bool buf_put_text(Buf *, const char *text);
bool buf_put_span(Buf *, Span);
bool buf_put_char(Buf *, char);
bool buf_put_utf8(Buf *, uint32_t code_point);   /* at most 0x10FFFF */
bool buf_printf(Buf *, const char *format, ...) __attribute__((format(printf, 2, 3)));
void buf_clear(Buf *);                            /* keeps the memory, forgets `full` */
void buf_cut(Buf *, size_t bytes);                /* keeps the first `bytes` */
static inline Span buf_span(const Buf *b) { return (Span){(const uint8_t *)b->data, b->bytes}; }

#endif

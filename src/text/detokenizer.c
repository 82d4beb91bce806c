#include "text/detokenizer.h"

#include "text/utf8.h"

enum { TOKEN_BYTES_MAX = 1 << 20 };

void detokenizer_init(Detokenizer *d, const Tokenizer *t, unsigned flags)
{
    *d = (Detokenizer){.tokenizer = t, .flags = flags};
    decode_state_init(&d->state, tokenizer_decoder(t), flags & DECODE_CONTINUES);
}

/* Gives what is whole of bytes[0, count) to out and keeps an open end back. */
static bool put_characters(Detokenizer *d, const uint8_t *bytes, size_t count, Buf *out)
{
    bool good = true;
    size_t at = 0;
    while (at < count && good) {
        size_t whole = utf8_valid_bytes(span_of(bytes + at, count - at));
        good = buf_put(out, bytes + at, whole);
        at += whole;
        if (at == count)
            break;
        Utf8Char c = utf8_read(bytes + at, count - at);
        if (c.cut)
            break;
        good = good && buf_put_utf8(out, UTF8_REPLACEMENT);
        at += c.bytes;
    }
    d->open_bytes = good ? count - at : 0;
    memmove(d->open, bytes + at, d->open_bytes);
    return good;
}

bool detokenizer_put(Detokenizer *d, int32_t id, Buf *out)
{
    if ((d->flags & DECODE_SKIP_SPECIAL) && tokenizer_is_special(d->tokenizer, id))
        return true;
    Buf bytes;
    buf_init(&bytes, TOKEN_BYTES_MAX);
    bool good = buf_put(&bytes, d->open, d->open_bytes) &&
                decode_piece(tokenizer_decoder(d->tokenizer), &d->state, id, &bytes) &&
                put_characters(d, (const uint8_t *)bytes.data, bytes.bytes, out);
    buf_deinit(&bytes);
    return good;
}

bool detokenizer_finish(Detokenizer *d, Buf *out)
{
    bool good = d->open_bytes == 0 || buf_put_utf8(out, UTF8_REPLACEMENT);
    d->open_bytes = 0;
    return good;
}

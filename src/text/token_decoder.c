#include "text/token_decoder.h"

#include <stdlib.h>

#include "text/byte_alphabet.h"
#include "text/utf8.h"

enum { PIECE_DECODED_BYTES_MAX = 1 << 20, DECODED_BYTES_MAX = 1 << 30 };

/* What WordPiece's clean-up closes up again after each word got a space of its own. */
static const struct {
    const char *from, *to;
} clean_ups[] = {{" .", "."},   {" ?", "?"},   {" !", "!"},           {" ,", ","},   {" ' ", "'"},  {" n't", "n't"},
                 {" 'm", "'m"}, {" do not", " don't"}, {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"}};

void decoder_init(Decoder *d)
{
    *d = (Decoder){0};
    buf_init(&d->text, DECODED_BYTES_MAX);
}

void decoder_deinit(Decoder *d)
{
    buf_deinit(&d->text);
    free(d->offsets);
    *d = (Decoder){0};
    buf_init(&d->text, 0);
}

Err decoder_add(Decoder *d, DecodeStep step, const char *what, Error *err)
{
    if (d->count == DECODE_STEPS_MAX)
        return fail(err, BAD_FILE, "%s: has more than %d decoding steps", what, DECODE_STEPS_MAX);
    d->steps[d->count++] = step;
    d->spaced_words |= step.kind == DECODE_WORDPIECE;
    d->strip_last |= step.kind == DECODE_WORD_END;
    return OK;
}

/* ---- one piece through one step ---- */

static void put_replaced(Buf *out, Span in, Span from, Span to)
{
    size_t at = 0;
    while (from.bytes && at < in.bytes) {
        const uint8_t *hit = memmem(in.data + at, in.bytes - at, from.data, from.bytes);
        if (!hit)
            break;
        buf_put(out, in.data + at, (size_t)(hit - in.data) - at);
        buf_put_span(out, to);
        at = (size_t)(hit - in.data) + from.bytes;
    }
    buf_put_span(out, span_from(in, at));
}

static void from_byte_alphabet(Buf *out, Span in)
{
    for (size_t i = 0; i < in.bytes;) {
        Utf8Char c = utf8_read(in.data + i, in.bytes - i);
        int byte = c.valid ? letter_to_byte(c.code) : -1;
        if (byte < 0) {   /* not written in the alphabet: a special token */
            buf_cut(out, 0);
            buf_put_span(out, in);
            return;
        }
        buf_put_char(out, (char)byte);
        i += c.bytes;
    }
}

static int hex_value(uint8_t c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static void from_byte_fallback(Buf *out, Span in)
{
    bool shaped = in.bytes == 6 && !memcmp(in.data, "<0x", 3) && in.data[5] == '>';
    int high = shaped ? hex_value(in.data[3]) : -1, low = shaped ? hex_value(in.data[4]) : -1;
    if (high >= 0 && low >= 0)
        buf_put_char(out, (char)(high << 4 | low));
    else
        buf_put_span(out, in);
}

static void strip_piece(const DecodeStep *s, Buf *out, Span in)
{
    for (int i = 0; i < s->left && s->string.bytes && span_starts(in, s->string); i++)
        in = span_from(in, s->string.bytes);
    for (int i = 0; i < s->right && s->string.bytes && in.bytes >= s->string.bytes; i++) {
        if (!span_equal(span_from(in, in.bytes - s->string.bytes), s->string))
            break;
        in = span_first(in, in.bytes - s->string.bytes);
    }
    buf_put_span(out, in);
}

static void spaced_word(const DecodeStep *s, Buf *out, Span in)
{
    if (s->string.bytes && span_starts(in, s->string)) {
        in = span_from(in, s->string.bytes);
    } else {
        buf_put_char(out, ' ');
    }
    buf_put_span(out, in);
    for (size_t i = 0; s->clean && i < COUNT_OF(clean_ups); i++) {
        if (!memmem(out->data, out->bytes, clean_ups[i].from, strlen(clean_ups[i].from)))
            continue;
        Buf cleaned;
        buf_init(&cleaned, PIECE_DECODED_BYTES_MAX);
        put_replaced(&cleaned, buf_span(out), span_text(clean_ups[i].from), span_text(clean_ups[i].to));
        buf_cut(out, 0);
        buf_put_span(out, buf_span(&cleaned));
        buf_deinit(&cleaned);
    }
}

static void run_step(const DecodeStep *s, Buf *out, Span in)
{
    switch (s->kind) {
    case DECODE_BYTE_ALPHABET:
        from_byte_alphabet(out, in);
        break;
    case DECODE_BYTE_FALLBACK:
        from_byte_fallback(out, in);
        break;
    case DECODE_REPLACE:
        put_replaced(out, in, s->string, s->by);
        break;
    case DECODE_STRIP:
        strip_piece(s, out, in);
        break;
    case DECODE_WORDPIECE:
        spaced_word(s, out, in);
        break;
    case DECODE_SPELLING:
        s->spell(in, out);
        break;
    case DECODE_WORD_END:
        put_replaced(out, in, s->string, span_text(" "));
        break;
    }
}

Err decoder_finish(Decoder *d, const Vocab *v, Error *err)
{
    Buf turns[2];
    for (int i = 0; i < 2; i++)
        buf_init(&turns[i], PIECE_DECODED_BYTES_MAX);
    d->offsets = malloc(((size_t)v->size + 1) * sizeof *d->offsets);
    bool good = d->offsets != NULL;
    for (int32_t id = 0; id < v->size && good; id++) {
        Span text = vocab_text(v, id);
        /* What is found in the text as it is written is not written in the alphabet: "ü" is that letter. */
        PieceKind kind = v->pieces[id].kind;
        bool as_written = kind == PIECE_CONTROL || kind == PIECE_USER || kind == PIECE_ADDED;
        for (int i = 0; i < d->count && text.bytes; i++) {
            Buf *out = &turns[i & 1];
            if (as_written && d->steps[i].kind == DECODE_BYTE_ALPHABET)
                continue;
            buf_cut(out, 0);
            run_step(&d->steps[i], out, text);
            good &= !out->full;
            text = buf_span(out);
        }
        d->offsets[id] = (uint32_t)d->text.bytes;
        good &= buf_put_span(&d->text, text);
    }
    if (good) {
        d->size = v->size;
        d->offsets[d->size] = (uint32_t)d->text.bytes;
    }
    for (int i = 0; i < 2; i++)
        buf_deinit(&turns[i]);
    return good ? OK : fail(err, LIMIT_REACHED, "%s: the text of its pieces is too large when decoded", v->name);
}

/* ---- a text ---- */

void decode_state_init(DecodeState *s, const Decoder *d, bool continues)
{
    *s = (DecodeState){.first_left = continues ? 0 : d->first_times, .started = continues};
}

bool decode_piece(const Decoder *d, DecodeState *s, int32_t id, Buf *out)
{
    Span bytes = decoder_bytes(d, id);
    if (!s->started && d->spaced_words && bytes.bytes && bytes.data[0] == ' ')
        bytes = span_from(bytes, 1);
    while (!s->started && s->first_left > 0 && bytes.bytes && span_starts(bytes, d->first_string)) {
        bytes = span_from(bytes, d->first_string.bytes);
        s->first_left--;
    }
    s->started |= bytes.bytes > 0 || d->first_piece_only;
    if (bytes.bytes == 0)
        return true;
    bool good = true;
    if (s->space_held)
        good = buf_put_char(out, ' ');
    s->space_held = d->strip_last && bytes.data[bytes.bytes - 1] == ' ';
    return good && buf_put(out, bytes.data, bytes.bytes - s->space_held);
}

#include "text/utf8.h"

/* How many bytes a lead byte asks for, and what the second byte may be (the rest: 80 to BF). */
static int lead_bytes(uint8_t lead, uint8_t *low, uint8_t *high)
{
    *low = 0x80;
    *high = 0xBF;
    if (lead < 0xC2 || lead > 0xF4)
        return 0;
    if (lead < 0xE0)
        return 2;
    if (lead < 0xF0) {
        if (lead == 0xE0)
            *low = 0xA0;    /* below: overlong */
        if (lead == 0xED)
            *high = 0x9F;   /* above: surrogates */
        return 3;
    }
    if (lead == 0xF0)
        *low = 0x90;
    if (lead == 0xF4)
        *high = 0x8F;
    return 4;
}

Utf8Char utf8_read(const uint8_t *at, size_t bytes_left)
{
    if (at[0] < 0x80)
        return (Utf8Char){at[0], 1, true, false};
    uint8_t low, high;
    int bytes = lead_bytes(at[0], &low, &high);
    Utf8Char broken = {UTF8_REPLACEMENT, 1, false, false};
    if (bytes == 0)
        return broken;
    uint32_t code = at[0] & (0xFFu >> (bytes + 1));
    for (int i = 1; i < bytes; i++, low = 0x80, high = 0xBF) {
        broken.bytes = (uint8_t)i;
        if ((size_t)i == bytes_left) {
            broken.cut = true;
            return broken;
        }
        if (at[i] < low || at[i] > high)
            return broken;
        code = code << 6 | (at[i] & 0x3F);
    }
    return (Utf8Char){code, (uint8_t)bytes, true, false};
}

size_t utf8_write(uint32_t code, uint8_t out[4])
{
    if (code < 0x80) {
        out[0] = (uint8_t)code;
        return 1;
    }
    size_t bytes = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    for (size_t i = bytes - 1; i > 0; i--, code >>= 6)
        out[i] = (uint8_t)(0x80 | (code & 0x3F));
    out[0] = (uint8_t)((0xF00u >> bytes & 0xFF) | code);
    return bytes;
}

size_t utf8_valid_bytes(Span s)
{
    size_t at = 0;
    while (at < s.bytes) {
        uint64_t eight;
        if (s.bytes - at >= sizeof eight) {
            memcpy(&eight, s.data + at, sizeof eight);
            if (!(eight & 0x8080808080808080u)) {
                at += sizeof eight;
                continue;
            }
        }
        Utf8Char c = utf8_read(s.data + at, s.bytes - at);
        if (!c.valid)
            break;
        at += c.bytes;
    }
    return at;
}

size_t utf8_count(Span s)
{
    size_t count = 0;
    for (size_t i = 0; i < s.bytes; i++)
        count += (s.data[i] & 0xC0) != 0x80;
    return count;
}

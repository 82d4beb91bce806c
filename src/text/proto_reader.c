#include "text/proto_reader.h"

enum { VARINT_BYTES_MAX = 10 };

static bool read_varint(ProtoReader *r, uint64_t *out)
{
    *out = 0;
    for (int i = 0; i < VARINT_BYTES_MAX && r->at < r->span.bytes; i++) {
        uint8_t byte = r->span.data[r->at++];
        *out |= (uint64_t)(byte & 0x7F) << (7 * i);
        if (byte < 0x80)
            return true;
    }
    return false;
}

static bool read_fixed(ProtoReader *r, size_t bytes, uint64_t *out)
{
    if (r->span.bytes - r->at < bytes)
        return false;
    *out = 0;
    memcpy(out, r->span.data + r->at, bytes);
    r->at += bytes;
    return true;
}

static bool read_value(ProtoReader *r, ProtoField *f)
{
    switch (f->kind) {
    case PROTO_VARINT: return read_varint(r, &f->value);
    case PROTO_64: return read_fixed(r, 8, &f->value);
    case PROTO_32: return read_fixed(r, 4, &f->value);
    case PROTO_BYTES:
        if (!read_varint(r, &f->value) || f->value > r->span.bytes - r->at)
            return false;
        f->bytes = span_of(r->span.data + r->at, f->value);
        r->at += f->value;
        return true;
    }
    return false;
}

bool proto_next(ProtoReader *r, ProtoField *out)
{
    uint64_t tag;
    *out = (ProtoField){0};
    if (r->broken || r->at >= r->span.bytes)
        return false;
    r->broken = !read_varint(r, &tag) || tag >> 3 == 0 || tag >> 32;
    if (r->broken)
        return false;
    out->number = (uint32_t)(tag >> 3);
    out->kind = (ProtoKind)(tag & 7);
    r->broken = !read_value(r, out);
    return !r->broken;
}

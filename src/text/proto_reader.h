/* proto_reader.h -- the fields of a protobuf message, one after another, from its wire format.
 *
 *     | varint: number << 3 | kind |  kind 0: varint, 1: 8 bytes, 2: varint n and n bytes, 5: 4 bytes
 *
 * Groups (kinds 3 and 4) went out of use before SentencePiece was written; they count as broken.
 */
#ifndef TEXT_PROTO_READER_H
#define TEXT_PROTO_READER_H

#include "base/span.h"

typedef enum ProtoKind { PROTO_VARINT = 0, PROTO_64 = 1, PROTO_BYTES = 2, PROTO_32 = 5 } ProtoKind;

typedef struct ProtoField {
    uint32_t number;
    ProtoKind kind;
    uint64_t value;      /* of PROTO_VARINT, PROTO_64 and PROTO_32 */
    Span bytes;          /* of PROTO_BYTES */
} ProtoField;

typedef struct ProtoReader {
    Span span;
    size_t at;
    bool broken;         /* the message ends within a field, or is none */
} ProtoReader;

/* False at the end, or where the message is broken. */
bool proto_next(ProtoReader *, ProtoField *out);

static inline float proto_float(const ProtoField *f)   /* of PROTO_32 */
{
    uint32_t bits = (uint32_t)f->value;
    float out;
    memcpy(&out, &bits, sizeof out);
    return out;
}

#endif

/* dialect_reader.h -- what a DialectReader remembers, for the files that it is written in:
 *
 *     dialect_reader.c   text and sections of reasoning, markers, where a pattern goes on, what comes out
 *     dialect_call.c     the parts of a call: names, JSON, keys and values
 *
 * Each byte is looked at once, by the function of the mode that the reader is in, so how a text is cut makes no
 * difference. What might turn out to be no call is held; as soon as a call is certain (its name is a
 * tool's and its arguments begin) the held text is forgotten, and from there on the arguments come out as they
 * come in.
 */
#ifndef TEXT_DIALECT_READER_H
#define TEXT_DIALECT_READER_H

#include "text/dialect_loose.h"
#include "text/dialect_parts.h"
#include "text/json_steps.h"

enum {
    DIALECT_HELD_BYTES_MAX = 1 << 18,   /* of what may be no call; beyond it, it is text */
    DIALECT_VALUE_BYTES_MAX = 1 << 18,  /* of one value that must be read whole before its type is known */
    DIALECT_KEY_BYTES_MAX = 256,
    DIALECT_ANY_BYTES_MAX = 128,
    DIALECT_SPACES_MAX = 64,            /* white space that waits for what follows it */
    DIALECT_MARKS_MAX = 16,
    DIALECT_PLACES_MAX = 8,
};

typedef enum ReadMode {
    READ_SCAN, READ_CHOOSE, READ_NAME, READ_ARGS, READ_OBJECT, READ_KEY, READ_VALUE, READ_FLAG, READ_LOOSE, READ_ANY,
    READ_MODES,
} ReadMode;

/* The tool call object: which of its keys is being read. */
typedef enum ObjectKey { OBJECT_OTHER, OBJECT_NAME, OBJECT_ARGS } ObjectKey;

struct DialectReader {
    const Dialect *dialect;
    DialectOptions options;
    DialectSink *sink;         /* during a put */
    void *with;
    bool no_memory;

    ReadMode mode;
    bool in_reasoning;
    bool fresh;                /* nothing was said yet: a call without a marker may begin */
    bool edge;                 /* behind a marker: white space is dropped */
    size_t phantom;            /* held bytes that stood in the prompt: never text */
    Span marks[2][DIALECT_MARKS_MAX];   /* what to look for in text, in reasoning */
    int mark_count[2];
    Buf held;                  /* since the last byte whose meaning is certain */
    Buf spaces;                /* white space before it */
    Buf out;                   /* of kind out_kind: on its way to the sink */
    DialectKind out_kind;

    /* where the pattern may go on */
    const char *places[DIALECT_PLACES_MAX];
    int place_count;
    size_t matched;            /* bytes of the texts at places */
    bool spaces_may, end_may, bare;
    const char *at;            /* the code that is being read */

    /* the call that is being read */
    int32_t calls;             /* how many were begun */
    bool open, settled;        /* begun and not ended; ended, and no other one begun */
    json_t *function;          /* the tool's; NULL: not known */
    Buf name, word, tail;
    JsonSteps json;
    Loose loose;
    ObjectKey key;
    size_t word_from, args_from, args_bytes;   /* places in held */
    bool args_done, encoded;   /* of this object; they stand in a string */
    JsonSteps inner;           /* of that string's text */
    uint16_t high;             /* the first half of a pair in it */
    bool keyed, is_text, first;   /* a key was read; its value is a string; nothing of the value was read */
};

typedef bool ReadByte(DialectReader *, uint8_t);   /* false: the mode has changed, the byte is still to be read */

/* ---- dialect_reader.c ---- */

bool reader_scan(DialectReader *, uint8_t);
bool reader_choose(DialectReader *, uint8_t);
void reader_emit(DialectReader *, DialectKind, const void *, size_t);
void reader_begin_call(DialectReader *);
void reader_end_call(DialectReader *);
bool reader_follow(DialectReader *, const char *at);    /* goes on in the pattern: true, for a byte that was read */
/* The pattern is over, or broken: what is held is forgotten or text, and its last `again` bytes are read anew. */
bool reader_leave(DialectReader *, bool broken, size_t again);

/* ---- dialect_call.c ---- */

extern ReadByte *const reader_modes[READ_MODES];
void reader_end_keyed(DialectReader *);
bool reader_begin_element(DialectReader *, const char *at);   /* false: this code begins with a byte of its own */

static inline bool reader_space(uint8_t c) { return c == ' ' || c == '\n' || c == '\r' || c == '\t'; }

#endif

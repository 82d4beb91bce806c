/* dialect_loose.h -- arguments that are nearly JSON, turned into JSON while they are being written.
 *
 *     {city:<|"|>Oslo<|"|>,days:[1,2],now:true}     (city='Oslo', days=[1, 2], now=True)
 *     {"city": "Oslo", "days": [1, 2], "now": true}
 *
 * Keys stand bare or quoted, before ':' or '='; texts in '..', "..", or between <|"|> and <|"|> without escapes;
 * Python's True, False and None are true, false and null.
 */
#ifndef TEXT_DIALECT_LOOSE_H
#define TEXT_DIALECT_LOOSE_H

#include "base/buf.h"

#define LOOSE_QUOTE "<|\"|>"

enum { LOOSE_DEPTH_MAX = 64, LOOSE_WORD_MAX = 64 };

typedef enum LoosePlace {
    LOOSE_FIRST,     /* the first item of a container, or its end */
    LOOSE_KEY, LOOSE_SEPARATOR, LOOSE_VALUE, LOOSE_AFTER, LOOSE_WORD, LOOSE_TEXT, LOOSE_DONE,
} LoosePlace;

typedef struct Loose {
    uint8_t place, depth;
    bool is_key, escaped;
    char quote;                        /* of the text: ' or ", or < for LOOSE_QUOTE */
    uint8_t quote_bytes;               /* of LOOSE_QUOTE that were seen */
    char closes[LOOSE_DEPTH_MAX];      /* what ends each container */
    uint8_t word_bytes;
    char word[LOOSE_WORD_MAX];
} Loose;

static inline void loose_init(Loose *l) { *l = (Loose){.place = LOOSE_FIRST}; }
/* Appends JSON to out as soon as it is certain. False: this is none of it, or there is no memory (out->full). */
bool loose_put(Loose *, uint8_t, Buf *out);
static inline bool loose_done(const Loose *l) { return l->place == LOOSE_DONE; }

bool json_escape_put(Buf *out, uint8_t);   /* one byte of a text, as it stands in a JSON string */

#endif

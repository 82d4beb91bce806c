/* char_class.h -- the kinds of characters that normalisers and pre-tokenisers speak of.
 *
 * Categories come from utf8proc (Unicode 15). The names are those of Rust's char, in which the
 * reference implementation is written, since tokenizer.json means exactly those.
 */
#ifndef TEXT_CHAR_CLASS_H
#define TEXT_CHAR_CLASS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef bool CharClass(uint32_t code);

bool char_is_space(uint32_t code);          /* White_Space */
bool char_is_numeric(uint32_t code);        /* Nd, Nl, No */
bool char_is_punctuation(uint32_t code);    /* P*, and all ASCII signs: what BERT calls punctuation */
bool char_is_han(uint32_t code);            /* the blocks that BERT sets apart, as it lists them */
bool char_is_control(uint32_t code);        /* C*, without tab, newline, carriage return */
bool char_is_nonspacing_mark(uint32_t code);
bool char_is_mark(uint32_t code);           /* M* */

/* Lower case of one character: one, or two for U+0130. */
size_t char_to_lower(uint32_t code, uint32_t out[2]);

#endif

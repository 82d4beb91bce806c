/* grammar_mask.h -- from a state to the tokens that may come: a walk over the vocabulary's tree, remembered.
 *
 * Within free text (a string of JSON) nearly all tokens may come, and a walk would visit all of them. There the walk
 * begins with a copy of the vocabulary's class of such characters, and visits only branches with something else
 * in them: quotes, backslashes, halves of characters.
 *
 * Masks are kept in memory of the grammar, the oldest given up for a new one. A walk that looks at more than
 * WORK_MAX items, which only very ambiguous grammars ask for, allows what it has found by then.
 */
#ifndef TEXT_GRAMMAR_MASK_H
#define TEXT_GRAMMAR_MASK_H

#include "text/grammar_vocab.h"

enum { MASKS_BYTES_MAX = 8 << 20, WORK_MAX = 2000000 };

typedef struct GrammarMasks {
    GrammarStates *states;
    GrammarVocab *vocab;
    uint32_t *words;             /* [slots][vocab->words] */
    uint16_t *owner;             /* [slots] the state whose mask it is; STATE_DEAD: none */
    uint8_t pure[WALK_MAX + 1];  /* of a walk: so far only characters of the class */
    uint32_t slot_count, next;
    uint64_t asked, walked;      /* how many masks were asked for, and had to be made */
} GrammarMasks;

Err grammar_masks_init(GrammarMasks *, GrammarStates *, GrammarVocab *, Error *);
void grammar_masks_deinit(GrammarMasks *);

/* Lives until the next call. The pin may be renumbered. */
const uint32_t *grammar_mask(GrammarMasks *, const StatePin *);

#endif

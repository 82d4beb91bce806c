/* added_tokens.h -- tokens that are found in the text whole, before anything else looks at it.
 *
 *     "Hi<|im_end|>\n"   ->   "Hi" | token | "\n"
 *
 * Leftmost first, at one place the longest. A token may ask to stand alone (single_word), to swallow
 * the white space before (lstrip) or after it (rstrip), and to be found in the normalised text rather
 * than in the user's (normalized), where it is then spelled normalised itself.
 */
#ifndef TEXT_ADDED_TOKENS_H
#define TEXT_ADDED_TOKENS_H

#include "base/arena.h"
#include "base/error.h"
#include "text/trie.h"

enum { ADDED_TOKENS_MAX = 1 << 18 };

typedef struct AddedToken {
    int32_t id;
    Span text;                 /* as it is looked for */
    bool special;              /* only found when the caller says so */
    bool single_word, lstrip, rstrip, normalized;
} AddedToken;

typedef struct AddedTokens {
    AddedToken *list;
    size_t count, capacity;
    Trie raw, normal;          /* values: index into list */
    bool any_raw, any_normal;
} AddedTokens;

bool added_tokens_init(AddedTokens *);
void added_tokens_deinit(AddedTokens *);
bool added_tokens_add(AddedTokens *, AddedToken);     /* false: no memory, or too many; text must outlive it */

typedef struct AddedMatch {
    size_t begin, end;
    int32_t id;
} AddedMatch;

typedef struct AddedSearch {
    bool in_normalized, with_special;
    size_t at;                 /* where to look next */
    size_t floor;              /* the end of the last match: lstrip takes nothing before it */
} AddedSearch;

bool added_tokens_next(const AddedTokens *, Span text, AddedSearch *, AddedMatch *out);

#endif

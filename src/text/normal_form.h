/* normal_form.h -- the four normal forms of Unicode, in linear time but for runs of marks, which are sorted.
 *
 * utf8proc knows the decompositions and compositions; the loop is ours because utf8proc's own sorts a
 * run of n combining marks in n^2 steps, and a request may consist of nothing else.
 */
#ifndef TEXT_NORMAL_FORM_H
#define TEXT_NORMAL_FORM_H

#include "text/aligned.h"

typedef struct NormalForm {
    bool compose, compatible;   /* NFC: compose; NFKD: compatible */
} NormalForm;

bool normal_form_changes_nothing(NormalForm, Span text);   /* a quick look; may say false for no reason */
bool normal_form_write(NormalForm, const AlignedView *in, Aligned *out);

#endif

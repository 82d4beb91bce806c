/* grammar_order.h -- what must be known of a program before it runs: which places pass without a byte, how high
 * each is, and an order of the rules in which none begins with an earlier one. See grammar_program.h.
 */
#ifndef TEXT_GRAMMAR_ORDER_H
#define TEXT_GRAMMAR_ORDER_H

#include "text/grammar_program.h"

/* BAD_ARGUMENT: a rule begins with itself, or no answer can be completed. Linear in the places. */
Err grammar_order(GrammarProgram *, const GrammarRules *, const char *what, Error *);

#endif

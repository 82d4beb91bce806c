/* tenants.h -- who was served how much, so that tenants take turns.
 *
 *     tenant    served
 *     17        | 2,400                    waits, is next: it was served least of those that wait
 *     4         |    9,100                 waits
 *     23        |        30,000            is away; when it comes back it keeps what it had
 *     (new)     |->2,400                   begins where the least of the waiting is, not at 0
 *
 * Each tenant has a counter of the tokens it was served: a token of a prompt that had to be computed
 * counts once, a generated one twice, as it takes a step. Whoever has the least goes first. Who comes to
 * wait is lifted to the least of those that wait: nobody saves up for a flood by staying away. Two
 * tenants that both wait all the time are never further apart than what the running sequences hold.
 *
 * Sheng et al. 2023, "Fairness in Serving Large Language Models": the virtual token counter.
 */
#ifndef ENGINE_TENANTS_H
#define ENGINE_TENANTS_H

#include "base/arena.h"

enum { PROMPT_TOKEN_COUNTS = 1, GENERATED_TOKEN_COUNTS = 2 };

typedef struct Tenants Tenants;

Tenants *tenants_new(Arena *, int32_t most);           /* most: requests there can be; NULL: the arena is full */

int32_t tenants_enter(Tenants *, uint64_t id);         /* a request of it waits; returns the tenant's place */
void tenants_start(Tenants *, int32_t place);          /* ... waits no longer */
void tenants_leave(Tenants *, int32_t place);          /* ... has ended */
void tenants_serve(Tenants *, int32_t place, int64_t tokens);
int64_t tenants_served(const Tenants *, int32_t place);

#endif

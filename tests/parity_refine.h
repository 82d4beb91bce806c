/* parity_refine.h -- the part of parity_check.h for models that see both ways: logits of whole texts, with and
 * without masks, and the tokens after each step of a refinement. */
#ifndef TESTS_PARITY_REFINE_H
#define TESTS_PARITY_REFINE_H

#include "base/json.h"
#include "model/model.h"
#include "parity_check.h"
#include "store/store.h"

/* plan, expected: expected.json and expected.safetensors. Fills result's worst and tokens. */
Err parity_refine(const Model *, Device *, const json_t *plan, const Store *expected, const ParityWay *, ParityResult *,
                  Error *err);

#endif

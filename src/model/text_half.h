/* text_half.h -- the language model inside a checkpoint that can also see or hear.
 *
 *     config.json   {"model_type": "gemma3", "text_config": {"model_type": "gemma3_text", ...}, "vision_config": {...}}
 *     tensors       language_model.model.layers.0 ...     or  model.language_model.layers.0 ...
 *                   vision_tower ..., multi_modal_projector ...
 *
 * What is read is the text half alone, as if it were a checkpoint of its own: text_config, with what the whole config says
 * beside it, and the tensors that belong to it, without the prefix. Images and sounds cannot be given to it.
 */
#ifndef MODEL_TEXT_HALF_H
#define MODEL_TEXT_HALF_H

#include "base/json.h"
#include "store/store.h"

/* Replaces *config and renames the tensors if there is such a half; leaves a config without one as it is. */
Err text_half_take(json_t **config, Store *, const char *where, Error *err);

#endif

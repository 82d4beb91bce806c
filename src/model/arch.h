/* arch.h -- a model family: one file in archs/, found by the name that its checkpoints use.
 *
 * read_shape   understands the config and refuses by name what the family's code does not do
 * kv_layout    what each layer keeps of the past
 * declare      each weight once; returns the family's struct, whose tensors the binder fills
 * forward      reads like the paper
 */
#ifndef MODEL_ARCH_H
#define MODEL_ARCH_H

#include "model/keys.h"
#include "model/model.h"
#include "model/weights.h"

enum { NAMES_MAX = 16 };

struct Arch {
    const char *names[NAMES_MAX];        /* model_type in config.json, general.architecture in GGUF */
    const char *gguf_name;      /* what the converter writes; NULL: GGUF has no name for it */
    const char *gguf_names[NAMES_MAX];   /* the same for each of names, where they differ */
    Err (*read_shape)(const Keys *, Arena *, ModelShape *, Error *);
    void (*kv_layout)(const ModelShape *, KvLayout *);
    void *(*declare)(const ModelShape *, WeightList *);
    void (*forward)(const Model *, Device *, const Step *, Tensor logits);
    bool draft_layers;          /* checkpoints may carry layers behind the last, for guessing ahead (MTP): not needed */
    const char *ignores[8];     /* ends of names of tensors that checkpoints carry and nobody needs */
};

const Arch *arch_find(const char *name);
/* What a GGUF calls the family that config.json calls `name`; NULL: nothing. */
const char *arch_gguf_name(const Arch *, const char *name);
const Arch *arch_at(int index);   /* until NULL */
/* The names nearest to one that is unknown, as "a, b, c". */
void arch_nearest(const char *name, char *out, size_t bytes);

#endif

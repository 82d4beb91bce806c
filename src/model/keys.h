/* keys.h -- what a checkpoint says of itself, whichever kind of file it says it in.
 *
 *     config.json   {"hidden_size": 512, "rope_parameters": {"rope_theta": 10000.0}, ...}
 *     GGUF          llama.embedding_length = 512, llama.rope.freq_base = 10000.0, ...
 *
 * A key has a name in each world: a path with dots in config.json, and what follows the family in
 * GGUF. Families that mean the same by other words have them all, "hidden_size|n_embd": the first that is there
 * counts. A GGUF key behind a slash ("/tokenizer.ggml.mask_token_id") is a whole one. NULL: it does not
 * exist there. A null in JSON counts as absent. Values out of [min, max] and values of another type are
 * refused by name.
 *
 * The converter sets `record`: what a family reads then goes to a GGUF as well, under the name that it
 * has there, so that a family is written by the same lines by which it is read.
 */
#ifndef MODEL_KEYS_H
#define MODEL_KEYS_H

#include "base/json.h"
#include "store/gguf_write.h"
#include "store/store.h"

enum { FAMILY_BYTES = 64 };

typedef struct Keys {
    const char *where;           /* "dir/config.json", "model.gguf" */
    const json_t *config;        /* one of these two is NULL */
    const Gguf *gguf;
    const Store *store;
    char family[FAMILY_BYTES];   /* model_type, general.architecture */
    GgufWriter *record;          /* NULL, but for the converter */
    const char *record_family;   /* the family's name in GGUF */
} Keys;

static inline bool keys_are_gguf(const Keys *k) { return k->gguf != NULL; }
bool keys_have(const Keys *, const char *hf, const char *gguf);
bool keys_are_list(const Keys *, const char *hf, const char *gguf);   /* false as well when it is absent */
bool keys_null(const Keys *, const char *hf);   /* says null in so many words, where a family means "none" by it; no path */

Err keys_int(const Keys *, const char *hf, const char *gguf, int64_t min, int64_t max, int32_t *out, Error *err);
Err keys_float(const Keys *, const char *hf, const char *gguf, double min, double max, float *out, Error *err);
/* Fill *out with `otherwise` when the key is absent. */
Err keys_int_or(const Keys *, const char *hf, const char *gguf, int64_t min, int64_t max, int32_t otherwise,
                int32_t *out, Error *err);
Err keys_float_or(const Keys *, const char *hf, const char *gguf, double min, double max, float otherwise, float *out,
                  Error *err);
/* The word "auto" counts as absent. */
Err keys_int_or_auto(const Keys *, const char *hf, const char *gguf, int64_t min, int64_t max, int32_t otherwise,
                     int32_t *out, Error *err);
/* n numbers, for the layers of a model: one for all, or a list of n. Truth values in a list count as 0 and 1. */
Err keys_ints_or(const Keys *, const char *hf, const char *gguf, int64_t min, int64_t max, int32_t otherwise,
                 int32_t *out, int n, Error *err);
Err keys_floats_or(const Keys *, const char *hf, const char *gguf, double min, double max, float otherwise, float *out,
                   int n, Error *err);
/* A list of a name for each layer, which must be there: out[l] is the place of layer l's in names[0 .. n-1]. Only
 * config.json has such lists. An unknown name is refused, and the known ones are said. */
Err keys_layer_kinds(const Keys *, const char *hf, const char *const names[], int n, int *out, int layers, Error *err);
/* A switch, absent or as given: the family's code does nothing else. */
Err keys_only(const Keys *, const char *hf, bool value, Error *err);
/* A list of the numbers of some layers, which begin with `first`: out[l] says whether the l-th is among them; false for
 * all where there is no list. */
Err keys_layers_listed(const Keys *, const char *hf, int first, bool *out, int layers, Error *err);
Err keys_bool_or(const Keys *, const char *hf, const char *gguf, bool otherwise, bool *out, Error *err);
/* Copies at most bytes - 1 characters; longer ones are refused. otherwise NULL: the key must be there. */
Err keys_text_or(const Keys *, const char *hf, const char *gguf, const char *otherwise, char *out, size_t bytes,
                 Error *err);

/* The values of a small tensor that are rather constants of the config: n of them. */
Err keys_tensor_floats(const Keys *, const char *tensor, float *out, int n, Error *err);

/* For what GGUF says in other words than config.json: nothing happens unless the converter listens. */
void keys_record_int(const Keys *, const char *gguf, int32_t value);
void keys_record_ints(const Keys *, const char *gguf, const int32_t *values, int n);   /* one, if all are the same */
void keys_record_floats(const Keys *, const char *gguf, const float *values, int n);
void keys_record_bool(const Keys *, const char *gguf, bool value);
void keys_record_float(const Keys *, const char *gguf, float value);
void keys_record_text(const Keys *, const char *gguf, const char *value);
/* For what GGUF cannot say: OK unless the converter listens, whose file would compute something else. */
Err keys_record_nothing(const Keys *, const char *what, Error *);

/* "hf name" or "family.gguf name": how messages call a key. */
const char *keys_name(const Keys *, const char *hf, const char *gguf, char out[128]);

#endif

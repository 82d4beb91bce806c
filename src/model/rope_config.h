/* rope_config.h -- from what a config says of rotary positions to a table of frequencies.
 *
 *     inv_freq[i] = theta^(-2i / dims),  changed by one of
 *     linear    / factor                                        (Chen et al. 2023)
 *     llama3    low frequencies / factor, smooth in between     (Dubey et al. 2024)
 *     yarn      the same by rotations within the original length, and cos, sin * magnitude
 *               (Peng et al. 2023)
 *     longrope  / a factor for each pair, of one list up to the original length and of another beyond, and
 *               cos, sin * magnitude                            (Ding et al. 2024)
 *     proportional   the first part of the frequencies / factor; the other pairs do not turn
 *     dynamic   theta grows with the length of the sequence: no table can say it; see RopeAngles
 *
 * An unknown type is refused by name.
 */
#ifndef MODEL_ROPE_CONFIG_H
#define MODEL_ROPE_CONFIG_H

#include "base/arena.h"
#include "core/op_call.h"
#include "model/keys.h"

typedef struct RopeConfig {
    RopeAngles angles;
    int32_t tables;            /* 1, or 2 (LongRoPE: short, long) */
    float *inv_freq;           /* [tables, dims / 2], in the arena */
    float *factors;            /* [2, dims / 2] or NULL: those of longrope, short and long (tensors rope_factors_*) */
    bool proportional;         /* set before reading: the family may have this type */
    int32_t original;          /* set before reading: original_max_position_embeddings where nothing is said; 0: the context */
    bool tempered;             /* set before reading: scores follow mscale_all_dim as well (MLA) */
    bool exact;                /* set before reading: yarn's borders are no whole numbers, where nothing is said */
    float *divisors;           /* [dims / 2] or NULL: how a GGUF says llama3 and proportional (tensor rope_freqs.weight) */
} RopeConfig;

/* dims: how many values of a head turn. theta: where the file gives none; 0: 10000. `group` is where
 * config.json keeps them: "rope_parameters". */
Err rope_config_read(const Keys *, const char *group, int32_t dims, float theta, int32_t context, Arena *,
                     RopeConfig *out, Error *err);

/* A table without any scaling. */
Err rope_config_plain(RopeConfig *, int32_t dims, float theta, Arena *, Error *);

#endif

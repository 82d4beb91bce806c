/* sampling_flags.h -- the options of every command that generates text: a group for flags_read().
 *
 *     SamplingFlags given = sampling_flags_none();
 *     FlagGroup groups[] = {..., {"Sampling", sampling_flags, SAMPLING_FLAGS, &given}, {0}};
 *     TRY(flags_read(groups, ...));
 *     ... open the model, read its generation_config.json into `defaults` ...
 *     TRY(sampling_options(&given, &defaults, vocabulary, &options, err));
 *
 * Flags are read before the model is known, so what was not given has a mark of its own (NAN, or
 * NOT_GIVEN) and yields to the model's defaults. Without a seed, the system makes one up.
 */
#ifndef MAIN_SAMPLING_FLAGS_H
#define MAIN_SAMPLING_FLAGS_H

#include "engine/sampler_defaults.h"
#include "main/flags.h"

enum { NOT_GIVEN = INT32_MIN, SAMPLES_MOST = 128 };

typedef struct SamplingFlags {
    SamplerOptions sampler;     /* NAN and NOT_GIVEN in what was not given; `end` and `stop` unused */
    int32_t max_tokens;
    int32_t samples;
    FlagList stop;              /* texts; the caller looks for them in what was generated */
} SamplingFlags;

typedef struct SamplingOptions {
    SamplerOptions sampler;
    int32_t max_tokens;         /* -1: until the model ends */
    int32_t samples;
} SamplingOptions;

enum { SAMPLING_FLAGS = 17 };
extern const Flag sampling_flags[SAMPLING_FLAGS];   /* fills a SamplingFlags */

SamplingFlags sampling_flags_none(void);
Err sampling_options(const SamplingFlags *, const SamplerDefaults *, int32_t vocabulary, SamplingOptions *, Error *);

#endif

/* plan_suggest.h -- ridge plan --suggest: its flags and its page (tools/suggest.h). */
#ifndef MAIN_PLAN_SUGGEST_H
#define MAIN_PLAN_SUGGEST_H

#include "main/flags.h"
#include "tools/suggest.h"

typedef struct SuggestFlags {
    bool suggest;
    const char *machines;          /* "h100:2.5,l4:0.8" */
    float rate, ttft, latency;     /* milliseconds */
    int32_t answer;
} SuggestFlags;

SuggestFlags suggest_flags_default(void);
enum { SUGGEST_FLAG_COUNT = 6 };
extern const Flag suggest_flags[SUGGEST_FLAG_COUNT];

/* What `ridge plan` says beside; NULL: nothing said. */
typedef struct SuggestModel {
    const char *model, *format, *cache;
    int32_t prompt, kv_heads;
    bool json;
} SuggestModel;

Err suggest_show(const SuggestFlags *, const SuggestModel *, Error *err);

#endif

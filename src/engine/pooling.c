#include "engine/pooling.h"

#include <math.h>

Err pooling_check(const RequestOptions *o, int32_t width, Error *err)
{
    if (o->pooling == POOL_NONE)
        return OK;
    if (o->pooling != POOL_LAST && o->pooling != POOL_MEAN)
        return fail(err, BAD_ARGUMENT, "pooling: %d; there are last (%d) and mean (%d)", (int)o->pooling, POOL_LAST, POOL_MEAN);
    if (width < 1)
        return fail(err, BAD_ARGUMENT, "pooling: this model has no hidden states");
    if (!o->embedding)
        return fail(err, BAD_ARGUMENT, "pooling: there is no place for the embedding");
    if (o->max_tokens != 0 || o->samples > 1 || o->beams > 0)
        return fail(err, BAD_ARGUMENT,
                    "pooling: a request is embedded or continued, not both; max_tokens must be 0, samples 1");
    if (o->prompt_logprobs || o->logits)
        return fail(err, BAD_ARGUMENT, "pooling: a request is embedded or scored, not both");
    return OK;
}

int32_t pooling_first(const RequestOptions *o)
{
    switch (o->pooling) {
    case POOL_MEAN: return 0;
    case POOL_LAST: return o->prompt_count - 1;
    default: return o->prompt_count;
    }
}

Err pooling_add(Request *r, int32_t position, const float *hidden, int32_t width, Error *err)
{
    const RequestOptions *o = &r->options;
    bool last = position + 1 == o->prompt_count, mean = o->pooling == POOL_MEAN;
    for (int32_t i = 0; i < width; i++) {
        if (!isfinite(hidden[i]))
            return fail(err, BAD_FILE, "the hidden state of position %d is not made of numbers: the weights are damaged",
                        position);
        if (mean)
            r->sums[i] += (double)hidden[i];
        if (last)
            o->embedding[i] = mean ? (float)(r->sums[i] / o->prompt_count) : hidden[i];
    }
    return OK;
}

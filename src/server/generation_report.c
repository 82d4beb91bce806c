/* What is told of a generation beside its text: usage, times, what went wrong. */
#include "base/clock.h"
#include "server/generation_inside.h"

GenerationUsage generation_usage(const Generation *g)
{
    GenerationUsage u = {0};
    for (int32_t i = 0; i < g->spec.prompt_count; i++) {
        u.prompt_tokens += g->spec.prompts[i].count;
        u.cached_tokens += g->prompts[i].reused;
    }
    for (int32_t i = 0; i < generation_made(g); i++) {
        u.completion_tokens += g->runs[i].choice.token_count + (g->runs[i].choice.stop_token >= 0);
        u.reasoning_tokens += g->runs[i].reasoning_tokens;
    }
    return u;
}

bool generation_failed(const Generation *g, ApiError *error)
{
    bool expired = false;
    for (int32_t i = 0; i < generation_choices(g); i++) {
        const Choice *c = generation_choice(g, i);
        expired |= c->finish == FINISH_EXPIRED;
        if (c->finish != FINISH_ERROR && (c->finish != FINISH_EXPIRED || c->token_count > 0))
            return false;
    }
    if (error && expired && !g->error[0]) {
        api_refuse(error, 503, NULL, "the request was not answered within its time: %g seconds in the queue, %g in all",
                   g->spec.queue_seconds, g->spec.total_seconds);
        error->code = "expired";
    } else if (error) {
        api_refuse(error, service_lost(g->service) ? 503 : 500, NULL, "%s",
                   g->error[0] ? g->error : "no memory for the answer");
    }
    return true;
}

/* Of the sample that took longest to begin and to end: what somebody who waits for all of them sees. */
static RequestTimes slowest(const Generation *g)
{
    RequestTimes t = {0};
    for (int32_t i = 0; i < generation_made(g); i++) {
        const RequestTimes *own = &g->runs[i].choice.times;
        t.started = own->started > t.started ? own->started : t.started;
        t.first_token = own->first_token > t.first_token ? own->first_token : t.first_token;
        t.ended = own->ended > t.ended ? own->ended : t.ended;
        t.preemptions += own->preemptions;
    }
    return t;
}

static double rate(double count, double seconds) { return seconds > 0 ? count / seconds : 0; }

json_t *generation_timings(const Generation *g)
{
    RequestTimes t = slowest(g);
    GenerationUsage u = generation_usage(g);
    double prompt = t.first_token > t.started ? t.first_token - t.started : 0;
    double predicted = t.first_token > 0 && t.ended > t.first_token ? t.ended - t.first_token : 0;
    double computed = (double)(u.prompt_tokens - u.cached_tokens), made = (double)u.completion_tokens;
    return json_pack("{s:f, s:I, s:I, s:f, s:f, s:f, s:I, s:f, s:f, s:f, s:f, s:i}",
                     "queued_ms", 1e3 * t.started, "prompt_n", (json_int_t)(u.prompt_tokens - u.cached_tokens),
                     "cache_n", (json_int_t)u.cached_tokens, "prompt_ms", 1e3 * prompt,
                     "prompt_per_second", rate(computed, prompt), "ttft_ms", 1e3 * t.first_token,
                     "predicted_n", (json_int_t)u.completion_tokens, "predicted_ms", 1e3 * predicted,
                     "predicted_per_token_ms", made > 1 ? 1e3 * predicted / (made - 1) : 0,
                     "predicted_per_second", rate(made > 1 ? made - 1 : 0, predicted), "e2e_ms", 1e3 * t.ended,
                     "preemptions", (int)t.preemptions);
}

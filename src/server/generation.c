#include "server/generation.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "server/generation_inside.h"
#include "server/metrics.h"
#include "server/story_json.h"

/* ---- end ---- */

/* A request is over once its ends were read; only then may go what the engine's thread looks at. */
static void close_prompt(PromptRun *p)
{
    Event event;
    if (p->request) {
        request_cancel(p->request);
        while (!request_ended(p->request))
            if (!request_next(p->request, &event))
                request_wait(p->request, 1);
        request_close(p->request);
    }
    p->request = NULL;
    answer_guard_free(p->guard);
    p->guard = NULL;
}

static void forget_prompt(PromptRun *p)
{
    answer_guard_free(p->guard);
    kept_tokens_free(p->scored, p->scored_count);
    free(p->story);
    *p = (PromptRun){0};
}

void generation_free(void *generation)
{
    Generation *g = generation;
    if (!g)
        return;
    for (int32_t i = 0; g->prompts && i < g->spec.prompt_count; i++) {
        close_prompt(&g->prompts[i]);
        forget_prompt(&g->prompts[i]);
    }
    for (int32_t i = 0; g->runs && i < generation_made(g); i++)
        choice_run_deinit(&g->runs[i]);
    stop_matcher_free(g->stops);
    if (g->wire.free_with)
        g->wire.free_with(g->with);
    for (int i = 0; i < g->spec.stop_count; i++)
        free((char *)g->spec.stop[i]);
    free((char *)g->spec.cache_salt);
    generation_spec_deinit(&g->spec);
    free(g->prompts);
    free(g->runs);
    free(g->given);
    free(g);
}

/* ---- birth ---- */

/* Takes the spec over; strings become the generation's own. False: no memory. */
static bool take_spec(Generation *g, GenerationSpec *spec)
{
    bool good = true;
    g->spec = *spec;
    memset(spec->prompts, 0, sizeof spec->prompts);
    spec->prompt_count = 0;
    spec->grammar = NULL;
    spec->tools = NULL;
    for (int i = 0; i < g->spec.stop_count; i++)
        good &= (g->spec.stop[i] = strdup(spec->stop[i])) != NULL;
    if (spec->cache_salt)
        good &= (g->spec.cache_salt = strdup(spec->cache_salt)) != NULL;
    return good;
}

static bool chooses(const GenerationSpec *s) { return s->best_of > s->n && !s->beam_search; }

static bool take_room(Generation *g)
{
    size_t prompts = (size_t)g->spec.prompt_count;
    g->made = chooses(&g->spec) ? g->spec.best_of : g->spec.n;
    g->left = generation_made(g);
    g->prompts = calloc(prompts, sizeof *g->prompts);
    g->runs = calloc(prompts * (size_t)g->made, sizeof *g->runs);
    g->given = calloc(prompts * (size_t)g->spec.n, sizeof *g->given);
    for (int32_t i = 0; g->given && i < g->spec.prompt_count * g->spec.n; i++)
        g->given[i] = i / g->spec.n * g->made + i % g->spec.n;
    return g->prompts && g->runs && g->given;
}

static void emit(void *with, const Delta *delta)
{
    Generation *g = with;
    if (!g->gone)
        g->wire.delta(g->exchange, g, delta);
}

/* Answers that are chosen when all are there, or come from a search, are told at the end. */
static bool tells_at_once(const Generation *g)
{
    return g->spec.stream && g->wire.delta && !chooses(&g->spec) && !g->spec.beam_search;
}

static Err open_stops(Generation *g, Error *err)
{
    Span stops[STOP_STRINGS_MAX];
    for (int i = 0; i < g->spec.stop_count; i++)
        stops[i] = span_text(g->spec.stop[i]);
    return g->spec.stop_count > 0 ? stop_matcher_new(stops, (size_t)g->spec.stop_count, &g->stops, err) : OK;
}

static Err open_choices(Generation *g, Error *err)
{
    for (int32_t i = 0; i < generation_made(g); i++) {
        ChoiceRun *r = &g->runs[i];
        r->choice.prompt = i / g->made;
        r->choice.sample = i % g->made;
        r->choice.index = i;
        if (tells_at_once(g)) {
            r->emit = emit;
            r->with = g;
        }
        TRY(choice_run_init(r, &g->spec, g->service->tokenizer, g->stops, err));
    }
    return OK;
}

static void notify(void *exchange) { exchange_poke_later(exchange); }

enum { UNSEEN_AT_ONCE = 16 };     /* tokens of an answer that nobody sees before its end */

/* A text that stops an answer is looked for in each token as it comes, for those behind it would be made for nothing. */
static int32_t tokens_told_at_once(const Generation *g)
{
    if (g->spec.stop_count > 0 || g->spec.one_call)
        return 1;
    return g->spec.stream ? g->service->o.stream_interval : UNSEEN_AT_ONCE;
}

static RequestOptions request_options(const Generation *g, int32_t prompt)
{
    const GenerationSpec *s = &g->spec;
    const PromptIds *p = &s->prompts[prompt];
    const ApiKey *key = exchange_key(g->exchange);
    RequestOptions o = {
        .prompt = p->ids, .prompt_count = p->count, .max_tokens = s->max_tokens, .samples = g->made,
        .priority = generation_priority(g->exchange, s->priority),
        .salt = generation_salt(key, s->cache_salt), .tenant = generation_tenant(key),
        .tag = exchange_number(g->exchange), .story = g->prompts[prompt].story,
        .queue_seconds = s->queue_seconds, .total_seconds = s->total_seconds, .sampling = s->sampling,
        .prompt_logprobs = s->prompt_logprobs != LOGPROBS_NONE, .notify = notify, .notify_with = g->exchange,
        .notify_tokens = tokens_told_at_once(g),
    };
    if (g->prompts[prompt].guard)
        o.constraint = answer_guard_constraint(g->prompts[prompt].guard);
    if (s->beam_search) {
        o.beams = s->best_of > s->n ? s->best_of : s->n;
        o.length_penalty = s->length_penalty;
    }
    if (s->prompt_logprobs > o.sampling.logprobs)
        o.sampling.logprobs = s->prompt_logprobs;
    if (chooses(s) && o.sampling.logprobs == LOGPROBS_NONE)
        o.sampling.logprobs = 0;
    return o;
}

/* What is neither held to a form nor bounded in its reasoning needs none. */
static Err open_guard(const Generation *g, PromptRun *p, Error *err)
{
    const GenerationSpec *s = &g->spec;
    bool reasons = s->dialect && s->reads_reasoning && dialect_has_reasoning(s->dialect);
    AnswerGuardOptions o = {.grammar = s->grammar, .vocab = g->service->vocab, .tokenizer = g->service->tokenizer,
                            .vocabulary = service_vocabulary(g->service), .budget = THINKING_ANY,
                            .samples = s->beam_search && s->best_of > g->made ? s->best_of : g->made};
    if (reasons) {
        o.begin = dialect_reasoning_begin(s->dialect);
        o.end = dialect_reasoning_end(s->dialect);
        o.open = s->reasoning_open;
        o.budget = s->thinking_tokens;
    }
    return s->grammar || o.budget != THINKING_ANY ? answer_guard_new(&p->guard, &o, err) : OK;
}

static Err submit_prompt(Generation *g, int32_t prompt, Error *err)
{
    PromptRun *p = &g->prompts[prompt];
    TRY(open_guard(g, p, err));
    if (g->service->o.explains && !(p->story = calloc(1, sizeof *p->story)))
        return fail(err, NO_MEMORY, "no memory for the story of a request");
    p->submitted = clock_seconds();
    RequestOptions o = request_options(g, prompt);
    if (o.prompt_logprobs && o.prompt_count > 1) {
        p->scored = calloc((size_t)o.prompt_count - 1, sizeof *p->scored);
        if (!p->scored)
            return fail(err, NO_MEMORY, "no memory for what the model thinks of %d tokens", o.prompt_count);
    }
    return engine_submit(g->service->engine, &o, &p->request, err);
}

static bool some_run(const Generation *g) { return g->left > (g->spec.prompt_count - g->submitted) * g->made; }

/* As many as the engine takes: what a full queue refuses waits for those of its own that run. */
static Err submit_some(Generation *g, Error *err)
{
    while (g->submitted < g->spec.prompt_count) {
        Err result = submit_prompt(g, g->submitted, err);
        if (result == OK) {
            g->submitted++;
            continue;
        }
        forget_prompt(&g->prompts[g->submitted]);
        return result == LIMIT_REACHED && some_run(g) ? OK : result;
    }
    return OK;
}

/* Those that were not submitted will not be. */
static void give_up(Generation *g, EndReason reason)
{
    Event end = {.kind = EVENT_END, .reason = reason, .token = {.id = TOKEN_NONE}};
    for (int32_t i = g->submitted * g->made; i < generation_made(g); i++) {
        choice_run_take(&g->runs[i], &end);
        g->left--;
    }
    g->given_up = true;
}

/* ---- from events to answers ---- */

/* False: no memory for it. */
static bool take_scored(Generation *g, int32_t prompt, const Event *event)
{
    PromptRun *p = &g->prompts[prompt];
    if (!p->scored || p->scored_count >= g->spec.prompts[prompt].count - 1)
        return true;
    if (!kept_token_take(&p->scored[p->scored_count], &event->token, g->spec.prompt_logprobs))
        return false;
    p->scored_count++;
    return true;
}

static const char *finish_name(Finish finish)
{
    static const char *const names[] = {[FINISH_STOP] = "stop", [FINISH_LENGTH] = "length", [FINISH_CALLS] = "tool_calls",
                                        [FINISH_CANCELLED] = "cancelled", [FINISH_EXPIRED] = "expired",
                                        [FINISH_ERROR] = "error"};
    return names[finish];
}

static void measure_gap(Generation *g, ChoiceRun *r, double made)
{
    if (r->token_made > 0)
        metrics_observe(g->service->metrics, METRIC_INTER_TOKEN, made - r->token_made);
    r->token_made = made;
}

static void take_event(Generation *g, int32_t prompt, const Event *event)
{
    PromptRun *p = &g->prompts[prompt];
    ChoiceRun *r = &g->runs[prompt * g->made + event->sample];
    if (event->kind == EVENT_PROMPT) {
        r->failed |= !take_scored(g, prompt, event);
        return;
    }
    if (event->kind == EVENT_TOKEN)
        measure_gap(g, r, event->made);
    g->place_freed |= event->kind == EVENT_END || event->position == g->spec.prompts[prompt].count;    /* it has started */
    if (event->kind == EVENT_END) {
        g->left--;
        if (event->reason == END_ERROR && !g->error[0])
            snprintf(g->error, sizeof g->error, "%s", request_error(p->request));
        if (event->sample == 0)
            p->reused = event->times.reused_tokens;
        if (event->times.ended >= p->times.ended)
            p->times = event->times;
    }
    r->choice.prompt_tokens = p->scored;
    r->choice.prompt_token_count = p->scored_count;
    if (choice_run_take(r, event) && event->kind != EVENT_END)
        request_stop(p->request, event->sample);
    if (event->kind == EVENT_END)
        exchange_account(g->exchange, event, finish_name(r->choice.finish));
}

static bool may_take(const Generation *g)
{
    return g->gone || !tells_at_once(g) || exchange_room(g->exchange) > 0;
}

static void take_events(Generation *g)
{
    Event event;
    for (int32_t i = 0; i < g->submitted; i++)
        while (request_has_next(g->prompts[i].request) && may_take(g) && request_next(g->prompts[i].request, &event))
            take_event(g, i, &event);
}

static void cancel(Generation *g)
{
    if (g->cancelled)
        return;
    g->cancelled = true;
    for (int32_t i = 0; i < g->submitted; i++)
        request_cancel(g->prompts[i].request);
}

/* The n answers to a prompt with the highest mean log-probability, the best first. */
static void choose(Generation *g, int32_t prompt)
{
    int32_t *given = &g->given[prompt * g->spec.n], first = prompt * g->made;
    bool taken[SAMPLES_MAX] = {0};
    for (int32_t k = 0; k < g->spec.n; k++) {
        int32_t best = -1;
        for (int32_t i = 0; i < g->made; i++)
            if (!taken[i] && (best < 0 || choice_run_score(&g->runs[first + i]) > choice_run_score(&g->runs[first + best])))
                best = i;
        taken[best] = true;
        given[k] = first + best;
    }
}

static void number_given(Generation *g)
{
    for (int32_t i = 0; chooses(&g->spec) && i < g->spec.prompt_count; i++)
        choose(g, i);
    for (int32_t i = 0; i < generation_choices(g); i++)
        g->runs[g->given[i]].choice.index = i;
}

static json_t *stories(const Generation *g)
{
    json_t *list = json_array();
    for (int32_t i = 0; i < g->submitted; i++) {
        const PromptRun *p = &g->prompts[i];
        json_array_append_new(list, story_json(p->story, p->submitted - exchange_received(g->exchange), &p->times));
    }
    return list;
}

static void finish(Generation *g)
{
    g->done = true;
    if (g->service->o.explains)
        exchange_explain(g->exchange, stories(g));
    number_given(g);
    if (g->spec.stream && g->wire.delta && !tells_at_once(g) && !g->gone && !generation_failed(g, NULL))
        for (int32_t i = 0; i < generation_choices(g); i++)
            choice_run_tell(&g->runs[g->given[i]], emit, g);
    for (int32_t i = 0; i < g->spec.prompt_count; i++)
        close_prompt(&g->prompts[i]);
    if (g->gone)
        exchange_done(g->exchange);
    else
        g->wire.done(g->exchange, g);
    exchange_let_go(g->exchange);
}

/* The next ones, if any wait for places that have become free. */
static void submit_rest(Generation *g)
{
    Error err;
    if (g->submitted == g->spec.prompt_count || g->given_up)
        return;
    bool freed = g->place_freed;
    g->place_freed = false;
    if (g->cancelled) {
        give_up(g, END_CANCELLED);
    } else if (freed && submit_some(g, &err) != OK) {
        snprintf(g->error, sizeof g->error, "%s", err.text);
        give_up(g, END_ERROR);
    }
}

static void work(Exchange *x)
{
    Generation *g = exchange_state(x);
    if (g->done)
        return;
    g->gone = exchange_gone(x);
    if (g->gone || exchange_stopped(x) || service_time_is_up(g->service))
        cancel(g);
    take_events(g);
    submit_rest(g);
    if (g->left == 0)
        finish(g);
}

static Err build(Generation *g, GenerationSpec *spec, Error *err)
{
    if (!take_spec(g, spec) || !take_room(g))
        return fail(err, NO_MEMORY, "no memory for the answers to a request");
    TRY(open_stops(g, err));
    TRY(open_choices(g, err));
    for (int32_t i = 0; i < g->spec.prompt_count; i++) {
        RequestOptions o = request_options(g, i);
        TRY(engine_check(g->service->engine, &o, err));
    }
    return submit_some(g, err);
}

bool generation_begin(Exchange *x, GenerationSpec *spec, const Wire *wire, void *with, ApiError *error)
{
    Error err = {0};
    Service *service = exchange_service(x);
    Generation *g = NULL;
    bool good = generation_spec_check(spec, service, error);
    if (good && !(g = calloc(1, sizeof *g)))
        good = api_refuse(error, 500, NULL, "no memory for a request");
    if (!good) {
        if (wire->free_with)
            wire->free_with(with);
        return false;
    }
    g->exchange = x;
    g->service = service;
    g->wire = *wire;
    g->with = with;
    if (build(g, spec, &err) != OK) {
        generation_free(g);
        return generation_refuse(error, &err);
    }
    exchange_hold(x);
    exchange_continue(x, g, work, generation_free);
    exchange_poke(x);    /* events that came before work() was set */
    return true;
}

/* ---- what a wire sees ---- */

void *generation_with(const Generation *g) { return g->with; }
const GenerationSpec *generation_spec(const Generation *g) { return &g->spec; }
int32_t generation_choices(const Generation *g) { return g->spec.prompt_count * g->spec.n; }
const Choice *generation_choice(const Generation *g, int32_t i) { return &g->runs[g->given[i]].choice; }

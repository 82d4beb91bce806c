#include "engine/deliver.h"

#include <math.h>
#include <string.h>

#include "base/clock.h"
#include "engine/beam.h"
#include "engine/pooling.h"

static void count(Deliver *d, const Sequence *q)
{
    if (!q->request->started)
        return;
    d->counts.prompt_tokens += q->sample == 0 ? q->prompt : 0;
    d->counts.reused_tokens += q->times.reused_tokens;
    d->counts.generated_tokens += q->times.generated_tokens;
}

void deliver_end_event(Deliver *d, Request *r, Event *end)
{
    end->left = --r->left;
    request_push(r, end);
    if (r->left == 0) {
        r->next_ended = d->ended;
        d->ended = r;
    }
}

/* Of a search that ends early there are fewer answers than sequences. */
static bool has_an_answer(const Sequence *q)
{
    return !q->request->beam || q->sample < beam_answers(q->request->beam);
}

void deliver_end(Deliver *d, Sequence *q, EndReason reason, const Sampled *token)
{
    Request *r = q->request;
    scheduler_remove(d->scheduler, q);
    if (!has_an_answer(q))
        return;
    q->times.ended = clock_seconds() - r->submitted;
    q->times.prompt_tokens = q->prompt;
    q->times.generated_tokens = q->known - q->prompt;
    count(d, q);
    Event end = {.kind = EVENT_END, .reason = reason, .sample = q->sample, .position = q->known, .times = q->times,
                 .token = {.id = -1, .logprob = NAN}};
    if (token)
        end.token = *token;
    deliver_end_event(d, r, &end);
}

/* Those that follow end before the one whose place they would have to take. */
void deliver_end_request(Deliver *d, Request *r, EndReason reason)
{
    for (int32_t i = r->options.samples - 1; i >= 0; i--)
        if (r->sequences[i].state != SEQUENCE_ENDED)
            deliver_end(d, &r->sequences[i], reason, NULL);
}

/* A row of logits of the step; they come to the host when somebody asks. */
typedef struct LogitRow { Runner *runner; int32_t turn, number; } LogitRow;      /* turn: of the plan */
static const float *logits_of(LogitRow row) { return runner_logits(row.runner, row.number); }

/* A row of the prompt: what the model thinks of the token that comes after it. */
static Err deliver_prompt(Deliver *d, Sequence *q, int32_t position, LogitRow row, Error *err)
{
    const RequestOptions *o = &q->request->options;
    if (o->logits)
        memcpy(o->logits + (size_t)(position - o->score_from) * (size_t)d->vocabulary, logits_of(row),
               (size_t)d->vocabulary * sizeof *o->logits);
    q->scored = position + 1;
    if (!o->prompt_logprobs || position + 1 == q->prompt)
        return OK;
    Event event = {.kind = EVENT_PROMPT, .sample = q->sample, .position = position + 1};
    int32_t best = o->sampling.logprobs > 0 ? o->sampling.logprobs : 0;
    TRY(sampler_logprobs(d->sampler, logits_of(row), q->tokens[position + 1], best, &event.token, err));
    request_push(q->request, &event);
    return OK;
}

/* Adds what has passed since; without a story nobody looks at the clock. */
static double lap(const Story *story, double since, double *sum)
{
    double now = story ? clock_seconds() : 0;
    if (sum)
        *sum += now - since;
    return now;
}

static Err next_token(Deliver *d, const Sequence *q, const uint32_t *allowed, LogitRow row, Sampled *out, Error *err)
{
    const SamplerOptions *o = &q->request->options.sampling;
    const Chosen *chosen = runner_chosen(row.runner, row.turn, row.number);      /* a grammar was asked before the step */
    if (chosen)
        return sampler_read(chosen, o->logprobs, out, err);
    SamplePlace place = {.tokens = q->tokens, .prompt_count = q->prompt, .token_count = q->known,
                         .sample = (uint32_t)q->sample, .allowed = allowed};
    return sampler_sample(d->sampler, o, &place, logits_of(row), out, err);
}

static Err deliver_token(Deliver *d, Sequence *q, LogitRow row, Error *err)
{
    const RequestOptions *o = &q->request->options;
    const Constraint *constraint = &o->constraint;
    const uint32_t *allowed = NULL;
    Event event = {.kind = EVENT_TOKEN, .sample = q->sample, .position = q->known};
    double *grammar = o->story && constraint->allowed ? &o->story->grammar_seconds : NULL, began = lap(o->story, 0, NULL);
    if (constraint->allowed && !runner_chosen(row.runner, row.turn, row.number))
        allowed = constraint->allowed(constraint->with, q->sample);
    began = lap(o->story, began, grammar);
    Err chosen = next_token(d, q, allowed, row, &event.token, err);
    began = lap(o->story, began, o->story ? &o->story->sampling_seconds : NULL);
    if (chosen == LIMIT_REACHED && constraint->allowed) {   /* all is said, and there is no token to say so */
        deliver_end(d, q, END_STOP, NULL);
        return OK;
    }
    TRY(chosen);
    if (constraint->accept)
        constraint->accept(constraint->with, q->sample, event.token.id);
    lap(o->story, began, grammar);
    if (q->times.first_token == 0)
        q->times.first_token = clock_seconds() - q->request->submitted;
    if (sampler_ends_at(&o->sampling, event.token.id)) {
        deliver_end(d, q, END_STOP, &event.token);
        return OK;
    }
    q->tokens[q->known++] = event.token.id;
    scheduler_generated(d->scheduler, q->request);
    request_push(q->request, &event);
    if (q->known == q->limit)
        deliver_end(d, q, END_LENGTH, NULL);
    return OK;
}

static Err deliver_last(Deliver *d, Sequence *q, LogitRow row, Error *err)
{
    if (q->known < q->limit)
        return deliver_token(d, q, row, err);
    deliver_end(d, q, END_LENGTH, NULL);
    return OK;
}

/* The prompt is computed: the other samples go on from here, each with its own first token. */
static Err deliver_followers(Deliver *d, const Sequence *leader, LogitRow row, Error *err)
{
    Request *r = leader->request;
    for (int32_t i = leader->sample + 1; r->followers > 0 && i < r->options.samples; i++) {
        Sequence *q = &r->sequences[i];
        if (q->state == SEQUENCE_FOLLOWS) {
            scheduler_fork(d->scheduler, leader, q);
            TRY(deliver_last(d, q, row, err));
        }
    }
    return OK;
}

static Err deliver_row(Deliver *d, Sequence *q, int32_t position, LogitRow row, Error *err)
{
    if (position < q->prompt && position >= q->scored)
        TRY(deliver_prompt(d, q, position, row, err));
    if (position != q->known - 1)
        return OK;
    if (q->request->beam)
        return beam_row(d, q, logits_of(row), err);
    if (q->request->followers > 0)
        TRY(deliver_followers(d, q, row, err));
    return deliver_last(d, q, row, err);
}

/* The rows of an entry whose logits are wanted. A drafted token is right if it is the one that comes. */
static Err deliver_entry(Deliver *d, const PlanEntry *e, LogitRow row, Error *err)
{
    Sequence *q = e->sequence;
    int32_t known = e->first + e->rows - e->drafted, right = 0;
    d->counts.drafted_tokens += e->drafted;
    for (int32_t at = e->first + e->rows - e->outs; at < e->first + e->rows; at++, row.number++) {
        bool guessed = at + 1 >= known && at + 1 < e->first + e->rows;
        int32_t guess = guessed ? q->tokens[at + 1] : 0;
        TRY(deliver_row(d, q, at, row, err));
        if (q->state == SEQUENCE_ENDED)
            return OK;
        if (guessed && q->tokens[at + 1] != guess)
            break;
        right += guessed;
        d->counts.accepted_tokens += guessed;
    }
    if (e->drafted > 0)
        scheduler_accept(d->scheduler, e, right);
    return OK;
}

/* The hidden states of an entry; the last of a prompt ends it. */
static Err deliver_hidden(Deliver *d, Runner *runner, const PlanEntry *e, int32_t hidden, Error *err)
{
    Sequence *q = e->sequence;
    for (; q->pooled < e->first + e->rows; hidden++)
        TRY(pooling_add(q->request, q->pooled++, runner_hidden(runner, hidden), d->width, err));
    if (!sequence_pools(q))
        deliver_end(d, q, END_LENGTH, NULL);
    return OK;
}

static Err deliver_one(Deliver *d, const PlanEntry *e, LogitRow row, int32_t hidden, Error *err)
{
    return e->hiddens > 0 ? deliver_hidden(d, row.runner, e, hidden, err) : deliver_entry(d, e, row, err);
}

void deliver_step(Deliver *d, Runner *runner, const Plan *plan)
{
    int32_t out = 0, hidden = 0;
    for (int32_t i = 0; i < plan->entries; i++) {
        const PlanEntry *e = &plan->entry[i];
        Request *r = e->sequence ? e->sequence->request : NULL;
        LogitRow row = {runner, plan->turn, out};
        if (r && (runner_trouble(runner) || deliver_one(d, e, row, hidden, &r->error) != OK)) {
            const Error *trouble = runner_trouble(runner);   /* why there are no numbers, where the device is lost */
            r->error = trouble ? *trouble : r->error;
            deliver_end_request(d, r, END_ERROR);
        }
        out += e->outs;
        hidden += e->hiddens;
    }
}

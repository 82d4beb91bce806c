#include "engine/beam.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/clock.h"
#include "kernels/choose/choose_scan.h"

enum { ANSWER_TOKENS_MAX = 1 << 17 };      /* of one request: all its events wait to be read at once */

typedef struct Candidate {
    int32_t beam, id;
    bool ends;
    float logprob;
    double score;                  /* sum of log-probabilities, this one included */
} Candidate;

typedef struct Track {             /* an answer, or the beginning of one */
    double score;                  /* of a beam: the sum; of an answer: divided by its length */
    int32_t *tokens;               /* [room] of answers; a beam's are its sequence's */
    float *logprobs;               /* [room] */
    int32_t count;
    EndReason reason;
} Track;

struct Beam {
    int32_t beams, answers, room;  /* room: tokens of an answer */
    double penalty;
    const Scan *scan;
    Track *track;                  /* [beams] by sequence */
    bool *live, *ready;            /* takes part; its candidates are there */
    int32_t *found;                /* how many */
    Candidate *candidate;          /* [beams, 2 beams] of each row */
    Candidate *all;                /* [beams * 2 beams] of all of them, the best first */
    Candidate *next;               /* [beams] who goes on, by sequence; id -1: nobody */
    Track *kept;                   /* [beams] answers, the best first */
    int32_t kept_count;
    Sequence **heir;               /* [beams] scratch: sequences that are free to take another's past */
    int32_t *numbers;              /* what the tracks' tokens and log-probabilities lie in */
};

/* --- birth and end --- */

Err beam_check(const RequestOptions *o, int32_t sequences, int32_t longest, Error *err)
{
    int32_t most = (int32_t)min_i64(BEAMS_MAX, sequences);
    if (o->beams < 0 || o->beams > most)
        return fail(err, BAD_ARGUMENT, "beams: %d; it must be from 0 to %d", o->beams, most);
    if (o->beams == 0)
        return OK;
    if (o->samples > o->beams)
        return fail(err, BAD_ARGUMENT, "samples: %d; of %d beams no more can be delivered", o->samples, o->beams);
    if (o->max_tokens == 0)
        return fail(err, BAD_ARGUMENT, "max_tokens: 0; a search with beams needs at least one");
    if (!isfinite(o->length_penalty) || fabsf(o->length_penalty) > LENGTH_PENALTY_MOST)
        return fail(err, BAD_ARGUMENT, "length_penalty: %g; it must be from -%g to %g", (double)o->length_penalty,
                    (double)LENGTH_PENALTY_MOST, (double)LENGTH_PENALTY_MOST);
    int64_t room = o->max_tokens == TOKENS_ALL ? longest - o->prompt_count : o->max_tokens;
    if (room * o->beams > ANSWER_TOKENS_MAX)
        return fail(err, BAD_ARGUMENT, "beams: %d of %lld tokens each; %d tokens are allowed in all: lower max_tokens",
                    o->beams, (long long)room, ANSWER_TOKENS_MAX);
    return OK;
}

static bool take_tracks(Beam *b)
{
    size_t beams = (size_t)b->beams, room = (size_t)b->room;
    b->numbers = calloc(4 * beams * room, sizeof *b->numbers);
    for (size_t i = 0; b->numbers && i < beams; i++) {
        int32_t *at = b->numbers + 4 * i * room;
        b->kept[i] = (Track){.tokens = at, .logprobs = (float *)(void *)(at + room)};
        b->track[i].logprobs = (float *)(void *)(at + 2 * room);
    }
    return b->numbers;
}

Beam *beam_new(const RequestOptions *o, int32_t limit)
{
    size_t beams = (size_t)o->beams;
    Beam *b = calloc(1, sizeof *b);
    if (!b)
        return NULL;
    *b = (Beam){.beams = o->beams, .answers = o->samples, .room = limit - o->prompt_count, .scan = scan_of(TIER_BEST),
                .penalty = (double)o->length_penalty};
    b->track = calloc(beams, sizeof *b->track);
    b->kept = calloc(beams, sizeof *b->kept);
    b->live = calloc(2 * beams, sizeof *b->live);
    b->found = calloc(beams, sizeof *b->found);
    b->candidate = calloc(2 * beams * beams, sizeof *b->candidate);
    b->all = calloc(2 * beams * beams, sizeof *b->all);
    b->next = calloc(beams, sizeof *b->next);
    b->heir = calloc(beams, sizeof *b->heir);
    if (!b->track || !b->kept || !b->live || !b->found || !b->candidate || !b->all || !b->next || !b->heir || !take_tracks(b)) {
        beam_free(b);
        return NULL;
    }
    b->ready = b->live + beams;
    b->live[0] = true;
    return b;
}

void beam_free(Beam *b)
{
    if (!b)
        return;
    free(b->track);
    free(b->kept);
    free(b->live);
    free(b->found);
    free(b->candidate);
    free(b->all);
    free(b->next);
    free(b->heir);
    free(b->numbers);
    free(b);
}

int32_t beam_answers(const Beam *b) { return b->answers; }
int32_t beam_events(const Beam *b) { return b->answers * b->room; }

/* --- the best continuations of one beam --- */

static bool better(const Candidate *a, const Candidate *b)
{
    if (a->score != b->score)
        return a->score > b->score;
    return a->beam != b->beam ? a->beam < b->beam : a->id < b->id;
}

/* Keeps the best `most` of a list, in order. */
static void offer(Candidate *list, int32_t *count, int32_t most, Candidate c)
{
    if (*count == most && !better(&c, &list[most - 1]))
        return;
    int32_t at = *count < most ? (*count)++ : most - 1;
    for (; at > 0 && better(&c, &list[at - 1]); at--)
        list[at] = list[at - 1];
    list[at] = c;
}

static bool allowed(const uint32_t *set, int32_t id) { return !set || set[id / 32] >> (id % 32) & 1; }

/* Whether a token that would end the answer must not come yet. */
static bool banned(const SamplerOptions *o, int32_t id, int32_t generated)
{
    return generated < o->min_tokens || (o->ignore_eos && token_ids_have(&o->end, id));
}

/* Of those that go on and of those that end the best `beams` each: of no kind can more be chosen. */
static void find_candidates(Beam *b, const Sequence *q, const float *logits, int32_t vocabulary, double norm)
{
    const RequestOptions *o = &q->request->options;
    const uint32_t *set = o->constraint.allowed ? o->constraint.allowed(o->constraint.with, q->sample) : NULL;
    Candidate *go = b->candidate + (size_t)q->sample * 2 * (size_t)b->beams, *end = go + b->beams;
    int32_t going = 0, ending = 0;
    double score = b->track[q->sample].score;
    float least = -INFINITY;       /* below it, nothing can be among the best of either kind */
    for (int32_t id = 0; id < vocabulary; id++) {
        if (logits[id] < least || logits[id] == -INFINITY || !allowed(set, id))
            continue;
        double logprob = (double)logits[id] - norm;
        Candidate c = {q->sample, id, sampler_ends_at(&o->sampling, id), (float)logprob, score + logprob};
        if (!c.ends)
            offer(go, &going, b->beams, c);
        else if (!banned(&o->sampling, id, q->known - q->prompt))
            offer(end, &ending, b->beams, c);
        if (going == b->beams)     /* who ends and is worse than `beams` others is never kept */
            least = (float)(go[going - 1].score - score + norm) - 1e-3f;
    }
    memmove(go + going, end, (size_t)ending * sizeof *end);
    b->found[q->sample] = going + ending;
}

/* --- of all beams --- */

static int by_score(const void *a, const void *b) { return better(a, b) ? -1 : better(b, a); }

static int32_t gather(Beam *b)
{
    int32_t count = 0;
    for (int32_t i = 0; i < b->beams; i++)
        if (b->live[i]) {
            memcpy(b->all + count, b->candidate + (size_t)i * 2 * (size_t)b->beams, (size_t)b->found[i] * sizeof *b->all);
            count += b->found[i];
        }
    qsort(b->all, (size_t)count, sizeof *b->all, by_score);
    return count;
}

/* The answer that a candidate completes, if it is better than the worst that is kept. */
static void keep(Beam *b, const Sequence *q, const Candidate *c)
{
    int32_t known = q->known - q->prompt, count = known + 1;
    double score = c->score / pow(count, b->penalty);
    if (b->kept_count == b->beams && score <= b->kept[b->beams - 1].score)
        return;
    int32_t at = b->kept_count < b->beams ? b->kept_count++ : b->beams - 1;
    Track t = b->kept[at];
    for (; at > 0 && score > b->kept[at - 1].score; at--)
        b->kept[at] = b->kept[at - 1];
    memcpy(t.tokens, q->tokens + q->prompt, (size_t)known * sizeof *t.tokens);
    memcpy(t.logprobs, b->track[c->beam].logprobs, (size_t)known * sizeof *t.logprobs);
    t.tokens[known] = c->id;
    t.logprobs[known] = c->logprob;
    t.count = count;
    t.score = score;
    t.reason = c->ends ? END_STOP : END_LENGTH;
    b->kept[at] = t;
}

/* Fills b->all with those that go on, the best first; returns how many. What completes an answer is kept. */
static int32_t choose(Beam *b, const Request *r, int32_t count)
{
    int32_t going = 0;
    for (int32_t rank = 0; rank < count && going < b->beams; rank++) {
        Candidate c = b->all[rank];
        const Sequence *q = &r->sequences[c.beam];
        if (c.ends || q->known + 1 == q->limit) {
            if (rank < b->beams)
                keep(b, q, &c);
        } else {
            b->all[going++] = c;
        }
    }
    return going;
}

/* --- who goes on where --- */

/* The first continuation of a beam stays with its sequence; further ones take the sequences of beams that have none. */
static void assign(Beam *b, Request *r, int32_t going)
{
    int32_t heirs = 0, more = 0;
    for (int32_t i = 0; i < b->beams; i++)
        b->next[i] = (Candidate){.id = -1};
    for (int32_t i = 0; i < going; i++) {
        Candidate c = b->all[i];
        if (b->next[c.beam].id < 0)
            b->next[c.beam] = c;
        else
            b->all[more++] = c;
    }
    for (int32_t i = 0; i < b->beams; i++)
        if (b->next[i].id < 0)
            b->heir[heirs++] = &r->sequences[i];
    ASSERT(more <= heirs);
    for (int32_t i = 0; i < more; i++)
        b->next[b->heir[i]->sample] = b->all[i];
}

/* All pasts are copied before any beam grows. */
static void copy_pasts(Deliver *d, Beam *b, Request *r)
{
    const Constraint *by = &r->options.constraint;
    for (int32_t i = 0; i < b->beams; i++) {
        int32_t from = b->next[i].beam;
        Sequence *to = &r->sequences[i];
        const Sequence *parent = &r->sequences[from];
        if (b->next[i].id < 0 || from == i)
            continue;
        memcpy(to->tokens, parent->tokens, (size_t)parent->known * sizeof *to->tokens);
        memcpy(b->track[i].logprobs, b->track[from].logprobs, (size_t)(parent->known - parent->prompt) * sizeof(float));
        to->known = parent->known;
        scheduler_follow(d->scheduler, parent, to);
        if (by->copy)
            by->copy(by->with, i, from);
    }
}

static void grow(Beam *b, Request *r)
{
    const Constraint *by = &r->options.constraint;
    for (int32_t i = 0; i < b->beams; i++) {
        Sequence *q = &r->sequences[i];
        const Candidate *c = &b->next[i];
        b->ready[i] = false;
        b->live[i] = c->id >= 0;
        if (!b->live[i])
            continue;
        b->track[i].logprobs[q->known - q->prompt] = c->logprob;
        b->track[i].score = c->score;
        q->tokens[q->known++] = c->id;
        if (by->accept)
            by->accept(by->with, i, c->id);
    }
}

/* --- the end --- */

static void deliver_tokens(Deliver *d, Request *r, const Track *t, int32_t sample)
{
    const Sequence *first = &r->sequences[0];
    bool says = r->options.sampling.logprobs > LOGPROBS_NONE;
    RequestTimes times = first->times;
    Event end = {.kind = EVENT_END, .reason = t->reason, .sample = sample, .position = first->prompt + t->count,
                 .token = {.id = -1, .logprob = NAN}};
    times.first_token = times.ended = clock_seconds() - r->submitted;
    for (int32_t i = 0; i < t->count; i++) {
        Sampled token = {.id = t->tokens[i], .logprob = says ? t->logprobs[i] : NAN};
        Event event = {.kind = EVENT_TOKEN, .sample = sample, .position = first->prompt + i, .token = token};
        if (t->reason == END_STOP && i == t->count - 1) {
            end.token = token;
            end.position--;
        } else {
            request_push(r, &event);
        }
    }
    times.generated_tokens = end.position - first->prompt;
    times.prompt_tokens = first->prompt;
    times.reused_tokens = sample == 0 ? times.reused_tokens : 0;
    end.times = times;
    deliver_end_event(d, r, &end);
}

static Err finish(Deliver *d, Beam *b, Request *r, Error *err)
{
    if (b->kept_count < b->answers)
        return fail(err, LIMIT_REACHED, "the constraint leaves %d answers; %d are asked for", b->kept_count, b->answers);
    for (int32_t i = b->beams - 1; i >= 0; i--)
        scheduler_remove(d->scheduler, &r->sequences[i]);
    for (int32_t i = 0; i < b->answers; i++)
        deliver_tokens(d, r, &b->kept[i], i);
    return OK;
}

/* Whether no beam, ended as it is now, would be better than all that is kept. */
static bool is_over(const Beam *b, const Request *r, int32_t going)
{
    if (going == 0)
        return true;
    const Candidate *best = &b->all[0];
    int32_t length = r->sequences[best->beam].known + 1 - r->sequences[best->beam].prompt;
    return b->kept_count == b->beams && best->score / pow(length, b->penalty) <= b->kept[b->beams - 1].score;
}

static Err advance(Deliver *d, Beam *b, Request *r, Error *err)
{
    int32_t going = choose(b, r, gather(b));
    if (is_over(b, r, going))
        return finish(d, b, r, err);
    assign(b, r, going);
    copy_pasts(d, b, r);
    grow(b, r);
    return OK;
}

Err beam_row(Deliver *d, Sequence *q, const float *logits, Error *err)
{
    Request *r = q->request;
    Beam *b = r->beam;
    Peak peak = b->scan->peak(logits, d->vocabulary);
    if (!b->live[q->sample])
        return OK;   /* a past that nobody goes on from, computed once more after an interruption */
    if (peak.broken >= 0)
        return fail(err, BAD_FILE, "the logit of token %d is no number: the weights are damaged", peak.broken);
    for (int32_t i = 1; r->followers > 0 && i < b->beams; i++)   /* the prompt is computed */
        scheduler_fork(d->scheduler, q, &r->sequences[i]);
    double norm = (double)peak.value + log(b->scan->exp_sum(logits, d->vocabulary, peak.value, 1));
    find_candidates(b, q, logits, d->vocabulary, norm);
    b->ready[q->sample] = true;
    for (int32_t i = 0; i < b->beams; i++)
        if (b->live[i] && !b->ready[i])
            return OK;
    return advance(d, b, r, err);
}

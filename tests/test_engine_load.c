/* The engine under load: who goes first, who is interrupted, stopped, late, or held to a grammar. */
#include "test.h"

#include <math.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/arena.h"
#include "engine/queue_share.h"
#include "engine/tenants.h"
#include "engine_bench.h"

/* --- a clock that the tests can move on --- */

static time_t moved;

int clock_gettime(clockid_t, struct timespec *);
int clock_gettime(clockid_t clock, struct timespec *t)
{
    long result = syscall(SYS_clock_gettime, clock, t);
    t->tv_sec += moved;
    return (int)result;
}

/* --- requests side by side --- */

enum { MANY = 8 };

typedef struct Party {
    Bench b;
    Request *request[MANY];
    Answer answer[MANY];
    int32_t count, order[MANY], ended;     /* order: in which they ended */
} Party;

static void invite(Party *p, RequestOptions o) { p->request[p->count++] = submit(&p->b, o); }

static bool party_step(Party *p)
{
    bool stepped = engine_step(p->b.engine);
    for (int32_t i = 0; i < p->count; i++) {
        bool had_ended = p->answer[i].ended;
        read_answer(p->request[i], &p->answer[i]);
        if (p->answer[i].ended && !had_ended)
            p->order[p->ended++] = i;
    }
    Error err;
    must_be_ok(engine_audit(p->b.engine, &err), &err);
    return stepped;
}

static void party_close(Party *p)
{
    while (party_step(p))
        continue;
    assert_int_equal(p->ended, p->count);
    for (int32_t i = 0; i < p->count; i++)
        request_close(p->request[i]);
    for (int32_t g = 0; g < 2; g++)
        assert_int_equal(engine_stats(p->b.engine).blocks[g].held, 0);
    bench_close(&p->b);
}

static void assert_order(const Party *p, const int32_t *order)
{
    assert_memory_equal(p->order, order, (size_t)p->count * sizeof *order);
}

static EngineOptions one_at_a_time(const char *policy)
{
    EngineOptions o = bench_options();
    o.sequences = 1;
    o.policy = policy;
    return o;
}

static Answer alone(RequestOptions o)
{
    Bench b;
    bench_open(&b, bench_options());
    Answer a = solo(&b, o);
    bench_close(&b);
    return a;
}

/* --- policies --- */

static void who_came_first_goes_first(void **state)
{
    (void)state;
    Party p = {0};
    bench_open(&p.b, one_at_a_time("fcfs"));
    for (int32_t i = 0; i < 3; i++) {
        RequestOptions o = asking(some_prompt + i, 60 - 20 * i, 3);
        o.priority = i;
        invite(&p, o);
    }
    party_close(&p);
    assert_order(&p, (int32_t[]){0, 1, 2});
}

static void the_shortest_prompt_goes_first(void **state)
{
    (void)state;
    Party p = {0};
    bench_open(&p.b, one_at_a_time("spf"));
    for (int32_t i = 0; i < 4; i++)
        invite(&p, asking(some_prompt + i, (int32_t[]){50, 10, 90, 10}[i], 3));
    party_close(&p);
    assert_order(&p, (int32_t[]){1, 3, 0, 2});
}

/* The cache is asked when somebody can start, not when they came: the second has shared nothing by then. */
static void the_longest_known_prefix_goes_first(void **state)
{
    (void)state;
    Party p = {0};
    bench_open(&p.b, one_at_a_time("lpf"));
    invite(&p, asking(some_prompt, 64, 3));
    party_step(&p);
    invite(&p, asking(some_prompt + 100, 64, 3));
    invite(&p, asking(some_prompt, 40, 3));
    invite(&p, asking(some_prompt, 80, 3));
    party_close(&p);
    assert_order(&p, (int32_t[]){0, 3, 2, 1});
    assert_int_equal(p.answer[3].times.reused_tokens, 64);
}

/* Protects a class from a lower one: its slot is taken, its blocks go back, and its answer stays the same. */
static void a_higher_class_takes_the_slot_of_a_lower(void **state)
{
    (void)state;
    Party p = {0};
    bench_open(&p.b, one_at_a_time("priority"));
    RequestOptions low = asking(some_prompt, 50, 30), high = asking(some_prompt + 7, 20, 5);
    high.priority = 1;
    invite(&p, low);
    for (int32_t i = 0; i < 5; i++)
        party_step(&p);
    invite(&p, high);
    party_step(&p);
    assert_int_equal(p.answer[1].count, 1);
    party_close(&p);
    assert_order(&p, (int32_t[]){1, 0});
    Answer plain = alone(low);
    assert_same(&plain, &p.answer[0]);
    assert_int_equal(p.answer[0].times.preemptions, 1);
    assert_true(p.answer[0].times.waited > 0);
    assert_in_range(p.answer[0].times.recomputed_tokens, 1, 16);   /* the last block had no name */
}

static void a_higher_class_takes_the_memory_of_a_lower(void **state)
{
    (void)state;
    Party p = {0};
    EngineOptions options = bench_options();
    options.cache_tokens = CONTEXT;
    options.policy = "priority";
    bench_open(&p.b, options);
    RequestOptions low = asking(some_prompt, 150, 30), high = asking(some_prompt + 7, 150, 5);
    high.priority = 1;
    invite(&p, low);
    for (int32_t i = 0; i < 5; i++)
        party_step(&p);
    invite(&p, high);
    party_close(&p);
    assert_order(&p, (int32_t[]){1, 0});
    Answer plain = alone(low);
    assert_same(&plain, &p.answer[0]);
}

/* Without patience the first would be the last: they all go before it. */
static void who_has_waited_long_enough_goes_next(void **state)
{
    (void)state;
    for (int32_t patience = 20; patience <= 1000; patience += 980) {
        Party p = {0};
        EngineOptions options = one_at_a_time("priority");
        options.patience = patience;
        bench_open(&p.b, options);
        invite(&p, asking(some_prompt, 50, 5));
        for (int32_t i = 1; i < MANY; i++) {
            RequestOptions high = asking(some_prompt + i, 20, 10);
            high.priority = 1;
            invite(&p, high);
        }
        party_close(&p);
        int32_t place = 0;
        while (p.order[place] != 0)
            place++;
        assert_int_equal(place, patience == 20 ? 2 : MANY - 1);   /* ten steps each: two have ended by then */
    }
}

/* --- tenants --- */

static void tenants_take_turns(void **state)
{
    (void)state;
    for (int32_t fair = 0; fair < 2; fair++) {
        Party p = {0};
        EngineOptions options = one_at_a_time("fcfs");
        options.fair = fair == 1;
        bench_open(&p.b, options);
        for (int32_t i = 0; i < 6; i++) {
            RequestOptions o = asking(some_prompt + i, 20, 5);
            o.tenant = i == 5;
            invite(&p, o);
        }
        party_close(&p);
        assert_int_equal(p.order[fair ? 1 : 5], 5);
    }
}

static void a_flood_does_not_fill_the_queue(void **state)
{
    (void)state;
    Party p = {0};
    Error err;
    EngineOptions options = one_at_a_time("fcfs");
    options.fair = true;
    options.queue = 8;
    bench_open(&p.b, options);
    RequestOptions flood = asking(some_prompt, 20, 5), other = flood;
    other.tenant = 1;
    for (int32_t i = 0; i < 4; i++)
        invite(&p, flood);
    assert_int_equal(engine_submit(p.b.engine, &flood, &p.request[4], &err), LIMIT_REACHED);
    assert_non_null(strstr(err.text, "share of the 8 places"));
    invite(&p, other);
    party_step(&p);                /* one of the flood has started: there is room for another */
    invite(&p, flood);
    party_close(&p);
}

/* Protects the counters: staying away saves nothing up, and what was served is not forgotten. */
static void a_tenant_that_comes_back_is_lifted_to_the_others(void **state)
{
    (void)state;
    Arena *arena = arena_new(1 << 20);
    Tenants *t = tenants_new(arena, 3);
    int32_t a = tenants_enter(t, 10), b = tenants_enter(t, 20);
    tenants_serve(t, a, 500);
    tenants_serve(t, b, 900);
    int32_t c = tenants_enter(t, 30);
    assert_int_equal(tenants_served(t, c), 500);       /* the least of those that wait */
    tenants_start(t, b);
    tenants_leave(t, b);
    assert_int_equal(tenants_enter(t, 20), b);
    assert_int_equal(tenants_served(t, b), 900);       /* its own, which is more */
    tenants_start(t, c);
    tenants_leave(t, c);
    int32_t d = tenants_enter(t, 40);                  /* the table is full: who is away gives its place */
    assert_int_equal(d, c);
    assert_int_equal(tenants_served(t, d), 500);
    arena_free(arena);
}

static void a_share_of_the_queue_leaves_as_much_to_others(void **state)
{
    (void)state;
    Arena *arena = arena_new(1 << 20);
    QueueShare *s = queue_share_new(arena, 8);
    int32_t taken = 0;
    for (; queue_share_take(s, 1, 8 - taken); taken++)
        continue;
    assert_int_equal(taken, 4);
    for (; queue_share_take(s, 2, 8 - taken); taken++)
        continue;
    assert_int_equal(queue_share_held(s, 2), 2);
    queue_share_give(s, 1);
    assert_int_equal(queue_share_held(s, 1), 3);
    assert_true(queue_share_take(s, 3, 3));
    arena_free(arena);
}

/* --- stops, ends, deadlines --- */

static RequestOptions three_samples(int32_t prompt, int32_t tokens)
{
    RequestOptions o = asking(some_prompt, prompt, tokens);
    o.samples = 3;
    o.sampling.temperature = 1;
    return o;
}

/* Protects the other samples: wherever their leader was when it was stopped, in the queue, in the middle of
 * the prompt or behind it, they receive what they would have. */
static void a_stopped_sample_leaves_the_others_alone(void **state)
{
    (void)state;
    for (int32_t steps = 0; steps < 12; steps += 3)
        for (int32_t stopped = 0; stopped < 3; stopped++) {
            Bench b;
            EngineOptions options = bench_options();
            options.rows = 10;
            bench_open(&b, options);
            Answer plain[3] = {0}, answers[3] = {0};
            Request *r = submit(&b, three_samples(40, 20));
            finish(&b, r, plain);
            request_close(r);
            bench_close(&b);
            bench_open(&b, options);
            r = submit(&b, three_samples(40, 20));
            for (int32_t i = 0; i < steps; i++)
                assert_true(engine_step(b.engine));
            request_stop(r, stopped);
            assert_true(engine_step(b.engine));
            read_answer(r, answers);
            assert_true(answers[stopped].ended);
            assert_int_equal(answers[stopped].reason, END_STOP);
            assert_true(answers[stopped].count < 20);
            finish(&b, r, answers);
            for (int32_t i = 0; i < 3; i++)
                if (i != stopped)
                    assert_same(&plain[i], &answers[i]);
            request_close(r);
            assert_int_equal(engine_stats(b.engine).blocks[0].held, 0);
            bench_close(&b);
        }
}

static void count_call(void *with) { ++*(int *)with; }

static void nobody_is_notified_of_a_closed_request(void **state)
{
    (void)state;
    Bench b;
    int calls = 0;
    bench_open(&b, bench_options());
    RequestOptions o = asking(some_prompt, 20, 20);
    o.notify = count_call;
    o.notify_with = &calls;
    Request *r = submit(&b, o);
    engine_step(b.engine);
    assert_int_equal(calls, 1);
    request_close(r);
    while (engine_step(b.engine))
        continue;
    assert_int_equal(calls, 1);
    assert_int_equal(engine_stats(b.engine).queued + engine_stats(b.engine).serving, 0);
    bench_close(&b);
}

/* Of 20 tokens the first is told at once, then four by four, and the last three with the end. */
static void tokens_wait_for_each_other(void **state)
{
    (void)state;
    Bench b;
    Answer answer[1] = {0};
    Error err;
    int calls = 0, told[8] = {0}, wanted[] = {1, 5, 9, 13, 17, 20};
    bench_open(&b, bench_options());
    RequestOptions o = asking(some_prompt, 20, 20);
    o.notify = count_call;
    o.notify_with = &calls;
    o.notify_tokens = bench_options().events;
    assert_int_equal(engine_check(b.engine, &o, &err), BAD_ARGUMENT);
    o.notify_tokens = -1;
    assert_int_equal(engine_check(b.engine, &o, &err), BAD_ARGUMENT);
    o.notify_tokens = 4;
    Request *r = submit(&b, o);
    for (int seen = 0; engine_step(b.engine);)
        if (calls > seen) {
            read_answer(r, answer);
            assert_true(calls <= (int)COUNT_OF(wanted));
            told[calls - 1] = answer->count;
            seen = calls;
        }
    assert_true(answer->ended);
    assert_int_equal(calls, COUNT_OF(wanted));
    for (size_t i = 0; i < COUNT_OF(wanted); i++)
        assert_int_equal(told[i], wanted[i]);
    request_close(r);
    bench_close(&b);
}

static void who_waits_too_long_expires_and_who_started_does_not(void **state)
{
    (void)state;
    Party p = {0};
    bench_open(&p.b, one_at_a_time("fcfs"));
    RequestOptions o = asking(some_prompt, 20, 10);
    o.queue_seconds = 5;
    invite(&p, o);
    invite(&p, o);
    party_step(&p);
    moved += 6;
    party_step(&p);
    assert_int_equal(p.answer[1].reason, END_EXPIRED);
    assert_true(p.answer[1].ended && p.answer[1].count == 0 && p.answer[1].times.started == 0);
    party_close(&p);
    assert_int_equal(p.answer[0].reason, END_LENGTH);
}

static void who_takes_too_long_ends_with_what_it_has(void **state)
{
    (void)state;
    Bench b;
    bench_open(&b, bench_options());
    RequestOptions o = asking(some_prompt, 20, 30);
    Answer plain = solo(&b, o), a = {0};
    o.total_seconds = 60;
    Request *r = submit(&b, o);
    for (int32_t i = 0; i < 7; i++)
        engine_step(b.engine);
    moved += 61;
    assert_false(engine_step(b.engine));
    read_answer(r, &a);
    assert_int_equal(a.reason, END_EXPIRED);
    assert_int_equal(a.count, 7);
    assert_memory_equal(a.tokens, plain.tokens, sizeof(int32_t) * 7);
    request_close(r);
    bench_close(&b);
}

/* A sequence that rests has nothing to do until its reader comes, or until it expires. */
static void a_sleeping_engine_wakes_for_a_deadline(void **state)
{
    (void)state;
    Bench b;
    Answer a = {0};
    EngineOptions options = bench_options();
    options.events = 4;
    moved = 0;                             /* the kernel's own clock says when to wake */
    bench_open(&b, options);
    RequestOptions o = asking(some_prompt, 20, 30);
    o.total_seconds = 0.05;
    Request *r = submit(&b, o);
    while (engine_step(b.engine))
        continue;
    for (int32_t i = 0; i < 2; i++) {      /* it may be awake still of what came before */
        engine_wait(b.engine, 1e6);
        engine_step(b.engine);
    }
    read_answer(r, &a);
    assert_int_equal(a.reason, END_EXPIRED);
    request_close(r);
    bench_close(&b);
}

static void wrong_limits_are_named(void **state)
{
    (void)state;
    Bench b;
    Request *r;
    Error err;
    bench_open(&b, bench_options());
    RequestOptions bad[2] = {asking(some_prompt, 4, 4), asking(some_prompt, 4, 4)};
    bad[0].queue_seconds = -1;
    bad[1].total_seconds = NAN;
    const char *const says[2] = {"queue_seconds: -1", "total_seconds: "};
    for (int32_t i = 0; i < 2; i++) {
        assert_int_equal(engine_submit(b.engine, &bad[i], &r, &err), BAD_ARGUMENT);
        assert_non_null(strstr(err.text, says[i]));
    }
    Engine *engine;
    EngineOptions options = bench_options();
    EngineModel model = {.shape = &b.shape, .kv = &b.layout};
    options.policy = "lifo";
    assert_int_equal(engine_new(&engine, &options, &model, b.device, &err), BAD_ARGUMENT);
    assert_non_null(strstr(err.text, "'lifo' is unknown; there are fcfs, priority, spf, lpf"));
    options.policy = "fcfs";
    options.patience = 0;
    assert_int_equal(engine_new(&engine, &options, &model, b.device, &err), BAD_ARGUMENT);
    assert_non_null(strstr(err.text, "patience: 0"));
    bench_close(&b);
}

/* --- constraints --- */

/* Each token is of the other parity than the one before; after `most` tokens nothing may come. */
typedef struct Parity {
    int32_t accepted[3][ANSWER_MAX], count[3], most;
    uint32_t mask[2];
} Parity;

static const uint32_t *parity_allowed(void *with, int32_t sample)
{
    Parity *p = with;
    int32_t n = p->count[sample], odd = n > 0 ? !(p->accepted[sample][n - 1] & 1) : 0;
    p->mask[0] = p->mask[1] = n >= p->most ? 0 : odd ? 0xaaaaaaaa : 0x55555555;
    return p->mask;
}

static void parity_accept(void *with, int32_t sample, int32_t id)
{
    Parity *p = with;
    p->accepted[sample][p->count[sample]++] = id;
}

static void hold_to(RequestOptions *o, Parity *p)
{
    o->constraint = (Constraint){.allowed = parity_allowed, .accept = parity_accept, .with = p};
}

static void assert_accepted(const Parity *p, const Answer *answers, int32_t samples)
{
    for (int32_t s = 0; s < samples; s++) {
        assert_int_equal(p->count[s], answers[s].count);
        assert_memory_equal(p->accepted[s], answers[s].tokens, (size_t)p->count[s] * sizeof(int32_t));
        for (int32_t i = 0; i < p->count[s]; i++)
            assert_int_equal(p->accepted[s][i] & 1, i & 1);
    }
}

static void each_sample_is_held_to_its_own_grammar(void **state)
{
    (void)state;
    Bench b;
    bench_open(&b, bench_options());
    Parity p = {.most = ANSWER_MAX};
    Answer answers[3] = {0};
    RequestOptions o = three_samples(30, 20);
    hold_to(&o, &p);
    Request *r = submit(&b, o);
    finish(&b, r, answers);
    assert_accepted(&p, answers, 3);
    assert_memory_not_equal(answers[0].tokens, answers[1].tokens, sizeof(int32_t) * 20);
    request_close(r);
    bench_close(&b);
}

typedef struct Guesser {
    const Answer *answer;
    int32_t prompt;
} Guesser;

/* Every third is wrong. */
static int32_t guess(void *with, const int32_t *tokens, int32_t known, int32_t *drafts, int32_t most)
{
    (void)tokens;
    const Guesser *g = with;
    int32_t count = 0;
    for (int32_t at = known - g->prompt; count < most && at < g->answer->count; count++, at++)
        drafts[count] = at % 3 == 2 ? (g->answer->tokens[at] + 1) % VOCABULARY : g->answer->tokens[at];
    return count;
}

static void a_wrong_draft_is_never_accepted_by_a_grammar(void **state)
{
    (void)state;
    Bench b;
    Parity plain = {.most = ANSWER_MAX}, drafted = plain;
    RequestOptions o = asking(some_prompt, 30, 24);
    hold_to(&o, &plain);
    Answer expected = alone(o);
    Guesser guesser = {&expected, 30};
    EngineOptions options = bench_options();
    options.drafter = (EngineDrafter){guess, &guesser, 4};
    bench_open(&b, options);
    hold_to(&o, &drafted);
    Answer a = solo(&b, o);
    assert_same(&expected, &a);
    assert_accepted(&drafted, &a, 1);
    EngineStats stats = engine_stats(b.engine);
    assert_true(stats.accepted_tokens > 0 && stats.drafted_tokens > stats.accepted_tokens);
    bench_close(&b);
}

static void a_grammar_that_leaves_nothing_ends_its_answer(void **state)
{
    (void)state;
    Party p = {0};
    Parity parity = {.most = 4};
    bench_open(&p.b, bench_options());
    RequestOptions held = asking(some_prompt, 30, 20), other = asking(some_prompt + 3, 30, 20);
    hold_to(&held, &parity);
    invite(&p, held);
    invite(&p, other);
    while (party_step(&p))
        continue;
    assert_int_equal(p.answer[0].reason, END_STOP);
    assert_int_equal(p.answer[0].count, 4);
    Answer plain = alone(other);
    assert_same(&plain, &p.answer[1]);
    party_close(&p);
}

/* --- what it shows of itself --- */

typedef struct Watch {
    StepReport last;
    int32_t steps, prefill_most, started, ended;
    int64_t rows;
} Watch;

static void watch(void *with, const StepReport *r)
{
    Watch *w = with;
    assert_int_equal(r->step, ++w->steps);
    assert_int_equal(r->rows, r->prefill_rows + r->decode_rows);
    assert_true(r->plan_seconds >= 0 && r->forward_seconds >= 0 && r->deliver_seconds >= 0);
    if (r->decode_rows > 0 && r->prefill_rows > w->prefill_most)
        w->prefill_most = r->prefill_rows;
    w->rows += r->rows;
    w->started += r->started;
    w->ended += r->ended;
    w->last = *r;
}

/* Protects the time between tokens: a step beside those that generate is as small as was asked for. */
static void prompts_take_no_more_rows_than_they_may_while_others_generate(void **state)
{
    (void)state;
    Party p = {0};
    Watch w = {0};
    EngineOptions options = bench_options();
    options.prefill_rows = 5;
    options.observe = watch;
    options.observe_with = &w;
    bench_open(&p.b, options);
    invite(&p, asking(some_prompt, 60, 60));
    party_step(&p);
    assert_int_equal(w.last.prefill_rows, 60);         /* nobody generated yet */
    invite(&p, asking(some_prompt + 1, 60, 1));
    for (int32_t i = 0; i < 12; i++) {
        int32_t before = p.answer[0].count;
        party_step(&p);
        assert_int_equal(p.answer[0].count, before + 1);
        assert_int_equal(w.last.decode_rows, 1);
    }
    assert_int_equal(w.prefill_most, 5);
    assert_int_equal(p.answer[1].count, 1);
    assert_int_equal(p.answer[1].times.prompt_steps, 12);
    party_close(&p);
    assert_int_equal(w.rows, 60 + 59 + 60);
    assert_int_equal(w.started, 2);
    assert_int_equal(w.ended, 2);
    assert_int_equal(w.last.running, 0);
}

static void who_is_there_can_be_seen(void **state)
{
    (void)state;
    Bench b;
    SequenceView view[MANY];
    EngineOptions options = bench_options();
    options.sequences = 3;
    options.rows = 20;
    bench_open(&b, options);
    RequestOptions first = asking(some_prompt, 10, 30), second = asking(some_prompt, 100, 5);
    first.tag = 7;
    first.tenant = 70;
    second.samples = 2;
    second.priority = 3;
    Request *r[3] = {submit(&b, first), submit(&b, second), submit(&b, first)};
    engine_step(b.engine);
    engine_step(b.engine);
    assert_int_equal(engine_sequences(b.engine, view, 2), 2);
    assert_int_equal(engine_sequences(b.engine, view, MANY), 4);
    assert_true(view[0].phase == PHASE_GENERATES && view[1].phase == PHASE_PREFILL);
    assert_true(view[2].phase == PHASE_FOLLOWS && view[3].phase == PHASE_QUEUED);
    assert_int_equal(view[0].known, 12);
    assert_true(view[0].tag == 7 && view[0].tenant == 70 && view[0].slot >= 0);
    assert_true(view[1].computed < view[1].prompt && view[1].priority == 3);
    assert_true(view[1].request == view[2].request && view[1].request != view[0].request);
    assert_true(view[3].slot == -1 && view[3].age >= view[3].waiting && view[3].waiting > 0);
    EngineStats stats = engine_stats(b.engine);
    assert_int_equal(stats.queued, 1);
    assert_int_equal(stats.serving, 2);
    for (int32_t i = 0; i < 3; i++)
        request_close(r[i]);
    bench_close(&b);
}

int main(void)
{
    fill_prompt(5);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_came_first_goes_first),
        cmocka_unit_test(the_shortest_prompt_goes_first),
        cmocka_unit_test(the_longest_known_prefix_goes_first),
        cmocka_unit_test(a_higher_class_takes_the_slot_of_a_lower),
        cmocka_unit_test(a_higher_class_takes_the_memory_of_a_lower),
        cmocka_unit_test(who_has_waited_long_enough_goes_next),
        cmocka_unit_test(tenants_take_turns),
        cmocka_unit_test(a_flood_does_not_fill_the_queue),
        cmocka_unit_test(a_tenant_that_comes_back_is_lifted_to_the_others),
        cmocka_unit_test(a_share_of_the_queue_leaves_as_much_to_others),
        cmocka_unit_test(a_stopped_sample_leaves_the_others_alone),
        cmocka_unit_test(nobody_is_notified_of_a_closed_request),
        cmocka_unit_test(tokens_wait_for_each_other),
        cmocka_unit_test(who_waits_too_long_expires_and_who_started_does_not),
        cmocka_unit_test(who_takes_too_long_ends_with_what_it_has),
        cmocka_unit_test(a_sleeping_engine_wakes_for_a_deadline),
        cmocka_unit_test(wrong_limits_are_named),
        cmocka_unit_test(each_sample_is_held_to_its_own_grammar),
        cmocka_unit_test(a_wrong_draft_is_never_accepted_by_a_grammar),
        cmocka_unit_test(a_grammar_that_leaves_nothing_ends_its_answer),
        cmocka_unit_test(prompts_take_no_more_rows_than_they_may_while_others_generate),
        cmocka_unit_test(who_is_there_can_be_seen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

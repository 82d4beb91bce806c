/* The engine, one promise a test; the simulation (test_engine_sim.c) tests them all at once. */
#include "test.h"

#include <pthread.h>
#include <stdatomic.h>

#include "devices/cpu/cpu_device.h"
#include "engine_bench.h"
#include "model/model_open.h"

/* --- counting allocations: those of this program go through here --- */

static _Thread_local int64_t allocations;
#if !defined __SANITIZE_ADDRESS__ && !defined __SANITIZE_THREAD__
void *__libc_malloc(size_t);
void *__libc_calloc(size_t, size_t);
void *__libc_realloc(void *, size_t);
void *malloc(size_t bytes)
{
    allocations++;
    return __libc_malloc(bytes);
}
void *calloc(size_t n, size_t bytes)
{
    allocations++;
    return __libc_calloc(n, bytes);
}
void *realloc(void *p, size_t bytes)
{
    allocations++;
    return __libc_realloc(p, bytes);
}
#endif

/* --- admission --- */

static void what_can_never_fit_is_refused_at_once_with_the_numbers(void **state)
{
    (void)state;
    Bench b;
    Request *r;
    Error err;
    EngineOptions small_cache = bench_options();
    small_cache.cache_tokens = 100;
    bench_open(&b, small_cache);
    assert_int_equal(engine_longest(b.engine), 112);   /* 7 blocks of 16 */
    RequestOptions o = asking(some_prompt, 110, 3);
    assert_int_equal(engine_submit(b.engine, &o, &r, &err), NO_MEMORY);
    assert_non_null(strstr(err.text, "113"));
    assert_non_null(strstr(err.text, "112"));
    o = asking(some_prompt, 110, TOKENS_ALL);
    Answer a = solo(&b, o);
    assert_int_equal(a.count, 2);
    assert_int_equal(a.reason, END_LENGTH);
    bench_close(&b);
}

static void a_wrong_field_is_named(void **state)
{
    (void)state;
    Bench b;
    Request *r;
    Error err;
    bench_open(&b, bench_options());
    const int32_t unknown[] = {1, VOCABULARY};
    RequestOptions good = asking(some_prompt, 4, 4), bad[6] = {good, good, good, good, good, good};
    const char *const says[6] = {"empty", "token 1 of the prompt is 40", "samples: 9",
                                 "max_tokens: -2", "score_from: 4", "top_p"};
    bad[0].prompt_count = 0;
    bad[1].prompt = unknown;
    bad[1].prompt_count = 2;
    bad[2].samples = 9;
    bad[3].max_tokens = -2;
    bad[4].score_from = 4;
    bad[5].sampling.top_p = -1;
    for (int i = 0; i < 6; i++) {
        assert_int_equal(engine_submit(b.engine, &bad[i], &r, &err), BAD_ARGUMENT);
        if (!strstr(err.text, says[i]))
            print_error("'%s' does not say '%s'\n", err.text, says[i]);
        assert_non_null(strstr(err.text, says[i]));
    }
    bench_close(&b);
}

static void a_full_queue_says_so_and_takes_again_later(void **state)
{
    (void)state;
    Bench b;
    Error err;
    EngineOptions options = bench_options();
    options.queue = 2;
    options.sequences = 1;
    bench_open(&b, options);
    Request *r[3];
    RequestOptions o = asking(some_prompt, 8, 8);
    r[0] = submit(&b, o);
    r[1] = submit(&b, o);
    assert_int_equal(engine_submit(b.engine, &o, &r[2], &err), LIMIT_REACHED);
    assert_true(engine_step(b.engine));   /* one left the queue */
    r[2] = submit(&b, o);
    while (engine_step(b.engine))
        continue;
    for (int i = 0; i < 3; i++) {
        Answer a = {0};
        read_answer(r[i], &a);
        assert_int_equal(a.count, 8);
        request_close(r[i]);
    }
    bench_close(&b);
}

/* --- sharing --- */

static void samples_compute_their_prompt_once(void **state)
{
    (void)state;
    Bench b;
    bench_open(&b, bench_options());
    Answer answers[4] = {0};
    RequestOptions o = asking(some_prompt, 45, 10);
    o.samples = 4;
    o.sampling.temperature = 1;
    Request *r = submit(&b, o);
    finish(&b, r, answers);
    request_close(r);
    EngineStats stats = engine_stats(b.engine);
    assert_int_equal(stats.rows, 45 + 4 * 9);                 /* the last token is never computed */
    assert_int_equal(stats.copies, 3 * 2);                    /* of the last block: by three of four, in two groups */
    assert_int_equal(stats.generated_tokens, 40);
    for (int i = 1; i < 4; i++)
        assert_memory_not_equal(answers[0].tokens, answers[i].tokens, sizeof(int32_t) * 10);
    bench_close(&b);
}

static void hold_a_conversation(const Bench *kind)
{
    Bench b;
    int32_t talk[CONTEXT], known = 37;
    bench_open_as(&b, kind, bench_options());
    memcpy(talk, some_prompt, sizeof talk);
    for (int turn = 0; turn < 4; turn++) {
        Answer a = solo(&b, asking(talk, known, 20));
        assert_int_equal(a.count, 20);
        if (turn > 0)
            assert_in_range(known - a.times.reused_tokens, 1, 8 + 16);   /* what was said since, and a block at most */
        memcpy(talk + known, a.tokens, sizeof(int32_t) * 20);
        known += 20 + 7;
    }
    bench_close(&b);
}

static void a_conversation_computes_only_what_is_new(void **state)
{
    (void)state;
    hold_a_conversation(&bench_attention);
    hold_a_conversation(&bench_states);
    hold_a_conversation(&bench_mixed);
}

/* The first computes all of it, the second finds that its past is known but for the state, and leaves one. */
static void a_common_beginning_is_computed_twice_where_states_are_kept(void **state)
{
    (void)state;
    const Bench *kinds[] = {&bench_states, &bench_mixed};
    for (size_t k = 0; k < COUNT_OF(kinds); k++) {
        Bench b;
        int32_t prompt[CONTEXT];
        bench_open_as(&b, kinds[k], bench_options());
        memcpy(prompt, some_prompt, sizeof prompt);
        for (int32_t i = 0; i < 5; i++) {
            prompt[70] = i;                                       /* they part after 4 blocks of 16 and 6 tokens */
            Answer a = solo(&b, asking(prompt, 100, 4));
            assert_int_equal(a.times.reused_tokens, i < 2 ? 0 : 64);
        }
        bench_close(&b);
    }
}

/* --- drafts --- */

typedef struct Oracle {
    const Answer *answer;      /* after `prompt` tokens */
    int32_t prompt, wrong_at;  /* the draft of this place of the answer is wrong; -1: none */
} Oracle;

static int32_t propose(void *with, const int32_t *tokens, int32_t known, int32_t *drafts, int32_t most)
{
    (void)tokens;
    const Oracle *o = with;
    int32_t count = 0;
    for (int32_t at = known - o->prompt; count < most && at < o->answer->count; count++, at++)
        drafts[count] = at == o->wrong_at ? (o->answer->tokens[at] + 1) % VOCABULARY : o->answer->tokens[at];
    return count;
}

static void drafts_change_the_number_of_steps_and_nothing_else(void **state)
{
    (void)state;
    const Bench *kinds[] = {&bench_attention, &bench_states, &bench_mixed};
    for (size_t k = 0; k < COUNT_OF(kinds); k++) {
        Bench b;
        RequestOptions o = asking(some_prompt, 20, 25);
        bench_open_as(&b, kinds[k], bench_options());
        Answer plain = solo(&b, o);
        bench_close(&b);
        for (int32_t wrong_at = -1; wrong_at < 12; wrong_at++) {
            Oracle oracle = {&plain, 20, wrong_at};
            EngineOptions options = bench_options();
            options.state_snapshots = 0;                           /* no step ends early */
            options.drafter = (EngineDrafter){propose, &oracle, 5};
            bench_open_as(&b, kinds[k], options);
            Answer drafted = solo(&b, o);
            EngineStats stats = engine_stats(b.engine);
            assert_same(&plain, &drafted);
            bool rejected = wrong_at % 6 > 0;                      /* each sixth comes of the last draft's logits */
            assert_int_equal(stats.drafted_tokens - stats.accepted_tokens > 0, rejected);
            if (!rejected)
                assert_int_equal(stats.steps, 1 + 24 / 6);
            assert_true(stats.steps < 25 - 12);
            bench_close(&b);
        }
    }
}

static void a_salt_keeps_pasts_apart(void **state)
{
    (void)state;
    Bench b;
    bench_open(&b, bench_options());
    RequestOptions o = asking(some_prompt, 60, 4);
    assert_int_equal(solo(&b, o).times.reused_tokens, 0);
    assert_int_equal(solo(&b, o).times.reused_tokens, 48);
    o.salt = 1;
    assert_int_equal(solo(&b, o).times.reused_tokens, 0);
    bench_close(&b);
}

/* --- living together --- */

static void an_error_of_one_ends_only_that_one(void **state)
{
    (void)state;
    Bench b;
    bench_open(&b, bench_options());
    RequestOptions good = asking(some_prompt, 30, 30);
    Answer alone = solo(&b, good), beside = {0}, broken[2] = {0};
    int32_t prompt[20];
    memcpy(prompt, some_prompt, sizeof prompt);
    prompt[19] = BROKEN;
    RequestOptions bad = asking(prompt, 20, 10);
    bad.samples = 2;
    Request *a = submit(&b, good), *c = submit(&b, bad);
    finish(&b, a, &beside);
    read_answer(c, broken);
    assert_same(&alone, &beside);
    for (int i = 0; i < 2; i++)
        assert_int_equal(broken[i].reason, END_ERROR);
    assert_true(strlen(request_error(c)) > 0);
    request_close(a);
    request_close(c);
    bench_close(&b);
}

static void a_long_prompt_does_not_stop_the_others(void **state)
{
    (void)state;
    Bench b;
    EngineOptions options = bench_options();
    options.rows = 8;
    bench_open(&b, options);
    Answer running = {0}, late = {0};
    Request *a = submit(&b, asking(some_prompt, 4, 60));
    engine_step(b.engine);
    Request *c = submit(&b, asking(some_prompt + 10, 200, 1));
    int steps = 0;
    for (; late.count == 0 && steps < 100; steps++) {
        int32_t before = running.count;
        engine_step(b.engine);
        read_answer(a, &running);
        read_answer(c, &late);
        assert_true(running.count > before);
    }
    assert_int_equal(steps, 29);   /* 200 rows, 7 a step beside the one that runs */
    request_close(a);
    request_close(c);
    bench_close(&b);
}

static void a_cancelled_request_gives_all_back_within_a_step(void **state)
{
    (void)state;
    Bench b;
    bench_open(&b, bench_options());
    Answer answers[3] = {0};
    RequestOptions o = asking(some_prompt, 100, 50);
    o.samples = 3;
    Request *r = submit(&b, o);
    for (int i = 0; i < 5; i++)
        engine_step(b.engine);
    assert_true(engine_stats(b.engine).blocks[0].held > 0);
    request_cancel(r);
    assert_false(engine_step(b.engine));
    assert_int_equal(engine_stats(b.engine).blocks[0].held, 0);
    assert_int_equal(engine_stats(b.engine).blocks[1].held, 0);
    read_answer(r, answers);
    for (int i = 0; i < 3; i++)
        assert_int_equal(answers[i].reason, END_CANCELLED);
    request_close(r);
    bench_close(&b);
}

static void a_slow_reader_rests_and_loses_nothing(void **state)
{
    (void)state;
    Bench b;
    EngineOptions options = bench_options();
    bench_open(&b, options);
    Answer alone = solo(&b, asking(some_prompt, 30, 40));
    bench_close(&b);
    options.events = 4;
    bench_open(&b, options);
    Answer a = {0}, other = {0};
    Request *slow = submit(&b, asking(some_prompt, 30, 40)), *fast = submit(&b, asking(some_prompt + 1, 30, 40));
    while (engine_step(b.engine))
        read_answer(fast, &other);
    read_answer(fast, &other);
    assert_int_equal(other.count, 40);
    assert_int_equal(engine_stats(b.engine).resting, 1);
    while (!request_ended(slow)) {
        read_answer(slow, &a);
        while (engine_step(b.engine))
            continue;
    }
    assert_same(&alone, &a);
    request_close(slow);
    request_close(fast);
    bench_close(&b);
}

static void an_engine_that_ends_tells_those_who_wait(void **state)
{
    (void)state;
    Bench b;
    EngineOptions options = bench_options();
    options.sequences = 1;
    bench_open(&b, options);
    Request *running = submit(&b, asking(some_prompt, 30, 40)), *queued = submit(&b, asking(some_prompt, 30, 40));
    Answer a = {0}, c = {0};
    engine_step(b.engine);
    bench_close(&b);
    read_answer(running, &a);
    read_answer(queued, &c);
    assert_int_equal(a.reason, END_CANCELLED);
    assert_int_equal(c.reason, END_CANCELLED);
    assert_true(request_ended(running) && request_ended(queued));
    request_close(running);
    request_close(queued);
}

/* --- scores --- */

static void logits_of_a_prompt_come_whole_in_any_chunks(void **state)
{
    (void)state;
    static float whole[60][VOCABULARY], part[40][VOCABULARY];
    Bench b;
    EngineOptions options = bench_options();
    RequestOptions o = asking(some_prompt, 60, 0);
    o.logits = whole[0];
    bench_open(&b, options);
    assert_int_equal(solo(&b, o).reason, END_LENGTH);
    bench_close(&b);
    options.rows = 7;
    options.logit_rows = 3;
    bench_open(&b, options);
    solo(&b, asking(some_prompt, 60, 1));   /* cached, but a row whose logits are wanted is computed all the same */
    o.logits = part[0];
    o.score_from = 20;
    solo(&b, o);
    assert_memory_equal(whole[20], part, sizeof part);
    bench_close(&b);
}

static void a_prompts_tokens_are_scored_once_each(void **state)
{
    (void)state;
    Bench b;
    Event event;
    bench_open(&b, bench_options());
    RequestOptions o = asking(some_prompt, 50, 2);
    o.prompt_logprobs = true;
    o.sampling.logprobs = 3;
    Request *r = submit(&b, o);
    while (engine_step(b.engine))
        continue;
    for (int32_t i = 1; i < 50; i++) {
        assert_true(request_next(r, &event));
        assert_int_equal(event.kind, EVENT_PROMPT);
        assert_int_equal(event.position, i);
        assert_int_equal(event.token.id, some_prompt[i]);
        assert_int_equal(event.token.best_count, 3);
        assert_true(event.token.logprob <= event.token.best[0].logprob && event.token.logprob < 0);
    }
    assert_true(request_next(r, &event) && event.kind == EVENT_TOKEN);
    request_close(r);
    bench_close(&b);
}

/* --- threads and memory --- */

static void the_engine_allocates_nothing_once_it_has_started(void **state)
{
    (void)state;
    Bench b;
    EngineOptions options = bench_options();
    options.cache_tokens = 300;   /* so that sequences are preempted and blocks evicted */
    options.policy = "lpf";
    options.fair = true;
    bench_open(&b, options);
    Request *r[8];
    for (int i = 0; i < 8; i++) {
        RequestOptions o = asking(some_prompt + i * i, 40 + i, 60);
        o.samples = 1 + i % 3;
        o.prompt_logprobs = i == 2;
        r[i] = submit(&b, o);
    }
    int64_t before = allocations;
#if !defined __SANITIZE_ADDRESS__ && !defined __SANITIZE_THREAD__
    assert_true(before > 0);
#endif
    while (engine_step(b.engine))
        continue;
    assert_int_equal(allocations, before);
    assert_true(engine_stats(b.engine).preemptions > 0);
    for (int i = 0; i < 8; i++)
        request_close(r[i]);
    bench_close(&b);
}

enum { THREADS = 4, EACH = 12 };

typedef struct Client {
    Bench *bench;
    int index;
    const Answer *expected;    /* [EACH] */
    atomic_int *working;
    int wrong;
} Client;

static RequestOptions nth(int i) { return asking(some_prompt + i * 3, 20 + i, 15); }

static void *client_run(void *with)
{
    Client *c = with;
    for (int i = 0; i < EACH; i++) {
        int which = (i + c->index * 5) % EACH;
        RequestOptions o = nth(which);
        Request *r;
        Answer a = {0};
        if (engine_submit(c->bench->engine, &o, &r, NULL) != OK) {
            c->wrong++;
            continue;
        }
        if (i % 5 == 4)
            request_cancel(r);
        if (i % 5 == 2)
            request_stop(r, 0);
        while (!request_ended(r) && request_wait(r, 10))
            read_answer(r, &a);
        bool same = a.count == 15 && memcmp(a.tokens, c->expected[which].tokens, sizeof(int32_t) * 15) == 0;
        c->wrong += !same && !(i % 5 == 4 && a.reason == END_CANCELLED) && !(i % 5 == 2 && a.reason == END_STOP);
        request_close(r);
    }
    atomic_fetch_sub(c->working, 1);
    engine_wake(c->bench->engine);
    return NULL;
}

static void many_threads_may_ask(void **state)
{
    (void)state;
    Bench b;
    Answer expected[EACH];
    Client clients[THREADS];
    pthread_t threads[THREADS];
    atomic_int working = THREADS;
    bench_open(&b, bench_options());
    for (int i = 0; i < EACH; i++)
        expected[i] = solo(&b, nth(i));
    for (int i = 0; i < THREADS; i++) {
        clients[i] = (Client){&b, i, expected, &working, 0};
        assert_int_equal(pthread_create(&threads[i], NULL, client_run, &clients[i]), 0);
    }
    while (atomic_load(&working) > 0)
        if (!engine_step(b.engine))
            engine_wait(b.engine, 10);
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(clients[i].wrong, 0);
    }
    Error err;
    assert_int_equal(engine_audit(b.engine, &err), OK);
    bench_close(&b);
}

/* --- choosing --- */

/* Every way of choosing: penalties, filters, bans, log-probabilities, samples that begin together. */
static RequestOptions choosing(int way)
{
    RequestOptions o = asking(some_prompt, 20 + way, 12);
    SamplerOptions *s = &o.sampling;
    s->temperature = way % 4 ? 0.5f + (float)way / 8 : 0;
    s->seed = (uint64_t)way;
    s->top_k = way % 3 == 1 ? 7 : 0;
    s->top_p = way % 3 == 2 ? 0.8f : 1;
    s->min_p = way % 5 == 1 ? 0.1f : 0;
    s->typical_p = way % 5 == 2 ? 0.7f : 1;
    s->repeat_penalty = way % 2 ? 1.3f : 1;
    s->frequency_penalty = way % 3 == 0 ? 0.5f : 0;
    s->min_tokens = way % 4;
    s->logprobs = way % 4 - 1;
    s->stop = (TokenIds){1, {way}};
    o.prompt_logprobs = way % 6 == 5;
    o.samples = way % 7 == 6 ? 3 : 1;
    return o;
}

/* What a request receives does not tell whether its tokens were chosen from logits on the host or where they were made:
 * protects all that chooses twice (a GPU that chooses itself, a row that must come to the host after all). */
static void a_token_is_the_same_wherever_it_is_chosen(void **state)
{
    (void)state;
    enum { WAYS = 24, EVENTS = 128 };
    static Event event[2][WAYS][EVENTS];
    int count[2][WAYS] = {{0}};
    for (int there = 0; there < 2; there++) {
        Bench b;
        Request *r[WAYS];
        EngineOptions options = bench_options();
        options.device_chooses = there;
        bench_open(&b, options);
        for (int way = 0; way < WAYS; way++)
            r[way] = submit(&b, choosing(way));
        while (engine_step(b.engine))
            continue;
        for (int way = 0; way < WAYS; way++) {
            while (count[there][way] < EVENTS && request_next(r[way], &event[there][way][count[there][way]]))
                count[there][way]++;
            request_close(r[way]);
        }
        bench_close(&b);
    }
    for (int way = 0; way < WAYS; way++) {
        assert_int_equal(count[0][way], count[1][way]);
        assert_in_range(count[0][way], 2, EVENTS - 1);
        for (int i = 0; i < count[0][way]; i++) {
            const Event *host = &event[0][way][i], *device = &event[1][way][i];
            assert_int_equal(host->kind, device->kind);
            assert_int_equal(host->token.id, device->token.id);
            assert_memory_equal(&host->token.logprob, &device->token.logprob, sizeof(float));
            assert_int_equal(host->token.best_count, device->token.best_count);
            assert_memory_equal(host->token.best, device->token.best, (size_t)host->token.best_count * sizeof *host->token.best);
        }
    }
}

/* --- a real model --- */

/* Protects batch invariance from the kernels up: beside others, in chunks and interrupted, a request's tokens are those of
 * its solo run. Once more on a device that says its memory is its own, as a GPU's is: there tables of blocks are wider than what
 * they hold, tokens are chosen on it, and the host has copies only. */
static void company_changes_nothing_for_a_real_model(void **state)
{
    (void)state;
    enum { REQUESTS = 6, ALONE = 0, CROWDED, CROWDED_APART, ROUNDS };
    Error err;
    Device *device;
    Checkpoint checkpoint;
    Model *model;
    Answer alone[REQUESTS] = {0};
    assert_int_equal(cpu_device_open(&(CpuOptions){.tier = TIER_BEST, .threads = 2}, &device, &err), OK);
    assert_int_equal(checkpoint_open(&checkpoint, "tests/fixtures/hf/mistral", &err), OK);
    assert_int_equal(model_open(&checkpoint, device, NULL, &model, &err), OK);
    EngineModel engine_view = engine_model(model);
    EngineOptions options = engine_options_default();
    for (int crowded = ALONE; crowded < ROUNDS; crowded++) {
        Bench b = {.device = device};
        Request *r[REQUESTS];
        Answer beside[REQUESTS] = {0};
        device->apart = crowded == CROWDED_APART;
        options.context = 96;
        options.block_tokens = crowded ? 4 : 16;
        options.rows = crowded ? 11 : 128;
        options.cache_tokens = crowded ? 200 : 0;
        must_be_ok(engine_new(&b.engine, &options, &engine_view, device, &err), &err);
        for (int i = 0; i < REQUESTS; i++) {
            RequestOptions o = asking(some_prompt + i % 3, 20 + 5 * i, 30);
            o.sampling.temperature = i % 2 ? 1 : 0;
            if (crowded)
                r[i] = submit(&b, o);
            else
                alone[i] = solo(&b, o);
        }
        while (crowded && engine_step(b.engine))
            continue;
        for (int i = 0; crowded && i < REQUESTS; i++) {
            read_answer(r[i], &beside[i]);
            assert_same(&alone[i], &beside[i]);
            request_close(r[i]);
        }
        assert_true(!crowded || engine_stats(b.engine).preemptions > 0);
        engine_free(b.engine);
    }
    device->apart = false;
    model_close(model);
    checkpoint_close(&checkpoint);
    device_close(device);
}

/* A position behind the end of the model's table would read what is not there. */
static void no_context_goes_beyond_a_table_of_positions(void **state)
{
    (void)state;
    Engine *engine;
    Device *cpu;
    Error err;
    ModelShape shape = {.D = 1, .L = 1, .V = 8, .context = 64, .positions_max = 64};
    EngineModel model = {.shape = &shape};
    EngineOptions options = engine_options_default();
    options.context = 65;
    assert_int_equal(cpu_device_open(&(CpuOptions){.tier = TIER_REFERENCE, .threads = 1}, &cpu, &err), OK);
    assert_int_equal(engine_new(&engine, &options, &model, cpu, &err), BAD_ARGUMENT);
    assert_non_null(strstr(err.text, "65"));
    assert_non_null(strstr(err.text, "64 positions"));
    device_close(cpu);
}

int main(void)
{
    fill_prompt(5);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_context_goes_beyond_a_table_of_positions),
        cmocka_unit_test(what_can_never_fit_is_refused_at_once_with_the_numbers),
        cmocka_unit_test(a_wrong_field_is_named),
        cmocka_unit_test(a_full_queue_says_so_and_takes_again_later),
        cmocka_unit_test(samples_compute_their_prompt_once),
        cmocka_unit_test(a_conversation_computes_only_what_is_new),
        cmocka_unit_test(a_salt_keeps_pasts_apart),
        cmocka_unit_test(a_common_beginning_is_computed_twice_where_states_are_kept),
        cmocka_unit_test(drafts_change_the_number_of_steps_and_nothing_else),
        cmocka_unit_test(an_error_of_one_ends_only_that_one),
        cmocka_unit_test(a_long_prompt_does_not_stop_the_others),
        cmocka_unit_test(a_cancelled_request_gives_all_back_within_a_step),
        cmocka_unit_test(a_slow_reader_rests_and_loses_nothing),
        cmocka_unit_test(an_engine_that_ends_tells_those_who_wait),
        cmocka_unit_test(logits_of_a_prompt_come_whole_in_any_chunks),
        cmocka_unit_test(a_prompts_tokens_are_scored_once_each),
        cmocka_unit_test(the_engine_allocates_nothing_once_it_has_started),
        cmocka_unit_test(many_threads_may_ask),
        cmocka_unit_test(a_token_is_the_same_wherever_it_is_chosen),
        cmocka_unit_test(company_changes_nothing_for_a_real_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

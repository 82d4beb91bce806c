/* Stories of requests: what the engine notes, and that it survives the log. Whoever tunes a server by them must find what
 * happened, and nobody else's doing. */
#include <math.h>

#include "server/story_json.h"
#include "small_model.h"
#include "test.h"

enum { PROMPT = 40, BLOCK = 8 };

typedef struct Prompt { int32_t ids[PROMPT]; } Prompt;

/* Two of one seed are the same. */
static Prompt prompt_of(int32_t seed)
{
    Prompt p;
    for (int32_t i = 0; i < PROMPT; i++)
        p.ids[i] = 3 + (seed * 31 + i * 37 + i * i * 11) % 200;
    return p;
}

static EngineOptions options(int32_t sequences, int64_t cache_tokens)
{
    EngineOptions o = engine_options_default();
    o.sequences = sequences;
    o.logit_rows = sequences;
    o.context = 100;
    o.block_tokens = BLOCK;
    o.cache_tokens = cache_tokens;
    o.state_interval = 0;
    return o;
}

static Request *submit(SmallModel *m, const Prompt *p, int32_t tokens, uint64_t tag, Story *story)
{
    Error err = {0};
    Request *request;
    RequestOptions o = {.prompt = p->ids, .prompt_count = PROMPT, .max_tokens = tokens, .tag = tag, .story = story,
                        .sampling = sampler_options_greedy()};
    must_be_ok(engine_submit(m->engine, &o, &request, &err), &err);
    return request;
}

static RequestTimes finish(SmallModel *m, Request *request)
{
    Event event;
    RequestTimes times = {0};
    while (!request_ended(request)) {
        engine_step(m->engine);
        while (request_next(request, &event))
            if (event.kind == EVENT_END)
                times = event.times;
    }
    request_close(request);
    return times;
}

static Story ask(SmallModel *m, Prompt p)
{
    Story story = {0};
    finish(m, submit(m, &p, 2, 1, &story));
    return story;
}

static void a_miss_is_told_with_its_token_and_its_reason(void **state)
{
    (void)state;
    SmallModel m;
    Prompt first = prompt_of(1), other = first;
    small_model_open(&m, "llama", options(1, 96));
    KvFound found = ask(&m, first).prefix;
    assert_true(found.why == KV_MISS_NEW && found.found == 0 && found.at == 0 && found.asked == PROMPT - 1);
    found = ask(&m, first).prefix;
    assert_true(found.why == KV_MISS_NOTHING && found.found == 32);
    other.ids[21] ^= 1;
    found = ask(&m, other).prefix;
    assert_true(found.why == KV_MISS_DIFFERS && found.found == 16 && found.at == 21);
    for (int32_t seed = 2; seed < 5; seed++)
        ask(&m, prompt_of(seed));   /* 96 positions hold two prompts */
    found = ask(&m, first).prefix;
    assert_true(found.why == KV_MISS_EVICTED && found.found < 32);
    small_model_close(&m);
}

static void a_past_without_its_state_is_told(void **state)
{
    (void)state;
    SmallModel m;
    EngineOptions o = options(1, 0);
    o.state_snapshots = 0;
    small_model_open(&m, "jamba", o);
    ask(&m, prompt_of(1));
    KvFound found = ask(&m, prompt_of(1)).prefix;
    assert_true(found.why == KV_MISS_STATE && found.found == 0);
    small_model_close(&m);
}

/* Two that grow until the cache holds only one: the later one gives way, and says to whom. */
static void a_preemption_names_who_and_why(void **state)
{
    (void)state;
    SmallModel m;
    Story story[2] = {{.ahead = 0}};
    Prompt p[2] = {prompt_of(1), prompt_of(2)};
    small_model_open(&m, "llama", options(2, 112));
    Request *a = submit(&m, &p[0], 40, 77, &story[0]), *b = submit(&m, &p[1], 40, 88, &story[1]);
    Event event;
    while (!request_ended(a)) {
        engine_step(m.engine);
        while (request_next(a, &event) || request_next(b, &event))
            continue;
    }
    request_close(a);
    RequestTimes times = finish(&m, b);
    assert_int_equal(story[0].preemptions, 0);
    assert_true(story[1].preemptions >= 1 && story[1].preemptions == times.preemptions);
    const StoryPreemption *first = &story[1].preemption[0];
    assert_true(first->by == 77 && first->reason == STORY_FOR_BLOCKS && first->computed > PROMPT && first->back > first->at);
    assert_true(story[0].met == 1 && story[0].with[0].tag == 88 && story[0].answer_most == 2);
    assert_true(story[0].answer_steps == 39 && story[0].answer_entries > 39);
    small_model_close(&m);
}

static void who_waits_knows_for_what(void **state)
{
    (void)state;
    SmallModel m;
    Story story[3] = {{.ahead = 0}};
    Prompt p = prompt_of(1);
    small_model_open(&m, "llama", options(1, 0));
    Request *r[3];
    for (int i = 0; i < 3; i++)
        r[i] = submit(&m, &p, 5, 1 + (uint64_t)i, &story[i]);
    for (int i = 0; i < 3; i++) {
        RequestTimes times = finish(&m, r[i]);
        double sum = 0;
        for (int w = 0; w < STORY_WAITS; w++)
            sum += story[i].waits[w];
        assert_true(fabs(sum - times.started) < 0.01 && story[i].ahead == i);
    }
    assert_true(story[2].waits[STORY_SLOT] > story[2].waits[STORY_BLOCKS] && story[2].waits[STORY_SLOT] > 0);
    small_model_close(&m);
}

/* Who gives up in the queue knows for what it had waited. */
static void who_never_starts_knows_too(void **state)
{
    (void)state;
    SmallModel m;
    Story story[2] = {{.ahead = 0}};
    Prompt p = prompt_of(1);
    small_model_open(&m, "llama", options(1, 0));
    Request *first = submit(&m, &p, 40, 1, &story[0]), *second = submit(&m, &p, 5, 2, &story[1]);
    for (int i = 0; i < 10; i++)
        engine_step(m.engine);
    request_cancel(second);
    assert_true(finish(&m, second).started == 0);
    assert_true(story[1].waits[STORY_SLOT] > 0 && story[1].chunks == 0);
    finish(&m, first);
    small_model_close(&m);
}

static void chunks_are_told_one_by_one_as_far_as_there_is_room(void **state)
{
    (void)state;
    SmallModel m;
    EngineOptions o = options(2, 0);
    o.rows = o.logit_rows = 2;
    small_model_open(&m, "llama", o);
    Story story[2] = {{.ahead = 0}};
    Prompt p[2] = {prompt_of(1), prompt_of(2)};
    Request *a = submit(&m, &p[0], 30, 1, &story[0]);
    for (int i = 0; i < 22; i++)
        engine_step(m.engine);
    finish(&m, submit(&m, &p[1], 2, 2, &story[1]));
    finish(&m, a);
    assert_int_equal(story[0].chunks, PROMPT / 2);
    assert_true(story[0].chunk[3].first == 6 && story[0].chunk[3].rows == 2 && story[0].chunk[3].others == 0);
    assert_true(story[1].chunks > STORY_CHUNKS);        /* a row a step, beside the other's answer */
    assert_true(story[1].chunk[1].others == 1 && story[1].chunk[1].with[0] == 1 && story[1].chunk[1].step_rows == 2);
    assert_true(story[0].mixed_steps > 0 && story[0].mixed_rows == story[0].mixed_steps);
    small_model_close(&m);
}

static void the_log_keeps_a_story(void **state)
{
    (void)state;
    Error err = {0};
    StoryTold told;
    Story story = {.ahead = 3, .prefix = {100, 48, 53, KV_MISS_DIFFERS}, .chunks = STORY_CHUNKS + 5, .preemptions = 1,
                   .answer_steps = 9, .answer_entries = 20, .answer_most = 4, .met = 1, .with = {{7, 9}}};
    RequestTimes times = {.started = 0.25, .first_token = 0.5, .ended = 1, .prompt_tokens = 101, .generated_tokens = 10};
    story.waits[STORY_BLOCKS] = 0.125;
    for (int i = 0; i < STORY_CHUNKS; i++)
        story.chunk[i] = (StoryChunk){.step = i, .first = i, .rows = 1, .step_rows = 20, .others = 12, .with = {4, 5}};
    story.preemption[0] = (StoryPreemption){.at = 0.5, .back = 0.75, .by = 9, .reason = STORY_FOR_SLOT, .computed = 60};
    json_t *json = story_json(&story, 0.0625, &times);
    must_be_ok(story_read(json, &told, &err), &err);
    assert_memory_equal(&told.story, &story, sizeof story);
    assert_true(told.submitted == 0.0625 && told.times.first_token == 0.5 && told.times.generated_tokens == 10);
    json_object_set_new(json, "ahead", json_integer(-1));
    assert_int_equal(story_read(json, &told, &err), BAD_FILE);
    json_decref(json);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_miss_is_told_with_its_token_and_its_reason),
        cmocka_unit_test(a_past_without_its_state_is_told),
        cmocka_unit_test(a_preemption_names_who_and_why),
        cmocka_unit_test(who_waits_knows_for_what),
        cmocka_unit_test(who_never_starts_knows_too),
        cmocka_unit_test(chunks_are_told_one_by_one_as_far_as_there_is_room),
        cmocka_unit_test(the_log_keeps_a_story),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

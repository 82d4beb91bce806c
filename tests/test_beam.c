/* Beam search finds what a plain search over whole sequences finds, however it is scheduled, and gives all blocks back. */
#include "test.h"

#include <math.h>
#include "small_model.h"


enum { PROMPT = 21, NEW_MAX = 24, BEAMS = 8, VOCABULARY = 320, CONTEXT = 96 };

typedef struct World {
    SmallModel of;
    Engine *engine;
    int32_t prompt[PROMPT];
} World;

static EngineOptions usual(void)
{
    EngineOptions o = engine_options_default();
    o.sequences = o.logit_rows = 12;
    o.rows = 32;
    o.block_tokens = 4;
    o.context = CONTEXT;
    return o;
}

static void open_world(World *w, const char *family, EngineOptions o)
{
    small_model_open(&w->of, family, o);
    w->engine = w->of.engine;
    for (int i = 0; i < PROMPT; i++)
        w->prompt[i] = (i * 53 + i * i * 7) % VOCABULARY;
}

/* Runs it to its end; no block may be held by nobody in between. */
static void run(World *w)
{
    Error err;
    while (engine_step(w->engine))
        must_be_ok(engine_audit(w->engine, &err), &err);
    EngineStats stats = engine_stats(w->engine);
    for (int32_t g = 0; g < stats.groups; g++)
        assert_int_equal(stats.blocks[g].held, 0);
}

/* --- the plain search --- */

typedef struct Line {
    int32_t token[PROMPT + NEW_MAX], count;
    double score;
} Line;

typedef struct Search {
    int32_t beams, answers, most, end;      /* end: a token that ends; -1: none does */
    float penalty;
} Search;

static void log_softmax(World *w, const Line *line, double *out)
{
    static float logits[VOCABULARY];
    Error err;
    Request *r;
    RequestOptions o = {.prompt = line->token, .prompt_count = line->count, .logits = logits, .score_from = line->count - 1,
                        .sampling = sampler_options_greedy()};
    must_be_ok(engine_submit(w->engine, &o, &r, &err), &err);
    while (engine_step(w->engine))
        ;
    request_close(r);
    double sum = 0, peak = -INFINITY;
    for (int i = 0; i < VOCABULARY; i++)
        peak = fmax(peak, (double)logits[i]);
    for (int i = 0; i < VOCABULARY; i++)
        sum += exp((double)logits[i] - peak);
    for (int i = 0; i < VOCABULARY; i++)
        out[i] = (double)logits[i] - peak - log(sum);
}

static void put_best(Line *list, int32_t *count, int32_t most, const Line *line)
{
    int32_t at = *count < most ? (*count)++ : most;
    for (; at > 0 && line->score > list[at - 1].score; at--)
        if (at < most)
            list[at] = list[at - 1];
    if (at < most)
        list[at] = *line;
}

static int32_t search(World *w, Search s, Line *kept)
{
    static Line beam[BEAMS], best[4 * BEAMS];
    static double logprobs[VOCABULARY];
    int32_t live = 1, count = 0;
    memcpy(beam[0].token, w->prompt, sizeof w->prompt);
    beam[0].count = PROMPT;
    beam[0].score = 0;
    for (int32_t length = 1; live > 0; length++) {
        int32_t found = 0, going = 0;
        for (int32_t b = 0; b < live; b++) {
            log_softmax(w, &beam[b], logprobs);
            for (int32_t id = 0; id < VOCABULARY; id++) {
                Line next = beam[b];
                next.token[next.count++] = id;
                next.score += logprobs[id];
                put_best(best, &found, 2 * s.beams, &next);
            }
        }
        for (int32_t rank = 0; rank < found && going < s.beams; rank++) {
            Line line = best[rank];
            if (line.token[line.count - 1] != s.end && length < s.most) {
                beam[going++] = line;
            } else if (rank < s.beams) {
                line.score /= pow(length, (double)s.penalty);
                put_best(kept, &count, s.beams, &line);
            }
        }
        live = going;
        if (count == s.beams && live > 0 && beam[0].score / pow(length, (double)s.penalty) <= kept[count - 1].score)
            break;
    }
    return count;
}

/* --- ours --- */

typedef struct Answer {
    int32_t token[NEW_MAX], count;
    EndReason reason;
} Answer;

static RequestOptions asking(const World *w, Search s)
{
    RequestOptions o = {.prompt = w->prompt, .prompt_count = PROMPT, .max_tokens = s.most, .samples = s.answers,
                        .beams = s.beams, .length_penalty = s.penalty, .sampling = sampler_options_greedy()};
    if (s.end >= 0)
        token_ids_add(&o.sampling.end, s.end);
    return o;
}

static Request *submit(World *w, RequestOptions o)
{
    Error err;
    Request *r;
    must_be_ok(engine_submit(w->engine, &o, &r, &err), &err);
    return r;
}

static void collect(Request *r, Answer *out)
{
    Event event;
    int32_t last = 0;
    while (request_next(r, &event)) {
        Answer *a = &out[event.sample];
        assert_true(event.sample >= last);   /* one answer after another, the best first */
        last = event.sample;
        if (event.kind == EVENT_TOKEN || event.token.id >= 0)
            a->token[a->count++] = event.token.id;
        if (event.kind == EVENT_END)
            a->reason = event.reason;
    }
    assert_true(request_ended(r));
    request_close(r);
}

static void check(World *w, Search s, const Line *expected)
{
    Answer got[BEAMS] = {0};
    Request *r = submit(w, asking(w, s));
    run(w);
    collect(r, got);
    for (int32_t i = 0; i < s.answers; i++) {
        assert_int_equal(got[i].count, expected[i].count - PROMPT);
        assert_memory_equal(got[i].token, expected[i].token + PROMPT, (size_t)got[i].count * sizeof(int32_t));
        bool ended = got[i].token[got[i].count - 1] == s.end;
        assert_int_equal(got[i].reason, ended ? END_STOP : END_LENGTH);
    }
}

/* A token that comes early in one of the answers, so that some of them end. */
static int32_t some_end(World *w)
{
    Line kept[BEAMS];
    search(w, (Search){3, 1, 6, -1, 1}, kept);
    return kept[0].token[PROMPT + 2];
}

static void it_finds_what_a_plain_search_finds(void **state)
{
    (void)state;
    static const char *const families[] = {"llama", "mistral", "zamba2"};
    for (size_t f = 0; f < COUNT_OF(families); f++) {
        World w;
        open_world(&w, families[f], usual());
        int32_t end = some_end(&w);
        const Search searches[] = {{1, 1, 8, -1, 1}, {4, 4, 12, -1, 1}, {4, 2, 16, end, 1}, {8, 8, 10, end, 0}, {3, 3, 20, end, 2},
                                   {5, 1, 14, end, -1}};
        for (size_t i = 0; i < COUNT_OF(searches); i++) {
            Line kept[BEAMS];
            assert_true(search(&w, searches[i], kept) >= searches[i].answers);
            check(&w, searches[i], kept);
        }
        small_model_close(&w.of);
    }
}

/* Beams copy blocks where they part: so many bytes as the format has. */
static void a_cache_in_8_bits_is_searched_as_plainly(void **state)
{
    (void)state;
    static const char *const formats[] = {"F8_E4M3", "Q8_0"};
    for (size_t f = 0; f < COUNT_OF(formats); f++) {
        World w;
        Line kept[BEAMS];
        EngineOptions o = usual();
        o.cache_format = format_find(formats[f]);
        open_world(&w, "llama_mqa", o);
        const Search s = {4, 4, 12, -1, 1};
        search(&w, s, kept);
        check(&w, s, kept);
        small_model_close(&w.of);
    }
}

/* Rows for half of the beams, a cache for one whole beam, chunks of few tokens, others beside it. */
static void little_room_and_company_change_nothing(void **state)
{
    (void)state;
    World w;
    Line kept[BEAMS];
    open_world(&w, "mistral", usual());
    const Search s = {6, 6, 18, some_end(&w), 1};
    search(&w, s, kept);
    small_model_close(&w.of);
    EngineOptions few = usual(), tiny = usual();
    few.rows = few.logit_rows = 3;
    tiny.cache_tokens = 2 * (PROMPT + NEW_MAX);
    const EngineOptions ways[] = {few, tiny};
    for (size_t i = 0; i < COUNT_OF(ways); i++) {
        open_world(&w, "mistral", ways[i]);
        check(&w, s, kept);
        Answer got[2][BEAMS] = {0}, plain[1] = {0};
        RequestOptions one = asking(&w, (Search){0, 1, 15, -1, 0});
        Request *a = submit(&w, asking(&w, s)), *b = submit(&w, asking(&w, s)), *c = submit(&w, one);
        run(&w);
        collect(a, got[0]);
        collect(b, got[1]);
        collect(c, plain);
        assert_int_equal(plain[0].count, 15);
        for (int32_t k = 0; k < s.answers; k++) {
            assert_memory_equal(got[0][k].token, kept[k].token + PROMPT, (size_t)got[0][k].count * sizeof(int32_t));
            assert_memory_equal(got[0][k].token, got[1][k].token, sizeof got[0][k].token);
        }
        if (ways[i].cache_tokens)
            assert_true(engine_stats(w.engine).preemptions > 0);
        small_model_close(&w.of);
    }
}

/* After each token t only those may follow that are at most t + 40 in a ring; each beam has a state of its own. */
typedef struct Ring {
    int32_t last[BEAMS];
    uint32_t set[VOCABULARY / 32];
} Ring;

static bool may_follow(int32_t last, int32_t id) { return (id - last + VOCABULARY) % VOCABULARY <= 40; }

static const uint32_t *ring_allowed(void *with, int32_t sample)
{
    Ring *r = with;
    memset(r->set, 0, sizeof r->set);
    for (int32_t id = 0; id < VOCABULARY; id++)
        r->set[id / 32] |= (uint32_t)may_follow(r->last[sample], id) << (id % 32);
    return r->set;
}
static void ring_accept(void *with, int32_t sample, int32_t id) { ((Ring *)with)->last[sample] = id; }
static void ring_copy(void *with, int32_t to, int32_t from) { ((Ring *)with)->last[to] = ((Ring *)with)->last[from]; }

static void each_beam_keeps_to_the_constraint(void **state)
{
    (void)state;
    World w;
    Ring ring = {0};
    Answer got[BEAMS] = {0};
    open_world(&w, "llama", usual());
    RequestOptions o = asking(&w, (Search){BEAMS, BEAMS, 20, -1, 1});
    o.constraint = (Constraint){ring_allowed, ring_accept, ring_copy, &ring};
    Request *r = submit(&w, o);
    run(&w);
    collect(r, got);
    for (int32_t i = 0; i < BEAMS; i++)
        for (int32_t k = 0; k < got[i].count; k++)
            assert_true(may_follow(k > 0 ? got[i].token[k - 1] : 0, got[i].token[k]));
    small_model_close(&w.of);
}

static void a_search_that_is_cancelled_gives_all_back(void **state)
{
    (void)state;
    World w;
    open_world(&w, "zamba2", usual());
    for (int steps = 0; steps < 8; steps++) {
        Request *r = submit(&w, asking(&w, (Search){6, 2, 20, -1, 1}));
        for (int i = 0; i < steps; i++)
            engine_step(w.engine);
        if (steps % 2)
            request_cancel(r);
        else
            request_stop(r, 1);
        run(&w);
        Event event;
        int32_t ends = 0;
        while (request_next(r, &event))
            ends += event.kind == EVENT_END && event.reason == (steps % 2 ? END_CANCELLED : END_STOP);
        assert_int_equal(ends, 2);
        request_close(r);
    }
    small_model_close(&w.of);
}

static void what_cannot_be_searched_is_refused(void **state)
{
    (void)state;
    World w;
    open_world(&w, "llama", usual());
    const RequestOptions good = asking(&w, (Search){4, 2, 8, -1, 1});
    RequestOptions bad[] = {good, good, good, good, good, good};
    bad[0].beams = -1;
    bad[1].beams = 13;
    bad[2].samples = 5;
    bad[3].max_tokens = 0;
    bad[4].length_penalty = NAN;
    bad[5].length_penalty = 1e9f;
    static const char *const says[] = {"beams: -1", "beams: 13", "samples: 5", "max_tokens: 0", "length_penalty: ", "length_penalty: "};
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        Request *r;
        Error err;
        assert_int_equal(engine_submit(w.engine, &bad[i], &r, &err), BAD_ARGUMENT);
        assert_non_null(strstr(err.text, says[i]));
    }
    small_model_close(&w.of);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_finds_what_a_plain_search_finds),
        cmocka_unit_test(a_cache_in_8_bits_is_searched_as_plainly),
        cmocka_unit_test(little_room_and_company_change_nothing),
        cmocka_unit_test(each_beam_keeps_to_the_constraint),
        cmocka_unit_test(a_search_that_is_cancelled_gives_all_back),
        cmocka_unit_test(what_cannot_be_searched_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

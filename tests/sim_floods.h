/* sim_floods.h -- worlds in which more is asked for than can be done, for test_engine_sim.c.
 *
 *     starvation   one long request waits while others, which the policy prefers, never stop coming
 *     fairness     two tenants always want more; what each was served is counted from outside
 */
#ifndef SIM_FLOODS_H
#define SIM_FLOODS_H

enum { FLOODS = 150, FLOOD_MOST = 64, FAIR_STEPS = 1500 };

typedef struct Flood {
    World *w;
    Request *request[FLOOD_MOST];
    int32_t tenant[FLOOD_MOST];
    int64_t served[2];
} Flood;

static Request *flood_submit(World *w, RequestOptions o)
{
    Error err;
    Request *r;
    o.sampling = sampler_options_greedy();
    Err result = engine_submit(w->engine, &o, &r, &err);
    if (result == LIMIT_REACHED)
        return NULL;
    if (result != OK)
        wrong("not taken: %s", err.text);
    return r;
}

/* Reads what there is; true: it has ended, and is closed. */
static bool flood_read(Flood *f, Request *r, int32_t tenant)
{
    Event event;
    while (request_next(r, &event)) {
        f->served[tenant] += event.kind == EVENT_TOKEN ? GENERATED_TOKEN_COUNTS : 0;
        if (event.kind == EVENT_END) {
            f->served[tenant] += (event.times.prompt_tokens - event.times.reused_tokens) * PROMPT_TOKEN_COUNTS;
            request_close(r);
            return true;
        }
    }
    return false;
}

static void flood_step(Flood *f)
{
    world_seconds += 0.1;
    engine_step(f->w->engine);
    check_books(f->w);
    for (int32_t i = 0; i < FLOOD_MOST; i++)
        if (f->request[i] && flood_read(f, f->request[i], f->tenant[i]))
            f->request[i] = NULL;
}

static void flood_end(Flood *f)
{
    for (int32_t i = 0; i < FLOOD_MOST; i++)
        request_close(f->request[i]);
    engine_step(f->w->engine);
    check_all_came_back(f->w);
    engine_free(f->w->engine);
    device_close(f->w->device);
}

/* Short, important, and begins as others did: every policy but the first prefers it to the victim. */
static void flood_more(Flood *f)
{
    World *w = f->w;
    for (int32_t i = 0; i < FLOOD_MOST; i++)
        if (!f->request[i])
            f->request[i] = flood_submit(w, (RequestOptions){
                .prompt = w->prefix[0], .prompt_count = between(w, 1, 6), .max_tokens = between(w, 1, 8), .priority = 2,
                .tenant = (uint64_t)between(w, 0, 5)});
}

/* Everybody who is there before the victim may be promoted first; then those that run may end. */
static int64_t patience_bound(const World *w)
{
    const EngineOptions *o = &w->options;
    return (int64_t)(o->queue + o->sequences + 2) * o->patience + 4 * (int64_t)o->sequences * o->context;
}

static void nobody_starves_in(uint64_t seed)
{
    static World w;
    static Flood f;
    world_seed = seed;
    trace.lines = 0;
    world_open_as(&w, seed, CROWDED);
    f = (Flood){.w = &w};
    flood_more(&f);
    for (int32_t i = 0; i < 5; i++)
        flood_step(&f);
    Flood victim = {.w = &w};
    RequestOptions o = {.prompt = w.prefix[1], .prompt_count = engine_longest(w.engine) - 4, .max_tokens = 4};
    Request *r = NULL;
    for (int64_t i = 0; !r || !flood_read(&victim, r, 0); i++) {
        if (!r)
            r = flood_submit(&w, o);
        flood_more(&f);
        flood_step(&f);
        if (i > patience_bound(&w))
            wrong("after %lld steps the victim of a flood still waits", (long long)i);
    }
    flood_end(&f);
}

/* Neither is ahead by more than what both may have in the slots and are charged for as it goes on. */
static void tenants_take_turns_in(uint64_t seed)
{
    enum { BIG = 40, SMALL = 8, ANSWER = 8 };
    static World w;
    static Flood f;
    world_seed = seed;
    trace.lines = 0;
    world_open_as(&w, seed, FAIR);
    f = (Flood){.w = &w};
    int64_t bound = 2 * w.options.sequences * (BIG * PROMPT_TOKEN_COUNTS + ANSWER * GENERATED_TOKEN_COUNTS);
    for (int32_t step = 0; step < FAIR_STEPS; step++) {
        for (int32_t i = 0; i < 15; i++) {   /* more than sequences of each */
            int32_t tenant = i % 3 == 0;
            if (f.request[i])
                continue;
            f.tenant[i] = tenant;
            f.request[i] = flood_submit(&w, (RequestOptions){
                .prompt = w.prefix[tenant], .prompt_count = tenant ? SMALL : BIG, .max_tokens = ANSWER,
                .tenant = (uint64_t)tenant, .salt = (uint64_t)stream_bits(&w.random)});
        }
        flood_step(&f);
        int64_t ahead = f.served[0] - f.served[1];
        if (ahead > bound || -ahead > bound)
            wrong("after %d steps one tenant was served %lld, the other %lld; the bound is %lld", step,
                  (long long)f.served[0], (long long)f.served[1], (long long)bound);
    }
    if (f.served[0] + f.served[1] < 6 * bound)
        wrong("too little was served for the bound to mean anything: %lld, %lld", (long long)f.served[0],
              (long long)f.served[1]);
    flood_end(&f);
}

#endif

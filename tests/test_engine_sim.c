/* test_engine_sim.c -- thousands of random worlds, each from a seed.
 *
 * A world has a random hash model (full, window, chunk and alias layers, states), an engine with a cache
 * that is often too small and one of the policies, perhaps a drafter that is sometimes right, a clock of its
 * own, and requests of several tenants and classes that share prefixes, continue conversations, ask for
 * several samples and for scores, are held to a grammar, have deadlines, are stopped, cancelled, or read
 * slowly. In every world:
 *
 *     the tokens, reasons and scores of a request equal those of its solo run, which knows no engine
 *     after every step the books of the cache and of the scheduler agree (engine_audit)
 *     who is cancelled, stopped or late has ended after one step, and holds nothing
 *     all requests end, within a bounded number of steps, and all blocks come back
 *
 * And in others (sim_floods.h): nobody starves behind a flood of those that the policy prefers, and of two
 * tenants that both always want more neither is served much more than the other.
 *
 *     test_engine_sim            1,000 seeds, and the mutants: the same worlds with a mistake built in,
 *                                each of which must be noticed
 *     test_engine_sim SEED [N]   N worlds from SEED on (1), each step told;  make sim SEED=n
 *
 * The mutants replace functions of the cache and the engine at link time (see the Makefile).
 */
#include "test.h"

#include <math.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/prng.h"
#include "devices/cpu/cpu_device.h"
#include "devices/hash/hash_device.h"
#include "devices/hash/hash_model.h"
#include "engine/engine.h"
#include "engine/sequence.h"

enum {
    SEEDS = 1000, MUTANT_SEEDS = 400, VOCABULARY = 24, CONTEXT_MAX = 96, REQUESTS = 12, SAMPLES = 3,
    CPU_SECONDS_MAX = 60, ITERATIONS_MAX = 20000, TRACE_LINES = 24, STOP_ID = 3,
};

#include "sim_mutants.h"

/* --- the clock of a world, which all of the engine reads --- */

static double world_seconds;

int clock_gettime(clockid_t clock, struct timespec *t)
{
    (void)clock;
    *t = (struct timespec){(time_t)world_seconds, (long)((world_seconds - floor(world_seconds)) * 1e9)};
    return 0;
}

/* --- what happened lately --- */

typedef struct Trace {
    char line[TRACE_LINES][160];
    int64_t lines;
    bool aloud;
} Trace;

static Trace trace;
static uint64_t world_seed;

__attribute__((format(printf, 1, 2))) static void tell(const char *format, ...)
{
    va_list args;
    char *line = trace.line[trace.lines++ % TRACE_LINES];
    va_start(args, format);
    vsnprintf(line, sizeof trace.line[0], format, args);
    va_end(args);
    if (trace.aloud)
        puts(line);
}

static void print_trace(void)
{
    for (int64_t i = trace.lines > TRACE_LINES ? trace.lines - TRACE_LINES : 0; i < trace.lines && !trace.aloud; i++)
        fprintf(stderr, "    %s\n", trace.line[i % TRACE_LINES]);
    fprintf(stderr, "seed %llu failed: make sim SEED=%llu\n", (unsigned long long)world_seed, (unsigned long long)world_seed);
}

static void on_abort(int signal_number)
{
    (void)signal_number;
    fflush(stdout);
    if (mutant == NO_MUTANT)
        print_trace();
    _exit(1);
}

__attribute__((format(printf, 1, 2))) static void wrong(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    if (mutant == NO_MUTANT) {
        vfprintf(stderr, format, args);
        fputc('\n', stderr);
    }
    va_end(args);
    abort();
}

#define MUST(call)                                  \
    do {                                            \
        Error must_err;                             \
        if ((call) != OK)                           \
            wrong("%s: %s", #call, must_err.text);  \
    } while (0)

/* --- a grammar: what may come depends on what came last, and on how much has come --- */

typedef struct Grammar {
    int32_t rule;                  /* 0: none */
    int32_t last[SAMPLES], count[SAMPLES];
    uint32_t mask;
} Grammar;

/* Two of three tokens; after 11 tokens and the last token 7, none. */
static uint32_t mask_of(int32_t rule, int32_t last, int32_t count)
{
    uint32_t mask = 0;
    for (int32_t id = 0; id < VOCABULARY && !(count > 11 && last == 7); id++)
        mask |= (uint32_t)((id + last * rule + count) % 3 != 0) << id;
    return mask;
}

static const uint32_t *grammar_allowed(void *with, int32_t sample)
{
    Grammar *g = with;
    g->mask = mask_of(g->rule, g->last[sample], g->count[sample]);
    return &g->mask;
}

static void grammar_accept(void *with, int32_t sample, int32_t id)
{
    Grammar *g = with;
    g->last[sample] = id;
    g->count[sample]++;
}

/* --- a world --- */

typedef struct Visit {             /* a request, what came of it, and what should have */
    RequestOptions options;
    Grammar grammar;
    double submitted;
    int32_t prompt[CONTEXT_MAX];
    Request *request;
    int32_t tokens[SAMPLES][CONTEXT_MAX], count[SAMPLES];
    float prompt_logprob[CONTEXT_MAX];
    int32_t scored;
    int32_t ends;
    bool ended[SAMPLES], stopped[SAMPLES], cancelled, slow;
    int32_t truth[SAMPLES][CONTEXT_MAX], truths[SAMPLES];   /* what the drafter knows: the answers, and how long they are */
} Visit;

typedef struct Tally {
    int64_t worlds, steps, preemptions, copies, reused, tokens, reused_states, drafted, accepted, promoted;
    int64_t ends[END_ERROR + 1];   /* of those that were cut */
    int64_t all_said;              /* grammars that left nothing to say */
} Tally;

typedef enum WorldKind {
    ORDINARY,
    CROWDED,                       /* somebody would starve, but for the patience */
    FAIR,                          /* tenants take turns */
} WorldKind;

typedef struct World {
    Tally *tally;
    PrngStream random;
    HashModel model;
    ModelShape shape;
    KvLayout layout;
    EngineOptions options;
    Device *device;
    Engine *engine;
    Visit visit[REQUESTS];
    int32_t visits, ended;
    int32_t prefix[3][CONTEXT_MAX];
} World;

static int32_t between(World *w, int32_t low, int32_t high)
{
    return low + (int32_t)stream_below(&w->random, (uint32_t)(high - low + 1));
}
static bool chance(World *w, int32_t percent) { return between(w, 1, 100) <= percent; }

static void random_layer(World *w, int32_t l, bool states)
{
    HashLayer *layer = &w->model.layer[l];
    KvLayer *kv = &w->layout.layer[l];
    *layer = (HashLayer){.alias_of = -1};
    *kv = (KvLayer){.kind = KV_FULL, .heads = 1, .key_width = 1, .value_width = 1};
    int32_t kind = between(w, 0, states ? 5 : 3);
    if (kind == 1) {
        *kv = (KvLayer){KV_WINDOW, 1, 1, 1, layer->window = between(w, 1, 20), 0, 0};
    } else if (kind == 2) {
        *kv = (KvLayer){KV_CHUNK, 1, 1, 1, layer->chunk = between(w, 1, 20), 0, 0};
    } else if (kind == 3 && l > 0 && !w->model.layer[l - 1].blind) {
        *layer = w->model.layer[l - 1];
        layer->alias_of = l - 1;
        layer->state_width = 0;
        *kv = (KvLayer){.kind = KV_ALIAS, .alias_of = l - 1};
    } else if (kind > 3) {
        layer->blind = true;
        *kv = (KvLayer){.kind = KV_STATE};
    }
    if (layer->blind || (states && chance(w, 30)))
        kv->state_width = layer->state_width = between(w, 2, 5);
}

static void random_model(World *w)
{
    bool states = chance(w, 60);
    w->model.layers = w->layout.layers = between(w, 1, 4);
    w->model.vocabulary = VOCABULARY;
    for (int32_t l = 0; l < w->model.layers; l++)
        random_layer(w, l, states);
    w->shape = (ModelShape){.V = VOCABULARY, .L = w->model.layers, .context = CONTEXT_MAX};
}

/* A cache that is told in bytes, if they are enough for anything: often for a few states only. */
static void random_bytes(World *w)
{
    EngineOptions *o = &w->options;
    KvOptions kv = {.format = o->cache_format, .block_tokens = o->block_tokens, .sequences = o->sequences,
                    .context = o->context, .rows = o->rows,
                    .state_snapshots = o->state_snapshots, .state_interval = o->state_interval};
    KvLedger l;
    MUST(kv_ledger_init(&l, &w->layout, &kv, &must_err));
    kv.bytes = between(w, 100, 6000);
    if (l.state_bytes > 0 && chance(w, 70))
        kv.bytes = l.state_bytes * between(w, 2, 2 * o->sequences) * (l.paged > 0 ? 2 : 1);
    Error err;
    if (chance(w, 30) && kv_ledger_init(&l, &w->layout, &kv, &err) == OK && kv_ledger_longest(&l) >= 16)
        o->cache_bytes = kv.bytes;
}

/* Knows how it goes on, and says something else now and then. */
static int32_t propose(void *with, const int32_t *tokens, int32_t known, int32_t *drafts, int32_t most)
{
    World *w = with;
    for (int32_t i = 0; i < w->visits; i++)
        for (int32_t s = 0; s < w->visit[i].options.samples; s++) {
            const Visit *v = &w->visit[i];
            int32_t prompt = v->options.prompt_count, said = known - prompt;
            if (said < 0 || said >= v->truths[s] || memcmp(tokens, v->prompt, (size_t)prompt * sizeof *tokens) != 0
                || memcmp(tokens + prompt, v->truth[s], (size_t)said * sizeof *tokens) != 0)
                continue;
            int32_t count = between(w, 0, most);
            for (int32_t j = 0; j < count; j++)
                drafts[j] = said + j < v->truths[s] && !chance(w, 20) ? v->truth[s][said + j] : between(w, 0, VOCABULARY - 1);
            return count;
        }
    return 0;
}

static void random_engine(World *w)
{
    EngineOptions *o = &w->options;
    *o = engine_options_default();
    o->sequences = between(w, 1, 6);
    o->rows = between(w, 1, chance(w, 50) ? 8 : 60);
    o->logit_rows = between(w, 1, 8);
    o->context = between(w, 24, CONTEXT_MAX);
    o->block_tokens = between(w, 1, chance(w, 50) ? 4 : 20);
    o->cache_tokens = chance(w, 30) ? 0 : between(w, 16, o->context * 2);
    o->policy = (const char *[]){"fcfs", "priority", "priority", "spf", "lpf"}[between(w, 0, 4)];
    o->fair = chance(w, 30);
    o->patience = chance(w, 50) ? 1000 : between(w, 1, 40);
    o->prefill_rows = chance(w, 70) ? 0 : between(w, 1, o->rows);
    o->queue = between(w, 1, 6);
    o->events = between(w, 1, 6);
    o->state_snapshots = chance(w, 20) ? 0 : between(w, 1, 12);
    o->state_interval = chance(w, 40) ? 0 : between(w, 1, 30);
    if (chance(w, 40))
        o->drafter = (EngineDrafter){propose, w, between(w, 1, 6)};
    random_bytes(w);
    for (int32_t i = 0; i < 3; i++)
        for (int32_t j = 0; j < CONTEXT_MAX; j++)
            w->prefix[i][j] = i == 2 && j < 20 ? w->prefix[1][j] : between(w, 0, VOCABULARY - 1);
}

static void crowd(World *w, WorldKind kind)
{
    EngineOptions *o = &w->options;
    *o = (EngineOptions){.sequences = between(w, 1, 4), .rows = between(w, 4, 40), .logit_rows = 8, .events = 64,
                         .context = between(w, 60, CONTEXT_MAX), .block_tokens = between(w, 2, 8), .state_snapshots = 4,
                         .cache_format = &format_f32, .policy = o->policy, .fair = kind == FAIR || chance(w, 30),
                         .patience = kind == FAIR ? 1000 : between(w, 10, 30), .queue = kind == FAIR ? 16 : 8};
    o->cache_tokens = chance(w, 50) ? 0 : between(w, o->context, 2 * o->context);
    if (kind == FAIR && !strcmp(o->policy, "priority"))
        o->policy = "fcfs";
}

static void world_open_as(World *w, uint64_t seed, WorldKind kind)
{
    Error err;
    Device *cpu;
    *w = (World){.random = {.seed = seed}};
    world_seconds = 1000;
    random_model(w);
    random_engine(w);
    if (kind != ORDINARY)
        crowd(w, kind);
    w->options.device_chooses = seed % 2;
    w->options.flies = seed % 4 == 1;
    MUST(cpu_device_open(&(CpuOptions){.tier = TIER_REFERENCE, .threads = 1}, &cpu, &must_err));
    MUST(hash_device_open(cpu, &w->device, &must_err));
    MUST(hash_model_init(&w->model, w->device, &must_err));
    EngineModel model = {&w->shape, &w->layout, hash_model_forward, &w->model};
    if (engine_new(&w->engine, &w->options, &model, w->device, &err) != OK)
        wrong("no engine: %s", err.text);
    tell("world: %d layers, %d sequences, %d rows, %d logit rows, context %d, blocks of %d, cache %d, policy %s%s, "
         "patience %d, events %d%s",
         w->model.layers, w->options.sequences, w->options.rows, w->options.logit_rows, w->options.context,
         w->options.block_tokens, (int)w->options.cache_tokens, w->options.policy, w->options.fair ? " (fair)" : "",
         w->options.patience, w->options.events, w->options.flies ? ", tokens fly" : w->options.device_chooses ? ", the device chooses" : "");
    const KvLedger *l = engine_ledger(w->engine);
    tell("       cache bytes %d, %d slots of states, %d snapshots, one in %d, %d drafts", (int)w->options.cache_bytes,
         kv_ledger_has_states(l) ? l->group[l->paged].blocks : 0, w->options.state_snapshots, w->options.state_interval,
         w->options.drafter.most);
}

/* --- the solo run: the definition, with a contiguous cache and no engine --- */

typedef struct Solo {
    Device *device;
    HashModel model;
    int32_t ints[4][CONTEXT_MAX];           /* tokens, positions, lengths, out_rows */
    int32_t zeros[CONTEXT_MAX], beginning;
    float k[HASH_LAYERS_MAX][CONTEXT_MAX], v[HASH_LAYERS_MAX][CONTEXT_MAX], state[HASH_LAYERS_MAX][CONTEXT_MAX];
    float logits[CONTEXT_MAX][VOCABULARY];  /* by position */
    KvView views[HASH_LAYERS_MAX];
    Arena *arena;
    Sampler *sampler;
} Solo;

static Solo solo;

static Tensor ints(int32_t *data, int32_t n) { return tensor_vector(data, &format_i32, n); }

static void solo_rows(const int32_t *tokens, int32_t first, int32_t rows)
{
    solo.beginning = first == 0 ? -1 : 0;
    for (int32_t i = 0; i < rows; i++) {
        solo.ints[0][i] = tokens[first + i];
        solo.ints[1][i] = first + i;
        solo.ints[3][i] = i;
    }
    Step step = {.rows = rows, .seqs = 1, .outs = rows, .layers = solo.views,
                 .tokens = ints(solo.ints[0], rows), .positions = ints(solo.ints[1], rows), .row_seq = ints(solo.zeros, rows),
                 .lengths = ints(solo.ints[2], rows), .out_rows = ints(solo.ints[3], rows)};
    for (int32_t l = 0; l < solo.model.layers; l++) {
        int32_t owner = l;
        while (solo.model.layer[owner].alias_of >= 0)
            owner = solo.model.layer[owner].alias_of;
        solo.views[l] = (KvView){.k = tensor_4d(solo.k[owner], &format_f32, 1, 1, CONTEXT_MAX, 1),
                                 .v = tensor_4d(solo.v[owner], &format_f32, 1, 1, CONTEXT_MAX, 1),
                                 .tables = tensor_of(solo.zeros, &format_i32, 1, 1), .positions = step.positions,
                                 .row_seq = step.row_seq,
                                 .state = tensor_of(solo.state[l], &format_f32, 1, solo.model.layer[l].state_width),
                                 .state_from = ints(&solo.beginning, 1), .state_to = ints(solo.zeros, 1)};
    }
    size_t mark = device_mark(solo.device);
    hash_model_forward(&solo.model, solo.device, &step, tensor_of(solo.logits[first], &format_f32, rows, VOCABULARY));
    device_release(solo.device, mark);
}

static void solo_open(void)
{
    Device *cpu;
    MUST(cpu_device_open(&(CpuOptions){.tier = TIER_REFERENCE, .threads = 1}, &cpu, &must_err));
    MUST(hash_device_open(cpu, &solo.device, &must_err));
    solo.model.layers = HASH_LAYERS_MAX;
    for (int32_t l = 0; l < HASH_LAYERS_MAX; l++)
        solo.model.layer[l] = (HashLayer){.alias_of = -1, .state_width = 2};
    MUST(hash_model_init(&solo.model, solo.device, &must_err));
    solo.device->calls->plan_begin(solo.device);
    solo_rows(solo.zeros, 0, CONTEXT_MAX);
    MUST(solo.device->calls->plan_end(solo.device, &must_err));
    solo.arena = arena_new(1 << 24);
    solo.sampler = sampler_new(solo.arena, VOCABULARY);
}

static void solo_close(void)
{
    device_close(solo.device);
    arena_free(solo.arena);
}

/* The answer of one sample; *reason says why it ends, *all_said whether a grammar did it without a token. Leaves the
 * logits of the prompt in solo. */
static int32_t solo_run(const World *w, const Visit *v, uint32_t sample, int32_t *answer, EndReason *reason, bool *all_said)
{
    const RequestOptions *o = &v->options;
    int32_t tokens[CONTEXT_MAX], known = o->prompt_count;
    int32_t limit = o->max_tokens == TOKENS_ALL ? engine_longest(w->engine) : known + o->max_tokens;
    memcpy(tokens, o->prompt, (size_t)known * sizeof *tokens);
    Tensor weights[HASH_LAYERS_MAX + 1];
    memcpy(weights, solo.model.weight, sizeof weights);
    solo.model = w->model;
    memcpy(solo.model.weight, weights, sizeof weights);
    solo_rows(tokens, 0, known);
    *reason = END_LENGTH;
    *all_said = false;
    while (known < limit) {
        Sampled s;
        SamplePlace place = {.tokens = tokens, .prompt_count = o->prompt_count, .token_count = known, .sample = sample};
        int32_t said = known - o->prompt_count;
        uint32_t mask = mask_of(v->grammar.rule, said > 0 ? tokens[known - 1] : 0, said);
        if (v->grammar.rule > 0)
            place.allowed = &mask;
        if (__real_sampler_sample(solo.sampler, &o->sampling, &place, solo.logits[known - 1], &s, NULL) != OK) {
            *reason = END_STOP;    /* the grammar leaves nothing: all is said, without a token */
            *all_said = true;
            break;
        }
        if (sampler_ends_at(&o->sampling, s.id)) {
            *reason = END_STOP;
            break;
        }
        answer[known - o->prompt_count] = tokens[known] = s.id;
        if (++known < limit)
            solo_rows(tokens, known - 1, 1);
    }
    return known - o->prompt_count;
}

/* --- requests --- */

/* A prompt begins like others do: with a common prefix, or with another conversation. */
static int32_t random_prompt(World *w, int32_t *prompt, int32_t max)
{
    int32_t count = between(w, 1, max), same;
    const Visit *earlier = w->visits > 0 ? &w->visit[between(w, 0, w->visits - 1)] : NULL;
    if (earlier && chance(w, 40)) {
        same = earlier->options.prompt_count < count ? earlier->options.prompt_count : count;
        memcpy(prompt, earlier->prompt, (size_t)same * sizeof *prompt);
        for (int32_t i = 0; i < earlier->count[0] && same < count; i++)
            prompt[same++] = earlier->tokens[0][i];
    } else {
        same = between(w, 0, count);
        memcpy(prompt, w->prefix[between(w, 0, 2)], (size_t)same * sizeof *prompt);
    }
    for (int32_t i = same; i < count; i++)
        prompt[i] = between(w, 0, VOCABULARY - 1);
    return count;
}

static void random_request(World *w, Visit *v)
{
    int32_t longest = engine_longest(w->engine);
    RequestOptions *o = &v->options;
    int32_t samples_max = w->options.sequences < SAMPLES ? w->options.sequences : SAMPLES;
    *o = (RequestOptions){.prompt = v->prompt, .samples = between(w, 1, samples_max),
                          .priority = between(w, 0, 2), .salt = (uint64_t)chance(w, 20), .sampling = sampler_options_greedy()};
    o->prompt_count = random_prompt(w, v->prompt, longest - 1);
    int32_t left = longest - o->prompt_count;
    o->max_tokens = chance(w, 10) ? TOKENS_ALL : between(w, 0, left < 24 ? left : 24);
    if (chance(w, 60)) {
        o->sampling.temperature = 1;
        o->sampling.seed = (uint64_t)between(w, 0, 3);
    }
    if (chance(w, 50))
        token_ids_add(&o->sampling.stop, STOP_ID);
    o->prompt_logprobs = chance(w, 15);
    if (o->prompt_logprobs)
        o->score_from = between(w, 0, o->prompt_count - 1);
    if (chance(w, 20)) {
        v->grammar.rule = between(w, 1, 5);
        o->constraint = (Constraint){.allowed = grammar_allowed, .accept = grammar_accept, .with = &v->grammar};
    }
    o->tenant = (uint64_t)between(w, 0, 2);
    o->queue_seconds = chance(w, 10) ? between(w, 1, 20) : 0;
    o->total_seconds = chance(w, 10) ? between(w, 1, 60) : 0;
    v->slow = chance(w, 25);
    v->submitted = world_seconds;
}

static void submit(World *w)
{
    Error err;
    Visit *v = &w->visit[w->visits];
    *v = (Visit){0};
    random_request(w, v);
    Err result = engine_submit(w->engine, &v->options, &v->request, &err);
    if (result == LIMIT_REACHED)   /* the queue is full: another time */
        return;
    if (result != OK)
        wrong("not taken: %s", err.text);
    tell("request %d: %d tokens, %d more, %d samples, salt %d, priority %d, tenant %d%s%s%s, expires %g %g", w->visits,
         v->options.prompt_count, v->options.max_tokens, v->options.samples, (int)v->options.salt, v->options.priority,
         (int)v->options.tenant, v->options.prompt_logprobs ? ", scored" : "", v->slow ? ", read slowly" : "",
         v->grammar.rule ? ", grammar" : "", v->options.queue_seconds, v->options.total_seconds);
    for (int32_t s = 0; w->options.drafter.propose && s < v->options.samples; s++) {
        EndReason reason;
    bool all_said;
        v->truths[s] = solo_run(w, v, (uint32_t)s, v->truth[s], &reason, &all_said);
    }
    w->visits++;
}

static void check_scores(const Visit *v)
{
    if (!v->options.prompt_logprobs)
        return;
    if (v->scored != v->options.prompt_count - 1 - v->options.score_from)
        wrong("%d positions were scored, not %d", v->scored, v->options.prompt_count - 1 - v->options.score_from);
    for (int32_t p = v->options.score_from + 1; p < v->options.prompt_count; p++) {
        Sampled s;
        MUST(sampler_logprobs(solo.sampler, solo.logits[p - 1], v->prompt[p], 0, &s, &must_err));
        if (s.logprob != v->prompt_logprob[p])
            wrong("position %d scores %g, alone %g", p, (double)v->prompt_logprob[p], (double)s.logprob);
    }
}

/* Whether a sample may have ended before its solo run does. */
static bool may_be_cut(const Visit *v, const Event *end)
{
    const RequestOptions *o = &v->options;
    double age = end->times.ended + 1e-6;
    switch (end->reason) {
    case END_CANCELLED: return v->cancelled;
    case END_STOP: return v->stopped[end->sample] && end->token.id < 0;
    case END_EXPIRED:
        return (o->total_seconds > 0 && age >= o->total_seconds)
               || (o->queue_seconds > 0 && age >= o->queue_seconds && v->count[end->sample] == 0);
    default: return false;
    }
}

static void check_end(World *w, Visit *v, const Event *end)
{
    int32_t answer[CONTEXT_MAX], sample = end->sample, said = v->count[sample];
    EndReason reason;
    bool all_said;
    int32_t count = solo_run(w, v, (uint32_t)sample, answer, &reason, &all_said);
    tell("request %d.%d ends: reason %d, %d tokens", (int)(v - w->visit), sample, end->reason, said);
    if (v->ended[sample])
        wrong("it ended before");
    bool whole = end->reason == reason && said == count && (reason != END_STOP || (end->token.id < 0) == all_said);
    w->tally->ends[end->reason] += !whole;
    w->tally->all_said += whole && all_said;
    if (!whole && !may_be_cut(v, end))
        wrong("%d tokens, reason %d; alone %d tokens, reason %d", said, end->reason, count, reason);
    if (said > count)
        wrong("%d tokens, alone %d", said, count);
    for (int32_t i = 0; i < said; i++)
        if (v->tokens[sample][i] != answer[i])
            wrong("token %d is %d, alone %d", i, v->tokens[sample][i], answer[i]);
    if (v->grammar.rule > 0 && v->grammar.count[sample] != said + (end->token.id >= 0))
        wrong("the grammar was told of %d tokens; there are %d", v->grammar.count[sample], said);
    if (whole)
        check_scores(v);
    v->ended[sample] = true;
}

static bool read_event(World *w, Visit *v)
{
    Event event;
    if (!request_next(v->request, &event))
        return false;
    switch (event.kind) {
    case EVENT_PROMPT:
        v->prompt_logprob[event.position] = event.token.logprob;
        v->scored++;
        break;
    case EVENT_TOKEN:
        if (event.position != v->options.prompt_count + v->count[event.sample])
            wrong("a token at %d after %d", event.position, v->count[event.sample]);
        v->tokens[event.sample][v->count[event.sample]++] = event.token.id;
        break;
    case EVENT_END:
        check_end(w, v, &event);
        if (++v->ends == v->options.samples) {
            w->tally->promoted += v->request->promoted > 0;
            request_close(v->request);
            v->request = NULL;
            w->ended++;
        }
        break;
    }
    return true;
}

static bool read_events(World *w)
{
    bool any = false;
    for (int32_t i = 0; i < w->visits; i++) {
        Visit *v = &w->visit[i];
        for (int32_t n = v->slow ? (int32_t)chance(w, 10) : CONTEXT_MAX; n > 0 && v->request && read_event(w, v); n--)
            any = true;
    }
    return any;
}

static void maybe_wish(World *w)
{
    Visit *v = &w->visit[between(w, 0, REQUESTS - 1)];
    if (v->request && chance(w, 3)) {
        tell("request %d is cancelled", (int)(v - w->visit));
        v->cancelled = true;
        request_cancel(v->request);
    }
    v = &w->visit[between(w, 0, REQUESTS - 1)];
    if (v->request && chance(w, 3)) {
        int32_t sample = between(w, 0, v->options.samples - 1);
        tell("request %d.%d is stopped", (int)(v - w->visit), sample);
        v->stopped[sample] = true;
        request_stop(v->request, sample);
    }
}

/* --- living --- */

static void check_books(World *w)
{
    Error err;
    if (engine_audit(w->engine, &err) != OK)
        wrong("the books: %s", err.text);
}

/* What was wished before the step, and what was late when it began, is done. */
static void check_wishes(const World *w, double begun)
{
    for (int32_t i = 0; i < w->visits; i++) {
        const Visit *v = &w->visit[i];
        const RequestOptions *o = &v->options;
        if (!v->request)
            continue;
        bool late = (o->total_seconds > 0 && begun >= v->submitted + o->total_seconds)
                    || (o->queue_seconds > 0 && begun >= v->submitted + o->queue_seconds && !v->request->started);
        if (v->request->left > 0 && (v->cancelled || late))
            wrong("request %d should have ended: %s", i, late ? "it is late" : "it was cancelled");
        for (int32_t s = 0; s < o->samples; s++)
            if (v->stopped[s] && v->request->sequences[s].state != SEQUENCE_ENDED)
                wrong("request %d.%d should have ended: it was stopped", i, s);
    }
}

static void check_all_came_back(World *w)
{
    EngineStats stats = engine_stats(w->engine);
    if (stats.queued + stats.waiting + stats.running != 0)
        wrong("%d queued, %d waiting, %d running at the end", stats.queued, stats.waiting, stats.running);
    for (int32_t g = 0; g < stats.groups; g++)
        if (stats.blocks[g].held != 0)
            wrong("group %d: %d blocks are still held", g, stats.blocks[g].held);
}

static void world_run(uint64_t seed, Tally *t)
{
    static World w;
    world_seed = seed;
    trace.lines = 0;
    world_open_as(&w, seed, ORDINARY);
    w.tally = t;
    int32_t idle = 0;
    for (int32_t i = 0; w.ended < REQUESTS; i++) {
        if (i > ITERATIONS_MAX)
            wrong("after %d steps %d of %d requests have ended: somebody starves", i, w.ended, REQUESTS);
        while (w.visits < REQUESTS && chance(&w, 30))
            submit(&w);
        maybe_wish(&w);
        world_seconds += stream_unit(&w.random);
        bool stepped = engine_step(w.engine);
        check_wishes(&w, world_seconds - 1e-6);
        bool read = read_events(&w);
        check_books(&w);
        EngineStats stats = engine_stats(w.engine);
        tell("step %d: %d queued, %d waiting, %d running, %d resting, %lld rows, %lld preempted", i, stats.queued,
             stats.waiting, stats.running, stats.resting, (long long)stats.rows, (long long)stats.preemptions);
        idle = stepped || read || w.visits < REQUESTS ? 0 : idle + 1;
        if (idle > 1000)   /* slow readers read now and then: nobody is slower than that */
            wrong("deadlock: %d of %d requests have ended", w.ended, REQUESTS);
    }
    check_all_came_back(&w);
    EngineStats stats = engine_stats(w.engine);
    t->worlds++;
    t->steps += stats.steps;
    t->preemptions += stats.preemptions;
    t->copies += stats.copies;
    t->reused += stats.reused_tokens;
    t->reused_states += kv_ledger_has_states(engine_ledger(w.engine)) ? stats.reused_tokens : 0;
    t->tokens += stats.generated_tokens;
    t->drafted += stats.drafted_tokens;
    t->accepted += stats.accepted_tokens;
    engine_free(w.engine);
    device_close(w.device);
}

#include "sim_floods.h"

static Tally run_seeds(uint64_t from, uint64_t count)
{
    Tally t = {0};
    signal(SIGABRT, on_abort);
    solo_open();
    for (uint64_t seed = from; seed < from + count; seed++) {
        world_run(seed, &t);
        if (seed % 10 == 0)
            nobody_starves_in(seed);
        if (seed % 20 == 0)
            tenants_take_turns_in(seed);
    }
    solo_close();
    signal(SIGABRT, SIG_DFL);
    return t;
}

/* --- tests --- */

static void print_tally(const Tally *t)
{
    printf("%lld worlds, %lld steps, %lld tokens, %lld preemptions, %lld copies, %lld tokens reused (%lld by states), "
           "%lld drafted, %lld accepted, %lld promoted\n",
           (long long)t->worlds, (long long)t->steps, (long long)t->tokens, (long long)t->preemptions, (long long)t->copies,
           (long long)t->reused, (long long)t->reused_states, (long long)t->drafted, (long long)t->accepted,
           (long long)t->promoted);
    printf("%lld stopped, %lld cancelled, %lld expired, %lld with all said\n", (long long)t->ends[END_STOP],
           (long long)t->ends[END_CANCELLED], (long long)t->ends[END_EXPIRED], (long long)t->all_said);
}

/* Whether enough has happened in the worlds for them to show anything. */
static bool rich(const Tally *t)
{
    return t->preemptions > t->worlds && t->copies > t->worlds / 2 && t->reused - t->reused_states > t->worlds
           && t->reused_states > t->worlds && t->accepted > t->worlds && t->drafted - t->accepted > t->worlds
           && t->promoted > t->worlds / 10 && t->ends[END_STOP] > t->worlds / 10 && t->ends[END_EXPIRED] > t->worlds / 10
           && t->ends[END_CANCELLED] > t->worlds / 10 && t->all_said > t->worlds / 20;
}

static int exit_status_of(Mutant m, uint64_t seeds)
{
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        mutant = m;
        if (m != NO_MUTANT)
            freopen("/dev/null", "w", stderr);
        setrlimit(RLIMIT_CPU, &(struct rlimit){CPU_SECONDS_MAX, CPU_SECONDS_MAX});   /* for mutants that hang */
        Tally t = run_seeds(1, seeds);
        if (m == NO_MUTANT)
            print_tally(&t);
        fflush(NULL);
        _exit(m == NO_MUTANT && !rich(&t) ? 2 : 0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

/* Protects everything: who shares, waits, is interrupted or cut into chunks receives the same tokens. */
static void in_a_thousand_worlds_every_request_receives_its_solo_run(void **state)
{
    (void)state;
    assert_int_equal(exit_status_of(NO_MUTANT, SEEDS), 0);
}

/* Protects the simulation: it would notice. */
static void every_mutant_is_noticed(void **state)
{
    (void)state;
    int unnoticed = 0;
    for (Mutant m = NO_MUTANT + 1; m < MUTANTS; m++)
        if (exit_status_of(m, MUTANT_SEEDS) == 0) {
            print_error("not noticed: %s\n", mutant_names[m]);
            unnoticed++;
        }
    assert_int_equal(unnoticed, 0);
}

int main(int argc, char **argv)
{
    if (argc > 1) {
        trace.aloud = argc == 2;
        run_seeds(strtoull(argv[1], NULL, 10), argc > 2 ? strtoull(argv[2], NULL, 10) : 1);
        return 0;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(in_a_thousand_worlds_every_request_receives_its_solo_run),
        cmocka_unit_test(every_mutant_is_noticed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "test.h"

#include "engine_bench.h"

#include <math.h>

#include "devices/cpu/cpu_device.h"
#include "devices/hash/hash_device.h"

/* As the hash model, but what it says after the token BROKEN is no number. */
static void forward(const void *model, Device *d, const Step *step, Tensor logits)
{
    hash_model_forward(model, d, step, logits);
    const int32_t *tokens = step->tokens.data, *rows = step->out_rows.data;
    for (int32_t i = 0; i < step->outs; i++)
        if (tokens[rows[i]] == BROKEN)
            ((float *)tensor_row(logits, i))[3] = NAN;
}

EngineOptions bench_options(void)
{
    EngineOptions o = engine_options_default();
    o.sequences = 8;
    o.rows = 64;
    o.cache_tokens = 8 * CONTEXT;
    return o;
}

const Bench bench_attention = {
    .model = {.layers = 2, .vocabulary = VOCABULARY, .layer = {{.alias_of = -1}, {.alias_of = -1, .window = 24}}},
    .shape = {.V = VOCABULARY, .L = 2, .context = CONTEXT},
    .layout = {2, {{KV_FULL, 1, 1, 1, 0, 0, 0}, {KV_WINDOW, 1, 1, 1, 24, 0, 0}}},
};
const Bench bench_states = {
    .model = {.layers = 2, .vocabulary = VOCABULARY, .layer = {{.alias_of = -1, .state_width = 4, .blind = true},
                                                               {.alias_of = -1, .state_width = 2, .blind = true}}},
    .shape = {.V = VOCABULARY, .L = 2, .context = CONTEXT},
    .layout = {2, {{.kind = KV_STATE, .state_width = 4}, {.kind = KV_STATE, .state_width = 2}}},
};
const Bench bench_mixed = {
    .model = {.layers = 2, .vocabulary = VOCABULARY, .layer = {{.alias_of = -1, .state_width = 4},
                                                               {.alias_of = -1, .state_width = 2, .blind = true}}},
    .shape = {.V = VOCABULARY, .L = 2, .context = CONTEXT},
    .layout = {2, {{KV_FULL, 1, 1, 1, 0, 0, 4}, {.kind = KV_STATE, .state_width = 2}}},
};

void bench_open_as(Bench *b, const Bench *kind, EngineOptions o)
{
    Device *cpu;
    Error err;
    *b = *kind;
    assert_int_equal(cpu_device_open(&(CpuOptions){.tier = TIER_REFERENCE, .threads = 1}, &cpu, &err), OK);
    assert_int_equal(hash_device_open(cpu, &b->device, &err), OK);
    assert_int_equal(hash_model_init(&b->model, b->device, &err), OK);
    EngineModel model = {&b->shape, &b->layout, forward, &b->model};
    must_be_ok(engine_new(&b->engine, &o, &model, b->device, &err), &err);
}

void bench_open(Bench *b, EngineOptions o) { bench_open_as(b, &bench_attention, o); }

void bench_close(Bench *b)
{
    engine_free(b->engine);
    device_close(b->device);
}

int32_t some_prompt[CONTEXT];

void fill_prompt(int32_t seed)
{
    for (int32_t i = 0; i < CONTEXT; i++)
        if ((some_prompt[i] = (i * i + seed * 7 + i / 3) % VOCABULARY) == BROKEN)
            some_prompt[i]++;
}

RequestOptions asking(const int32_t *prompt, int32_t count, int32_t max_tokens)
{
    RequestOptions o = {.prompt = prompt, .prompt_count = count, .max_tokens = max_tokens};
    o.sampling = sampler_options_greedy();
    o.sampling.biases = 1;
    o.sampling.bias[0] = (LogitBias){BROKEN, -100};
    return o;
}

Request *submit(Bench *b, RequestOptions o)
{
    Request *r;
    Error err;
    must_be_ok(engine_submit(b->engine, &o, &r, &err), &err);
    return r;
}

void read_answer(Request *r, Answer *answers)
{
    Event event;
    while (request_next(r, &event)) {
        Answer *a = &answers[event.sample];
        if (event.kind == EVENT_TOKEN) {
            a->tokens[a->count++] = event.token.id;
        } else if (event.kind == EVENT_END) {
            a->reason = event.reason;
            a->ended = true;
            a->times = event.times;
        }
    }
}

void finish(Bench *b, Request *r, Answer *answers)
{
    while (engine_step(b->engine))
        read_answer(r, answers);
    read_answer(r, answers);
    assert_true(request_ended(r));
}

Answer solo(Bench *b, RequestOptions o)
{
    Answer a = {0};
    Request *r = submit(b, o);
    finish(b, r, &a);
    request_close(r);
    return a;
}

void assert_same(const Answer *a, const Answer *b)
{
    assert_int_equal(a->count, b->count);
    assert_memory_equal(a->tokens, b->tokens, (size_t)a->count * sizeof *a->tokens);
    assert_int_equal(a->reason, b->reason);
}

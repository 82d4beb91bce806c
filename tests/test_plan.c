/* ridge plan: what is counted without weights is what a run asks for, and what a pencil gives. Protects every number that a
 * plan says before anything runs, and the inference lecture's. */
#include <math.h>

#include "devices/cpu/cpu_device.h"
#include "engine/engine.h"
#include "model/package.h"
#include "test.h"
#include "tools/plan.h"
#include "tools/plan_lecture.h"
#include "tools/suggest.h"

static PlanModel open_shape(const char *name, int32_t kv_heads)
{
    Error err = {0};
    PlanModel p;
    must_be_ok(plan_model_open(&(PlanModelOptions){.model = name, .kv_heads = kv_heads}, &p, &err), &err);
    return p;
}

static Machine machine_named(const char *name)
{
    Error err = {0};
    Machine m;
    must_be_ok(machine_find(name, &m, &err), &err);
    return m;
}

static const Tally *step(PlanModel *p, PlanStep s)
{
    Error err = {0};
    const Tally *t;
    must_be_ok(plan_step(p, s, format_find("BF16"), &t, &err), &err);
    return t;
}

/* Rounded as it is printed. */
static void prints(double x, int digits, const char *expected)
{
    char text[32];
    snprintf(text, sizeof text, "%.*f", digits, x);
    assert_string_equal(text, expected);
}

/* ---- the lecture ---- */

static LectureBatch lecture_row(int32_t kv_heads, int32_t batch)
{
    Error err = {0};
    Lecture l;
    PlanModel p = open_shape("llama-2-13b", kv_heads);
    Machine m = machine_named("h100");
    must_be_ok(lecture_of(&p, &m, 1024, &l, &err), &err);
    prints(l.intensity, 0, "295");
    assert_true(l.cache == 1024.0 * 2 * 2 * 40 * 128 * p.model->shape.K);   /* S, keys and values, 16 bits, L, H, K */
    plan_model_close(&p);
    return lecture_batch(&l, &m, batch);
}

static void the_lecture_has_these_numbers(void **state)
{
    (void)state;
    static const struct { int32_t kv_heads, batch; const char *gigabytes, *ms, *rate; int digits; bool fits; } rows[] = {
        {0, 1, "26.9", "8.0", "124.7", 1, true},    {0, 64, "79.7", "23.8", "2689", 0, true},
        {0, 256, "240.8", "71.9", "3562", 0, false}, {8, 64, "33.4", "10.0", "6417", 0, true},
        {8, 256, "65.6", "19.6", "13068", 0, true},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        LectureBatch b = lecture_row(rows[i].kv_heads, rows[i].batch);
        prints(b.memory / 1e9, 1, rows[i].gigabytes);
        prints(1e3 * b.latency, 1, rows[i].ms);
        prints(b.throughput, rows[i].digits, rows[i].rate);
        assert_int_equal(b.fits, rows[i].fits);
    }
}

static void intensities_tend_to_where_the_lecture_says(void **state)
{
    (void)state;
    Error err = {0};
    double x, wide;
    for (int32_t B = 1; B <= 256; B *= 4) {
        must_be_ok(lecture_product(B, 5120, 13824, &x, &err), &err);
        double D = 5120, F = 13824;
        assert_true(fabs(x - B * D * F / (B * D + D * F + B * F)) < 1e-9 * x);
        must_be_ok(lecture_product(B, 1 << 20, 1 << 20, &wide, &err), &err);
        assert_true(wide < B && wide > 0.999 * B);
        must_be_ok(lecture_mlp(B, 8, 1 << 18, 1 << 18, &x, &err), &err);
        assert_true(x > 0.98 * B * 8 && x < 1.001 * B * 8);
    }
    for (int32_t T = 1; T <= 1024; T *= 2) {
        must_be_ok(lecture_attention(1024, T, 40, 128, &x, &err), &err);
        assert_true(fabs(x - 1024.0 * T / (1024 + T)) < 1e-9 * x);
    }
}

static void without_a_cache_a_power_more(void **state)
{
    (void)state;
    Error err = {0};
    LectureCost a, b;
    must_be_ok(lecture_generation(64, 4, 16, &a, &err), &err);
    must_be_ok(lecture_generation(128, 4, 16, &b, &err), &err);
    assert_true(a.cached == 4.0 * 4 * 16 * 64 * 65 / 2);                /* 4 operations, heads, width, sum of t */
    assert_true(a.uncached == 4.0 * 4 * 16 * (64.0 * 65 * 66 / 6));     /* sum of t (t + 1) / 2 */
    assert_true(b.cached / a.cached > 3.9 && b.cached / a.cached < 4);
    assert_true(b.uncached / a.uncached > 7.7 && b.uncached / a.uncached < 8);
}

/* ---- hand counts ---- */

static void dense_by_hand(void **state)
{
    (void)state;
    PlanModel p = open_shape("llama-2-13b", 0);
    double S = 1024, D = 5120, F = 13824, NH = 5120, L = 40, V = 32000, B = 3;
    const Tally *t = step(&p, (PlanStep){.sequences = 3, .rows = 1, .past = 1023});
    double matrices = L * (4 * D * NH + 3 * D * F) + D * V, norms = (2 * L + 1) * D, turns = 64 * 4;   /* how fast pairs turn */
    assert_true(t->total.weight_bytes == 2 * matrices + 4 * norms + turns + B * 2 * D);   /* B rows of the embedding */
    assert_true(t->total.cache_bytes == B * L * S * 2 * NH * 2);
    double attention = 0, heads = 0, products = 0;
    for (int32_t i = 0; i < t->work.lines; i++) {
        const WorkLine *l = &t->work.line[i];
        attention += l->op == OP_ATTEND ? l->cost.operations : 0;
        products += l->demand.operations[ARITHMETIC_BF16];
        heads += l->part == WORK_HEAD && l->op == OP_LINEAR ? l->cost.weight_bytes : 0;
    }
    assert_true(attention == B * L * 4 * S * NH);
    assert_true(heads == 2 * D * V);
    assert_true(products == 2 * B * matrices + B * L * 2 * F + B * D);   /* and the gates, and the embedding */
    assert_int_equal(t->branches, 80);
    assert_true(p.weight_bytes == 2 * (matrices + D * V) + 4 * norms + turns);
    assert_int_equal(p.model->parameters, (int64_t)(matrices + D * V + norms));
    plan_model_close(&p);
}

/* DeepSeek-V2-Lite: a latent of 512 and 64 rotated numbers is all that is kept; keys and values are folded into the
 * queries and the outputs of each head; 6 of 64 experts. */
static void latent_attention_and_experts_by_hand(void **state)
{
    (void)state;
    PlanModel p = open_shape("deepseek-v2-lite", 0);
    double S = 500, D = 2048, N = 16, C = 512, R = 64, P = 128, V = 128, L = 27;
    const Tally *t = step(&p, (PlanStep){.sequences = 1, .rows = 1, .past = 499});
    assert_true(t->total.cache_bytes == L * S * (C + R) * 2);
    OpCost part[WORK_PARTS] = {0};
    double attention = 0;
    for (int32_t i = 0; i < t->work.lines; i++) {
        const WorkLine *l = &t->work.line[i];
        op_cost_add(&part[l->part], &l->cost);
        attention += l->op == OP_ATTEND ? l->cost.operations : 0;
    }
    assert_true(attention == L * 2 * N * S * (C + R + C));
    double projections = N * (P + R) * D + (C + R) * D + N * P * C + N * V * C + N * V * D;
    assert_true(part[WORK_PROJECTIONS].weight_bytes == L * (2 * projections + 4 * (D + C)));
    double dense = 3 * D * 10944, experts = (6 + 2) * 3 * D * 1408, router = 64 * D;
    double mlp = 2 * (dense + (L - 1) * experts) + 4 * ((L - 1) * router + L * D);
    assert_true(fabs(part[WORK_MLP].weight_bytes - mlp) < 1e-9 * mlp);
    plan_model_close(&p);
}

/* Mamba-2.8B: nothing grows with the past, which is a state of 16 numbers and a tail of 3 for each of 5120 channels. */
static void state_space_by_hand(void **state)
{
    (void)state;
    PlanModel p = open_shape("mamba-2.8b", 0);
    double D = 2560, W = 5120, states = 16, rank = 160, taps = 4, L = 64, V = 50280;
    const Tally *t = step(&p, (PlanStep){.sequences = 1, .rows = 1, .past = 99});
    assert_true(t->total.cache_bytes == L * 2 * 4 * W * (states + taps - 1));   /* read and written */
    double small = (rank + 2 * states) * W + W * rank;                          /* kept in F32 */
    double vectors = W * taps + W + W * states + W + D;                         /* convolution, its bias, A, D, norm */
    double layer = 2 * (2 * W * D + W * D) + 4 * (small + vectors);
    assert_true(t->total.weight_bytes == L * layer + 2 * D * V + 4 * D + 2 * D);
    double before = t->total.cache_bytes, weights = t->total.weight_bytes;
    t = step(&p, (PlanStep){.sequences = 1, .rows = 1, .past = 99999});
    assert_true(t->total.cache_bytes == before && t->total.weight_bytes == weights);
    plan_model_close(&p);
}

/* ---- a real run ---- */

enum { PROMPT = 19, TOKENS = 6 };

static OpCost traced_run(const char *path)
{
    Error err = {0};
    Package package;
    Device *cpu, *trace;
    Model *model;
    Engine *engine;
    Request *request;
    Event event;
    int32_t prompt[PROMPT];
    must_be_ok(package_open(&package, path, &err), &err);
    must_be_ok(cpu_device_open(&(CpuOptions){.tier = TIER_BEST, .threads = 1}, &cpu, &err), &err);
    must_be_ok(trace_open(cpu, NULL, &trace, &err), &err);
    must_be_ok(model_open(&package.checkpoint, trace, NULL, &model, &err), &err);
    EngineOptions o = engine_options_default();
    o.sequences = 1;
    o.context = PROMPT + TOKENS + 2;
    o.state_snapshots = 0;                       /* for which a prompt is cut into more steps */
    o.cache_format = format_find("BF16");
    EngineModel m = engine_model(model);
    must_be_ok(engine_new(&engine, &o, &m, trace, &err), &err);
    for (int32_t i = 0; i < PROMPT; i++)
        prompt[i] = 3 + i * 7 % (model->shape.V - 8);
    RequestOptions ask = {.prompt = prompt, .prompt_count = PROMPT, .max_tokens = TOKENS,
                          .sampling = sampler_options_greedy()};
    must_be_ok(engine_submit(engine, &ask, &request, &err), &err);
    while (!request_ended(request))
        if (!request_next(request, &event))
            engine_step(engine);
    request_close(request);
    OpCost sum = {0};
    for (int32_t i = 0; i < trace_read(trace)->lines; i++)
        op_cost_add(&sum, &trace_read(trace)->line[i].cost);
    engine_free(engine);
    model_close(model);
    device_close(trace);
    package_close(&package);
    return sum;
}

static OpCost planned_run(const char *path)
{
    OpCost sum = {0};
    PlanModel p = open_shape(path, 0);
    op_cost_add(&sum, &step(&p, (PlanStep){.sequences = 1, .rows = PROMPT})->total);
    for (int32_t i = 0; i + 1 < TOKENS; i++)
        op_cost_add(&sum, &step(&p, (PlanStep){.sequences = 1, .rows = 1, .past = PROMPT + i})->total);
    plan_model_close(&p);
    return sum;
}

/* Of every kind of past and of weights: what paper says before is what a trace sees. */
static void a_run_asks_for_what_was_planned(void **state)
{
    (void)state;
    static const char *const families[] = {"llama", "deepseek_v3", "mamba", "gpt2", "gpt_oss", "mixtral", "gemma3_text",
                                           "hunyuan_cla", "jamba", "qwen3_next", "rwkv", "falcon_h1", "minimax"};
    for (size_t i = 0; i < COUNT_OF(families); i++) {
        char path[128];
        snprintf(path, sizeof path, "tests/fixtures/hf/%s", families[i]);
        OpCost ran = traced_run(path), planned = planned_run(path);
        bool same = fabs(ran.weight_bytes / planned.weight_bytes - 1) < 1e-12;   /* experts are sums of broken numbers */
        if (!same || ran.cache_bytes != planned.cache_bytes)
            print_error("%s: %.0f and %.0f bytes ran, %.0f and %.0f were planned\n", families[i], ran.weight_bytes,
                        ran.cache_bytes, planned.weight_bytes, planned.cache_bytes);
        assert_true(same && ran.cache_bytes == planned.cache_bytes);
        assert_true(ran.operations == planned.operations && ran.activation_bytes == planned.activation_bytes);
    }
}

/* ---- what follows from it ---- */

static PlanOptions options_for(const char *machine)
{
    return (PlanOptions){.machine = machine_named(machine), .cache = format_find("BF16"), .context = 1024, .prompt = 512,
                         .rows = 512, .shards = 1, .replicas = 1};
}

static void the_largest_batch_fits_and_one_more_does_not(void **state)
{
    (void)state;
    Error err = {0};
    PlanModel p = open_shape("llama-2-13b", 0);
    PlanOptions o = options_for("h100");
    PlanMemory m;
    must_be_ok(plan_memory(&p, &o, &m, &err), &err);
    assert_true(m.batch_max >= 60 && m.batch_max <= 64);      /* the lecture's 64, less the activations */
    assert_true(plan_memory_bytes(&m, m.batch_max) <= 80e9 && plan_memory_bytes(&m, m.batch_max + 1) > 80e9);
    o.shards = 2;
    must_be_ok(plan_memory(&p, &o, &m, &err), &err);
    assert_true(m.weights == p.weight_bytes / 2 && m.cache == 1024.0 * 40 * 128 * 40 * 2 * 2 / 2);
    plan_model_close(&p);
    p = open_shape("deepseek-v2-lite", 0);                    /* a latent is no head: each shard has all of it */
    must_be_ok(plan_memory(&p, &o, &m, &err), &err);
    assert_true(m.cache == 1024.0 * 27 * (512 + 64) * 2);
    plan_model_close(&p);
}

/* Two sums over all machines in each layer, of [rows, D] in 16 bits, each once around a ring and back. */
static void shards_pay_over_the_link(void **state)
{
    (void)state;
    Error err = {0};
    PlanModel p = open_shape("llama-2-13b", 0);
    PlanOptions o = options_for("h100");
    PlanPhase one, four;
    PlanStep s = {.sequences = 16, .rows = 1, .past = 1023};
    must_be_ok(plan_generate(&p, &o, s, &one, &err), &err);
    o.shards = 4;
    must_be_ok(plan_generate(&p, &o, s, &four, &err), &err);
    assert_true(one.link_bytes == 0 && four.link_bytes == 2.0 * 3 / 4 * 16 * 5120 * 2 * 80);
    assert_true(fabs(four.seconds - one.seconds / 4 - four.link_bytes / 450e9) < 1e-9);
    o.shards = 3;
    assert_int_equal(plan_check(&p, &o, &err), BAD_ARGUMENT);
    assert_non_null(strstr(err.text, "40 heads"));
    plan_model_close(&p);
}

static void a_draft_gives_a_geometric_sum(void **state)
{
    (void)state;
    assert_true(fabs(plan_expected_tokens(0.7, 3) - (1 + 0.7 + 0.49 + 0.343)) < 1e-12);
    assert_true(plan_expected_tokens(0, 5) == 1 && plan_expected_tokens(1, 5) == 6);
    Error err = {0};
    PlanModel p = open_shape("llama-3.1-8b", 0), draft = open_shape("llama-3.2-1b", 0);
    PlanOptions o = options_for("l4");
    PlanMemory m;
    PlanBatch b;
    PlanDraft d, best;
    must_be_ok(plan_memory(&p, &o, &m, &err), &err);
    must_be_ok(plan_batch(&p, &o, &m, 1, &b, &err), &err);
    must_be_ok(plan_draft(&p, &draft, &o, &b, 0.7, 3, &d, &err), &err);
    assert_true(fabs(d.gain - 2.533 * b.step.seconds / (3 * d.draft_seconds + d.verify_seconds)) < 1e-9);
    must_be_ok(plan_draft(&p, &draft, &o, &b, 0.7, 0, &best, &err), &err);
    assert_true(best.gain >= d.gain && best.gain > 1.5 && best.gain < 2.533);
    plan_model_close(&p);
    plan_model_close(&draft);
}

/* The cheapest comes first, whatever is said to meet the bounds does, and whoever holds nothing is told what it would need. */
static void suggestions_keep_their_promises(void **state)
{
    (void)state;
    Error err = {0};
    int count;
    SuggestQuestion q = {.model = "llama-3.1-8b", .rate = 20, .prompt = 512, .answer = 256, .ttft = 0.5, .latency = 0.03,
                         .machines = 3, .formats = 2, .caches = 1};
    q.machine[0] = (SuggestMachine){machine_named("h100"), 2.5};
    q.machine[1] = (SuggestMachine){machine_named("l4"), 0.8};
    q.machine[2] = (SuggestMachine){machine_named("l4"), 0.1};
    q.machine[2].machine.memory_bytes = 4e9;
    q.format[0] = q.cache[0] = format_find("BF16");
    q.format[1] = format_find("Q8_0");
    Suggestion *s = malloc(SUGGESTIONS_MAX * sizeof *s);
    must_be_ok(suggest(&q, s, &count, &err), &err);
    assert_int_equal(count, 3 * 2 * 4);
    int meet = 0, no_room = 0;
    for (int i = 0; i < count; i++) {
        const Suggestion *one = &s[i];
        no_room += one->why == SUGGEST_NO_ROOM;
        if (one->why == SUGGEST_NO_ROOM) {
            assert_true(one->memory > one->machine->machine.memory_bytes);
            continue;
        }
        double load = one->load * (double)one->replicas;
        assert_true(one->load <= 0.8 + 1e-12 && (one->replicas == 1 || load > 0.8 * (double)(one->replicas - 1) - 1e-9));
        assert_true(fabs(one->price - (double)one->replicas * one->shards * one->machine->price) < 1e-9);
        assert_true(one->memory <= one->machine->machine.memory_bytes);
        assert_true((one->why == SUGGEST_MEETS) == (one->ttft <= 0.5 && one->latency <= 0.03));
        assert_true(one->why != SUGGEST_MEETS || i == 0 || (s[i - 1].why == SUGGEST_MEETS && s[i - 1].price <= one->price));
        meet += one->why == SUGGEST_MEETS;
    }
    assert_true(meet > 0 && meet < count && no_room >= 2);
    free(s);
}

/* ---- machines ---- */

static void every_machine_has_its_source(void **state)
{
    (void)state;
    static const char *const names[] = {"h100", "h100-pcie", "h200", "b200", "a100", "l40s", "l4", "rtx-4090", "rtx-5090",
                                        "mi300x", "epyc-9654", "epyc-9755", "xeon-8480", "xeon-6980p", "m2-ultra", "m3-max",
                                        "m4-max"};
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        Machine m = machine_named(names[i]);
        assert_true(strlen(m.source) > 20 && m.bytes_per_second > 1e11 && m.memory_bytes > 1e10 && m.fp32 > 1e12);
        assert_true(m.int8 >= m.bf16 && m.gpu != (m.threads > 0));
    }
    Error err;
    Machine m;
    assert_int_equal(machine_find("abacus", &m, &err), NOT_FOUND);
    assert_non_null(strstr(err.text, "abacus"));
    assert_int_equal(machine_find("../h100", &m, &err), NOT_FOUND);   /* a path, of no file */
}

/* Attention computes with floats, for which a graphics processor has its bf16 units and a processor has not. */
static void floats_go_through_bf16_units_of_gpus(void **state)
{
    (void)state;
    Demand d = {.operations = {[ARITHMETIC_FP32] = 989e12}};
    Machine m = machine_named("h100");
    assert_true(roofline_seconds(&m, &d) == 1);
    m.gpu = false;
    assert_true(roofline_seconds(&m, &d) == 989.0 / 67);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_lecture_has_these_numbers),
        cmocka_unit_test(intensities_tend_to_where_the_lecture_says),
        cmocka_unit_test(without_a_cache_a_power_more),
        cmocka_unit_test(dense_by_hand),
        cmocka_unit_test(latent_attention_and_experts_by_hand),
        cmocka_unit_test(state_space_by_hand),
        cmocka_unit_test(a_run_asks_for_what_was_planned),
        cmocka_unit_test(the_largest_batch_fits_and_one_more_does_not),
        cmocka_unit_test(shards_pay_over_the_link),
        cmocka_unit_test(a_draft_gives_a_geometric_sum),
        cmocka_unit_test(suggestions_keep_their_promises),
        cmocka_unit_test(every_machine_has_its_source),
        cmocka_unit_test(floats_go_through_bf16_units_of_gpus),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

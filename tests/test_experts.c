/* What experts rest on: who is chosen and with which weight, in numbers worked out by hand; each expert's product
 * against the product of its matrix alone; what is read. */
#include "test.h"

#include <math.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/ops.h"
#include "devices/cpu/cpu_device.h"
#include "kernels/op_spec.h"

enum { ROWS = 3, WIDTH = 64, K = 2, EXPERTS = 4, OUT = 20 };   /* OUT: no multiple of what lies in a panel */

static Device *device_of(CpuTier tier)
{
    Device *d;
    Error err;
    assert_int_equal(cpu_device_open(&(CpuOptions){.tier = tier, .threads = 2}, &d, &err), OK);
    return d;
}

/* Plans for the call and computes it. */
static void compute(Device *d, OpCall call)
{
    Error err;
    d->calls->plan_begin(d);
    device_run(d, &call);
    assert_int_equal(d->calls->plan_end(d, &err), OK);
    device_run(d, &call);
}

static Tensor f32(float *data, int32_t rows, int32_t width) { return tensor_of(data, &format_f32, rows, width); }

typedef struct Routed { int32_t ids[4]; float weights[4]; } Routed;

static Routed route(CpuTier tier, const float *scores, const float *bias, int32_t experts, int32_t k, Router r)
{
    Routed out;
    Device *d = device_of(tier);
    compute(d, (OpCall){.op = OP_ROUTE,
                        .out = {tensor_of(out.ids, &format_i32, 1, k), f32(out.weights, 1, k)},
                        .in = {f32((float *)scores, 1, experts),
                               bias ? tensor_vector((float *)bias, &format_f32, experts) : NONE},
                        .router = r});
    device_close(d);
    return out;
}

static void chosen(Routed got, int32_t k, const int32_t *ids, const float *weights)
{
    for (int32_t i = 0; i < k; i++) {
        assert_int_equal(got.ids[i], ids[i]);
        assert_float_equal(got.weights[i], weights[i], 1e-6f);
    }
}

#define ON_EACH_TIER(tier) for (CpuTier tier = TIER_REFERENCE; tier <= cpu_best_tier(); tier++)
#define IDS(...) (const int32_t[]){__VA_ARGS__}
#define WEIGHTS(...) (const float[]){__VA_ARGS__}

static void the_largest_are_chosen_and_of_equal_ones_the_first(void **state)
{
    (void)state;
    const float scores[] = {0, logf(2), logf(4), logf(2), 0};          /* softmax: 0.1 0.2 0.4 0.2 0.1 */
    ON_EACH_TIER(tier) {
        chosen(route(tier, scores, NULL, 5, 3, (Router){.factor = 1}), 3, IDS(2, 1, 3), WEIGHTS(0.4f, 0.2f, 0.2f));
        chosen(route(tier, scores, NULL, 5, 2, (Router){.norm = ROUTER_NORM_SUM, .factor = 3}), 2, IDS(2, 1),
               WEIGHTS(2, 1));
        chosen(route(tier, scores, NULL, 5, 3, (Router){.norm = ROUTER_NORM_L2, .factor = 1}), 3, IDS(2, 1, 3),
               WEIGHTS(0.81649658f, 0.40824829f, 0.40824829f));
        chosen(route(tier, scores, NULL, 5, 2, (Router){.norm = ROUTER_NORM_SUM, .norm_min = 2, .factor = 1}), 2,
               IDS(2, 1), WEIGHTS(0.2f, 0.1f));
        chosen(route(tier, scores, NULL, 5, 3, (Router){.score = SCORE_SOFTMAX_TOP, .factor = 1}), 3, IDS(2, 1, 3),
               WEIGHTS(0.5f, 0.25f, 0.25f));
        chosen(route(tier, WEIGHTS(0, 2, -1), NULL, 3, 2, (Router){.score = SCORE_SIGMOID, .factor = 1}), 2, IDS(1, 0),
               WEIGHTS(0.88079708f, 0.5f));
    }
}

static void a_bias_changes_the_choice_and_not_the_weight(void **state)
{
    (void)state;
    const float scores[] = {0, 1, 0, -1}, bias[] = {0.6f, 0, 0.5f, 0};    /* sigmoid: 0.5 0.731 0.5 0.269 */
    ON_EACH_TIER(tier)
        chosen(route(tier, scores, bias, 4, 2, (Router){.score = SCORE_SIGMOID, .factor = 1}), 2, IDS(0, 2),
               WEIGHTS(0.5f, 0.5f));
}

static void groups_are_judged_by_their_best_or_by_their_two_best(void **state)
{
    (void)state;
    const float scores[] = {3, -3, 2, 2, -4, -4};                      /* best: group 0; two best: group 1 */
    Router r = {.score = SCORE_SIGMOID, .factor = 1, .groups = 3, .groups_used = 1, .group_top = 1};
    ON_EACH_TIER(tier) {
        r.group_top = 1;
        chosen(route(tier, scores, NULL, 6, 2, r), 2, IDS(0, 1), WEIGHTS(0.95257413f, 0.04742587f));
        r.group_top = 2;
        chosen(route(tier, scores, NULL, 6, 2, r), 2, IDS(2, 3), WEIGHTS(0.88079708f, 0.88079708f));
    }
}

static void sparsemixer_shares_among_those_that_are_near(void **state)
{
    (void)state;
    /* As transformers' Phimoe computes them. */
    Router r = {.score = SCORE_SPARSEMIXER, .factor = 1, .jitter = 0.01f};
    ON_EACH_TIER(tier) {
        chosen(route(tier, WEIGHTS(1, 2, 1.95f, -3, 1.98f, 0.5f), NULL, 6, 2, r), 2, IDS(1, 4), WEIGHTS(0.50499988f, 0.50749940f));
        chosen(route(tier, WEIGHTS(-1, -1.01f, -5, -1.015f, -2, -1.03f), NULL, 6, 2, r), 2, IDS(0, 1),
               WEIGHTS(0.33611616f, 0.33611059f));
    }
}

static void choices_are_experts_even_where_scores_are_not_numbers(void **state)
{
    (void)state;
    const float scores[] = {NAN, -INFINITY, 1, NAN, -INFINITY, -INFINITY};
    ON_EACH_TIER(tier)
        for (int score = SCORE_SOFTMAX; score <= SCORE_SPARSEMIXER; score++) {
            Routed got = route(tier, scores, NULL, 6, 4, (Router){.score = (RouterScore)score, .factor = 1});
            for (int i = 0; i < 4; i++) {
                assert_in_range(got.ids[i], 0, 5);
                for (int j = 0; j < i; j++)
                    assert_int_not_equal(got.ids[i], got.ids[j]);
            }
        }
}

/* Weights and activations of small numbers that differ everywhere. */
static void fill(float *x, int n, uint32_t seed)
{
    for (int i = 0; i < n; i++)
        x[i] = (float)((seed = seed * 1664525 + 1013904223) >> 8) * 0x1p-23f - 1;
}

static Tensor upload(Device *d, Tensor host, WeightUse use)
{
    Tensor out;
    Error err;
    assert_int_equal(d->calls->upload(d, "w", host, use, &out, &err), OK);
    return out;
}

static void each_expert_gives_the_bits_of_its_matrix_alone(void **state)
{
    (void)state;
    static float w[EXPERTS][OUT][WIDTH], bias[EXPERTS][OUT], x[ROWS][WIDTH], y[ROWS][K][OUT], one[OUT];
    static const int32_t ids[ROWS][K] = {{3, 1}, {1, 1}, {0, 5}};       /* 2: unused, 5: none such */
    fill(w[0][0], EXPERTS * OUT * WIDTH, 1);
    fill(bias[0], EXPERTS * OUT, 2);
    fill(x[0], ROWS * WIDTH, 3);
    ON_EACH_TIER(tier) {
        Device *d = device_of(tier);
        Tensor all = upload(d, tensor_3d(w, &format_f32, EXPERTS, OUT, WIDTH), USE_EXPERTS);
        assert_int_equal(all.dim[0], EXPERTS);
        compute(d, (OpCall){.op = OP_EXPERT_LINEAR,
                            .out = {tensor_3d(y, &format_f32, ROWS, K, OUT)},
                            .in = {f32(x[0], ROWS, WIDTH), all, f32(bias[0], EXPERTS, OUT),
                                   tensor_of((void *)ids, &format_i32, ROWS, K)}});
        for (int p = 0; p < ROWS * K; p++) {
            int e = ids[p / K][p % K];
            memset(one, 0, sizeof one);
            if (e < EXPERTS)
                compute(d, (OpCall){.op = OP_LINEAR,
                                    .out = {f32(one, 1, OUT)},
                                    .in = {f32(x[p / K], 1, WIDTH),
                                           upload(d, f32(w[e][0], OUT, WIDTH), USE_MATRIX),
                                           tensor_vector(bias[e], &format_f32, OUT)}});
            assert_memory_equal(y[p / K][p % K], one, sizeof one);
        }
        device_close(d);
    }
}

/* The pages that lie wholly within an expert's matrix may not be touched. */
static void forbid(Tensor all, int e, size_t bytes, bool forbidden)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), from = (uintptr_t)all.data + (size_t)e * bytes, to = from + bytes;
    from = (from + page - 1) / page * page;
    to = to / page * page;
    assert_true(from < to);
    assert_int_equal(mprotect((void *)from, to - from, forbidden ? PROT_NONE : PROT_READ | PROT_WRITE), 0);
}

/* Whoever reads the weights of an expert that no row chose ends here. */
static void experts_that_nobody_chose_are_not_read(void **state)
{
    (void)state;
    enum { TALL = 64, WIDE = 512 };
    static float w[EXPERTS][TALL][WIDE], x[ROWS][WIDE], y[ROWS][K][TALL];
    static const int32_t ids[ROWS][K] = {{2, 0}, {2, 2}, {0, 2}};
    fill(w[0][0], EXPERTS * TALL * WIDE, 1);
    fill(x[0], ROWS * WIDE, 3);
    ON_EACH_TIER(tier) {
        Device *d = device_of(tier);
        Tensor all = upload(d, tensor_3d(w, &format_f32, EXPERTS, TALL, WIDE), USE_EXPERTS);
        for (int e = 1; e < EXPERTS; e += 2)
            forbid(all, e, sizeof w[0], true);
        for (int32_t rows = 1; rows <= ROWS; rows++)
            compute(d, (OpCall){.op = OP_EXPERT_LINEAR,
                                .out = {tensor_3d(y, &format_f32, rows, K, TALL)},
                                .in = {f32(x[0], rows, WIDE), all, NONE, tensor_of((void *)ids, &format_i32, rows, K)}});
        for (int e = 1; e < EXPERTS; e += 2)
            forbid(all, e, sizeof w[0], false);
        device_close(d);
    }
}

static void an_expert_that_computes_nothing_returns_the_row_itself(void **state)
{
    (void)state;
    float y[] = {100, 200}, x[] = {1, 2, 30, 40}, weights[] = {0.5f, 2}, self[] = {5, 6};
    int32_t ids[] = {1, 7};
    ON_EACH_TIER(tier) {
        y[0] = 100, y[1] = 200;
        Device *d = device_of(tier);
        compute(d, (OpCall){.op = OP_COMBINE,
                            .reads_out = true,
                            .out = {f32(y, 1, 2)},
                            .in = {tensor_3d(x, &format_f32, 1, 2, 2), f32(weights, 1, 2),
                                   tensor_of(ids, &format_i32, 1, 2), f32(self, 1, 2)},
                            .combine = {.experts = 7}});
        device_close(d);
        assert_float_equal(y[0], 100 + 0.5f * 1 + 2 * 5, 0);
        assert_float_equal(y[1], 200 + 0.5f * 2 + 2 * 6, 0);
    }
}

static void a_limited_gate_cuts_off_what_is_too_large(void **state)
{
    (void)state;
    float gate[] = {10, -1}, up[] = {-9, 0.5f}, y[2];
    ON_EACH_TIER(tier) {
        Device *d = device_of(tier);
        compute(d, (OpCall){.op = OP_LIMITED_GATE,
                            .out = {f32(y, 1, 2)},
                            .in = {f32(gate, 1, 2), f32(up, 1, 2)},
                            .limited_gate = {.limit = 7, .alpha = 1.702f, .shift = 1}});
        device_close(d);
        assert_float_equal(y[0], -41.999719f, 1e-4f);      /* 7 sigmoid(11.914) (-7 + 1) */
        assert_float_equal(y[1], -0.23131f, 1e-4f);
    }
}

static double weights_read(int32_t rows)
{
    OpCall call = {.op = OP_EXPERT_LINEAR,
                   .out = {tensor_3d(NULL, &format_f32, rows, 2, 32)},
                   .in = {tensor_of(NULL, &format_f32, rows, 16), tensor_3d(NULL, &format_f32, 8, 32, 16), NONE,
                          tensor_of(NULL, &format_i32, rows, 2)}};
    return op_spec(OP_EXPERT_LINEAR)->cost(&call).weight_bytes / (32 * 16 * 4);
}

static void the_cost_counts_experts_that_are_used(void **state)
{
    (void)state;
    assert_float_equal(weights_read(1), 2, 1e-9);
    assert_float_equal(weights_read(2), 3.5, 1e-9);       /* 8 (1 - (3/4)^2) */
    assert_float_equal(weights_read(1000), 8, 1e-9);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_largest_are_chosen_and_of_equal_ones_the_first),
        cmocka_unit_test(a_bias_changes_the_choice_and_not_the_weight),
        cmocka_unit_test(groups_are_judged_by_their_best_or_by_their_two_best),
        cmocka_unit_test(sparsemixer_shares_among_those_that_are_near),
        cmocka_unit_test(choices_are_experts_even_where_scores_are_not_numbers),
        cmocka_unit_test(each_expert_gives_the_bits_of_its_matrix_alone),
        cmocka_unit_test(experts_that_nobody_chose_are_not_read),
        cmocka_unit_test(an_expert_that_computes_nothing_returns_the_row_itself),
        cmocka_unit_test(a_limited_gate_cuts_off_what_is_too_large),
        cmocka_unit_test(the_cost_counts_experts_that_are_used),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

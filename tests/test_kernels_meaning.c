/* What the references mean, in numbers that can be checked by hand: every faster kernel is held against
 * the references, so these are what all of them rest on. */
#include "test.h"

#include <math.h>

#include "devices/cpu/cpu_tiers.h"
#include "kernels/op_spec.h"

static void compute(OpCall call)
{
    const CpuKernel *kernel = cpu_kernel(call.op, TIER_REFERENCE);
    void *scratch = malloc((kernel->scratch_bytes ? kernel->scratch_bytes(&call) : 0) + 1);
    for (int phase = 0; phase < kernel->phases; phase++)
        kernel->run(&call, phase, (CpuPart){.count = 1, .scratch = scratch});
    free(scratch);
}

static Tensor f32(float *data, int32_t rows, int32_t width)
{
    return tensor_of(data, &format_f32, rows, width);
}
static Tensor i32(int32_t *data, int32_t n) { return tensor_vector(data, &format_i32, n); }

static void close_to(double a, double b, double tolerance)
{
    if (!(fabs(a - b) <= tolerance))
        print_error("%.9g is not within %g of %.9g\n", a, tolerance, b);
    assert_true(fabs(a - b) <= tolerance);
}

static void norms_divide_by_what_they_say(void **state)
{
    (void)state;
    float x[] = {3, -4}, gain[] = {1, 10}, bias[] = {0, 100}, y[2];
    compute((OpCall){.op = OP_RMS_NORM,
                     .out = {f32(y, 1, 2)},
                     .in = {f32(x, 1, 2), tensor_vector(gain, &format_f32, 2)},
                     .eps = 12.5f});
    close_to(y[0], 3 / 5.0, 1e-7);           /* mean of squares 12.5, and as much again: sqrt 25 */
    close_to(y[1], -40 / 5.0, 1e-6);
    compute((OpCall){.op = OP_LAYER_NORM,
                     .out = {f32(y, 1, 2)},
                     .in = {f32(x, 1, 2), tensor_vector(gain, &format_f32, 2),
                            tensor_vector(bias, &format_f32, 2)}});
    close_to(y[0], 1, 1e-6);                 /* mean -0.5, deviation 3.5 */
    close_to(y[1], 90, 1e-5);
}

static void activations_have_their_published_values(void **state)
{
    (void)state;
    static const struct { Activation f; float x, y; } known[] = {
        {SILU, 1, 0.73105858f}, {SILU, -20, -4.1223072e-8f}, {GELU, 1, 0.84134475f},
        {GELU, -3, -0.0040496940f}, {GELU_TANH, 1, 0.84119199f}, {RELU, -2, 0}, {RELU, 2, 2},
        {RELU_SQUARED, 3, 9}, {RELU_SQUARED, -3, 0}, {SIGMOID, 0, 0.5f}, {TANH, 0.5f, 0.46211716f}, {IDENTITY, -2.5f, -2.5f},
        {SOFTPLUS, 0, 0.69314718f}, {SOFTPLUS, -10, 4.5398899e-5f}, {SOFTPLUS, 30, 30}, {EXP, 1, 2.7182818f},
    };
    for (size_t i = 0; i < COUNT_OF(known); i++) {
        float x = known[i].x, two = 2, y;
        compute((OpCall){.op = OP_ACTIVATE,
                         .out = {f32(&y, 1, 1)},
                         .in = {f32(&x, 1, 1)},
                         .activation = known[i].f});
        close_to(y, known[i].y, 1e-6 * fabs(known[i].y));
        compute((OpCall){.op = OP_GATE,
                         .out = {f32(&y, 1, 1)},
                         .in = {f32(&x, 1, 1), f32(&two, 1, 1)},
                         .activation = known[i].f});
        close_to(y, 2 * known[i].y, 2e-6 * fabs(known[i].y));
    }
}

static void a_quarter_turn_swaps_the_values_of_a_pair(void **state)
{
    (void)state;
    float angles[] = {0, 1, 1, 0};           /* pair 0: a quarter turn; pair 1: none */
    float halves[] = {1, 2, 3, 4, 9}, neighbours[] = {1, 2, 3, 4, 9};
    compute((OpCall){.op = OP_ROPE, .out = {f32(halves, 1, 5)}, .in = {f32(angles, 1, 4)}});
    const float turned[] = {-3, 2, 1, 4, 9};
    assert_memory_equal(halves, turned, sizeof turned);
    compute((OpCall){.op = OP_ROPE,
                     .out = {f32(neighbours, 1, 5)},
                     .in = {f32(angles, 1, 4)},
                     .rope.interleaved = true});
    const float next_door[] = {-2, 1, 3, 4, 9};
    assert_memory_equal(neighbours, next_door, sizeof next_door);
}

/* Computed in F32 as Hugging Face does, but the sine itself must not suffer from a large angle. */
static void angles_of_a_million_are_right_to_the_last_bit(void **state)
{
    (void)state;
    float inv_freq[] = {1, 0.31622777f, 0.1f, 1e-4f}, angles[8];
    for (int32_t position = 1; position < 1000000; position += 7919) {
        RopeAngles a = {.kind = ROPE_FIXED, .dims = 8, .magnitude = 1};
        compute((OpCall){.op = OP_ROPE_ANGLES, .out = {f32(angles, 1, 8)}, .angles = a,
                         .in = {i32(&position, 1), {0}, f32(inv_freq, 1, 4)}});
        for (int i = 0; i < 4; i++) {
            float angle = (float)position * inv_freq[i];
            close_to(angles[i], (double)cosl(angle), 0x1p-24);
            close_to(angles[4 + i], (double)sinl(angle), 0x1p-24);
        }
    }
}

static void long_sequences_turn_by_other_frequencies(void **state)
{
    (void)state;
    int32_t positions[] = {3, 3}, lengths[] = {100, 300};
    float inv_freq[] = {1, 0.5f, 0.25f, 0.125f}, y[8];
    RopeAngles a = {
        .kind = ROPE_LONG, .dims = 4, .original_length = 100, .magnitude = 1, .magnitude_long = 2};
    compute((OpCall){.op = OP_ROPE_ANGLES,
                     .out = {f32(y, 2, 4)},
                     .angles = a,
                     .in = {i32(positions, 2), i32(lengths, 2), f32(inv_freq, 2, 2)}});
    close_to(y[1], cos(3 * 0.5), 1e-7);
    close_to(y[2], sin(3 * 1.0), 1e-7);
    close_to(y[4 + 1], 2 * cos(3 * 0.125), 2e-7);
    close_to(y[4 + 2], 2 * sin(3 * 0.25), 2e-7);

    a = (RopeAngles){.kind = ROPE_DYNAMIC,
                     .dims = 4,
                     .original_length = 100,
                     .base = 16,
                     .factor = 2,
                     .magnitude = 1};
    compute((OpCall){.op = OP_ROPE_ANGLES,
                     .out = {f32(y, 2, 4)},
                     .angles = a,
                     .in = {i32(positions, 2), i32(lengths, 2), f32(inv_freq, 1, 2)}});
    close_to(y[1], cos(3 * 0.5), 1e-7);                             /* not beyond: the table */
    close_to(y[4 + 1], cos(3 / sqrt(16.0 * 25)), 1e-6); /* base 16 (2 * 3 - 1)^2, to the power 2/4 */
}

/* Two positions, one kv head of width 1 and two query heads; what the last row sees is worked out here. */
static double attend_two(Attend how, const float *sink, const float *slope, int32_t head)
{
    float keys[] = {1, 2}, values[] = {10, 20}, q[] = {1, -1}, y[2], sinks[2], slopes[2];
    int32_t table[] = {0}, position = 1, seq = 0;
    Tensor k = tensor_4d(keys, &format_f32, 1, 1, 2, 1), v = tensor_4d(values, &format_f32, 1, 1, 2, 1);
    OpCall call = {.op = OP_ATTEND,
                   .attend = how,
                   .out = {tensor_3d(y, &format_f32, 1, 2, 1)},
                   .in = {tensor_3d(q, &format_f32, 1, 2, 1), k, v, tensor_of(table, &format_i32, 1, 1),
                          i32(&position, 1), i32(&seq, 1)}};
    for (int h = 0; h < 2; h++) {
        sinks[h] = sink ? *sink : 0;
        slopes[h] = slope ? *slope : 0;
    }
    if (sink)
        call.in[6] = tensor_vector(sinks, &format_f32, 2);
    if (slope)
        call.in[7] = tensor_vector(slopes, &format_f32, 2);
    compute(call);
    return y[head];
}

static void attention_weighs_by_the_softmax_of_its_scores(void **state)
{
    (void)state;
    const double e1 = exp(1), e2 = exp(2), e3 = exp(3), c1 = exp(3 * tanh(1 / 3.0)),
                 c2 = exp(3 * tanh(2 / 3.0));
    const float sink = 3, slope = 2;
    close_to(attend_two((Attend){.scale = 1}, NULL, NULL, 0), (10 * e1 + 20 * e2) / (e1 + e2), 1e-5);
    close_to(attend_two((Attend){.scale = 1}, NULL, NULL, 1), (10 / e1 + 20 / e2) / (1 / e1 + 1 / e2), 1e-5);
    close_to(attend_two((Attend){.scale = 2}, NULL, NULL, 0), (10 * e2 + 20 * e2 * e2) / (e2 + e2 * e2),
             1e-5);
    close_to(attend_two((Attend){.scale = 1, .softcap = 3}, NULL, NULL, 0),
             (10 * c1 + 20 * c2) / (c1 + c2), 1e-5);
    close_to(attend_two((Attend){.scale = 1}, &sink, NULL, 0), (10 * e1 + 20 * e2) / (e1 + e2 + e3), 1e-5);
    close_to(attend_two((Attend){.scale = 1}, NULL, &slope, 0), (10 / e1 + 20 * e2) / (1 / e1 + e2),
             1e-5); /* 1 - 2 (1 - 0) */
    const float fine = 1 + 1 / 512.0f; /* 1, as bfloat16 has it */
    close_to(attend_two((Attend){.scale = 1, .coarse = 2}, NULL, &fine, 0), (10 / e1 + 20 * e2) / (1 / e1 + e2), 1e-5);
    close_to(attend_two((Attend){.scale = 1, .window = 1}, NULL, NULL, 0), 20, 0);
    close_to(attend_two((Attend){.scale = 1, .window = 2}, NULL, NULL, 0),
             (10 * e1 + 20 * e2) / (e1 + e2), 1e-5);
    close_to(attend_two((Attend){.scale = 1, .chunk = 1}, NULL, NULL, 0), 20, 0);
}

/* Positions 0 to 3 with equal scores and values 1, 2, 4, 8: the mean shows who was seen. */
static void rows_see_what_lies_behind_them_or_both_ways(void **state)
{
    (void)state;
    static const struct { Attend how; float seen[4]; } all[] = {
        {{0}, {1, 3 / 2.0f, 7 / 3.0f, 15 / 4.0f}},
        {{.window = 2}, {1, 3 / 2.0f, 6 / 2.0f, 12 / 2.0f}},
        {{.chunk = 2}, {1, 3 / 2.0f, 4, 12 / 2.0f}},
        {{.bidirectional = true}, {15 / 4.0f, 15 / 4.0f, 15 / 4.0f, 15 / 4.0f}},
        {{.bidirectional = true, .window = 2}, {3 / 2.0f, 7 / 3.0f, 14 / 3.0f, 12 / 2.0f}},
        {{.bidirectional = true, .chunk = 2}, {3 / 2.0f, 3 / 2.0f, 12 / 2.0f, 12 / 2.0f}},
    };
    for (size_t i = 0; i < COUNT_OF(all); i++) {
        float keys[4] = {0}, values[] = {4, 8, 1, 2}, q[4] = {0}, y[4];
        int32_t table[] = {1, 0}, positions[] = {0, 1, 2, 3},
                seq[4] = {0}; /* blocks of two, the second one first */
        Tensor k = tensor_4d(keys, &format_f32, 2, 1, 2, 1), v = tensor_4d(values, &format_f32, 2, 1, 2, 1);
        compute((OpCall){.op = OP_ATTEND,
                         .attend = all[i].how,
                         .out = {tensor_3d(y, &format_f32, 4, 1, 1)},
                         .in = {tensor_3d(q, &format_f32, 4, 1, 1), k, v,
                                tensor_of(table, &format_i32, 1, 2), i32(positions, 4), i32(seq, 4)}});
        for (int r = 0; r < 4; r++)
            close_to(y[r], all[i].seen[r], 1e-6);
    }
}

/* Two sequences: one begins, one goes on from a snapshot, which stays; both leave what they know in slots 0 and 1. */
typedef struct States { int32_t from[2], to[2], row_seq[4]; } States;
static States two_sequences(void) { return (States){{-1, 2}, {0, 1}, {0, 0, 0, 1}}; }
static void state_inputs(OpCall *call, States *s, int at)
{
    call->in[at] = i32(s->from, 2);
    call->in[at + 1] = i32(s->to, 2);
    call->in[at + 2] = i32(s->row_seq, 4);
}

static void a_convolution_sees_the_rows_before_and_zeros_before_the_first(void **state)
{
    (void)state;
    States s = two_sequences();
    float x[] = {1, 2, 3, 4}, w[] = {100, 10, 1}, bias = 0.5f, y[4], slots[] = {7, 7, 7, 7, 8, 9};
    OpCall call = {.op = OP_CONV, .activation = IDENTITY, .out = {f32(y, 4, 1), f32(slots, 3, 2)},
                   .in = {f32(x, 4, 1), f32(w, 1, 3), tensor_vector(&bias, &format_f32, 1)}};
    state_inputs(&call, &s, 3);
    compute(call);
    const float expected[] = {1.5f, 12.5f, 123.5f, 894.5f}, left[] = {2, 3, 9, 4, 8, 9};
    assert_memory_equal(y, expected, sizeof y);
    assert_memory_equal(slots, left, sizeof slots);
}

static void a_selective_scan_forgets_at_the_rate_of_its_step(void **state)
{
    (void)state;
    States s = two_sequences();
    float x[] = {1, 2, 0, 3}, dt[] = {1, 0.5f, 2, 1}, B[] = {1, 1, 1, 2}, C[] = {1, 1, 3, 1}, A = -1, D = 10;
    float y[4], slots[] = {7, 7, 5};
    OpCall call = {.op = OP_SELECTIVE_SCAN, .out = {f32(y, 4, 1), f32(slots, 3, 1)},
                   .in = {f32(x, 4, 1), f32(dt, 4, 1), f32(B, 4, 1), f32(C, 4, 1), f32(&A, 1, 1),
                          tensor_vector(&D, &format_f32, 1)}};
    state_inputs(&call, &s, 6);
    compute(call);
    double second = exp(-0.5) + 1, third = exp(-2) * second, other = 5 * exp(-1) + 6;
    close_to(y[0], 1 + 10, 1e-6);
    close_to(y[1], second + 20, 1e-5);
    close_to(y[2], 3 * third, 1e-6);
    close_to(y[3], other + 30, 1e-5);
    close_to(slots[0], third, 1e-6);
    close_to(slots[1], other, 1e-6);
    assert_true(slots[2] == 5);
}

static void a_decay_scan_reads_by_query_what_was_written_by_key(void **state)
{
    (void)state;
    States s = two_sequences();
    float q[] = {1, 0, 0, 1, 1, 1, 1, 2}, k[] = {1, 0, 0, 1, 1, 0, 0, 0}, v[] = {1, 2, 3, 4};
    float decay[] = {0.5f, 0.5f, 0.25f, 0.5f}, y[4], slots[] = {7, 7, 7, 7, 10, 20};
    OpCall call = {.op = OP_DECAY_SCAN, .out = {tensor_3d(y, &format_f32, 4, 1, 1), f32(slots, 3, 2)},
                   .in = {tensor_3d(q, &format_f32, 4, 1, 2), tensor_3d(k, &format_f32, 4, 1, 2),
                          tensor_3d(v, &format_f32, 4, 1, 1), f32(decay, 4, 1)}};
    state_inputs(&call, &s, 4);
    compute(call);
    const float expected[] = {1, 2, 3.625f, 25};   /* S: (1, 0); (0.5, 2); (3.125, 0.5); and (5, 10) */
    const float left[] = {3.125f, 0.5f, 5, 10, 10, 20};
    assert_memory_equal(y, expected, sizeof y);
    assert_memory_equal(slots, left, sizeof slots);
}

/* With keys of length 1 and beta 1 the delta rule overwrites; linear attention would add. */
static void a_delta_scan_replaces_what_a_key_held(void **state)
{
    (void)state;
    States s = two_sequences();
    float q[] = {1, 0, 1, 0, 0.6f, 0.8f, 1, 2}, k[] = {1, 0, 1, 0, 0, 1, 0, 1}, v[] = {5, 7, 3, 1};
    float decay[] = {1, 1, 0.5f, 1}, beta[] = {1, 1, 1, 0.25f}, y[4], slots[] = {NAN, NAN, NAN, NAN, 10, 20};
    OpCall call = {.op = OP_DELTA_SCAN, .out = {tensor_3d(y, &format_f32, 4, 1, 1), f32(slots, 3, 2)},
                   .in = {tensor_3d(q, &format_f32, 4, 1, 2), tensor_3d(k, &format_f32, 4, 1, 2),
                          tensor_3d(v, &format_f32, 4, 1, 1), f32(decay, 4, 1), f32(beta, 4, 1)}};
    state_inputs(&call, &s, 5);
    compute(call);
    close_to(y[0], 5, 0);
    close_to(y[1], 7, 0);
    close_to(y[2], 0.6 * 3.5 + 0.8 * 3, 1e-6);
    close_to(y[3], 10 + 2 * (20 + 0.25 * (1 - 20)), 1e-6);
    const float left[] = {3.5f, 3, 10, 15.25f, 10, 20};
    assert_memory_equal(slots, left, sizeof slots);
}

static void a_linear_scan_keeps_its_size_from_the_second_row_on(void **state)
{
    (void)state;
    States s = two_sequences();
    float a[] = {0.6f, 0.6f, 0, 0.8f}, b[] = {10, 1, 3, 1}, y[4], slots[] = {NAN, NAN, 5};
    OpCall call = {.op = OP_LINEAR_SCAN, .scan = {.keeps_size = true}, .out = {f32(y, 4, 1), f32(slots, 3, 1)},
                   .in = {f32(a, 4, 1), f32(b, 4, 1)}};
    state_inputs(&call, &s, 2);
    compute(call);
    const double expected[] = {10, 6 + 0.8, 3, 4 + 0.6};
    for (int i = 0; i < 4; i++)
        close_to(y[i], expected[i], 1e-6);
    assert_true(slots[0] == y[2] && slots[1] == y[3] && slots[2] == 5);
}

static void a_wkv_scan_is_a_mean_of_the_values_so_far(void **state)
{
    (void)state;
    States s = two_sequences();
    float k[] = {-500, 0, 0, 800}, v[] = {3, 4, 10, 5}, decay = -0.69314718f, first = 0, y[4];
    float slots[] = {NAN, NAN, NAN, NAN, NAN, NAN, 2, 1, 800.69314718f};
    OpCall call = {.op = OP_WKV_SCAN, .out = {f32(y, 4, 1), f32(slots, 3, 3)},
                   .in = {f32(k, 4, 1), f32(v, 4, 1), tensor_vector(&decay, &format_f32, 1),
                          tensor_vector(&first, &format_f32, 1)}};
    state_inputs(&call, &s, 4);
    compute(call);
    close_to(y[0], 3, 0);                    /* alone, however small its weight */
    close_to(y[1], 4, 1e-6);
    close_to(y[2], (4 + 10) / 2.0, 1e-6);    /* the row before does not age yet */
    close_to(y[3], (2 * 2 + 5) / 3.0, 2e-4);
}

static void a_matrix_memory_divides_by_what_it_has_seen(void **state)
{
    (void)state;
    States s = two_sequences();
    float one[] = {1, 1, 1, 1}, v[] = {4, 8, 0, 6}, input[] = {0, 0, -200, 100}, forget[] = {200, 200, 200, -200}, y[4];
    float slots[] = {NAN, NAN, NAN, NAN, NAN, NAN, 7, 1, 0};
    OpCall call = {.op = OP_MLSTM_SCAN, .out = {tensor_3d(y, &format_f32, 4, 1, 1), f32(slots, 3, 3)},
                   .in = {tensor_3d(one, &format_f32, 4, 1, 1), tensor_3d(one, &format_f32, 4, 1, 1),
                          tensor_3d(v, &format_f32, 4, 1, 1), f32(input, 4, 1), f32(forget, 4, 1)}};
    state_inputs(&call, &s, 5);
    compute(call);
    const float expected[] = {4, 6, 6, 6}, left[] = {12, 2, 0, 6, 1, 100, 7, 1, 0};
    assert_memory_equal(y, expected, sizeof y);
    for (size_t i = 0; i < COUNT_OF(left); i++)
        close_to(slots[i], left[i], 0);
}

static void a_taylor_scan_weighs_by_the_series_of_the_exponential(void **state)
{
    (void)state;
    States s = two_sequences();
    float q[] = {1, 0, 0, 0, 0, 2, 1, 1}, k[] = {1, 5, 0, 1, 3, -1, 0, 0}, v[] = {6, 8, 3, 1}, y[4];
    float slots[3 * 12] = {0};                       /* M = 6; what the second sequence saw: k = 0, v = 5 */
    slots[24] = 5, slots[30] = 1;
    OpCall call = {.op = OP_TAYLOR_SCAN, .out = {tensor_3d(y, &format_f32, 4, 1, 1), f32(slots, 3, 12)},
                   .in = {tensor_3d(q, &format_f32, 4, 1, 2), tensor_3d(k, &format_f32, 4, 1, 2),
                          tensor_3d(v, &format_f32, 4, 1, 1)}};
    state_inputs(&call, &s, 3);
    compute(call);
    close_to(y[0], 6, 1e-6);
    close_to(y[1], 7, 1e-6);                         /* q = 0: all weigh 1 */
    close_to(y[2], (61 * 6 + 5 * 8 + 1 * 3) / 67.0, 1e-5);   /* q.k: 10, 2, -2 */
    close_to(y[3], 3, 1e-6);
}

static void a_complex_scan_turns_and_damps(void **state)
{
    (void)state;
    States s = two_sequences();
    float x[] = {1, 0, 0, 0}, lambda[] = {0, 0.5f}, c[] = {1, 1}, skip = 10, y[4], slots[] = {NAN, NAN, NAN, NAN, 4, 2};
    OpCall call = {.op = OP_COMPLEX_SCAN, .out = {f32(y, 4, 1), f32(slots, 3, 2)},
                   .in = {f32(x, 4, 1), f32(lambda, 1, 2), f32(c, 1, 2), tensor_vector(&skip, &format_f32, 1)}};
    state_inputs(&call, &s, 4);
    compute(call);
    const float expected[] = {11, -0.5f, -0.25f, -3}, left[] = {-0.25f, 0, -1, 2, 4, 2};   /* h: 1, i/2, -1/4; and -1 + 2i */
    assert_memory_equal(y, expected, sizeof y);
    assert_memory_equal(slots, left, sizeof slots);
}

static void a_shift_scan_is_a_convolution_with_few_taps(void **state)
{
    (void)state;
    States s = two_sequences();
    float x[] = {1, 2, 3, 4}, b[] = {1, 10}, c[] = {1, 100}, skip = 0.5f, y[4], slots[] = {NAN, NAN, NAN, NAN, 7, 9};
    OpCall call = {.op = OP_SHIFT_SCAN, .out = {f32(y, 4, 1), f32(slots, 3, 2)},
                   .in = {f32(x, 4, 1), f32(b, 1, 2), f32(c, 1, 2), tensor_vector(&skip, &format_f32, 1)}};
    state_inputs(&call, &s, 4);
    compute(call);
    const float expected[] = {1001.5f, 2103, 3204.5f, 4706}, left[] = {3, 32, 4, 47, 7, 9};   /* K: 1001, 100 */
    assert_memory_equal(y, expected, sizeof y);
    assert_memory_equal(slots, left, sizeof slots);
}

static void discretising_follows_both_rules(void **state)
{
    (void)state;
    float dt = 0.5f, a_real = -2, a_imag = 0, c[] = {3, 1}, lambda[2], out[2];
    OpCall call = {.op = OP_DISCRETISE, .discretise = ZERO_ORDER_HOLD, .out = {f32(lambda, 1, 2), f32(out, 1, 2)},
                   .in = {tensor_vector(&dt, &format_f32, 1), f32(&a_real, 1, 1), f32(&a_imag, 1, 1), f32(c, 1, 2)}};
    compute(call);
    close_to(lambda[0], exp(-1), 1e-7);
    close_to(out[0], 2 * 3 * (1 - exp(-1)) / 2, 1e-6);
    close_to(out[1], 2 * 1 * (1 - exp(-1)) / 2, 1e-6);
    call.discretise = BILINEAR;
    compute(call);
    close_to(lambda[0], 0.5 / 1.5, 1e-7);
    close_to(out[0], 2 * 3 * 0.5 / 1.5, 1e-6);
}

static void one_row_or_one_value_serves_many(void **state)
{
    (void)state;
    float up[] = {1, 2, 3, 4, 5, 6, 7, 8}, each[] = {10, 100, 1000, 0}, row[] = {1, 2, 3, 4}, y[8];
    compute((OpCall){.op = OP_GATE, .activation = IDENTITY, .out = {f32(y, 2, 4)}, .in = {f32(each, 2, 2), f32(up, 2, 4)}});
    const float halves[] = {10, 20, 300, 400, 5000, 6000, 0, 0};
    assert_memory_equal(y, halves, sizeof y);
    compute((OpCall){.op = OP_ADD, .factor = 2, .out = {f32(y, 2, 4)}, .in = {tensor_vector(row, &format_f32, 4)}});
    const float sums[] = {12, 24, 306, 408, 5002, 6004, 6, 8};
    assert_memory_equal(y, sums, sizeof y);
    compute((OpCall){.op = OP_CLAMP, .clamp = {10, 400}, .out = {f32(y, 2, 4)}, .in = {f32(y, 2, 4)}});
    const float clamped[] = {12, 24, 306, 400, 400, 400, 10, 10};
    assert_memory_equal(y, clamped, sizeof y);
}

static void a_grouped_norm_has_a_gain_for_each_group(void **state)
{
    (void)state;
    float x[] = {3, 3, -2, 2}, gain[] = {1, 2, 3, 4}, y[4];
    compute((OpCall){.op = OP_RMS_NORM, .out = {tensor_3d(y, &format_f32, 1, 2, 2)},
                     .in = {tensor_3d(x, &format_f32, 1, 2, 2), tensor_vector(gain, &format_f32, 4)}});
    const float expected[] = {1, 2, -3, 4};
    for (int i = 0; i < 4; i++)
        close_to(y[i], expected[i], 1e-6);
}

static void only_what_stands_out_of_its_row_stays(void **state)
{
    (void)state;
    float x[] = {1, 3, 3, 5, 7, 7, 7, 7}, y[8]; /* mean 3, deviation sqrt(2); nothing stands out */
    compute((OpCall){.op = OP_KEEP_ABOVE, .factor = 0.5f, .out = {f32(y, 2, 4)}, .in = {f32(x, 2, 4)}});
    const double expected[] = {0, 0, 0, 2 - sqrt(0.5), 0, 0, 0, 0};
    for (int i = 0; i < 8; i++)
        close_to(y[i], expected[i], 1e-6);
}

static void a_row_becomes_as_large_as_another_even_if_it_is_nothing(void **state)
{
    (void)state;
    float x[] = {3, 4, 0, 0, 6, 8}, of[] = {5, 5, 5, 1, 1, 1}, y[6], size = sqrtf(12.5f);
    compute((OpCall){.op = OP_MATCH_RMS, .eps = 1e-5f, .out = {tensor_3d(y, &format_f32, 1, 3, 2)},
                     .in = {tensor_3d(x, &format_f32, 1, 3, 2), f32(of, 1, 3)}});
    const float expected[] = {15 / size, 20 / size, 0, 0, 15 / size, 20 / size};
    for (int i = 0; i < 6; i++)
        close_to(y[i], expected[i], 1e-5);
}

static void ids_beyond_a_short_table_mean_its_first_row(void **state)
{
    (void)state;
    float table[] = {1, 2, 3, 4}, y[6];
    int32_t ids[] = {1, 2, 100};
    compute((OpCall){.op = OP_EMBED, .embed = {2, true}, .out = {f32(y, 3, 2)},
                     .in = {f32(table, 2, 2), tensor_vector(ids, &format_i32, 3)}});
    const float expected[] = {6, 8, 2, 4, 2, 4};
    assert_memory_equal(y, expected, sizeof y);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(norms_divide_by_what_they_say),
        cmocka_unit_test(only_what_stands_out_of_its_row_stays),
        cmocka_unit_test(a_row_becomes_as_large_as_another_even_if_it_is_nothing),
        cmocka_unit_test(ids_beyond_a_short_table_mean_its_first_row),
        cmocka_unit_test(activations_have_their_published_values),
        cmocka_unit_test(a_quarter_turn_swaps_the_values_of_a_pair),
        cmocka_unit_test(angles_of_a_million_are_right_to_the_last_bit),
        cmocka_unit_test(long_sequences_turn_by_other_frequencies),
        cmocka_unit_test(attention_weighs_by_the_softmax_of_its_scores),
        cmocka_unit_test(rows_see_what_lies_behind_them_or_both_ways),
        cmocka_unit_test(a_convolution_sees_the_rows_before_and_zeros_before_the_first),
        cmocka_unit_test(a_selective_scan_forgets_at_the_rate_of_its_step),
        cmocka_unit_test(a_decay_scan_reads_by_query_what_was_written_by_key),
        cmocka_unit_test(a_delta_scan_replaces_what_a_key_held),
        cmocka_unit_test(a_linear_scan_keeps_its_size_from_the_second_row_on),
        cmocka_unit_test(a_wkv_scan_is_a_mean_of_the_values_so_far),
        cmocka_unit_test(a_matrix_memory_divides_by_what_it_has_seen),
        cmocka_unit_test(a_taylor_scan_weighs_by_the_series_of_the_exponential),
        cmocka_unit_test(a_complex_scan_turns_and_damps),
        cmocka_unit_test(a_shift_scan_is_a_convolution_with_few_taps),
        cmocka_unit_test(discretising_follows_both_rules),
        cmocka_unit_test(one_row_or_one_value_serves_many),
        cmocka_unit_test(a_grouped_norm_has_a_gain_for_each_group),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

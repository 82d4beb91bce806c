/* Operations that keep a state: a sequence has the same bits in one step and in many, alone and in company,
 * begins from zeros, and leaves a snapshot from which it began as it was. */
#include "test.h"

#include "kernel_cases.h"

enum { SEEDS = 60 };

/* Where the sequences of a call have their states. */
typedef struct Slots { int32_t *from, *to, count; } Slots;

static Slots slots_of(const KernelCase *c)
{
    const Tensor *in = c->fast.in + c->state_from;
    return (Slots){tensor_i32(in[0]), tensor_i32(in[1]), (int32_t)tensor_elems(in[0])};
}

static void each_case(void (*check)(KernelCase *, const CpuKernel *))
{
    for (int op = 0; op < OP_COUNT; op++)
        for (int seed = 0; kernel_case_exists((Op)op) && seed < SEEDS; seed++) {
            KernelCase c;
            kernel_case_init(&c, (Op)op, &format_f32, 1000 + (uint64_t)seed);
            for (int tier = TIER_REFERENCE; c.state_from > 0 && tier <= (int)cpu_best_tier(); tier++) {
                const CpuKernel *kernel = cpu_kernel(c.call.op, (CpuTier)tier);
                if (kernel && (!kernel->takes || kernel->takes(&c.fast)))
                    check(&c, kernel);
            }
            bool stateful = c.state_from > 0;
            kernel_case_deinit(&c);
            if (!stateful)
                break;
        }
}

/* What the whole step gives. */
static uint8_t *whole(KernelCase *c, const CpuKernel *kernel, size_t *bytes)
{
    kernel_case_reset(c);
    kernel_case_run(c, kernel, &c->fast, 1, false);
    return kernel_case_outputs(c, bytes);
}

/* The same with at most so many rows of one sequence a step. */
static void compare_steps(KernelCase *c, const CpuKernel *kernel, int32_t most)
{
    size_t bytes, cut_bytes;
    uint8_t *together = whole(c, kernel, &bytes);
    kernel_case_reset(c);
    for (int32_t r = 0, n; r < c->rows; r += n) {
        n = kernel_case_together(c, r, most);
        OpCall call = kernel_case_rows(c, r, n);
        kernel_case_run(c, kernel, &call, kernel->threads ? 1 + r % 3 : 1, false);
    }
    uint8_t *cut = kernel_case_outputs(c, &cut_bytes);
    if (memcmp(together, cut, bytes) != 0)
        print_error("%s: other bits with %d rows a step\n", c->what, most);
    assert_memory_equal(together, cut, bytes);
    free(cut);
    free(together);
}

static void compare_chunks(KernelCase *c, const CpuKernel *kernel)
{
    for (int32_t most = 1; most < c->rows; most = 3 * most + 1)
        compare_steps(c, kernel, most);
}

static void a_sequence_has_the_same_bits_in_one_step_and_in_many(void **state)
{
    (void)state;
    each_case(compare_chunks);
}

static void compare_company(KernelCase *c, const CpuKernel *kernel) { compare_steps(c, kernel, c->rows); }

static void a_sequence_has_the_same_bits_alone_and_in_company(void **state)
{
    (void)state;
    each_case(compare_company);
}

static bool is_written(Slots s, int32_t slot)
{
    for (int32_t i = 0; i < s.count; i++)
        if (s.to[i] == slot)
            return true;
    return false;
}

static void compare_slots(KernelCase *c, const CpuKernel *kernel)
{
    Slots s = slots_of(c);
    Tensor states = c->call.out[1];
    size_t bytes, row = tensor_row_bytes(states);
    uint8_t *before = malloc(tensor_bytes(states));
    kernel_case_reset(c);
    for (int32_t i = 0; i < states.dim[0]; i++)
        memcpy(before + (size_t)i * row, tensor_row(states, i), row);
    free(whole(c, kernel, &bytes));
    for (int32_t i = 0; i < states.dim[0]; i++)
        if (row > 0)
            assert_int_equal(memcmp(before + (size_t)i * row, tensor_row(states, i), row) != 0, is_written(s, i));
    free(before);
}

static void only_the_slots_to_which_a_step_goes_change(void **state)
{
    (void)state;
    each_case(compare_slots);
}

/* As if the case had been made so that all sequences begin. */
static void begin_anew(KernelCase *c, Slots s)
{
    kernel_case_reset(c);
    for (int32_t i = 0; i < s.count; i++)
        s.from[i] = -1;
    for (int i = 0; i < c->pieces; i++)
        memcpy(c->piece[i].before, c->piece[i].start, c->piece[i].bytes);
}

/* from = -1 against from = a slot that holds zeros; what tells these apart says so in its header. */
static void compare_beginnings(KernelCase *c, const CpuKernel *kernel)
{
    Slots s = slots_of(c);
    Tensor states = c->call.out[1];
    int32_t zeros = states.dim[0] - 1;
    size_t bytes, other_bytes;
    if (c->call.op == OP_LINEAR_SCAN && c->call.scan.keeps_size)
        return;
    begin_anew(c, s);
    uint8_t *begun = whole(c, kernel, &bytes);
    kernel_case_reset(c);
    memset(tensor_row(states, zeros), 0, tensor_row_bytes(states));
    for (int32_t i = 0; i < s.count; i++)
        s.from[i] = zeros;
    kernel_case_run(c, kernel, &c->fast, 1, false);
    uint8_t *went_on = kernel_case_outputs(c, &other_bytes);
    assert_memory_equal(begun, went_on, tensor_bytes(c->call.out[0]));
    free(begun);
    free(went_on);
}

static void a_sequence_begins_from_zeros(void **state)
{
    (void)state;
    each_case(compare_beginnings);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_sequence_has_the_same_bits_in_one_step_and_in_many),
        cmocka_unit_test(a_sequence_has_the_same_bits_alone_and_in_company),
        cmocka_unit_test(only_the_slots_to_which_a_step_goes_change),
        cmocka_unit_test(a_sequence_begins_from_zeros),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

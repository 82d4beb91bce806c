/* Every kernel of every tier that this processor has, in every format, against the scalar reference,
 * against the other tiers, and against itself with other threads and other rows around. */
#include "test.h"

#include <math.h>

#include "base/sha256.h"
#include "kernel_cases.h"

enum { SEEDS = 40, SEEDS_OF_BLOCKS = 6 };       /* formats of blocks are slow to encode, and many */

typedef struct Output { uint8_t *data; size_t bytes; } Output;

static Output run(KernelCase *c, const CpuKernel *kernel, int parts, bool backwards)
{
    Output out;
    kernel_case_reset(c);
    kernel_case_run(c, kernel, &c->fast, parts, backwards);
    assert_true(kernel_case_intact(c));
    out.data = kernel_case_outputs(c, &out.bytes);
    return out;
}

static bool takes(const CpuKernel *kernel, const KernelCase *c)
{
    return kernel && (!kernel->takes || kernel->takes(&c->fast));
}

/* The case's kernel of a tier; NULL where the tier is not there or does not take it. */
static const CpuKernel *kernel_for(const KernelCase *c, int tier)
{
    const CpuKernel *kernel = tier <= (int)cpu_best_tier() ? cpu_kernel(c->call.op, (CpuTier)tier) : NULL;
    return takes(kernel, c) ? kernel : NULL;
}

static void each_case_of(Op op, void (*check)(KernelCase *))
{
    const Format *format;
    for (int f = 0; kernel_case_exists(op) && (format = format_at(f)); f++) {
        int seeds = format->block_elems > 1 ? SEEDS_OF_BLOCKS : SEEDS;
        for (int seed = 0; kernel_case_varies(op, format) && seed < seeds; seed++) {
            KernelCase c;
            kernel_case_init(&c, op, format, (uint64_t)seed);
            check(&c);
            kernel_case_deinit(&c);
        }
    }
}

static void each_case(void (*check)(KernelCase *))
{
    for (int op = 0; op < OP_COUNT; op++)
        each_case_of((Op)op, check);
}

static void same_bits(const KernelCase *c, const char *what, Output a, Output b)
{
    if (a.bytes == b.bytes && memcmp(a.data, b.data, a.bytes) == 0)
        return;
    size_t at = 0;
    while (a.data[at] == b.data[at])
        at++;
    print_error("%s: %s: other bits from byte %zu of %zu on\n", c->what, what, at, a.bytes);
    assert_true(false);
}

static double worst_of_op[OP_COUNT];

static void hold_against_reference(KernelCase *c)
{
    float tolerance = op_spec(c->call.op)->tolerance;
    Output exact;
    kernel_case_reset(c);
    kernel_case_run_reference(c);
    assert_true(kernel_case_intact(c));
    exact.data = kernel_case_outputs(c, &exact.bytes);
    for (int tier = TIER_REFERENCE + 1; tier < TIER_COUNT; tier++) {
        const CpuKernel *kernel = kernel_for(c, tier);
        if (!kernel)
            continue;
        Output fast = run(c, kernel, 1, false);
        if (tolerance == 0) {
            same_bits(c, cpu_tier_name((CpuTier)tier), fast, exact);
        } else {
            double error = kernel_case_error(c, fast.data, exact.data);
            worst_of_op[c->call.op] = fmax(worst_of_op[c->call.op], error);
            if (error > tolerance)
                print_error("%s: %s is wrong by %g of the row\n", c->what, cpu_tier_name((CpuTier)tier),
                            error);
            assert_true(error <= tolerance);
        }
        free(fast.data);
    }
    free(exact.data);
}

static void fast_kernels_compute_what_the_reference_computes(void **state)
{
    (void)state;
    each_case(hold_against_reference);
    for (int op = 0; op < OP_COUNT; op++)
        if (worst_of_op[op] > 0)
            printf("%-12s wrong by %.1e of the row at most, %.1e allowed\n", op_name((Op)op), worst_of_op[op],
                   (double)op_spec((Op)op)->tolerance);
}

static void compare_tiers(KernelCase *c)
{
    const CpuKernel *low = kernel_for(c, TIER_REFERENCE + 1), *high = kernel_for(c, cpu_best_tier());
    if (!low || !high || low == high)
        return;
    Output a = run(c, low, 1, false), b = run(c, high, 1, false);
    same_bits(c, "the lowest tier against the highest", a, b);
    free(a.data);
    free(b.data);
}

static void every_tier_gives_the_same_bits(void **state)
{
    (void)state;
    each_case(compare_tiers);
}

static void compare_parts(KernelCase *c)
{
    for (int tier = TIER_REFERENCE + 1; tier < TIER_COUNT; tier++) {
        const CpuKernel *kernel = kernel_for(c, tier);
        if (!kernel)
            continue;
        Output one = run(c, kernel, 1, false);
        for (int parts = 2; parts <= 7; parts += parts == 3 ? 4 : 1) {
            Output many = run(c, kernel, parts, parts & 1);
            same_bits(c, "with more threads", many, one);
            free(many.data);
        }
        free(one.data);
    }
}

static void threads_change_no_bit(void **state)
{
    (void)state;
    each_case(compare_parts);
}

/* At most so many rows a step; a state is carried from one to the next. */
static Output run_chunks(KernelCase *c, const CpuKernel *kernel, int32_t most)
{
    Output out;
    kernel_case_reset(c);
    for (int32_t r = 0, n; r < c->rows; r += n) {
        n = kernel_case_together(c, r, most);
        OpCall call = kernel_case_rows(c, r, n);
        kernel_case_run(c, kernel, &call, 1 + r % 2, false);
    }
    assert_true(kernel_case_intact(c));
    out.data = kernel_case_outputs(c, &out.bytes);
    return out;
}

static void compare_rows(KernelCase *c)
{
    for (int tier = TIER_REFERENCE + 1; tier < TIER_COUNT && c->rows_alone; tier++) {
        const CpuKernel *kernel = kernel_for(c, tier);
        if (!kernel)
            continue;
        Output together = run(c, kernel, 1, false);
        for (int32_t most = 1; most <= 3; most += 2) {
            Output alone = run_chunks(c, kernel, most);
            same_bits(c, most == 1 ? "rows one by one" : "some rows at a time", alone, together);
            free(alone.data);
        }
        free(together.data);
    }
}

static void a_row_has_the_same_bits_alone_and_in_company(void **state)
{
    (void)state;
    each_case(compare_rows);
}

/* Attention whose factors may be rounded (--products bf16): on a tier that rounds none, or with few queries to a kv head, the
 * bits of the exact way; else near the reference, and as little moved by threads and company as exactly. */
static int rounded_cases;
static double worst_rounded;

static void hold_rounded(KernelCase *c)
{
    enum { QUERIES_MIN = 4 };      /* that share keys, where any are rounded */
    Output exact;
    kernel_case_reset(c);
    kernel_case_run_reference(c);
    exact.data = kernel_case_outputs(c, &exact.bytes);
    for (int tier = TIER_REFERENCE + 1; tier < TIER_COUNT; tier++) {
        const CpuKernel *kernel = kernel_for(c, tier);
        if (!kernel)
            continue;
        Output plain = run(c, kernel, 1, false);
        c->near = true;
        Output rounded = run(c, kernel, 1, false);
        bool same = !memcmp(plain.data, rounded.data, plain.bytes);
        double error = kernel_case_error(c, rounded.data, exact.data);
        if (error > op_allowed(OP_ATTEND, true))
            print_error("%s: rounded, %s is wrong by %g of the row\n", c->what, cpu_tier_name((CpuTier)tier), error);
        assert_true(error <= op_allowed(OP_ATTEND, true));
        worst_rounded = fmax(worst_rounded, error);
        rounded_cases += !same;
        assert_true(same || (cpu_tier_whole((CpuTier)tier) != (CpuTier)tier &&
                             c->call.in[0].dim[1] / c->call.in[1].dim[1] >= QUERIES_MIN));
        c->near = false;
        free(plain.data);
        free(rounded.data);
    }
    free(exact.data);
    c->near = true;
    compare_parts(c);
    compare_rows(c);
}

static void rounded_attention_is_near_and_keeps_its_bits(void **state)
{
    (void)state;
    each_case_of(OP_ATTEND, hold_rounded);
    if (cpu_best_tier() != TIER_REFERENCE && cpu_tier_whole(cpu_best_tier()) != cpu_best_tier())
        assert_true(rounded_cases > 20);
    printf("attend       rounded in %d cases, wrong by %.1e of the row at most, %.1e allowed\n", rounded_cases, worst_rounded,
           op_allowed(OP_ATTEND, true));
}

static void every_operation_has_a_specification_and_cases(void **state)
{
    (void)state;
    for (int op = 0; op < OP_COUNT; op++) {
        assert_true(kernel_case_exists((Op)op));
        assert_non_null(op_spec((Op)op));
        assert_non_null(op_spec((Op)op)->cost);
        assert_true(cpu_kernel((Op)op, TIER_REFERENCE) || op_spec((Op)op)->compose);
    }
}

/* For processors of other kinds, which cannot run the tiers of this one: what the best tier computes, an operation a
 * line. `make check-neon` holds the lines against those of the processor that it runs on. */
static Sha256 digest;

static void put_outputs(KernelCase *c)
{
    const CpuKernel *kernel = kernel_for(c, cpu_best_tier());
    if (!kernel)
        return;
    Output out = run(c, kernel, 1, false);
    sha256_put(&digest, out.data, out.bytes);
    free(out.data);
}

static int print_digests(void)
{
    for (int op = 0; op < OP_COUNT; op++) {
        digest = sha256_begin();
        each_case_of((Op)op, put_outputs);
        Digest d = sha256_end(&digest);
        printf("%-14s ", op_name((Op)op));
        for (int i = 0; i < DIGEST_BYTES; i++)
            printf("%02x", d.byte[i]);
        printf("\n");
    }
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "digest") == 0)
        return print_digests();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_operation_has_a_specification_and_cases),
        cmocka_unit_test(fast_kernels_compute_what_the_reference_computes),
        cmocka_unit_test(every_tier_gives_the_same_bits),
        cmocka_unit_test(threads_change_no_bit),
        cmocka_unit_test(a_row_has_the_same_bits_alone_and_in_company),
        cmocka_unit_test(rounded_attention_is_near_and_keeps_its_bits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

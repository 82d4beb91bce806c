/* What a launch on the GPU may leave unwritten: what a later call reads must never be among it. */
#include "test.h"

#include "kernels/kit/later_calls.h"

enum { ROWS = 4, WIDTH = 8 };
static float memory[4 * ROWS * WIDTH];

static Tensor piece(int i) { return tensor_of(memory + i * ROWS * WIDTH, &format_f32, ROWS, WIDTH); }

static OpCall scale(Tensor to, Tensor from) { return (OpCall){.op = OP_SCALE, .out = {to}, .in = {from}}; }

static void what_is_overwritten_first_is_not_read(void **state)
{
    (void)state;
    OpCall calls[] = {scale(piece(2), piece(1)), scale(piece(0), piece(1)), scale(piece(3), piece(0))};
    assert_false(is_read_later(calls, 3, piece(0)));
    assert_true(is_read_later(calls, 3, piece(1)));
}

static void what_nobody_overwrites_may_be_read_after_the_last_call(void **state)
{
    (void)state;
    OpCall calls[] = {scale(piece(2), piece(1))};
    assert_true(is_read_later(calls, 1, piece(0)));
    assert_true(is_read_later(calls, 0, piece(0)));
}

static void adding_to_it_reads_it(void **state)
{
    (void)state;
    OpCall add = {.op = OP_ADD, .reads_out = true, .out = {piece(0)}, .in = {piece(1)}};
    assert_true(is_read_later(&add, 1, piece(0)));
}

static void a_call_that_reads_and_overwrites_it_reads_it(void **state)
{
    (void)state;
    OpCall calls[] = {scale(piece(0), piece(0))};
    assert_true(is_read_later(calls, 1, piece(0)));
}

static void a_part_of_it_under_another_shape_is_it(void **state)
{
    (void)state;
    Tensor last_column = tensor_columns(piece(0), WIDTH - 1, 1), last_row = tensor_rows(piece(0), ROWS - 1, 1);
    OpCall reads_column[] = {scale(piece(2), last_column), scale(piece(0), piece(1))};
    OpCall reads_row[] = {scale(piece(2), last_row), scale(piece(0), piece(1))};
    assert_true(is_read_later(reads_column, 2, piece(0)));
    assert_true(is_read_later(reads_row, 2, piece(0)));
}

static void only_all_of_it_overwrites_it(void **state)
{
    (void)state;
    OpCall calls[] = {scale(tensor_rows(piece(0), 0, ROWS - 1), piece(1)), scale(piece(2), tensor_heads(piece(0), 2))};
    OpCall heads[] = {scale(tensor_heads(piece(0), 2), piece(1)), scale(piece(2), piece(0))};
    assert_true(is_read_later(calls, 2, piece(0)));
    assert_false(is_read_later(heads, 2, piece(0)));
}

static void columns_beside_it_are_not_it(void **state)
{
    (void)state;
    Tensor left = tensor_columns(piece(0), 0, 3), right = tensor_columns(piece(0), 3, WIDTH - 3);
    OpCall reads_right[] = {scale(piece(2), right), scale(left, piece(1))};
    OpCall reads_one_more[] = {scale(piece(2), tensor_columns(piece(0), 2, WIDTH - 2)), scale(left, piece(1))};
    assert_false(is_read_later(reads_right, 2, left));
    assert_true(is_read_later(reads_one_more, 2, left));
    OpCall reads_left[] = {scale(piece(2), tensor_rows(left, 1, ROWS - 1)), scale(right, piece(1))};
    assert_false(is_read_later(reads_left, 2, right));
}

static void what_holds_all_of_it_overwrites_it(void **state)
{
    (void)state;
    Tensor left = tensor_columns(piece(0), 0, 3), both = tensor_of(memory, &format_f32, 2, ROWS * WIDTH);
    OpCall whole[] = {scale(piece(0), piece(1)), scale(piece(2), left)};
    OpCall wider[] = {scale(tensor_columns(piece(0), 0, 4), piece(1)), scale(piece(2), left)};
    OpCall beside[] = {scale(tensor_columns(piece(0), 1, 4), piece(1)), scale(piece(2), left)};
    OpCall other_shape[] = {scale(both, piece(2)), scale(piece(2), piece(1))};
    assert_false(is_read_later(whole, 2, left));
    assert_false(is_read_later(wider, 2, left));
    assert_true(is_read_later(beside, 2, left));
    assert_false(is_read_later(other_shape, 2, piece(1)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_overwritten_first_is_not_read),
        cmocka_unit_test(what_nobody_overwrites_may_be_read_after_the_last_call),
        cmocka_unit_test(adding_to_it_reads_it),
        cmocka_unit_test(a_call_that_reads_and_overwrites_it_reads_it),
        cmocka_unit_test(a_part_of_it_under_another_shape_is_it),
        cmocka_unit_test(only_all_of_it_overwrites_it),
        cmocka_unit_test(columns_beside_it_are_not_it),
        cmocka_unit_test(what_holds_all_of_it_overwrites_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

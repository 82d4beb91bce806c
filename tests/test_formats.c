/* What the bytes of each number format mean, held against other programs' blocks; and that encoders
 * lose no more than they must and are defined for every number. */
#include "test.h"

#include <math.h>

#include "base/file_map.h"
#include "base/half.h"
#include "core/format.h"
#include "formats/a8/a8.h"

/* Bit for bit, or one step of f32 apart, or both NaN. */
static bool same_within_one_ulp(float a, float b)
{
    if (isnan(a) || isnan(b))
        return isnan(a) && isnan(b);
    int64_t ia = (int32_t)f32_bits(a), ib = (int32_t)f32_bits(b);
    ia = ia < 0 ? INT32_MIN - ia : ia;
    ib = ib < 0 ? INT32_MIN - ib : ib;
    return llabs(ia - ib) <= 1;
}

static void check_blocks_of(const Format *f, const char *bin_path, const char *f32_path)
{
    FileMap bin, expected;
    assert_int_equal(file_map_init(&bin, bin_path, NULL), OK);
    assert_int_equal(file_map_init(&expected, f32_path, NULL), OK);
    size_t elems = bin.span.bytes / (size_t)f->block_bytes * (size_t)f->block_elems;
    assert_int_equal(elems * sizeof(float), expected.span.bytes);
    float *x = malloc(expected.span.bytes);
    f->decode(x, bin.span.data, elems);
    for (size_t i = 0; i < elems; i++) {
        float want;
        memcpy(&want, expected.span.data + i * sizeof want, sizeof want);
        if (same_within_one_ulp(x[i], want))
            continue;
        print_error("%s element %zu: decoded %.9g, gguf-py has %.9g\n", f->name, i, (double)x[i], (double)want);
        assert_true(same_within_one_ulp(x[i], want));
    }
    free(x);
    file_map_deinit(&bin);
    file_map_deinit(&expected);
}

static void blocks_mean_what_gguf_py_says(void **state)
{
    (void)state;
    if (!shared_path("fixtures/blocks/Q8_0.bin"))
        return;
    int checked = 0;
    const Format *f;
    for (int i = 0; (f = format_at(i)); i++) {
        char bin[64], f32[64];
        snprintf(bin, sizeof bin, "fixtures/blocks/%s.bin", f->name);
        snprintf(f32, sizeof f32, "fixtures/blocks/%s.f32", f->name);
        const char *bin_path = shared_path(bin), *f32_path = shared_path(f32);
        if (bin_path && f32_path) {
            check_blocks_of(f, bin_path, f32_path);
            checked++;
        }
    }
    assert_true(checked >= 4);
}

static void each_format_is_found_by_its_name_and_its_number(void **state)
{
    (void)state;
    const Format *f;
    for (int i = 0; (f = format_at(i)); i++) {
        assert_ptr_equal(format_find(f->name), f);
        if (f->gguf_id >= 0)
            assert_ptr_equal(format_of_gguf(f->gguf_id), f);
        assert_non_null(f->decode);
    }
    assert_ptr_equal(format_find("q8_0"), format_of_gguf(8));
    assert_null(format_find("Q8"));
    assert_null(format_of_gguf(-1));
    assert_null(format_of_gguf(4));
    assert_null(format_at(-1));
}

static void every_half_survives_the_way_through_f32(void **state)
{
    (void)state;
    for (uint32_t h = 0; h < 0x10000; h++) {
        uint32_t quiet = (h & 0x7fff) > 0x7c00 ? h | 0x200 : h;
        assert_int_equal(f32_to_f16(f16_to_f32((uint16_t)h)), quiet);
        quiet = (h & 0x7fff) > 0x7f80 ? h | 0x40 : h;
        assert_int_equal(f32_to_bf16(bf16_to_f32((uint16_t)h)), quiet);
    }
    assert_true(f16_to_f32(0x3c00) == 1 && f16_to_f32(0x7bff) == F16_MAX && f16_to_f32(0x8001) == -F16_TINY);
}

/* Between each two neighbours: the exact middle goes to the even one, the floats beside it to their side. */
static void conversion_to_half_rounds_to_nearest_even(void **state)
{
    (void)state;
    for (uint32_t h = 0; h < 0x7bff; h++) {
        float middle = (f16_to_f32((uint16_t)h) + f16_to_f32((uint16_t)(h + 1))) / 2;
        assert_int_equal(f32_to_f16(middle), h + (h & 1));
        assert_int_equal(f32_to_f16(nextafterf(middle, 0)), h);
        assert_int_equal(f32_to_f16(-nextafterf(middle, INFINITY)), 0x8000 | (h + 1));
    }
    assert_int_equal(f32_to_f16(65519.99f), 0x7bff);
    assert_int_equal(f32_to_f16(65520), 0x7c00);
    assert_int_equal(f32_to_bf16(f32_of_bits(0x3f808000)), 0x3f80);
    assert_int_equal(f32_to_bf16(f32_of_bits(0x3f818000)), 0x3f82);
    assert_int_equal(f32_to_bf16(f32_of_bits(0x3f808001)), 0x3f81);
    assert_int_equal(f32_to_bf16(3.4028235e38f), 0x7f80);
}

static void a8_blocks_are_the_formula_of_their_header(void **state)
{
    (void)state;
    float x[32], back[32];
    A8Block b;
    for (int i = 0; i < 32; i++)
        x[i] = (float)(i - 16) * 0.37f;
    format_a8.encode(&b, x, 32, NULL);
    int sum = 0;
    for (int i = 0; i < 32; i++) {
        assert_int_equal(b.q[i], (int)rintf(x[i] * (127 / (16 * 0.37f))));
        sum += b.q[i];
    }
    assert_int_equal(b.q[0], -127);
    assert_int_equal(b.sum, sum);
    assert_true(b.d == 16 * 0.37f / 127);
    x[5] = NAN;
    format_a8.encode(&b, x, 32, NULL);
    format_a8.decode(back, &b, 32);
    assert_true(isnan(back[0]) && isnan(back[31]));
    for (int i = 0; i < 32; i++)
        x[i] = 1e-40f;
    format_a8.encode(&b, x, 32, NULL);
    assert_true(b.d == 0 && b.q[0] == 0 && b.sum == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_mean_what_gguf_py_says),
        cmocka_unit_test(each_format_is_found_by_its_name_and_its_number),
        cmocka_unit_test(every_half_survives_the_way_through_f32),
        cmocka_unit_test(conversion_to_half_rounds_to_nearest_even),
        cmocka_unit_test(a8_blocks_are_the_formula_of_their_header),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

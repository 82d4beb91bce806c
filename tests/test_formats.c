/* What the bytes of each number format mean, held against other programs' blocks; and that encoders
 * lose no more than they must and are defined for every number. */
#include "test.h"

#include <dirent.h>
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
        print_error("%s element %zu: decoded %.9g, gguf-py has %.9g\n", f->name, i, x[i], want);
        assert_true(same_within_one_ulp(x[i], want));
    }
    free(x);
    file_map_deinit(&bin);
    file_map_deinit(&expected);
}

static void blocks_mean_what_gguf_py_says(void **state)
{
    (void)state;
    const char *probe = shared_path("fixtures/blocks/Q8_0.bin");
    if (!probe)
        return;
    char directory[512];
    snprintf(directory, sizeof directory, "%.*s", (int)(strrchr(probe, '/') - probe), probe);
    DIR *d = opendir(directory);
    assert_non_null(d);
    int checked = 0;
    for (struct dirent *entry; (entry = readdir(d));) {
        char *dot = strrchr(entry->d_name, '.');
        if (!dot || strcmp(dot, ".bin") != 0)
            continue;
        char bin[1024], f32[1024];
        *dot = 0;
        snprintf(bin, sizeof bin, "%s/%s.bin", directory, entry->d_name);
        snprintf(f32, sizeof f32, "%s/%s.f32", directory, entry->d_name);
        const Format *f = format_find(entry->d_name);
        if (!f)
            print_error("no format is called %s\n", entry->d_name);
        assert_non_null(f);
        check_blocks_of(f, bin, f32);
        checked++;
    }
    closedir(d);
    assert_true(checked >= 21);
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
    assert_true(f16_to_f32(0x3c00) == 1);
    assert_true(f16_to_f32(0x7bff) == F16_MAX && f16_to_f32(0x8001) == -F16_TINY);
}

/* Between two neighbours the exact middle goes to the even one, what is beside it to its side. */
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

/* A safetensors file may put a tensor at any byte. */
static void blocks_may_lie_at_any_address(void **state)
{
    (void)state;
    const Format *f;
    for (int i = 0; (f = format_at(i)); i++) {
        if (f == &format_a8)   /* never in a file */
            continue;
        size_t elems = 512, bytes = format_row_bytes(f, (int64_t)elems);
        uint8_t *aligned = malloc(bytes), *shifted = malloc(bytes + 1);
        float x[512], y[512];
        for (size_t j = 0; j < bytes; j++)
            aligned[j] = (uint8_t)(j * 37 + 11);
        memcpy(shifted + 1, aligned, bytes);
        f->decode(x, aligned, elems);
        f->decode(y, shifted + 1, elems);
        assert_memory_equal(x, y, sizeof x);
        free(aligned);
        free(shifted);
    }
}

/* value = (-1)^s 2^(e - bias) (1 + m / 2^bits), or 2^(1 - bias) m / 2^bits where e is 0. */
static double f8_value(int byte, int fraction, int bias)
{
    int e = (byte & 0x7f) >> fraction, m = byte & ((1 << fraction) - 1);
    double magnitude = e ? ldexp(1 + ldexp(m, -fraction), e - bias) : ldexp(m, 1 - bias - fraction);
    return byte & 0x80 ? -magnitude : magnitude;
}

static void check_f8(const char *name, int fraction, int bias, int largest)
{
    const Format *f = format_find(name);
    for (int byte = 0; byte < 256; byte++) {
        uint8_t in = (uint8_t)byte, out;
        float x, middle;
        f->decode(&x, &in, 1);
        if ((byte & 0x7f) > largest) {
            assert_false(isfinite(x));
            continue;
        }
        assert_true(x == (float)f8_value(byte, fraction, bias));
        f->encode(&out, &x, 1, NULL);
        assert_int_equal(out, in);
        if ((byte & 0x7f) == largest)
            continue;
        middle = (float)((f8_value(byte, fraction, bias) + f8_value(byte + 1, fraction, bias)) / 2);
        f->encode(&out, &middle, 1, NULL);
        assert_int_equal(out, byte + (byte & 1));
        middle = nextafterf(middle, 0);
        f->encode(&out, &middle, 1, NULL);
        assert_int_equal(out, byte);
    }
    const float beyond[] = {1e6f, -3e38f};
    uint8_t out[2];
    f->encode(out, beyond, 2, NULL);
    assert_int_equal(out[0], largest);
    assert_int_equal(out[1], largest | 0x80);
}

static void eight_bit_floats_are_their_formula_and_round_to_nearest_even(void **state)
{
    (void)state;
    check_f8("F8_E4M3", 3, 7, 0x7e);
    check_f8("F8_E5M2", 2, 15, 0x7b);
    const float odd[] = {NAN, INFINITY, -INFINITY};
    uint8_t b[3];
    float x[3];
    format_find("F8_E5M2")->encode(b, odd, 3, NULL);
    format_find("F8_E5M2")->decode(x, b, 3);
    assert_true(isnan(x[0]) && x[1] == INFINITY && x[2] == -INFINITY);
    format_find("F8_E4M3")->encode(b, odd, 3, NULL);
    format_find("F8_E4M3")->decode(x, b, 3);
    assert_true(isnan(x[0]) && isnan(x[1]) && isnan(x[2]));
}

/* The numbers of OCP's E2M1 with each scale of E8M0, as GGUF reads them: e = 255 is a number. */
static void mxfp4_blocks_are_powers_of_two_times_e2m1(void **state)
{
    (void)state;
    static const float e2m1[8] = {0, 0.5f, 1, 1.5f, 2, 3, 4, 6};
    uint8_t block[17];
    float x[32];
    for (int e = 0; e < 256; e++) {
        block[0] = (uint8_t)e;
        for (int i = 0; i < 16; i++)
            block[1 + i] = (uint8_t)(i | (15 - i) << 4);
        format_find("MXFP4")->decode(x, block, 32);
        for (int i = 0; i < 16; i++) {
            float want = (float)ldexp(i < 8 ? e2m1[i] : -e2m1[i - 8], e - 127);
            assert_true(x[i] == want && x[31 - i] == want);
        }
    }
}

static int digit(int elem) { return elem * 7 % 11 % 3; }

/* Digit n of the byte of element i, packed as a fraction of 256 that is rounded up. */
static void ternary_blocks_hold_their_digits(void **state)
{
    (void)state;
    static const struct {
        int from, byte, run, digits;
    } runs[] = {{0, 0, 32, 5}, {160, 32, 16, 5}, {240, 48, 4, 4}};
    uint8_t tq1[54] = {0}, tq2[66] = {0};
    float x1[256], x2[256];
    for (size_t r = 0; r < COUNT_OF(runs); r++)
        for (int i = 0; i < runs[r].run; i++) {
            int value = 0;
            for (int n = 0; n < 5; n++) {
                int elem = runs[r].from + n * runs[r].run + i;
                value = value * 3 + (n < runs[r].digits ? digit(elem) : 0);
            }
            tq1[runs[r].byte + i] = (uint8_t)((value * 256 + 242) / 243);
        }
    for (int i = 0; i < 256; i++)
        tq2[i / 128 * 32 + i % 32] |= (uint8_t)(digit(i) << i % 128 / 32 * 2);
    f16_store(tq1 + 52, 0.5f);
    f16_store(tq2 + 64, 0.5f);
    format_find("TQ1_0")->decode(x1, tq1, 256);
    format_find("TQ2_0")->decode(x2, tq2, 256);
    for (int i = 0; i < 256; i++) {
        assert_true(x1[i] == 0.5f * (float)(digit(i) - 1));
        assert_true(x2[i] == x1[i]);
    }
}

static void plain_integers_keep_their_sign_and_saturate(void **state)
{
    (void)state;
    const int64_t wide = -5000000000;
    const int16_t narrow = -300;
    const uint8_t byte = 200;
    const double real = 0.1;
    float x;
    format_find("I64")->decode(&x, &wide, 1);
    assert_true(x == -5e9f);
    format_find("I16")->decode(&x, &narrow, 1);
    assert_true(x == -300);
    format_find("I8")->decode(&x, &byte, 1);
    assert_true(x == -56);
    format_find("U8")->decode(&x, &byte, 1);
    assert_true(x == 200);
    format_find("BOOL")->decode(&x, &byte, 1);
    assert_true(x == 200);
    format_find("F64")->decode(&x, &real, 1);
    assert_true(x == 0.1f);
    const uint32_t wide_word = 4000000000;
    format_find("U32")->decode(&x, &wide_word, 1);
    assert_true(x == 4e9f);
    format_find("F8_E8M0")->decode(&x, &(uint8_t){100}, 1);
    assert_true(x == 0x1p-27f);
    const float in[] = {2.5f, -1e20f, 1e20f, NAN, -7};
    int32_t out[5];
    format_i32.encode(out, in, 5, NULL);
    assert_int_equal(out[0], 2);
    assert_int_equal(out[1], INT32_MIN);
    assert_int_equal(out[2], INT32_MAX);
    assert_int_equal(out[3], 0);
    assert_int_equal(out[4], -7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_mean_what_gguf_py_says),
        cmocka_unit_test(each_format_is_found_by_its_name_and_its_number),
        cmocka_unit_test(every_half_survives_the_way_through_f32),
        cmocka_unit_test(conversion_to_half_rounds_to_nearest_even),
        cmocka_unit_test(blocks_may_lie_at_any_address),
        cmocka_unit_test(eight_bit_floats_are_their_formula_and_round_to_nearest_even),
        cmocka_unit_test(mxfp4_blocks_are_powers_of_two_times_e2m1),
        cmocka_unit_test(ternary_blocks_hold_their_digits),
        cmocka_unit_test(plain_integers_keep_their_sign_and_saturate),
        cmocka_unit_test(a8_blocks_are_the_formula_of_their_header),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* What encoding costs: the error of each format stays below a bound that is written here,
 * importance is heard, and no number that a weight can have makes anything undefined. */
#include "test.h"

#include <math.h>

#include "base/half.h"
#include "core/format.h"

enum { ELEMS = 1 << 15, ROW = 512 };

typedef struct Rows {
    float gauss[ELEMS], heavy[ELEMS], importance[ELEMS], back[ELEMS], again[ELEMS];
    uint8_t blocks[ELEMS * 4];
} Rows;

static uint64_t next_random(uint64_t *s)   /* xorshift64* */
{
    *s ^= *s >> 12;
    *s ^= *s << 25;
    *s ^= *s >> 27;
    return *s * 0x2545f4914f6cdd1d;
}
static float normal(uint64_t *s)
{
    double a = (double)(next_random(s) >> 11) * 0x1p-53;
    double b = (double)(next_random(s) >> 11) * 0x1p-53;
    return (float)(sqrt(-2 * log(1 - a)) * cos(2 * acos(-1) * b));
}

static int make_rows(void **state)
{
    Rows *r = calloc(1, sizeof *r);
    uint64_t seed = 7;
    for (int i = 0; i < ELEMS; i++) {
        float square = 0;
        for (int k = 0; k < 5; k++) {
            float a = normal(&seed);
            square += a * a;
        }
        r->gauss[i] = normal(&seed) * 0.02f;
        r->heavy[i] = normal(&seed) * 0.02f / sqrtf(square / 5);   /* Student's t, 5 degrees */
        r->importance[i] = expf(2 * normal(&seed));
    }
    *state = r;
    return 0;
}
static int free_rows(void **state)
{
    free(*state);
    return 0;
}

static double relative_error(const float *x, const float *y, const float *weight, int n)
{
    double error = 0, power = 0;
    for (int i = 0; i < n; i++) {
        double w = weight ? weight[i] : 1, off = (double)x[i] - y[i];
        error += w * off * off;
        power += w * x[i] * x[i];
    }
    return sqrt(error / power);
}

static double encode_error(Rows *r, const Format *f, const float *x, const float *importance)
{
    f->encode(r->blocks, x, ELEMS, importance);
    f->decode(r->back, r->blocks, ELEMS);
    return relative_error(x, r->back, NULL, ELEMS);
}

/* Bounds a little above what was measured; a worse search, or a bit out of place, passes them. */
static const struct {
    const char *name;
    double gauss, heavy;
} bounds[] = {
    {"F32", 0, 0},
    {"F16", 0.000215, 0.000215},
    {"BF16", 0.0017, 0.0017},
    {"F8_E4M3", 0.0338, 0.0308},
    {"F8_E5M2", 0.0541, 0.0538},
    {"A8", 0.0055, 0.0071},
    {"Q8_0", 0.0055, 0.0071},
    {"Q4_0", 0.0886, 0.1123},
    {"Q4_1", 0.0803, 0.0925},
    {"Q5_0", 0.0438, 0.0565},
    {"Q5_1", 0.0389, 0.0448},
    {"Q2_K", 0.2685, 0.291},
    {"Q3_K", 0.1474, 0.1729},
    {"Q4_K", 0.0716, 0.0835},
    {"Q5_K", 0.0352, 0.0413},
    {"Q6_K", 0.01725, 0.0214},
    {"IQ4_NL", 0.0752, 0.0888},
    {"IQ4_XS", 0.0757, 0.0896},
    {"MXFP4", 0.1135, 0.126},
};

static bool within_bound(const Format *f, double gauss, double heavy)
{
    for (size_t i = 0; i < COUNT_OF(bounds); i++)
        if (strcmp(bounds[i].name, f->name) == 0)
            return gauss <= bounds[i].gauss && heavy <= bounds[i].heavy;
    return false;
}

static void no_format_loses_more_than_its_bound(void **state)
{
    Rows *r = *state;
    const Format *f;
    int beyond = 0;
    printf("format    bits/elem   relative RMS error, normal   heavy-tailed\n");
    for (int i = 0; (f = format_at(i)); i++) {
        if (!f->encode || f == &format_i32)
            continue;
        double gauss = encode_error(r, f, r->gauss, NULL);
        double heavy = encode_error(r, f, r->heavy, NULL);
        bool ok = within_bound(f, gauss, heavy);
        printf("%-8s  %9.4f   %26.5f   %12.5f%s\n", f->name, 8.0 * f->block_bytes / f->block_elems,
               gauss, heavy, ok ? "" : "   ABOVE ITS ROW IN bounds[], OR HAS NONE");
        beyond += !ok;
    }
    assert_int_equal(beyond, 0);
}

static void importance_lowers_the_weighted_error(void **state)
{
    Rows *r = *state;
    static const char *const with_a_choice[] = {
        "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q2_K",   "Q3_K",
        "Q4_K", "Q5_K", "Q6_K", "IQ4_NL", "IQ4_XS", "MXFP4",
    };
    for (size_t i = 0; i < COUNT_OF(with_a_choice); i++) {
        const Format *f = format_find(with_a_choice[i]);
        encode_error(r, f, r->heavy, NULL);
        double without = relative_error(r->heavy, r->back, r->importance, ELEMS);
        encode_error(r, f, r->heavy, r->importance);
        double with = relative_error(r->heavy, r->back, r->importance, ELEMS);
        printf("%-8s  weighted error %.5f, with importance %.5f\n", f->name, without, with);
        assert_true(with < 0.99 * without);
    }
}

static void importance_that_says_nothing_changes_nothing(void **state)
{
    Rows *r = *state;
    static const float useless[] = {0, NAN, -1, INFINITY};
    const Format *f = format_find("Q4_K");
    f->encode(r->blocks, r->gauss, ROW, NULL);
    f->decode(r->back, r->blocks, ROW);
    for (size_t i = 0; i < COUNT_OF(useless); i++) {
        for (int j = 0; j < ROW; j++)
            r->again[j] = useless[i];
        f->encode(r->blocks, r->gauss, ROW, r->again);
        f->decode(r->again, r->blocks, ROW);
        assert_memory_equal(r->again, r->back, ROW * sizeof(float));
    }
}

/* Where the scale is a formula of the largest element, what was encoded once is kept by the second
 * time; where it is searched, the second time may not lose noticeably more. */
static void encoding_twice_keeps_what_the_first_time_left(void **state)
{
    Rows *r = *state;
    static const char *const exact[] = {
        "F32", "F16", "BF16", "F8_E4M3", "F8_E5M2", "Q8_0", "Q4_0", "Q5_0", "MXFP4"};
    const Format *f;
    for (size_t i = 0; i < COUNT_OF(exact); i++) {
        f = format_find(exact[i]);
        encode_error(r, f, r->heavy, NULL);
        f->encode(r->blocks, r->back, ELEMS, NULL);
        f->decode(r->again, r->blocks, ELEMS);
        for (int j = 0; j < ELEMS; j++)
            assert_true(r->again[j] == r->back[j]);
    }
    for (int i = 0; (f = format_at(i)); i++) {
        if (!f->encode || f == &format_i32)
            continue;
        double once = encode_error(r, f, r->heavy, NULL);
        f->encode(r->blocks, r->back, ELEMS, NULL);
        f->decode(r->again, r->blocks, ELEMS);
        assert_true(relative_error(r->heavy, r->again, NULL, ELEMS) <= 1.02 * once);
    }
}

static void blocks_do_not_depend_on_their_neighbours(void **state)
{
    Rows *r = *state;
    const Format *f;
    for (int i = 0; (f = format_at(i)); i++) {
        if (!f->encode)
            continue;
        size_t n = (size_t)f->block_elems, bytes = (size_t)f->block_bytes;
        uint8_t alone[512];
        f->encode(r->blocks, r->heavy, 3 * n, r->importance);
        f->encode(alone, r->heavy + n, n, r->importance + n);
        assert_memory_equal(alone, r->blocks + bytes, bytes);
    }
}

static void a_row_of_zeros_stays_zero(void **state)
{
    Rows *r = *state;
    static const float zeros[ROW];
    const Format *f;
    for (int i = 0; (f = format_at(i)); i++) {
        if (!f->encode)
            continue;
        f->encode(r->blocks, zeros, ROW, NULL);
        f->decode(r->back, r->blocks, ROW);
        for (int j = 0; j < ROW; j++)
            assert_true(r->back[j] == 0);
    }
}

/* A value outside a format's range goes to the end of the range that is on its side. */
static void what_is_too_large_saturates_and_what_is_too_small_vanishes(void **state)
{
    Rows *r = *state;
    const Format *f;
    float x[ROW];
    for (int j = 0; j < ROW; j++)
        x[j] = j % 2 ? 3.4e38f : -3.4e38f;
    for (int i = 0; (f = format_at(i)); i++) {
        if (!f->encode || f == format_find("F16") || f == format_find("BF16"))
            continue;
        f->encode(r->blocks, x, ROW, NULL);
        f->decode(r->back, r->blocks, ROW);
        for (int j = 0; j < ROW; j++)
            assert_true(isfinite(r->back[j]) && (j % 2 ? r->back[j] : -r->back[j]) > 400);
    }
    for (int j = 0; j < ROW; j++)
        x[j] = (j % 2 ? 1e-41f : -1e-41f) * (float)(1 + j % 7);
    for (int i = 0; (f = format_at(i)); i++) {
        if (!f->encode)
            continue;
        f->encode(r->blocks, x, ROW, NULL);
        f->decode(r->back, r->blocks, ROW);
        for (int j = 0; j < ROW; j++)
            assert_true(fabsf(r->back[j]) < 1e-38f);
    }
}

static void a_nan_or_an_infinity_spoils_its_block_and_no_other(void **state)
{
    Rows *r = *state;
    static const float spoilers[] = {NAN, INFINITY, -INFINITY};
    const Format *f;
    for (int i = 0; (f = format_at(i)); i++)
        for (size_t k = 0; k < COUNT_OF(spoilers); k++) {
            if (!f->encode || f == &format_i32)
                continue;
            memcpy(r->again, r->gauss, ROW * sizeof(float));
            r->again[5] = spoilers[k];
            f->encode(r->blocks, r->again, ROW, NULL);
            f->decode(r->back, r->blocks, ROW);
            for (int j = 0; j < ROW; j++) {
                bool spoiled = j / f->block_elems == 5 / f->block_elems;
                assert_true(spoiled == !isfinite(r->back[j]));
            }
        }
}

/* Floats of every exponent side by side: the sanitizers see that nothing overflows on the way. */
static void any_bit_pattern_can_be_encoded(void **state)
{
    Rows *r = *state;
    uint64_t seed = 3;
    for (int j = 0; j < ELEMS; j++) {
        r->again[j] = f32_of_bits((uint32_t)(next_random(&seed) >> 32));
        if (!isfinite(r->again[j]))
            r->again[j] = 0;
    }
    const Format *f;
    for (int i = 0; (f = format_at(i)); i++) {
        if (!f->encode || f == format_find("F16") || f == format_find("BF16"))
            continue;
        f->encode(r->blocks, r->again, ELEMS, r->importance);
        f->decode(r->back, r->blocks, ELEMS);
        for (int j = 0; j < ELEMS; j++)
            assert_true(isfinite(r->back[j]));
    }
}

/* ggml's formulas, written out: a file that ridge makes equals one made elsewhere. */
static void q8_0_and_q4_0_are_the_bytes_that_ggml_makes(void **state)
{
    Rows *r = *state;
    format_find("Q8_0")->encode(r->blocks, r->heavy, 32, NULL);
    float amax = 0, extreme = 0;
    for (int i = 0; i < 32; i++)
        if (fabsf(r->heavy[i]) > amax) {
            amax = fabsf(r->heavy[i]);
            extreme = r->heavy[i];
        }
    float d = amax / 127;
    assert_int_equal(u16_load(r->blocks), f32_to_f16(d));
    for (int i = 0; i < 32; i++)
        assert_int_equal((int8_t)r->blocks[2 + i], (int8_t)roundf(r->heavy[i] * (1 / d)));
    format_find("Q4_0")->encode(r->blocks, r->heavy, 32, NULL);
    d = extreme / -8;
    assert_int_equal(u16_load(r->blocks), f32_to_f16(d));
    for (int i = 0; i < 32; i++) {
        int q = (int)(r->heavy[i] * (1 / d) + 8.5f);
        assert_int_equal(r->blocks[2 + i % 16] >> (i / 16 * 4) & 15, q > 15 ? 15 : q);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_format_loses_more_than_its_bound),
        cmocka_unit_test(importance_lowers_the_weighted_error),
        cmocka_unit_test(importance_that_says_nothing_changes_nothing),
        cmocka_unit_test(encoding_twice_keeps_what_the_first_time_left),
        cmocka_unit_test(blocks_do_not_depend_on_their_neighbours),
        cmocka_unit_test(a_row_of_zeros_stays_zero),
        cmocka_unit_test(what_is_too_large_saturates_and_what_is_too_small_vanishes),
        cmocka_unit_test(a_nan_or_an_infinity_spoils_its_block_and_no_other),
        cmocka_unit_test(any_bit_pattern_can_be_encoded),
        cmocka_unit_test(q8_0_and_q4_0_are_the_bytes_that_ggml_makes),
    };
    return cmocka_run_group_tests(tests, make_rows, free_rows);
}

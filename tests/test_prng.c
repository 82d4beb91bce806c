/* Random numbers that depend on where they are used and on nothing else. */
#include "test.h"

#include "base/prng.h"

/* The vectors published with the paper's own library (Random123, kat_vectors, philox4x32 10). */
static void philox_gives_the_published_numbers(void **state)
{
    (void)state;
    static const struct { PhiloxBlock counter; uint64_t key; PhiloxBlock out; } known[] = {
        {{{0, 0, 0, 0}}, 0, {{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}}},
        {{{~0u, ~0u, ~0u, ~0u}}, ~0ull, {{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}}},
        {{{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}}, 0x299f31d0a4093822,
         {{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}}},
    };
    for (size_t i = 0; i < COUNT_OF(known); i++) {
        PhiloxBlock out = philox(known[i].key, known[i].counter);
        assert_memory_equal(&out, &known[i].out, sizeof out);
    }
}

static void every_part_of_a_place_changes_the_number(void **state)
{
    (void)state;
    PrngPlace here = {.seed = 42, .sample = 1, .position = 7, .purpose = PRNG_TOKEN};
    PrngPlace others[] = {here, here, here, here, here};
    others[0].seed = 43;
    others[1].seed |= 1ull << 63;
    others[2].sample = 2;
    others[3].position = 8;
    others[4].purpose = PRNG_ACCEPT;
    assert_int_equal(prng_bits(here), prng_bits(here));
    for (size_t i = 0; i < COUNT_OF(others); i++)
        assert_int_not_equal(prng_bits(here), prng_bits(others[i]));
}

static void units_fill_the_range_evenly_and_never_reach_one(void **state)
{
    (void)state;
    enum { DRAWS = 100000, BINS = 64 };
    int count[BINS] = {0};
    double chi = 0;
    for (uint32_t i = 0; i < DRAWS; i++) {
        double u = prng_unit((PrngPlace){.seed = 1, .position = i});
        assert_true(u >= 0 && u < 1);
        count[(int)(u * BINS)]++;
    }
    for (int i = 0; i < BINS; i++) {
        double expected = (double)DRAWS / BINS, d = count[i] - expected;
        chi += d * d / expected;
    }
    assert_true(chi < 127.6);   /* chi-square of 63 degrees: one in a million */
}

static void a_stream_stays_below_its_bound_and_reaches_all_of_it(void **state)
{
    (void)state;
    PrngStream s = {.seed = 3}, same = {.seed = 3};
    int seen[7] = {0};
    for (int i = 0; i < 1000; i++) {
        uint32_t x = stream_below(&s, 7);
        assert_int_equal(x, stream_below(&same, 7));
        assert_true(x < 7);
        seen[x]++;
    }
    for (int i = 0; i < 7; i++)
        assert_true(seen[i] > 90);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(philox_gives_the_published_numbers),
        cmocka_unit_test(every_part_of_a_place_changes_the_number),
        cmocka_unit_test(units_fill_the_range_evenly_and_never_reach_one),
        cmocka_unit_test(a_stream_stays_below_its_bound_and_reaches_all_of_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

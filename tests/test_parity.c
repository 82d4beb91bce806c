/* Every carried family gives the logits and tokens that transformers computes, on each way that a
 * person can bring it in. `make check-parity` does the same for all families of ../shared. */
#include "test.h"

#include <glob.h>

#include "parity_check.h"

static void check(const char *directory, const ParityWay *way)
{
    ParityResult r;
    Error err = {0};
    bool good = parity_check(directory, way, &r, &err) == OK && parity_is_good(&r);
    if (!good)
        print_error("%s: %s (logits differ by %g of %g, %d of %d tokens are right)\n", directory, err.text, r.worst,
                    r.tolerance, r.tokens_right, r.tokens_checked);
    assert_true(good);
}

static void all_fixtures(const ParityWay *way)
{
    glob_t found;
    assert_int_equal(glob("tests/fixtures/hf/*", 0, NULL, &found), 0);
    for (size_t i = 0; i < found.gl_pathc; i++)
        check(found.gl_pathv[i], way);
    assert_true(found.gl_pathc >= 8);
    globfree(&found);
}

static void the_reference_is_right(void **state)
{
    (void)state;
    all_fixtures(&(ParityWay){.tier = TIER_REFERENCE, .rows = 64, .block_tokens = 16});
}

static void the_fastest_tier_is_right_in_small_steps(void **state)
{
    (void)state;
    all_fixtures(&(ParityWay){.tier = TIER_BEST, .rows = 16, .block_tokens = 4});
}

static void published_configs_say_the_same(void **state)
{
    (void)state;
    all_fixtures(&(ParityWay){.tier = TIER_BEST, .hub = true, .rows = 64, .block_tokens = 16});
}

static void a_gguf_says_the_same(void **state)
{
    (void)state;
    all_fixtures(&(ParityWay){.tier = TIER_BEST, .gguf = true, .rows = 64, .block_tokens = 32});
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_reference_is_right),
        cmocka_unit_test(the_fastest_tier_is_right_in_small_steps),
        cmocka_unit_test(published_configs_say_the_same),
        cmocka_unit_test(a_gguf_says_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "base/prng.h"

enum { PHILOX_ROUNDS = 10 };
/* Multipliers and key steps (the golden ratio and sqrt(3) - 1) of the paper's section 5.2. */
static const uint32_t MULTIPLIER_0 = 0xD2511F53, MULTIPLIER_1 = 0xCD9E8D57;
static const uint32_t KEY_STEP_0 = 0x9E3779B9, KEY_STEP_1 = 0xBB67AE85;

PhiloxBlock philox(uint64_t key, PhiloxBlock c)
{
    uint32_t key_0 = (uint32_t)key, key_1 = (uint32_t)(key >> 32);
    for (int round = 0; round < PHILOX_ROUNDS; round++) {
        uint64_t product_0 = (uint64_t)MULTIPLIER_0 * c.word[0];
        uint64_t product_1 = (uint64_t)MULTIPLIER_1 * c.word[2];
        c = (PhiloxBlock){{
            (uint32_t)(product_1 >> 32) ^ c.word[1] ^ key_0, (uint32_t)product_1,
            (uint32_t)(product_0 >> 32) ^ c.word[3] ^ key_1, (uint32_t)product_0,
        }};
        key_0 += KEY_STEP_0;
        key_1 += KEY_STEP_1;
    }
    return c;
}

static uint64_t bits_of(PhiloxBlock block) { return (uint64_t)block.word[1] << 32 | block.word[0]; }
static double unit_of(uint64_t bits) { return (double)(bits >> 11) * 0x1p-53; }

uint64_t prng_bits(PrngPlace p)
{
    return bits_of(philox(p.seed, (PhiloxBlock){{p.position, p.sample, (uint32_t)p.purpose, 0}}));
}

double prng_unit(PrngPlace p) { return unit_of(prng_bits(p)); }

uint64_t stream_bits(PrngStream *s)
{
    uint64_t n = s->next++;
    return bits_of(philox(s->seed, (PhiloxBlock){{(uint32_t)n, (uint32_t)(n >> 32), PRNG_WORLD, 1}}));
}

double stream_unit(PrngStream *s) { return unit_of(stream_bits(s)); }

uint32_t stream_below(PrngStream *s, uint32_t n)
{
    /* The multiples of n below 2^64 leave a rest under 2^32: a bias of at most 2^-32. */
    return (uint32_t)(((unsigned __int128)stream_bits(s) * n) >> 64);
}

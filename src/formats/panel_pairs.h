/* panel_pairs.h -- weights of a panel rounded to bf16, for products with many rows that need not be exact
 * (kernels/linear/near.h). A part of panel_int.h and panel_float.h, which say how:
 *
 *     for each 2 of k: 16 x (k, k + 1)           64 bytes; 32 of k are 1 KB, as the processor's tiles read them
 */
#ifdef TIER_avx512   /* which has them for the tier with tiles as well */

/* A lane's two numbers side by side, the first in the lower half. */
INLINE void put_sides(uint8_t *at, __m512i halves)
{
    const __m512i turn = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8,
                                          23, 7, 22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
    _mm512_store_si512(at, _mm512_permutexvar_epi16(turn, halves));
}
INLINE void put_pair(uint8_t *at, Vf first, Vf second)
{
    put_sides(at, (__m512i)_mm512_cvtne2ps_pbh(second, first));
}

#ifdef ELEM_BYTES
static void pairs(void *out, const void *panel, int64_t from, int64_t to)
{
    uint8_t *at = out;
    for (int64_t k = from; k < to; k += 2, at += 64) {
        const uint8_t *w = (const uint8_t *)panel + k * STEP_BYTES;
        prefetch(w + READ_AHEAD);
#ifdef IS_BF16
        put_sides(at, vi_load(w));
#else
        put_pair(at, weights(w), weights(w + STEP_BYTES));
#endif
    }
}
#else
/* Four of k of 16 outputs, each + 128, in whole numbers. */
INLINE void put_fours(uint8_t *at, Vi w, Vf d, Vf m)
{
    Vi q = vi_xor(w, vi_all((int32_t)0x80808080));
    Vf x0 = vf_of_i(vi_sar(vi_shl(q, 24), 24)), x1 = vf_of_i(vi_sar(vi_shl(q, 16), 24));
    Vf x2 = vf_of_i(vi_sar(vi_shl(q, 8), 24)), x3 = vf_of_i(vi_sar(q, 24));
    put_pair(at, vf_sub(vf_mul(x0, d), m), vf_sub(vf_mul(x1, d), m));
    put_pair(at + 64, vf_sub(vf_mul(x2, d), m), vf_sub(vf_mul(x3, d), m));
}

static void pairs(void *out, const void *panel, int64_t from, int64_t to)
{
    uint8_t *at = out;
    for (int64_t b = from / PANEL_BLOCK; b < to / PANEL_BLOCK; b++) {
        const Unit *u = (const Unit *)panel + b / UNIT_BLOCKS;
        int i = (int)(b % UNIT_BLOCKS);
        read_ahead(u, i, UNIT_BLOCKS);
        UNROLL
        for (int s = 0; s < SCALES; s++) {
            Vf d = scale(u, i, s), m = MINS ? minimum(u, i, MINS == 1 ? 0 : s) : vf_zero();
            UNROLL
            for (int j = s * 8 / SCALES; j < (s + 1) * 8 / SCALES; j++, at += 128)
                put_fours(at, weights(u, i, j), d, m);
        }
    }
}
#endif

#define PAIRS pairs
#endif

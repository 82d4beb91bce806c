/* choose.h -- the next token of some rows of logits.
 *
 *     z = logits[row] of the model                                       [V]
 *     z = -infinity where the mask has no bit; then for each edit of an id (at most one):
 *         z += bias;  z = z > 0 ? z / repeat : z repeat, if it repeats;  z -= frequency count + presence, if it counts
 *     greedy (scale 0): the largest z
 *     else w = exp((z - max z) scale); cut by top_k, typical_p, top_p, min_p one after another (engine/sampler_options.h says
 *     what each means); of what is left, in the order of ids, the first at which the sum of w passes unit * (sum of all)
 *
 * logits: [n, V] F32; hows: [rows, HOW_WORDS] I32, each a ChooseHow; edits: [m, EDIT_WORDS] I32, each a ChooseEdit, or none;
 * masks: [m, words] I32, bit i % 32 of word i / 32 for id i, or none; out: [rows, CHOSEN_WORDS] I32, each a Chosen.
 * Of equals the lower id is better. The best tokens and what log-probabilities are made of are of the model's own logits, and
 * come in the order of ids: whoever reads them sorts and takes the logarithm.
 *
 * Every device gives the same bits: sums of floats have one order (choose_scan.h: 16 side by side, blocks of 512, blocks
 * in f64), masses are summed as whole numbers (choose_pick.h), and no two operations are fused. So a seed gives the same token
 * wherever it is chosen, as far as the logits are the same.
 * Cost: some passes over V logits for each row; reads 4 V bytes of it, writes a Chosen.
 */
#ifndef KERNELS_CHOOSE_CHOOSE_H
#define KERNELS_CHOOSE_CHOOSE_H

#include <stdint.h>

enum { CHOOSE_BEST_MAX = 64, CHOOSE_NO_LOGPROBS = -1 };
enum { CHOOSE_LOGITS, CHOOSE_HOWS, CHOOSE_EDITS, CHOOSE_MASKS };      /* in[...] */

typedef struct ChooseHow {
    int32_t row;                       /* of the logits */
    int32_t edit, edits;               /* those of the list that act on it: from the first, so many */
    int32_t mask;                      /* -1: none */
    float scale;                       /* 1 / temperature; 0: greedy, and nothing below counts but `best` */
    int32_t top_k;                     /* 0: all */
    float top_p, min_p, typical_p;     /* 1, 0, 1: all */
    float repeat, presence, frequency;
    double unit;                       /* from [0, 1): which is drawn */
    int32_t best;                      /* how many of the best are told, and what log-probabilities need; -1: nothing */
    int32_t unused;
} ChooseHow;

typedef struct ChooseEdit {
    int32_t id;
    float bias;                        /* -infinity: never */
    int32_t repeats, count;            /* the token is there to be penalised; so often in the answer */
} ChooseEdit;

typedef struct BestToken { int32_t id; float logit; } BestToken;

typedef struct Chosen {
    int32_t id;                        /* -1: none is allowed, or: */
    int32_t broken;                    /* the first id whose logit is NaN or +infinity; -1: all is well */
    int32_t best_count;
    float logit, peak;                 /* of the chosen; the largest */
    int32_t unused;
    double total;                      /* sum of exp(logit - peak) */
    BestToken best[CHOOSE_BEST_MAX];
} Chosen;

enum {
    HOW_WORDS = sizeof(ChooseHow) / sizeof(int32_t), EDIT_WORDS = sizeof(ChooseEdit) / sizeof(int32_t),
    CHOSEN_WORDS = sizeof(Chosen) / sizeof(int32_t),
};

#endif

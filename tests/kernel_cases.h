/* kernel_cases.h -- calls of every operation, made up from a seed: the material of test_kernels.
 *
 * A case owns all memory that its call names. Each piece lies between guard bytes:
 *
 *     | guard | row 0 | gap | row 1 | gap | ... | guard |
 *
 * and has a copy of what it was before. Where rows may lie apart, they do in half of the cases, and the
 * gaps are guards as well. Sizes come from the edges of what kernels work in: 1, 15, 16, 17, 31, ...
 */
#ifndef TESTS_KERNEL_CASES_H
#define TESTS_KERNEL_CASES_H

#include "devices/cpu/cpu_tiers.h"
#include "kernels/op_spec.h"

enum { CASE_PIECES = 16 };

typedef struct CasePiece {
    uint8_t *start;            /* of the first guard */
    uint8_t *before;           /* all of it, as it was made */
    uint8_t *may_change;       /* a byte per byte, 1: part of an output */
    size_t bytes;              /* guards included */
} CasePiece;

typedef struct KernelCase {
    OpCall call;               /* weights in plain rows, as the reference reads them */
    OpCall fast;               /* the same with weights as the device keeps them, where it repacks them */
    const Format *format;      /* of the weights or of the cache */
    float typical;             /* what outputs are like even where those of a row all happen to be small */
    uint64_t random;
    char what[200];            /* "attend F16, seed 7: rows 3, heads 4, ..." */
    Tensor packed[OP_INS];     /* the inputs in which the two calls differ */
    int pieces;
    CasePiece piece[CASE_PIECES];
    int32_t rows;              /* of the step */
    uint32_t ins_by_row, outs_by_row;   /* bits: which tensors have one row (or number) for each of them */
    bool rows_alone;           /* each row may be computed in a call of its own */
    bool near;                 /* runs round factors to bf16 where they can: set by whoever wants it */
    int state_from;            /* an operation with a state: which input `from` is; else 0 */
} KernelCase;

bool kernel_case_exists(Op);                            /* whether cases can be made */
bool kernel_case_varies(Op, const Format *);            /* whether this is a format to try it with */

void kernel_case_init(KernelCase *, Op, const Format *, uint64_t seed);
void kernel_case_deinit(KernelCase *);

/* Everything as it was made. */
void kernel_case_reset(KernelCase *);

/* Runs all parts of each phase one after another, the last one first where backwards. */
void kernel_case_run(KernelCase *, const CpuKernel *, const OpCall *, int parts, bool backwards);

/* On a device of the reference tier, which composes what has no reference of its own. */
void kernel_case_run_reference(KernelCase *);

/* The (fast) call for rows [from, from + rows) alone. With a state they must be rows of one sequence, and
 * those before them must have been run: kernel_case_together() says how many there are, up to `most`. */
OpCall kernel_case_rows(const KernelCase *, int32_t from, int32_t rows);
int32_t kernel_case_together(const KernelCase *, int32_t from, int32_t most);

/* A copy of the outputs' rows, one after another (to be freed). */
uint8_t *kernel_case_outputs(const KernelCase *, size_t *bytes);
/* How far such outputs are from others, over all rows: of the largest number of a row; infinity where there is a NaN, though
 * both have it, or where they are no F32 and differ. */
double kernel_case_error(const KernelCase *, const uint8_t *fast, const uint8_t *exact);

/* Whether all bytes outside the outputs are as they were made. */
bool kernel_case_intact(const KernelCase *);

#endif

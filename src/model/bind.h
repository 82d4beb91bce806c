/* bind.h -- brings a weight from where it lies in a checkpoint into its slot.
 *
 *     weights_check   all that a family declares is there and fits, and nothing else is there
 *     weight_find     which tensors of the file it is made of, whether they fit
 *     weight_bind     gathers its rows, if they do not lie as the slot wants them, and uploads
 *
 * A weight that is a whole tensor, or rows in a line of one, is uploaded from the mapped file without a copy.
 * Rows move in whatever format they have; single elements (transposed matrices, parts of rows, parts of
 * vectors) only where a format has no blocks. A weight that a map changes becomes F32. One with scales beside it
 * (model/packing.h) becomes BF16: 8 bits of a number whose stored value has 4 or fewer, so what is rounded off is a
 * sixteenth of what the 8-bit float had lost before, and nothing where scales are powers of two; F32 would double the
 * memory. weight_values() rounds nothing, so what is converted comes from the numbers themselves.
 */
#ifndef MODEL_BIND_H
#define MODEL_BIND_H

#include "base/team.h"
#include "model/model_open.h"

/* Counts parameters and bytes of the model as well. */
Err weights_check(const Checkpoint *, Model *, const WeightList *, Error *err);

/* Its place in this kind of checkpoint. */
const WeightPlace *weight_place(const Checkpoint *, const WeightDecl *);

typedef struct WeightPiece {         /* an expert's matrix, or the only one */
    const StoreTensor *tensor;
    int64_t first;                   /* number of its first value there */
    Scales scales;
} WeightPiece;

/* A weight in a checkpoint. */
typedef struct WeightSource {
    const WeightDecl *decl;
    const WeightPlace *place;
    const StoreTensor *tensor;       /* of the first expert, if they are apart; NULL: absent, or not from a file */
    const Format *format;            /* of its rows as they are stored; NULL: absent */
    const Format *becomes;           /* of the slot */
    int together;                    /* see PackedTensor */
    WeightPiece *expert;
    WeightShape slot, there;
} WeightSource;

/* Absent is OK for what is optional, constant or another's; all else is refused by name. */
Err weight_find(const Checkpoint *, const WeightDecl *, WeightSource *, Error *err);
void weight_source_deinit(WeightSource *);

/* All of it, in one of its formats; 0: absent. */
static inline double weight_bytes_as(const WeightSource *s, const Format *f)
{
    double elems = (double)s->slot.experts * (double)s->slot.rows * (double)s->slot.width;
    return s->tensor ? elems * f->block_bytes / f->block_elems : 0;
}

bool weight_stays(const WeightSource *);   /* what is stored is what is meant: no map, no scales to multiply with */
/* A row as it is stored, whatever the way there: slot.width elements of `format`, without their scales. */
void weight_row(const WeightSource *, int64_t expert, int64_t row, void *out);
/* What one element, or a row of them, means. */
float weight_value(const WeightSource *, int64_t expert, int64_t row, int64_t column);
void weight_values(const WeightSource *, int64_t expert, int64_t row, float *out);

/* Where rows are gathered that do not lie in the file as the slot wants them. All weights of a model share one, because the
 * system clears what is new. */
typedef struct Workbench {
    Team *team;                      /* gathers; NULL: the caller alone does */
    void *rows, *wide;
    size_t rows_bytes, wide_bytes;
} Workbench;
void workbench_deinit(Workbench *);  /* not the team */

/* device NULL: only shape and format of the slot, and no bench is needed. */
Err weight_bind(const WeightSource *, Device *, Workbench *, Error *err);

#endif

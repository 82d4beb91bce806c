/* work.h -- what was asked of a device: calls that are alike, together.
 *
 *     part         operation  format   rows   elements    calls   operations     bytes    seconds
 *     projections  linear3    BF16        1   78643200       40      6.3 G      6.3 GB     0.35
 *     attention    attend     F16         1       5120       40      0.8 G      0.8 GB     0.05
 *     mlp          gated_mlp  BF16        1  212336640       40       17 G       17 GB     0.92
 *
 * A tally counts so, a trace times so; over paper (watch.h) the table is a plan. What a machine needs for a
 * line is one roofline (core/roofline.h), so plans, efficiencies and drawings are sums over the same lines.
 *
 * Parts go by the label of the layer's part and by the operation: whatever reads the past is attention or state,
 * wherever it stands.
 */
#ifndef DEVICES_WATCH_WORK_H
#define DEVICES_WATCH_WORK_H

#include "kernels/op_spec.h"

typedef enum WorkPart { WORK_EMBED, WORK_PROJECTIONS, WORK_ATTENTION, WORK_STATE, WORK_MLP, WORK_HEAD } WorkPart;
enum { WORK_PARTS = WORK_HEAD + 1, WORK_LINES_MAX = 256 };
extern const char *const work_part_name[WORK_PARTS];

typedef struct WorkLine {
    Op op;
    WorkPart part;
    const Format *format;      /* of its weights, else of the past that it reads; NULL: it has neither */
    int32_t rows;
    int64_t elems;             /* of its weights in one call, else of a row that it writes */
    int64_t calls;
    OpCost cost;               /* of all calls */
    Demand demand;
    double seconds;            /* 0: not timed */
} WorkLine;

typedef struct Work {
    int32_t lines, last;       /* last: looked at; the next call is most often of the line behind it */
    WorkLine line[WORK_LINES_MAX];
} Work;

/* label: as device_label() said it last. */
WorkPart work_part(const char *label, const OpCall *);
/* Adds one call and returns its line. Where there is no room for another line, it joins the nearest of its
 * operation. */
WorkLine *work_add(Work *, const char *label, const OpCall *, const OpCost *, const Demand *);
void op_cost_add(OpCost *sum, const OpCost *more);
static inline double op_cost_bytes(const OpCost *c) { return c->weight_bytes + c->cache_bytes + c->activation_bytes; }

#endif

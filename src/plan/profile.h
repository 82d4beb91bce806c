/* profile.h -- where a run stands on the roofline, and what batches of other sizes would give, as pictures.
 *
 *     what a tally or a trace counted, machine    -->  a point for each operation, under the roofs
 *     work of decoding (core/verdict.h), machine  -->  latency over throughput, a point for each batch
 *
 * Predicted is what the machine would have needed (core/roofline.h), measured what it took, where somebody looked at the
 * clock. Calls of one operation in one part of the model are one point: apart only where they have one row (a token of one
 * answer) and where they have more. What reads no memory has no place on a roofline, and is in the table alone.
 */
#ifndef PLAN_PROFILE_H
#define PLAN_PROFILE_H

#include "core/verdict.h"
#include "plan/picture.h"

enum { PROFILE_LINES_MAX = 256, PROFILE_POINTS_MAX = 26, PROFILE_BATCHES_MAX = 64 };

typedef struct ProfileLine {       /* calls that are alike */
    const char *part, *op;         /* "mlp", "gated_mlp": static */
    int colour;                    /* of the part */
    int32_t rows, least_rows;      /* the most and the fewest of a call; 0: of any number */
    int64_t calls;
    Demand demand;
    double seconds;                /* 0: not timed */
} ProfileLine;

typedef struct ProfilePoint {
    char mark;                     /* 'A': what took most */
    ProfileLine sum;
    double bound_seconds;          /* 0: not known */
} ProfilePoint;

typedef struct ProfileBatch {      /* measured: a step of so many sequences took so long */
    double sequences, seconds;
    PhaseWork work;
} ProfileBatch;

typedef struct Profile Profile;
struct Profile {
    char model[128];
    Machine machine;               /* bytes_per_second 0: not known, and no roofs are drawn */
    ProfileLine line[PROFILE_LINES_MAX];
    int lines;
    ProfilePoint point[PROFILE_POINTS_MAX];
    int points;
    ProfileBatch batch[PROFILE_BATCHES_MAX];
    int batches;
};

/* Joins the line to those that are like it. */
void profile_add_line(Profile *, ProfileLine);
/* Once all lines and the machine are there: the operations that took most; where none was timed, those that would. */
void profile_choose_points(Profile *);
/* Decoding of some steps was measured; without sequences, or time, it is left out. */
void profile_add_batch(Profile *, const PhaseWork *decode);

void profile_roofline(const Profile *, Picture *);
void profile_batches(const Profile *, Picture *);      /* points 0: nothing was decoded */

/* For people: the roofline, its table, and the batches. */
void profile_text(const Profile *, bool colours, Buf *);
/* Both pictures below one another; a page with their table. */
void profile_svg(const Profile *, Buf *);
void profile_html(const Profile *, Buf *);

#endif

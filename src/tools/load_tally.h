/* load_tally.h -- what was measured of a server under load, and the figures that follow from it.
 *
 *     asked            first text     text   text        last text   ended
 *       |------ TTFT ------|-- ITL --|-- ITL --| ...          |        |
 *       |-------------------------- end to end ----------------------->|
 *                          TPOT = (ended - first text) / (tokens - 1)
 *
 * A request that was to arrive at a moment is timed from that moment, also if it had to wait for a place: else a
 * server that stalls would be asked less and look better. Chunks that come in one packet came at one time, so with
 * several tokens a chunk the inter-token latency is that of chunks; the time per output token is not.
 */
#ifndef TOOLS_LOAD_TALLY_H
#define TOOLS_LOAD_TALLY_H

#include "base/buf.h"
#include "base/error.h"
#include "base/json.h"
#include "base/prng.h"

enum { LOAD_ERROR_KINDS_MAX = 32, LOAD_GAPS_MAX = 1 << 24 };

typedef struct LoadRecord {    /* of a request that was answered; in seconds from the start of the measurement */
    double asked, first, ended, longest_gap;
    int64_t prompt_tokens, cached_tokens, output_tokens, chunks;
    bool counted;              /* the server sent no usage: output_tokens are its chunks */
} LoadRecord;

typedef struct LoadErrorKind {
    char name[64], text[256];  /* "HTTP 429", and what the first one said */
    int64_t count;
} LoadErrorKind;

typedef enum LoadTime { LOAD_TTFT, LOAD_ITL, LOAD_TPOT, LOAD_E2E, LOAD_TIMES } LoadTime;

typedef struct LoadBounds { double seconds[LOAD_TIMES]; } LoadBounds;   /* of goodput; 0: no bound */

typedef struct LoadTally {
    LoadRecord *record;
    int64_t records, records_max;
    double *gap;               /* between texts of one answer; beyond LOAD_GAPS_MAX a random part of them */
    int64_t gaps, gaps_kept, gaps_room;
    PrngStream random;
    LoadErrorKind error[LOAD_ERROR_KINDS_MAX];
    int32_t error_kinds;
    int64_t errors;
    double seconds, own_cpu_seconds;   /* of the measurement; of this program meanwhile */
} LoadTally;

void load_tally_init(LoadTally *);
void load_tally_deinit(LoadTally *);
Err load_tally_add(LoadTally *, LoadRecord, Error *);
Err load_tally_gap(LoadTally *, double seconds, Error *);
void load_tally_error(LoadTally *, const char *name, const char *text);

/* "ttft:500", in milliseconds; also itl (a request's longest gap), tpot, e2e. */
Err load_bound_read(const char *text, LoadBounds *, Error *);

typedef struct LoadSpread { double mean, p50, p90, p99, max; int64_t count; } LoadSpread;
/* Between the two nearest of the sorted values, as numpy.percentile does. Sorts them. */
LoadSpread load_spread(double *values, int64_t count);

typedef struct LoadFigures {
    LoadSpread time[LOAD_TIMES];
    int64_t requests, counted;         /* answered; of them without usage */
    int64_t prompt_tokens, cached_tokens, output_tokens;
    int64_t good;                      /* within all bounds */
} LoadFigures;

Err load_figures(LoadTally *, const LoadBounds *, LoadFigures *out, Error *);
bool load_table_put(Buf *, const LoadTally *, const LoadFigures *, const LoadBounds *);
json_t *load_json(const LoadTally *, const LoadFigures *, const LoadBounds *);

#endif

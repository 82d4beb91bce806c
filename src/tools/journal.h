/* journal.h -- what was foretold and what was measured on this machine, line by line, and what is learned from it.
 *
 *     {"model": "tinyllama-1.1b", "format": "Q4_0", "prompt": 512, ..., "seconds": 2.2, "doubt": 0.06}
 *     {"model": "tinyllama-1.1b", "format": "Q4_0", "prompt": 512, ..., "seconds": 2.31, "rest": 0.001,
 *      "operations": [{"op": "linear3", "format": "Q4_0", "rows": 512, "calls": 22, "bytes": ..., "seconds": 0.4}, ...]}
 *
 * It lies beside the machine's description (core/machine.h): runs.jsonl. `ridge bench` writes a run for each row that it
 * measures, and before that what it expects; `ridge plan --device this` writes what it says; `ridge serve` writes at its
 * end how long its steps took.
 *
 * Learned is an efficiency for each operation and shape: what its bytes and operations should take over the time that it
 * took, of the calls most like the one in question: same operation, and near in rows and in size. What a call takes
 * before it does anything is kept apart, so that short calls say something of long ones. Where nothing is known a
 * prediction is the roofline itself, and says so.
 *
 * Whoever knows no operations says [], and nothing is learned of such a run. The file has a limit: when it is
 * reached, the older half goes.
 */
#ifndef TOOLS_JOURNAL_H
#define TOOLS_JOURNAL_H

#include "devices/watch/work.h"

/* What a prediction or a run is about. */
typedef struct JournalCase {
    char model[128], format[64], cache[16];
    int32_t threads;               /* 0: as many as the machine has */
    int32_t prompt;                /* tokens; 0: one step of generation */
    int32_t batch, context;        /* sequences at a time; positions that their last row sees, in the mean of all steps */
} JournalCase;

typedef struct JournalEntry {
    JournalCase what;
    bool measured;                 /* else foretold */
    double seconds;                /* of the prompt, or of a step */
    double doubt;                  /* foretold: relative; 0: the roofline, nothing was known */
    int64_t time;                  /* seconds since 1970 */
} JournalEntry;

typedef struct Journal Journal;

/* path NULL: this machine's; a file that is not there is an empty journal. BAD_FILE names the line. */
Err journal_open(const char *path, Journal **out, Error *err);
void journal_close(Journal *);                    /* NULL is allowed */
int journal_count(const Journal *);
const JournalEntry *journal_at(const Journal *, int);

/* Each appends to the file; what is appended is known when the journal is opened again. */
Err journal_foretell(Journal *, const JournalEntry *, Error *err);
/* traced: what a trace saw of `steps` steps that took `seconds` in all. */
typedef struct JournalTrace {
    const Work *work;
    int64_t steps;
    double seconds;
} JournalTrace;
Err journal_record(Journal *, const JournalEntry *, const JournalTrace *, Error *err);

/* Of work that nobody timed one by one: each line has its share of the seconds, as it is expected to. */
void journal_spread(const Journal *, const Machine *, Work *, double seconds);

typedef struct Expected {
    double seconds;
    double doubt;                  /* relative; 0: not learned */
} Expected;

/* Of all calls of a line. journal NULL: the roofline. */
Expected journal_expect(const Journal *, const Machine *, const WorkLine *);
/* What a step takes beside its operations: choosing tokens, tables. */
Expected journal_expect_rest(const Journal *, int32_t rows);

/* A prediction and the first run of the same case after it. */
typedef struct JournalPair {
    const JournalEntry *foretold, *measured;
} JournalPair;
/* Of predictions that were learned; returns how many, at most `most`, the newest. */
int journal_pairs(const Journal *, JournalPair *out, int most);

#endif

/* recall.h -- associative recall: does a model find again what it has read?
 *
 *     The code of Nora is 4711. The code of Otto is 2830. The code of ...       n pairs
 *     What is the code of Otto?                                                 a question
 *     2830                                                                      the answer, exactly
 *
 * (In plain text without turns: "... The code of Otto is", which the answer continues.)
 *
 * Attention that sees everything answers for any n; a window loses what is behind it, and a state of
 * fixed size holds only so many pairs. The keys of a list are names, the values four-digit numbers,
 * all different, so nothing but the list helps. Arora et al. 2023, "Zoology": multi-query associative
 * recall. Several questions may be put to one list; each is a task of its own, and since they begin
 * alike, the past of the list is computed once.
 *
 * A task is a line of JSON, {"id", "pairs", "position", "prompt", "expected"}: what is printed for other
 * programs, what is read from a file and what is asked here is the same text.
 */
#ifndef TOOLS_RECALL_H
#define TOOLS_RECALL_H

#include "api/chat_prompt.h"
#include "tools/score.h"

enum { RECALL_SIZES_MAX = 16, RECALL_PAIRS_MAX = 2048, RECALL_CASES_MAX = 1 << 16 };

typedef struct RecallPlan {
    int32_t pairs[RECALL_SIZES_MAX], sizes;
    int32_t cases;                 /* questions for each size */
    int32_t queries;               /* of them to one list; at most as many as it has pairs */
    uint64_t seed;
    const Package *package;        /* whose template the text is put into ... */
    const ChatTemplate *chat;      /* ... NULL: plain text, which the answer continues */
} RecallPlan;

/* Appends the tasks, a line each. The same seed gives the same lists for a size, whatever the others are. */
Err recall_write(const RecallPlan *, Buf *out, Error *);

typedef struct RecallCount {
    int64_t pairs;                 /* by the tasks' own word; 0: they do not say */
    int64_t right, count;
} RecallCount;

typedef struct RecallScore {
    RecallCount of[RECALL_SIZES_MAX];      /* in the order in which the sizes come */
    int sizes;
    int64_t right, count;
} RecallScore;

typedef struct RecallProgress {
    void (*report)(void *context, const RecallScore *so_far);
    void *context;
} RecallProgress;

/* Asks all tasks. Nobody else steps the engine meanwhile. */
Err recall_run(Engine *, const ScoreReader *, ScoreLines *, RecallProgress, RecallScore *, Error *);
/* How many tasks there are, and the tokens of the longest, question and answer. */
Err recall_measure(ScoreLines, const ScoreReader *, int64_t *count, int32_t *longest, Error *);

#endif

/* story.h -- what happened to one request, noted by the engine's thread as it happens.
 *
 *     came          waits                starts         chunks of its prompt        answers
 *     |-- a step ends --|-- slot, blocks, rows --|-- prefix: found, missed --|-- step with whom --|-- token, token ... --|
 *                                                                   '-- preempted by whom --'
 *
 * A request that is asked to be explained (RequestOptions.story) carries one; for all others nothing is noted and nothing
 * is paid. Of long lives the first chunks and preemptions are told one by one, and the rest in sums: a story has a
 * fixed size, and the engine's thread allocates nothing for it. Others appear by their tags.
 *
 * Times are seconds from submission. All samples of a request write into one story.
 */
#ifndef ENGINE_STORY_H
#define ENGINE_STORY_H

#include "cache/kv_cache.h"

enum { STORY_CHUNKS = 32, STORY_COMPANY = 8, STORY_PREEMPTIONS = 16, STORY_MET = 16 };

typedef enum StoryWait {
    STORY_STEP,                    /* for the step that ran when it came */
    STORY_FILES,                   /* for its past, which was read from files */
    STORY_SLOT,                    /* all places of sequences were taken */
    STORY_BLOCKS,                  /* the cache had no room */
    STORY_ROWS,                    /* the steps were full, or those before it went first */
} StoryWait;
enum { STORY_WAITS = STORY_ROWS + 1 };

typedef struct StoryChunk {
    int64_t step;
    double at, seconds;            /* of the step, but for what comes after the model */
    int32_t sample, first, rows;   /* positions of the prompt, or of a past that is computed again */
    int32_t step_rows, others;     /* rows of the whole step; other entries in it, of which the first: */
    uint64_t with[STORY_COMPANY];
} StoryChunk;

typedef enum StoryReason { STORY_FOR_SLOT, STORY_FOR_BLOCKS, STORY_RESTED } StoryReason;   /* rested: its reader was slow */

typedef struct StoryPreemption {
    double at, back;               /* back 0: it never went on */
    uint64_t by;
    StoryReason reason;
    int32_t sample, computed, found;   /* tokens: that it had; that the cache still had when it went on */
} StoryPreemption;

typedef struct StoryMet { uint64_t tag; int64_t steps; } StoryMet;

typedef struct Story {
    double waits[STORY_WAITS];     /* until it first started */
    int32_t ahead;                 /* requests that waited when it came */
    KvFound prefix;
    int32_t chunks, preemptions;   /* all there were; the first of them: */
    StoryChunk chunk[STORY_CHUNKS];
    StoryPreemption preemption[STORY_PREEMPTIONS];
    int64_t answer_steps, answer_entries;   /* in which it generated; entries of all of these steps together */
    int32_t answer_most;           /* entries of the largest of them */
    double answer_seconds;
    int64_t mixed_steps, mixed_rows;   /* of these steps, those with rows of others' prompts; such rows */
    double mixed_seconds;
    double sampling_seconds, grammar_seconds;
    int32_t met;
    StoryMet with[STORY_MET];      /* the first that it met in them */
    double waited[STORY_WAITS];    /* the scheduler's own: its counters when the request came */
} Story;

typedef struct Plan Plan;          /* scheduler.h */
/* The model has computed this step, which took so long; nothing of it was delivered yet. */
void story_step(const Plan *, int64_t step, double begun, double seconds);

#endif

/* story_json.h -- a request's story (engine/story.h) as it stands in the log's line, from which `ridge why` explains it.
 *
 *     {"submitted_ms", "started_ms", "first_token_ms", "ended_ms", "prompt", "tokens", "recomputed",
 *      "waits_ms": {"step", "files", "slot", "blocks", "rows"}, "ahead",
 *      "prefix": {"asked", "found", "at", "why"},
 *      "chunks": {"count", "first": [{"step", "at_ms", "ms", "sample", "from", "rows", "step_rows", "others", "with": [...]}]},
 *      "preemptions": {"count", "first": [{"at_ms", "back_ms", "by", "reason", "sample", "computed", "found"}]},
 *      "answer": {"steps", "entries", "most", "ms", "mixed_steps", "mixed_rows", "mixed_ms", "with": [[number, steps]]},
 *      "sampling_ms", "grammar_ms"}
 *
 * Others go by the number that their own line has. Never what was asked. Reading it back checks all of it: kinds, no
 * negative number, no list that is longer than it may be.
 */
#ifndef SERVER_STORY_JSON_H
#define SERVER_STORY_JSON_H

#include <jansson.h>

#include "engine/engine.h"

extern const char *const story_waits[STORY_WAITS], *const story_misses[KV_MISS_STATE + 1];
extern const char *const story_reasons[STORY_RESTED + 1];

typedef struct StoryTold {
    Story story;
    double submitted;              /* seconds after the call came in */
    RequestTimes times;            /* of the sample that ended last; of these numbers those that stand above */
} StoryTold;

json_t *story_json(const Story *, double submitted, const RequestTimes *);   /* NULL: no memory */
/* BAD_FILE: says what is wrong, but not where the JSON came from. */
Err story_read(const json_t *, StoryTold *, Error *);

#endif

/* why.h -- why a request of the server took as long as it did, from the log's own lines.
 *
 *     log of `ridge serve --log-format json --explain-requests`  -->  requests, one a line  -->  words
 *
 * A log is read whole and every line is checked, so that nothing is explained from half a record: a line that is no JSON,
 * or lacks what it must have, is refused by its number. Lines of other events are passed over.
 */
#ifndef TOOLS_WHY_H
#define TOOLS_WHY_H

#include <stdio.h>

#include "base/buf.h"
#include "server/story_json.h"

typedef struct WhyRequest {
    int64_t line;                  /* of the log, from 1 */
    char id[80], what[96];         /* what: "POST /v1/completions" */
    int32_t status;
    double total_ms;
    uint64_t number;               /* 0: its line has no story */
    StoryTold *story;              /* one for each prompt */
    size_t stories;
} WhyRequest;

typedef struct WhyLog {
    WhyRequest *request;
    size_t count, capacity;
} WhyLog;

/* name: of the log, for errors. BAD_FILE: names the line. */
Err why_read(FILE *, const char *name, WhyLog *, Error *);
void why_free(WhyLog *);

/* By its id, or by its number ("17", "#17"); of several, the last. NULL: there is none. */
const WhyRequest *why_find(const WhyLog *, const char *which);
/* The one that took longest, of those with a story if there are such. NULL: there are no requests. */
const WhyRequest *why_slowest(const WhyLog *);

void why_explain(const WhyLog *, const WhyRequest *, Buf *);
/* A line for each request: where its time went. */
void why_list(const WhyLog *, Buf *);

#endif

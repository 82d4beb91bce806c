/* score_lines.h -- tasks for `ridge score --jsonl`, one JSON object a line.
 *
 *     {"prompt": "2 + 2 =", "continuation": " 4"}       how likely is the continuation?
 *     {"prompt": "2 + 2 =", "expected": " 4<end>"}      does greedy decoding give exactly this?
 *
 * "id" (text or number) comes back with the result; other fields are left alone, and may be asked for
 * by name. Empty lines are skipped. Errors name the file and the line.
 */
#ifndef TOOLS_SCORE_LINES_H
#define TOOLS_SCORE_LINES_H

#include "base/json.h"

enum { SCORE_LINE_BYTES_MAX = 1 << 24 };

typedef struct ScoreLines {
    const char *name;           /* of the file */
    Span rest;
    int64_t number;             /* of the line read last, from 1 */
} ScoreLines;

typedef struct ScoreLine {
    int64_t number;
    json_t *object;
    Span prompt, text;          /* of `object`; text: the continuation, or what is expected */
    bool is_question;           /* "expected" was given */
} ScoreLine;

/* *more is false, and *out untouched, at the end of the file. */
Err score_lines_next(ScoreLines *, ScoreLine *out, bool *more, Error *);
void score_line_deinit(ScoreLine *);

#endif

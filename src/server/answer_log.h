/* answer_log.h -- the answers of a batch in a file that only grows, and which lines have one already.
 *
 *     {"id": ..., "custom_id": "b", ...}\n
 *     {"id": ..., "custom_id": "a", ...}\n
 *     {"id": ..., "custom_     <- torn off by a crash: cut away when the file is opened again
 *
 * The file is read once when it is opened, so that a run goes on where another one ended. One open log holds a
 * lock on the file: a second one, of another process too, is refused.
 */
#ifndef SERVER_ANSWER_LOG_H
#define SERVER_ANSWER_LOG_H

#include "base/json.h"

typedef struct AnswerLog {
    const char *path;          /* the caller's */
    bool open;
    int fd;
    json_t *answered;          /* custom_ids, and of refused lines their numbers: an object as a set */
    int64_t well, badly;       /* how many were found */
    int64_t bytes;             /* of whole lines */
} AnswerLog;

/* own: from the first line that is no answer on, all is cut away; otherwise it is BAD_FILE, and the file stays. */
Err answer_log_open(AnswerLog *, const char *path, bool own, Error *);
void answer_log_close(AnswerLog *);              /* a zeroed one is fine */

/* The answer to a line that was no request goes by its number; custom_id NULL asks for that. */
bool answer_log_has(const AnswerLog *, const char *custom_id, int64_t number);
/* All of the line or, after an error, nothing of it. */
Err answer_log_put(AnswerLog *, const json_t *answer, Error *);
Err answer_log_sync(AnswerLog *, Error *);       /* safe on the disk */

#endif

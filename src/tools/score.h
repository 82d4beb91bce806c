/* score.h -- what a model says about given text, through the engine.
 *
 * Three questions. How likely is a long text (perplexity, in the windows of score_sum.h)? How likely
 * is a continuation of a prompt? Does greedy decoding answer a prompt with exactly this text?
 *
 * The engine's batches change no bit of the answers, so they are computed as many at a time as it
 * takes. The caller owns the engine, and nobody else steps it meanwhile.
 */
#ifndef TOOLS_SCORE_H
#define TOOLS_SCORE_H

#include "engine/engine.h"
#include "text/tokenizer.h"
#include "tools/score_lines.h"
#include "tools/score_sum.h"

enum { SCORE_BATCH = 8 };           /* requests at a time */

typedef struct ScoreText {
    int32_t *ids, *bytes;           /* of each token; together all bytes of the text */
    int32_t count;
    int32_t bos;                    /* in front (0 bytes), or TOKEN_NONE */
} ScoreText;

/* How text becomes tokens. */
typedef struct ScoreReader {
    const Tokenizer *tokenizer;
    int32_t bos;                    /* TOKEN_NONE, or the id to put in front */
    bool plain;                     /* "<|im_end|>" in the text is those letters, as in llama.cpp's perplexity */
} ScoreReader;

Err score_text_init(ScoreText *, const ScoreReader *, Span text, Error *);
void score_text_deinit(ScoreText *);

/* ---- a long text ---- */

typedef struct ScoreProgress {
    void (*report)(void *context, int64_t windows_done, int64_t windows, const ScoreSum *so_far);
    void *context;
} ScoreProgress;

/* With a bos, each window has it in the place of its first token (llama.cpp's convention).
 * logprobs: NULL, or [count] where those of the scored tokens are put. */
Err score_windows(Engine *, const ScoreText *, const ScoreWindows *, ScoreProgress, float *logprobs, ScoreSum *out,
                  Error *);

/* ---- tasks ---- */

typedef struct ScoreTask {
    ScoreText text;                 /* prompt and continuation, or the prompt alone */
    int32_t first;                  /* of the continuation's tokens: the first with bytes behind the prompt */
    bool is_question;
    Span expected;                  /* of a question: points into its line */
    int64_t line;                   /* for errors */

    ScoreSum sum;                   /* of the continuation */
    float *logprobs;                /* of its tokens, from `first` on */
    bool is_greedy;                 /* each of them is the most likely one */
    Buf answer;                     /* what was generated, until it was clear that it is right or wrong */
    bool is_right;
} ScoreTask;

Err score_task_init(ScoreTask *, const ScoreLine *, const ScoreReader *, Error *);
void score_task_deinit(ScoreTask *);
Err score_tasks(Engine *, const Tokenizer *, ScoreTask *, int count, Error *);   /* at most SCORE_BATCH */

/* ---- a file of tasks, some at a time ---- */

typedef struct ScoreBatch {
    ScoreLine line[SCORE_BATCH];
    ScoreTask task[SCORE_BATCH];
    int count;
} ScoreBatch;

/* The next lines, as many as a batch takes; *more is false after the last one. Errors name file and line. */
Err score_batch_read(ScoreBatch *, ScoreLines *, const ScoreReader *, bool *more, Error *);
void score_batch_deinit(ScoreBatch *);

#endif

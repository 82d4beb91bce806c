#include "tools/recall.h"

#include <stdio.h>

#include "base/prng.h"

/* Everyday names: a tokenizer has them whole, and a toy that has learned to look up names has met them. */
static const char *const given[] = {
    "Adam", "Alice", "Amy", "Anna", "Ben", "Carl", "Clara", "David", "Edith",
    "Ella", "Emma", "Erik", "Eva", "Felix", "Flora", "George", "Grace", "Hannah",
    "Henry", "Hugo", "Iris", "Ivan", "Jack", "Jane", "Joel", "Kate", "Kurt",
    "Leo", "Lily", "Lucy", "Luke", "Mark", "Mary", "Max", "Mia", "Nina",
    "Noah", "Nora", "Olga", "Oscar", "Otto", "Paul", "Rita", "Rosa", "Ruby",
    "Sam", "Sara", "Simon", "Tina", "Tom", "Vera", "Victor", "Wendy", "Will",
};
/* In lists longer than that, each name stands for several people. */
static const char *const rank[] = {
    "", "Doctor ", "Captain ", "Judge ", "Uncle ", "Aunt ", "Sister ", "Brother ", "Lord ", "Lady ",
    "Old ", "Young ", "Little ", "Good ", "Poor ", "Brave ", "Quiet ", "Merry ", "Honest ",
    "Clever ", "Noble ", "Tall ", "Busy ", "Sleepy ", "Lucky ", "Gentle ", "Happy ", "Proud ",
    "Silent ", "Jolly ", "Bold ", "Cousin ", "Farmer ", "Baker ", "Painter ", "Sailor ", "Teacher ",
    "Miller ",
};

enum { NAMES = COUNT_OF(given), VALUE_MIN = 1000, VALUES = 9000 };
_Static_assert(COUNT_OF(given) * COUNT_OF(rank) >= RECALL_PAIRS_MAX, "a name for each pair");

typedef struct Pairs {
    int32_t count;
    int32_t key[RECALL_PAIRS_MAX];       /* which name: its place in rank and given */
    int32_t value[RECALL_PAIRS_MAX];
    int32_t asked[RECALL_PAIRS_MAX];     /* positions in random order; the first are asked */
} Pairs;

/* `count` different numbers from [0, of), in random order (Floyd's choice; the order by a shuffle). */
static void draw_different(PrngStream *s, int32_t of, int32_t count, int32_t *out)
{
    for (int32_t i = 0; i < count; i++) {
        int32_t top = of - count + i, pick = (int32_t)stream_below(s, (uint32_t)top + 1);
        for (int32_t j = 0; j < i; j++)
            if (out[j] == pick) {
                pick = top;
                break;
            }
        out[i] = pick;
    }
    for (int32_t i = count - 1; i > 0; i--) {
        int32_t j = (int32_t)stream_below(s, (uint32_t)i + 1), kept = out[i];
        out[i] = out[j];
        out[j] = kept;
    }
}

static void draw_pairs(Pairs *p, int32_t pairs, uint64_t seed, int32_t list)
{
    PrngStream s = {.seed = prng_bits((PrngPlace){seed, (uint32_t)list, (uint32_t)pairs, PRNG_WORLD})};
    int32_t ranks = (pairs + NAMES - 1) / NAMES;
    p->count = pairs;
    draw_different(&s, NAMES * ranks, pairs, p->key);
    draw_different(&s, VALUES, pairs, p->value);
    draw_different(&s, pairs, pairs, p->asked);
}

static void put_name(Buf *out, int32_t key) { buf_printf(out, "%s%s", rank[key / NAMES], given[key % NAMES]); }

/* In a chat a question; in plain text the beginning of a sentence that was there before. */
static void put_question(Buf *out, const Pairs *p, int32_t position, bool chat)
{
    for (int32_t i = 0; i < p->count; i++) {
        buf_put_text(out, "The code of ");
        put_name(out, p->key[i]);
        buf_printf(out, " is %d. ", VALUE_MIN + p->value[i]);
    }
    buf_put_text(out, chat ? "What is the code of " : "The code of ");
    put_name(out, p->key[position]);
    buf_put_text(out, chat ? "?" : " is");
}

/* The end of the turn belongs to the answer: it is what the template puts behind it, whatever it is. */
static Err put_chat(const RecallPlan *plan, const char *question, const char *answer, Buf *prompt, Buf *expected, Error *err)
{
    json_t *turns = json_pack("[{s:s, s:s}]", "role", "user", "content", question);
    Err result = chat_prompt_render(plan->package, plan->chat, turns, true, prompt, err);
    json_array_append_new(turns, json_pack("{s:s, s:s}", "role", "assistant", "content", answer));
    if (result == OK)
        result = chat_prompt_render(plan->package, plan->chat, turns, false, expected, err);
    json_decref(turns);
    TRY(result);
    Span whole = buf_span(expected), begin = buf_span(prompt);
    if (span_starts(whole, begin)) {
        size_t bytes = whole.bytes - begin.bytes;
        memmove(expected->data, expected->data + begin.bytes, bytes);
        while (bytes && strchr(" \n", expected->data[bytes - 1]))
            bytes--;
        buf_cut(expected, bytes);
    } else {     /* a template that writes past answers in another way than new ones */
        buf_clear(expected);
        buf_put_text(expected, answer);
    }
    return OK;
}

static Err write_task(const RecallPlan *plan, const Pairs *p, int32_t number, int32_t position, Buf *out, Error *err)
{
    Buf question, prompt, expected;
    char answer[16];
    buf_init(&question, SCORE_LINE_BYTES_MAX);
    buf_init(&prompt, SCORE_LINE_BYTES_MAX);
    buf_init(&expected, SCORE_LINE_BYTES_MAX);
    put_question(&question, p, position, plan->chat != NULL);
    snprintf(answer, sizeof answer, "%d", VALUE_MIN + p->value[position]);
    Err result = OK;
    if (plan->chat) {
        result = put_chat(plan, question.data, answer, &prompt, &expected, err);
    } else {
        buf_put_span(&prompt, buf_span(&question));
        buf_printf(&expected, " %s", answer);
    }
    if (result == OK) {
        json_t *line = json_pack("{s:o, s:i, s:i, s:s%, s:s%}", "id", json_sprintf("recall-%d-%d", p->count, number),
                                 "pairs", p->count, "position", position, "prompt", prompt.data, prompt.bytes,
                                 "expected", expected.data, expected.bytes);
        char *text = line ? json_dumps(line, JSON_COMPACT) : NULL;
        bool put = text && buf_put_text(out, text) && buf_put_char(out, '\n');
        result = put ? OK : fail(err, NO_MEMORY, "no memory for the tasks, or a template that gives no UTF-8");
        free(text);
        json_decref(line);
    }
    buf_deinit(&question);
    buf_deinit(&prompt);
    buf_deinit(&expected);
    return result;
}

/* The first question of each list, then the second of each: when the second comes, the past is known. */
static Err write_size(const RecallPlan *plan, int32_t pairs, Pairs *p, Buf *out, Error *err)
{
    int32_t queries = plan->queries < pairs ? plan->queries : pairs;
    int32_t lists = (plan->cases + queries - 1) / queries;
    for (int32_t number = 0; number < plan->cases; number++) {
        draw_pairs(p, pairs, plan->seed, number % lists);
        TRY(write_task(plan, p, number, p->asked[number / lists], out, err));
    }
    return OK;
}

Err recall_write(const RecallPlan *plan, Buf *out, Error *err)
{
    Pairs *p = malloc(sizeof *p);
    if (!p)
        return fail(err, NO_MEMORY, "no memory for the tasks");
    Err result = OK;
    for (int i = 0; i < plan->sizes && result == OK; i++)
        result = write_size(plan, plan->pairs[i], p, out, err);
    free(p);
    return result;
}

/* ---- asking ---- */

static Err count_task(RecallScore *score, const ScoreTask *task, const ScoreLine *line, Error *err)
{
    int64_t pairs = json_integer_value(json_object_get(line->object, "pairs"));
    int i = 0;
    while (i < score->sizes && score->of[i].pairs != pairs)
        i++;
    if (i == RECALL_SIZES_MAX)
        return fail(err, LIMIT_REACHED, "line %lld: more than %d different numbers of pairs", (long long)line->number,
                    RECALL_SIZES_MAX);
    if (i == score->sizes)
        score->of[score->sizes++] = (RecallCount){.pairs = pairs};
    score->of[i].right += task->is_right;
    score->of[i].count++;
    score->right += task->is_right;
    score->count++;
    return OK;
}

static Err ask(Engine *engine, const ScoreReader *reader, ScoreBatch *b, RecallScore *score, Error *err)
{
    for (int i = 0; i < b->count; i++)
        if (!b->task[i].is_question)
            return fail(err, BAD_FILE, "line %lld: a task of recall says what is \"expected\"", (long long)b->line[i].number);
    TRY(score_tasks(engine, reader->tokenizer, b->task, b->count, err));
    for (int i = 0; i < b->count; i++)
        TRY(count_task(score, &b->task[i], &b->line[i], err));
    return OK;
}

Err recall_run(Engine *engine, const ScoreReader *reader, ScoreLines *lines, RecallProgress progress, RecallScore *score,
               Error *err)
{
    Err result = OK;
    *score = (RecallScore){0};
    for (bool more = true; more && result == OK;) {
        ScoreBatch batch = {0};
        result = score_batch_read(&batch, lines, reader, &more, err);
        if (result == OK && ask(engine, reader, &batch, score, err) != OK)
            result = fail_within(err, "%s", lines->name);
        score_batch_deinit(&batch);
        if (result == OK && score->count && progress.report)
            progress.report(progress.context, score);
    }
    return result;
}

Err recall_measure(ScoreLines lines, const ScoreReader *reader, int64_t *count, int32_t *longest, Error *err)
{
    *count = *longest = 0;
    for (bool more = true; more;) {
        ScoreBatch batch = {0};
        Err result = score_batch_read(&batch, &lines, reader, &more, err);
        for (int i = 0; i < batch.count; i++) {
            int64_t tokens = (int64_t)batch.task[i].text.count + (int64_t)batch.task[i].expected.bytes;
            *longest = tokens < INT32_MAX && tokens > *longest ? (int32_t)tokens : *longest;
        }
        *count += batch.count;
        score_batch_deinit(&batch);
        TRY(result);
    }
    if (!*count)
        return fail(err, BAD_FILE, "%s: has no task", lines.name);
    return OK;
}

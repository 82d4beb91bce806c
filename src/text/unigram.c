#include "text/unigram.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "text/utf8.h"

#define UNKNOWN_PENALTY 10.0

typedef struct UnigramStep {
    double score;             /* of the best way from the start to here */
    uint32_t begin;           /* where its last piece begins */
    uint32_t next;            /* on the best way: where the piece that begins here ends */
    int32_t id;               /* that piece; -1: the character is unknown */
    bool reached;
} UnigramStep;

static bool takes_part(const Piece *p, bool all)
{
    if (p->kind == PIECE_NORMAL || p->kind == PIECE_USER)
        return true;
    return all && p->kind != PIECE_HOLE && p->kind != PIECE_ADDED;
}

Err unigram_init(Unigram *u, const Vocab *v, bool all_pieces, Error *err)
{
    *u = (Unigram){.vocab = v, .unk = TOKEN_NONE, .lowest = DBL_MAX};
    bool good = trie_init(&u->trie);
    for (int32_t id = 0; id < v->size && good; id++) {
        const Piece *p = &v->pieces[id];
        if (!takes_part(p, all_pieces))
            continue;
        good = trie_put(&u->trie, vocab_text(v, id), id);
        if (p->kind == PIECE_NORMAL || all_pieces)
            u->lowest = fmin(u->lowest, p->score);
    }
    for (int i = 0; i < 256; i++) {
        char text[8];
        snprintf(text, sizeof text, "<0x%02X>", i);
        u->bytes[i] = vocab_find(v, span_text(text));
    }
    return good ? OK : fail(err, NO_MEMORY, "%s: no memory for the trie of its %d pieces", v->name, v->size);
}

void unigram_deinit(Unigram *u)
{
    trie_deinit(&u->trie);
    *u = (Unigram){0};
}

void unigram_scratch_deinit(UnigramScratch *s)
{
    free(s->steps);
    *s = (UnigramScratch){0};
}

static double score_of(const Unigram *u, int32_t id)
{
    const Piece *p = &u->vocab->pieces[id];
    return p->kind == PIECE_USER && u->users_win ? 0 : p->score;
}

static void offer(const Unigram *u, UnigramStep *at, double before, double score, uint32_t begin, int32_t id)
{
    double sum = before + score;
    if (u->single_precision)
        sum = (float)before + (float)score;
    if (!at->reached || sum > at->score)
        *at = (UnigramStep){.score = sum, .begin = begin, .id = id, .reached = true};
}

/* Offers every piece that begins at `begin` to the place where it ends. */
static void extend(const Unigram *u, UnigramStep *steps, Span word, uint32_t begin, uint32_t character)
{
    double before = steps[begin].score;
    bool covered = false;
    int32_t node = TRIE_ROOT;
    for (size_t i = begin; i < word.bytes && (node = trie_step(&u->trie, node, word.data[i])); i++) {
        int32_t id = trie_value(&u->trie, node);
        if (id < 0)
            continue;
        size_t bytes = i + 1 - begin;
        covered |= bytes == character;
        offer(u, &steps[i + 1], before, score_of(u, id), begin, id);
    }
    if (!covered)
        offer(u, &steps[begin + character], before, u->lowest - UNKNOWN_PENALTY, begin, -1);
}

static void put_unknown(const Unigram *u, TokenSink *sink, Span word, uint32_t begin, uint32_t end)
{
    bool all = u->byte_fallback;
    for (uint32_t i = begin; i < end && all; i++)
        all = u->bytes[word.data[i]] >= 0;
    if (all)
        for (uint32_t i = begin; i < end; i++)
            sink_put(sink, u->bytes[word.data[i]], i, i + 1);
    else if (u->unk >= 0)
        sink_put(sink, u->unk, begin, end);
}

/* The best way was found from the end; `next` lets it be read from the start. */
static void turn_round(UnigramStep *steps, uint32_t end)
{
    for (uint32_t at = end; at > 0; at = steps[at].begin)
        steps[steps[at].begin].next = at;
}

static void put_pieces(const Unigram *u, const UnigramStep *steps, Span word, TokenSink *sink)
{
    for (uint32_t at = 0, end; at < word.bytes; at = end) {
        end = steps[at].next;
        if (steps[end].id >= 0) {
            sink_put(sink, steps[end].id, at, end);
            continue;
        }
        while (u->fuse_unk && end < word.bytes && steps[steps[end].next].id < 0)
            end = steps[end].next;
        put_unknown(u, sink, word, at, end);
    }
}

Err unigram_encode(const Unigram *u, UnigramScratch *s, Span word, TokenSink *sink, Error *err)
{
    if (word.bytes + 1 > s->capacity) {
        size_t capacity = word.bytes + 1 > 2 * s->capacity ? word.bytes + 1 : 2 * s->capacity;
        UnigramStep *steps = realloc(s->steps, capacity * sizeof *steps);
        if (!steps)
            return fail(err, NO_MEMORY, "no memory to tokenise a word of %zu bytes", word.bytes);
        s->steps = steps;
        s->capacity = capacity;
    }
    memset(s->steps, 0, (word.bytes + 1) * sizeof *s->steps);
    s->steps[0].reached = true;
    for (uint32_t at = 0; at < word.bytes;) {
        uint32_t character = utf8_read(word.data + at, word.bytes - at).bytes;
        extend(u, s->steps, word, at, character);
        at += character;
    }
    turn_round(s->steps, (uint32_t)word.bytes);
    put_pieces(u, s->steps, word, sink);
    return OK;
}

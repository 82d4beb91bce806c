#include "text/grammar_mask.h"

#include <stdlib.h>

/* States were renumbered: each mask belongs to the state that says so. */
static void owners_changed(void *with)
{
    GrammarMasks *m = with;
    for (uint32_t i = 0; i < m->slot_count; i++)
        m->owner[i] = STATE_DEAD;
    for (uint32_t state = 0; state < m->states->count; state++)
        if (m->states->masks[state] >= 0)
            m->owner[m->states->masks[state]] = (uint16_t)state;
}

Err grammar_masks_init(GrammarMasks *m, GrammarStates *s, GrammarVocab *v, Error *err)
{
    *m = (GrammarMasks){.states = s, .vocab = v};
    size_t slots = MASKS_BYTES_MAX / (v->words * sizeof *m->words);
    m->slot_count = slots < 4 ? 4 : slots > STATES_MAX ? STATES_MAX : (uint32_t)slots;
    m->words = calloc(m->slot_count, v->words * sizeof *m->words);
    m->owner = calloc(m->slot_count, sizeof *m->owner);
    if (!m->words || !m->owner) {
        grammar_masks_deinit(m);
        return fail(err, NO_MEMORY, "no memory for the masks of a grammar");
    }
    memset(m->owner, 0xFF, m->slot_count * sizeof *m->owner);
    s->forgotten = owners_changed;
    s->forgotten_with = m;
    return OK;
}

void grammar_masks_deinit(GrammarMasks *m)
{
    free(m->words);
    free(m->owner);
    *m = (GrammarMasks){0};
}

/* ---- a walk ---- */

/* Whether all that lies below the node may come where the run is. */
static bool covers(const StateRun *run, const VocabNode *n, const VocabBelow *below)
{
    return run->chars && n->whole && n->chars_below <= run->chars && (!n->multibyte || run->multibyte) &&
           !(below->ascii[0] & ~run->ascii[0]) && !(below->ascii[1] & ~run->ascii[1]);
}

static void allow(const GrammarVocab *v, uint32_t from, uint32_t to, uint32_t *mask)
{
    for (uint32_t k = from; k < to; k++)
        mask[v->order[k] / 32] |= 1u << v->order[k] % 32;
}

/* The class that a walk begins with; NULL: no free text, so the mask begins empty. */
static const StateRun *begin_mask(GrammarMasks *m, StateRun *copy, uint32_t *mask)
{
    GrammarStates *s = m->states;
    *copy = *states_run(s, s->walk[0]);
    if (copy->chars < RUN_CHARS) {
        memset(mask, 0, m->vocab->words * sizeof *mask);
        return NULL;
    }
    grammar_vocab_class(m->vocab, copy->ascii, copy->multibyte, mask);
    return copy;
}

static bool in_class(const StateRun *class, uint8_t byte)
{
    return byte < 0x80 ? class->ascii[byte >> 6] >> (byte & 63) & 1 : class->multibyte;
}

/* After a byte that may come: what the node itself and, where that is certain, its whole branch allow. Returns
 * the node to go on at. */
static uint32_t enter_node(GrammarMasks *m, uint32_t i, const StateRun *class, uint32_t *mask)
{
    const GrammarVocab *v = m->vocab;
    const VocabNode *n = &v->nodes[i];
    m->pure[n->depth] = class && m->pure[n->depth - 1] && in_class(class, n->byte);
    if (n->own)
        allow(v, n->first, vocab_own_end(v, i), mask);
    if (i + 1 == n->after)
        return n->after;
    if (!n->whole || !covers(states_run(m->states, m->states->walk[n->depth]), n, &v->below[i]))
        return i + 1;
    bool have = m->pure[n->depth] && !n->long_below && covers(class, n, &v->below[i]);
    if (!have)
        allow(v, n->first, v->nodes[n->after].first, mask);
    return n->after;
}

static void walk(GrammarMasks *m, uint32_t *mask)
{
    GrammarStates *s = m->states;
    const GrammarVocab *v = m->vocab;
    uint64_t work_end = s->work + WORK_MAX;
    StateRun run;
    const StateRun *class = begin_mask(m, &run, mask);
    bool found = false;
    m->pure[0] = class != NULL;
    for (uint32_t i = 0; i < v->node_count && (s->work < work_end || !found);) {
        const VocabNode *n = &v->nodes[i];
        s->walk_count = n->depth;
        uint16_t to = states_step(s, &s->walk[n->depth - 1], n->byte);
        if (to == STATE_DEAD) {
            i = n->after;
            continue;
        }
        s->walk[n->depth] = to;
        found |= n->own;
        i = enter_node(m, i, class, mask);
    }
    s->walk_count = 0;
    for (size_t e = 0; e < v->end_count && states_complete(s, s->walk[0]); e++)
        mask[v->ends[e] / 32] |= 1u << v->ends[e] % 32;
}

const uint32_t *grammar_mask(GrammarMasks *m, const StatePin *pin)
{
    GrammarStates *s = m->states;
    size_t words = m->vocab->words;
    m->asked++;
    if (s->masks[pin->state] >= 0)
        return m->words + (size_t)s->masks[pin->state] * words;
    uint32_t slot = m->next;
    m->next = (m->next + 1) % m->slot_count;
    if (m->owner[slot] != STATE_DEAD)
        s->masks[m->owner[slot]] = -1;
    m->owner[slot] = STATE_DEAD;
    m->walked++;
    s->walk[0] = pin->state;
    s->walk_count = 1;
    uint64_t starved = s->starved;
    walk(m, m->words + slot * words);
    if (s->starved == starved) {         /* otherwise there may be room for the rest another time */
        s->masks[pin->state] = (int32_t)slot;
        m->owner[slot] = pin->state;
    }
    return m->words + slot * words;
}

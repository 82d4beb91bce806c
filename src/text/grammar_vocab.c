#include "text/grammar_vocab.h"

#include <stdlib.h>

#include "base/checked.h"
#include "text/grammar_utf8.h"

enum { VOCAB_TOKENS_MAX = 1 << 24 };
#define VOCAB_BYTES_MAX ((size_t)1 << 30)

static int by_bytes(const void *a, const void *b, void *with)
{
    Span x = vocab_token(with, *(const int32_t *)a), y = vocab_token(with, *(const int32_t *)b);
    size_t shorter = x.bytes < y.bytes ? x.bytes : y.bytes;
    int order = shorter ? memcmp(x.data, y.data, shorter) : 0;
    if (order)
        return order;
    return x.bytes < y.bytes ? -1 : x.bytes > y.bytes;
}

static bool is_end(const GrammarVocab *v, int32_t id)
{
    for (size_t i = 0; i < v->end_count; i++)
        if (v->ends[i] == id)
            return true;
    return false;
}

static size_t equal_bytes(Span a, Span b)
{
    size_t i = 0;
    while (i < a.bytes && i < b.bytes && a.data[i] == b.data[i])
        i++;
    return i;
}

/* Nodes in order; open[d] is the node at depth d that is not yet closed. */
static void plant(GrammarVocab *v)
{
    uint32_t open[WALK_MAX + 1], depth = 0;
    Span last = {0};
    for (uint32_t i = 0; i < v->order_count; i++) {
        Span text = vocab_token(v, v->order[i]);
        uint32_t shared = (uint32_t)equal_bytes(last, text);
        for (; depth > shared; depth--)
            v->nodes[open[depth]].after = v->node_count;
        while (depth < text.bytes) {
            VocabNode *node = &v->nodes[v->node_count];
            *node = (VocabNode){.byte = text.data[depth], .first = i, .depth = (uint16_t)(depth + 1)};
            open[++depth] = v->node_count++;
        }
        v->nodes[open[depth]].own = true;
        last = text;
    }
    for (; depth > 0; depth--)
        v->nodes[open[depth]].after = v->node_count;
    v->nodes[v->node_count] = (VocabNode){.after = v->node_count, .first = v->order_count};
}

/* What lies below each node, from the last to the first, so that children come before their parents. */
static void look_below(GrammarVocab *v, uint32_t *parent, uint8_t *state, uint16_t *chars)
{
    uint32_t path[WALK_MAX + 1] = {0};
    for (uint32_t i = 0; i < v->node_count; i++) {
        VocabNode *n = &v->nodes[i];
        bool root = n->depth == 1;
        path[n->depth] = i;
        parent[i] = root ? UINT32_MAX : path[n->depth - 1];
        state[i] = (uint8_t)utf8_next(root ? UTF8_WHOLE : (Utf8State)state[parent[i]], n->byte);
        chars[i] = (uint16_t)((root ? 0 : chars[parent[i]]) + ((n->byte & 0xC0) != 0x80));
        n->whole = state[i] == UTF8_WHOLE;
        n->long_below = n->own && chars[i] > RUN_CHARS;
    }
    for (uint32_t i = v->node_count; i-- > 0;) {
        VocabNode *n = &v->nodes[i], *up = parent[i] == UINT32_MAX ? NULL : &v->nodes[parent[i]];
        if (!up)
            continue;
        VocabBelow *below = &v->below[parent[i]];
        below->ascii[0] |= v->below[i].ascii[0];
        below->ascii[1] |= v->below[i].ascii[1];
        if (n->byte < 0x80)
            below->ascii[n->byte >> 6] |= 1ull << (n->byte & 63);
        up->multibyte |= n->multibyte || n->byte >= 0x80;
        up->long_below |= n->long_below;
        uint32_t more = n->chars_below + ((n->byte & 0xC0) != 0x80);
        if (more > up->chars_below)
            up->chars_below = more < UINT8_MAX ? (uint8_t)more : UINT8_MAX;
    }
}

/* A node stays whole only where each token below ends with a whole character. */
static void mark_whole(GrammarVocab *v, const uint32_t *parent, const uint8_t *state)
{
    for (uint32_t i = 0; i < v->node_count; i++)
        for (uint32_t up = i; v->nodes[i].own && state[i] != UTF8_WHOLE && up != UINT32_MAX; up = parent[up])
            v->nodes[up].whole = false;
}

static void shrink(void *array, size_t bytes)
{
    void *smaller = realloc(*(void **)array, bytes);
    if (smaller)
        *(void **)array = smaller;
}

static Err grow_tree(GrammarVocab *v, Error *err)
{
    uint32_t node_max = v->first[v->count];
    v->nodes = calloc((size_t)node_max + 1, sizeof *v->nodes);
    v->below = calloc((size_t)node_max + 1, sizeof *v->below);
    uint32_t *parent = calloc((size_t)node_max + 1, sizeof *parent);
    uint16_t *chars = calloc((size_t)node_max + 1, sizeof *chars);
    uint8_t *state = calloc((size_t)node_max + 1, 1);
    bool made = v->nodes && v->below && parent && chars && state;
    if (made) {
        plant(v);
        look_below(v, parent, state, chars);
        mark_whole(v, parent, state);
        shrink(&v->nodes, (v->node_count + 1) * sizeof *v->nodes);
        shrink(&v->below, (v->node_count + 1) * sizeof *v->below);
    }
    free(parent);
    free(chars);
    free(state);
    return made ? OK : fail(err, NO_MEMORY, "no memory for the tree of %d tokens", (int)v->count);
}

static Err copy_pieces(GrammarVocab *v, const Span *pieces, const bool *control, Error *err)
{
    size_t total = 0;
    for (int32_t i = 0; i < v->count; i++)
        if (!add_fits(total, pieces[i].bytes + 1, &total) || total > VOCAB_BYTES_MAX)
            return fail(err, LIMIT_REACHED, "the texts of %d tokens are too long together", (int)v->count);
    v->bytes = malloc(total + 1);
    v->first = calloc((size_t)v->count + 1, sizeof *v->first);
    v->order = calloc((size_t)v->count + 1, sizeof *v->order);
    if (!v->bytes || !v->first || !v->order)
        return fail(err, NO_MEMORY, "no memory for the texts of %d tokens", (int)v->count);
    uint32_t at = 0;
    for (int32_t i = 0; i < v->count; i++) {
        bool takes_part = pieces[i].bytes && pieces[i].bytes < WALK_MAX && !is_end(v, i) &&
                          !memchr(pieces[i].data, BYTE_CONTROL, pieces[i].bytes);
        v->first[i] = at;
        if (takes_part) {
            if (control && control[i])
                v->bytes[at++] = BYTE_CONTROL;
            memcpy(v->bytes + at, pieces[i].data, pieces[i].bytes);
            at += (uint32_t)pieces[i].bytes;
            v->order[v->order_count++] = i;
        }
    }
    v->first[v->count] = at;
    qsort_r(v->order, v->order_count, sizeof *v->order, by_bytes, v);
    return OK;
}

/* ---- classes ---- */

static void make_class(const GrammarVocab *v, VocabClass *c)
{
    memset(c->tokens, 0, v->words * sizeof *c->tokens);
    uint8_t chars[WALK_MAX + 1] = {0};
    Utf8State state[WALK_MAX + 1] = {UTF8_WHOLE};
    for (uint32_t i = 0; i < v->node_count;) {
        const VocabNode *n = &v->nodes[i];
        Utf8State at = utf8_next(state[n->depth - 1], n->byte);
        uint32_t count = chars[n->depth - 1] + ((n->byte & 0xC0) != 0x80);
        bool in = n->byte < 0x80 ? c->ascii[n->byte >> 6] >> (n->byte & 63) & 1 : c->multibyte;
        if (!in || at == UTF8_BROKEN || count > RUN_CHARS) {
            i = n->after;
            continue;
        }
        state[n->depth] = at;
        chars[n->depth] = (uint8_t)count;
        for (uint32_t k = n->first, end = vocab_own_end(v, i); at == UTF8_WHOLE && n->own && k < end; k++)
            c->tokens[v->order[k] / 32] |= 1u << v->order[k] % 32;
        i++;
    }
    c->made = true;
}

static VocabClass *add_class(GrammarVocab *v, const uint64_t ascii[2], bool multibyte)
{
    VocabClass *c = &v->classes[v->next_class];
    v->next_class = (v->next_class + 1) % VOCAB_CLASSES;
    c->ascii[0] = ascii[0];
    c->ascii[1] = ascii[1];
    c->multibyte = multibyte;
    make_class(v, c);
    return c;
}

/* What stands in strings of JSON is asked for in nearly every grammar. */
static void prepare_class(GrammarVocab *v)
{
    const uint64_t ascii[2] = {~0ull << ' ' & ~(1ull << '"'), ~(1ull << ('\\' - 64))};
    add_class(v, ascii, true);
}

/* ---- birth ---- */

Err grammar_vocab_of_pieces(GrammarVocab **out, const Span *pieces, const bool *control, int32_t count, const int32_t *ends,
                            size_t end_count, Error *err)
{
    if (count < 1 || count > VOCAB_TOKENS_MAX)
        return fail(err, BAD_ARGUMENT, "a vocabulary of %d tokens: 1 to %d are possible", (int)count, (int)VOCAB_TOKENS_MAX);
    for (size_t i = 0; i < end_count; i++)
        if (ends[i] < 0 || ends[i] >= count)
            return fail(err, BAD_ARGUMENT, "the token %d that ends an answer is not among the %d of the vocabulary",
                        (int)ends[i], (int)count);
    GrammarVocab *v = calloc(1, sizeof *v);
    if (!v)
        return fail(err, NO_MEMORY, "no memory for a vocabulary");
    pthread_mutex_init(&v->lock, NULL);
    v->count = count;
    v->words = ((uint32_t)count + 31) / 32;
    v->ends = calloc(end_count + 1, sizeof *v->ends);
    bool made = v->ends;
    for (int i = 0; i < VOCAB_CLASSES; i++)
        made = (v->classes[i].tokens = calloc(v->words, sizeof(uint32_t))) && made;
    Err result = made ? OK : fail(err, NO_MEMORY, "no memory for a vocabulary");
    if (result == OK) {
        v->end_count = end_count;
        for (size_t i = 0; i < end_count; i++)
            v->ends[i] = ends[i];
        result = copy_pieces(v, pieces, control, err);
    }
    if (result == OK)
        result = grow_tree(v, err);
    if (result == OK)
        prepare_class(v);
    if (result != OK) {
        grammar_vocab_free(v);
        return result;
    }
    *out = v;
    return OK;
}

Err grammar_vocab_new(GrammarVocab **out, const Tokenizer *t, int32_t vocabulary, const int32_t *ends, size_t end_count,
                      Error *err)
{
    if (vocabulary < 1 || vocabulary > VOCAB_TOKENS_MAX)
        return fail(err, BAD_ARGUMENT, "a vocabulary of %d tokens: 1 to %d are possible", (int)vocabulary,
                    (int)VOCAB_TOKENS_MAX);
    Span *pieces = calloc((size_t)vocabulary, sizeof *pieces);
    bool *control = calloc((size_t)vocabulary, sizeof *control);
    Err result = pieces && control ? OK : fail(err, NO_MEMORY, "no memory for the texts of %d tokens", (int)vocabulary);
    if (result == OK) {
        int32_t known = tokenizer_size(t) < vocabulary ? tokenizer_size(t) : vocabulary;
        for (int32_t i = 0; i < known; i++) {
            control[i] = tokenizer_is_control(t, i);
            pieces[i] = control[i] ? tokenizer_piece(t, i) : tokenizer_piece_bytes(t, i);
        }
        result = grammar_vocab_of_pieces(out, pieces, control, vocabulary, ends, end_count, err);
    }
    free(pieces);
    free(control);
    return result;
}

void grammar_vocab_free(GrammarVocab *v)
{
    if (!v)
        return;
    for (int i = 0; i < VOCAB_CLASSES; i++)
        free(v->classes[i].tokens);
    free(v->nodes);
    free(v->below);
    free(v->order);
    free(v->bytes);
    free(v->first);
    free(v->ends);
    pthread_mutex_destroy(&v->lock);
    free(v);
}

void grammar_vocab_class(GrammarVocab *v, const uint64_t ascii[2], bool multibyte, uint32_t *mask)
{
    pthread_mutex_lock(&v->lock);
    VocabClass *found = NULL;
    for (int i = 0; i < VOCAB_CLASSES && !found; i++) {
        VocabClass *c = &v->classes[i];
        if (c->made && c->multibyte == multibyte && c->ascii[0] == ascii[0] && c->ascii[1] == ascii[1])
            found = c;
    }
    if (!found)
        found = add_class(v, ascii, multibyte);
    memcpy(mask, found->tokens, v->words * sizeof *mask);
    pthread_mutex_unlock(&v->lock);
}

#include "text/bpe.h"

#include <stdio.h>
#include <stdlib.h>

#include "text/utf8.h"

enum { HEAP_CHILDREN = 8, PAIR_BITS = 1 << 20 };
#define NO_PAIR UINT32_MAX   /* the rank of neighbours that do not merge */

/* ---- the table of merges ---- */

static uint32_t pair_home(int32_t left, int32_t right)
{
    uint64_t key = (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
    key *= 0x9E3779B97F4A7C15u;
    return (uint32_t)(key >> 32);
}

static MergeSlot *find_pair(const Bpe *b, int32_t left, int32_t right)
{
    uint32_t at = pair_home(left, right) & b->merge_mask;
    while (b->merges[at].left >= 0 && !(b->merges[at].left == left && b->merges[at].right == right))
        at = (at + 1) & b->merge_mask;
    return &b->merges[at];
}

static int32_t find_normal(const Bpe *b, Span text)
{
    int32_t id = vocab_find(b->vocab, text);
    if (id < 0)
        return -1;
    PieceKind kind = b->vocab->pieces[id].kind;
    return kind == PIECE_NORMAL || kind == PIECE_USER || kind == PIECE_UNUSED ? id : -1;
}

void bpe_init(Bpe *b, const Vocab *vocab)
{
    *b = (Bpe){.vocab = vocab, .unk = TOKEN_NONE};
    for (int i = 0; i < 256; i++) {
        char text[8];
        snprintf(text, sizeof text, "<0x%02X>", i);
        b->bytes[i] = vocab_find(vocab, span_text(text));
    }
    for (uint32_t code = 0; code < BPE_DIRECT_CODES; code++) {
        uint8_t text[4];
        b->direct[code] = find_normal(b, span_of(text, utf8_write(code, text)));
    }
    for (int32_t id = 0; id < vocab->size && !b->has_unused; id++)
        b->has_unused = vocab->pieces[id].kind == PIECE_UNUSED;
}

/* ---- where a long word may be cut without changing its tokens ---- */

static uint32_t pair_bit(uint32_t left, uint32_t right)
{
    uint32_t h = (left * 0x9E3779B1u) ^ (right * 0x85EBCA6Bu);
    return (h ^ h >> 15) & (PAIR_BITS - 1);
}

Err bpe_index_neighbours(Bpe *b, Error *err)
{
    bool bytes_complete = b->byte_fallback;
    for (int i = 0; i < 256 && bytes_complete; i++)
        bytes_complete = b->bytes[i] >= 0;
    bool unknowns_join = b->merges && b->unk < 0 ? true : b->unk >= 0 && b->fuse_unk;
    if ((unknowns_join && !bytes_complete) || b->continuing || b->word_end)
        return OK;   /* a cut would be seen: what is left out, or fused, brings its neighbours together */
    b->neighbours = calloc(PAIR_BITS / 8, 1);
    if (!b->neighbours)
        return fail(err, NO_MEMORY, "%s: no memory for an index of its pieces", b->vocab->name);
    for (int32_t id = 0; id < b->vocab->size; id++) {
        Span text = vocab_text(b->vocab, id);
        for (size_t at = 0, bytes; at < text.bytes; at += bytes) {
            Utf8Char left = utf8_read(text.data + at, text.bytes - at);
            bytes = left.bytes;
            if (at + bytes == text.bytes)
                break;
            Utf8Char right = utf8_read(text.data + at + bytes, text.bytes - at - bytes);
            uint32_t bit = pair_bit(left.code, right.code);
            b->neighbours[bit / 8] |= (uint8_t)(1 << bit % 8);
        }
    }
    return OK;
}

/* The end of the stretch that begins the word: no piece holds the two characters around it. */
static size_t stretch_bytes(const Bpe *b, Span word)
{
    if (!b->neighbours)
        return word.bytes;
    Utf8Char left = utf8_read(word.data, word.bytes);
    for (size_t at = left.bytes; at < word.bytes;) {
        Utf8Char right = utf8_read(word.data + at, word.bytes - at);
        uint32_t bit = pair_bit(left.code, right.code);
        if (!(b->neighbours[bit / 8] >> bit % 8 & 1))
            return at;
        left = right;
        at += right.bytes;
    }
    return word.bytes;
}

void bpe_deinit(Bpe *b)
{
    free(b->neighbours);
    free(b->merges);
    *b = (Bpe){0};
}

Err bpe_reserve_merges(Bpe *b, size_t count, Error *err)
{
    if (count > MERGES_MAX)
        return fail(err, BAD_FILE, "%s: has %zu merges; at most %d are read", b->vocab->name, count, MERGES_MAX);
    size_t slots = 16;
    while (slots < 2 * count)
        slots *= 2;
    b->merges = malloc(slots * sizeof *b->merges);
    if (!b->merges)
        return fail(err, NO_MEMORY, "%s: no memory for its %zu merges", b->vocab->name, count);
    memset(b->merges, 0xFF, slots * sizeof *b->merges);   /* left = -1: free */
    b->merge_mask = (uint32_t)(slots - 1);
    return OK;
}

Err bpe_add_merge(Bpe *b, Span left, Span right, Error *err)
{
    ASSERT(b->merges && b->merges_count <= b->merge_mask / 2);
    Span tail = right;
    if (b->continuing && span_starts(right, span_text(b->continuing)))
        tail = span_from(right, strlen(b->continuing));
    uint8_t joined[2 * VOCAB_PIECE_BYTES_MAX];
    if (left.bytes > VOCAB_PIECE_BYTES_MAX || tail.bytes > VOCAB_PIECE_BYTES_MAX)
        return fail(err, BAD_FILE, "%s: merge %zu is longer than any piece", b->vocab->name, b->merges_count);
    memcpy(joined, left.data, left.bytes);
    memcpy(joined + left.bytes, tail.data, tail.bytes);
    Span names[3] = {left, right, span_of(joined, left.bytes + tail.bytes)};
    int32_t ids[3];
    for (int i = 0; i < 3; i++) {
        ids[i] = vocab_find(b->vocab, names[i]);
        if (ids[i] < 0)
            return fail(err, BAD_FILE, "%s: merge %zu, '%.*s' with '%.*s', needs the piece '%.*s', which is not in "
                        "the vocabulary", b->vocab->name, b->merges_count, (int)span_first(left, 64).bytes,
                        (const char *)left.data, (int)span_first(right, 64).bytes, (const char *)right.data,
                        (int)span_first(names[i], 64).bytes, (const char *)names[i].data);
    }
    *find_pair(b, ids[0], ids[1]) =
        (MergeSlot){.left = ids[0], .right = ids[1], .rank = (uint32_t)b->merges_count, .joined = ids[2]};
    b->merges_count++;
    return OK;
}

/* ---- a word while it is being merged ---- */

typedef struct Symbol {
    uint32_t begin, bytes;     /* bytes 0: merged into its left neighbour */
    int32_t prev, next;        /* -1: none */
    int32_t id;                /* -1: no piece has this text */
    uint32_t rank;             /* of this symbol with the next one, or NO_PAIR */
    int32_t joined;            /* the piece that the two make */
    bool whole;                /* never merges */
} Symbol;

struct BpeScratch {
    Symbol *symbols;
    size_t count, capacity;
    uint64_t *heap;            /* rank << 32 | index of the left symbol, the smallest first */
    size_t heap_count, heap_capacity;
    uint32_t *unused_split;    /* [vocab size] where a PIECE_UNUSED was last joined: bytes of its left part */
    bool failed;
};

BpeScratch *bpe_scratch_new(void) { return calloc(1, sizeof(BpeScratch)); }

void bpe_scratch_free(BpeScratch *s)
{
    if (!s)
        return;
    free(s->symbols);
    free(s->heap);
    free(s->unused_split);
    free(s);
}

static void add_symbol(BpeScratch *s, uint32_t begin, uint32_t bytes, int32_t id, bool whole)
{
    if (s->count == s->capacity) {
        size_t capacity = s->capacity ? 2 * s->capacity : 64;
        Symbol *symbols = realloc(s->symbols, capacity * sizeof *symbols);
        if (!symbols) {
            s->failed = true;
            return;
        }
        s->symbols = symbols;
        s->capacity = capacity;
    }
    int32_t at = (int32_t)s->count++;
    s->symbols[at] = (Symbol){.begin = begin, .bytes = bytes, .prev = at - 1, .next = at + 1, .id = id,
                              .rank = NO_PAIR, .whole = whole};
}

static bool heap_has_room(BpeScratch *s)
{
    if (s->heap_count < s->heap_capacity)
        return true;
    size_t capacity = s->heap_capacity ? 2 * s->heap_capacity : 128;
    uint64_t *heap = realloc(s->heap, capacity * sizeof *heap);
    if (!heap) {
        s->failed = true;
        return false;
    }
    s->heap = heap;
    s->heap_capacity = capacity;
    return true;
}

/* Eight children to a node: a third of the levels of a binary heap, and each level is one cache line. */
static void heap_push(BpeScratch *s, uint64_t key)
{
    if (!heap_has_room(s))
        return;
    size_t at = s->heap_count++;
    for (; at > 0 && s->heap[(at - 1) / HEAP_CHILDREN] > key; at = (at - 1) / HEAP_CHILDREN)
        s->heap[at] = s->heap[(at - 1) / HEAP_CHILDREN];
    s->heap[at] = key;
}

static size_t least_child(const uint64_t *heap, size_t count, size_t first)
{
    size_t end = first + HEAP_CHILDREN < count ? first + HEAP_CHILDREN : count, least = first;
    uint64_t value = heap[first];
    for (size_t i = first + 1; i < end; i++) {
        least = heap[i] < value ? i : least;
        value = heap[i] < value ? heap[i] : value;
    }
    return least;
}

static void heap_sink(uint64_t *heap, size_t count, size_t at)
{
    uint64_t key = heap[at];
    for (size_t first; (first = HEAP_CHILDREN * at + 1) < count;) {
        size_t child = least_child(heap, count, first);
        if (heap[child] >= key)
            break;
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = key;
}

static uint64_t heap_pop(BpeScratch *s)
{
    uint64_t top = s->heap[0];
    s->heap[0] = s->heap[--s->heap_count];
    if (s->heap_count)
        heap_sink(s->heap, s->heap_count, 0);
    return top;
}

/* Floats in an order that unsigned integers share, the highest score first. */
static uint32_t rank_of_score(double score)
{
    float single = (float)score;   /* all that SentencePiece and GGUF store */
    uint32_t bits;
    memcpy(&bits, &single, sizeof bits);
    bits ^= bits >> 31 ? 0xFFFFFFFFu : 0x80000000u;
    bits = ~bits;
    return bits < NO_PAIR ? bits : NO_PAIR - 1;
}

static void rank_by_score(const Bpe *b, BpeScratch *s, Span word, Symbol *left, const Symbol *right)
{
    uint32_t bytes = left->bytes + right->bytes;
    if (bytes > b->vocab->longest)
        return;
    left->joined = find_normal(b, span_of(word.data + left->begin, bytes));
    if (left->joined < 0)
        return;
    left->rank = rank_of_score(b->vocab->pieces[left->joined].score);
    if (s->unused_split && b->vocab->pieces[left->joined].kind == PIECE_UNUSED)
        s->unused_split[left->joined] = left->bytes;
}

/* Looks up what symbol `at` and the one after it make. */
static void rank_pair(const Bpe *b, BpeScratch *s, Span word, int32_t at)
{
    Symbol *left = &s->symbols[at];
    left->rank = NO_PAIR;
    if (left->next < 0 || left->whole || s->symbols[left->next].whole)
        return;
    const Symbol *right = &s->symbols[left->next];
    if (!b->merges) {
        rank_by_score(b, s, word, left, right);
    } else {
        const MergeSlot *m = find_pair(b, left->id, right->id);
        if (m->left >= 0) {
            left->rank = m->rank;
            left->joined = m->joined;
        }
    }
}

static void join(BpeScratch *s, int32_t at)
{
    Symbol *left = &s->symbols[at], *right = &s->symbols[left->next];
    left->id = left->joined;
    left->bytes = right->begin + right->bytes - left->begin;
    left->next = right->next;
    if (right->next >= 0)
        s->symbols[right->next].prev = at;
    right->bytes = 0;
    right->rank = NO_PAIR;
}

static void merge_all(const Bpe *b, BpeScratch *s, Span word)
{
    s->heap_count = 0;
    for (size_t i = 0; i + 1 < s->count && !s->failed; i++) {
        rank_pair(b, s, word, (int32_t)i);
        if (s->symbols[i].rank != NO_PAIR && heap_has_room(s))
            s->heap[s->heap_count++] = (uint64_t)s->symbols[i].rank << 32 | i;
    }
    for (size_t i = s->heap_count > 1 ? (s->heap_count - 2) / HEAP_CHILDREN + 1 : 0; i-- > 0;)
        heap_sink(s->heap, s->heap_count, i);
    while (s->heap_count && !s->failed) {
        uint64_t key = heap_pop(s);
        int32_t at = (int32_t)(key & 0xFFFFFFFF);
        if (s->symbols[at].rank != key >> 32)
            continue;   /* one of the two has changed since */
        join(s, at);
        int32_t changed[2] = {s->symbols[at].prev, at};
        for (int i = 0; i < 2; i++) {
            if (changed[i] < 0)
                continue;
            rank_pair(b, s, word, changed[i]);
            if (s->symbols[changed[i]].rank != NO_PAIR)
                heap_push(s, (uint64_t)s->symbols[changed[i]].rank << 32 | (uint32_t)changed[i]);
        }
    }
}

/* ---- characters to symbols ---- */

static int32_t id_of_character(const Bpe *b, Span word, uint32_t begin, uint32_t bytes, uint32_t code)
{
    bool first = begin == 0, last = begin + bytes == word.bytes;
    bool prefixed = b->continuing && !first, suffixed = b->word_end && last;
    if (!prefixed && !suffixed)
        return code < BPE_DIRECT_CODES ? b->direct[code] : find_normal(b, span_of(word.data + begin, bytes));
    Buf text;
    buf_init(&text, VOCAB_PIECE_BYTES_MAX);
    if (prefixed)
        buf_put_text(&text, b->continuing);
    buf_put(&text, word.data + begin, bytes);
    if (suffixed)
        buf_put_text(&text, b->word_end);
    int32_t id = text.full ? -1 : find_normal(b, buf_span(&text));
    buf_deinit(&text);
    return id;
}

static bool add_bytes(const Bpe *b, BpeScratch *s, Span word, uint32_t begin, uint32_t bytes)
{
    for (uint32_t i = 0; i < bytes; i++)
        if (b->bytes[word.data[begin + i]] < 0)
            return false;
    for (uint32_t i = 0; i < bytes; i++)
        add_symbol(s, begin + i, 1, b->bytes[word.data[begin + i]], false);
    return true;
}

static void add_unknown(const Bpe *b, BpeScratch *s, uint32_t begin, uint32_t bytes, bool after_unknown)
{
    if (b->unk < 0)
        return;
    if (b->fuse_unk && after_unknown && s->count)
        s->symbols[s->count - 1].bytes += bytes;
    else
        add_symbol(s, begin, bytes, b->unk, false);
}

static void characters_by_rank(const Bpe *b, BpeScratch *s, Span word)
{
    bool after_unknown = false;
    for (uint32_t at = 0; at < word.bytes && !s->failed;) {
        Utf8Char c = utf8_read(word.data + at, word.bytes - at);
        int32_t id = id_of_character(b, word, at, c.bytes, c.valid ? c.code : BPE_DIRECT_CODES);
        bool unknown = false;
        if (id >= 0)
            add_symbol(s, at, c.bytes, id, false);
        else if (!b->byte_fallback || !add_bytes(b, s, word, at, c.bytes))
            add_unknown(b, s, at, c.bytes, after_unknown), unknown = true;
        after_unknown = unknown;
        at += c.bytes;
    }
}

static void characters_by_score(const Bpe *b, BpeScratch *s, Span word)
{
    for (uint32_t at = 0; at < word.bytes && !s->failed;) {
        size_t bytes = 0;
        int32_t id = b->whole ? trie_longest(b->whole, span_from(word, at), &bytes) : -1;
        if (id >= 0) {
            add_symbol(s, at, (uint32_t)bytes, id, true);
        } else {
            Utf8Char c = utf8_read(word.data + at, word.bytes - at);
            bytes = c.bytes;
            id = c.valid && c.code < BPE_DIRECT_CODES ? b->direct[c.code]
                                                      : find_normal(b, span_of(word.data + at, bytes));
            add_symbol(s, at, (uint32_t)bytes, id, false);
        }
        at += (uint32_t)bytes;
    }
}

/* ---- symbols to tokens ---- */

static void put_unknown(const Bpe *b, TokenSink *sink, Span word, uint32_t begin, uint32_t bytes, bool after_unknown)
{
    bool all = b->byte_fallback;
    for (uint32_t i = 0; i < bytes && all; i++)
        all = b->bytes[word.data[begin + i]] >= 0;
    if (all)
        for (uint32_t i = 0; i < bytes; i++)
            sink_put(sink, b->bytes[word.data[begin + i]], begin + i, begin + i + 1);
    else if (b->unk >= 0 && !(after_unknown && b->fuse_unk))
        sink_put(sink, b->unk, begin, begin + bytes);
}

/* A piece that must not be used is given as the two that it was joined from, and so on down. */
static void put_parts(const Bpe *b, BpeScratch *s, TokenSink *sink, Span word, uint32_t begin, uint32_t bytes)
{
    while (bytes) {
        int32_t id = find_normal(b, span_of(word.data + begin, bytes));
        uint32_t left = id >= 0 && b->vocab->pieces[id].kind == PIECE_UNUSED && s->unused_split
                            ? s->unused_split[id] : 0;
        if (left == 0 || left >= bytes) {
            if (id >= 0)
                sink_put(sink, id, begin, begin + bytes);
            else
                put_unknown(b, sink, word, begin, bytes, false);
            return;
        }
        put_parts(b, s, sink, word, begin, left);   /* each level is shorter: at most a piece's length deep */
        begin += left;
        bytes -= left;
    }
}

static void put_symbols(const Bpe *b, BpeScratch *s, Span word, TokenSink *sink)
{
    bool after_unknown = false;
    for (int32_t at = s->count ? 0 : -1; at >= 0; at = s->symbols[at].next) {
        const Symbol *symbol = &s->symbols[at];
        bool unknown = symbol->id < 0;
        if (unknown)
            put_unknown(b, sink, word, symbol->begin, symbol->bytes, after_unknown);
        else if (b->has_unused && !symbol->whole && b->vocab->pieces[symbol->id].kind == PIECE_UNUSED)
            put_parts(b, s, sink, word, symbol->begin, symbol->bytes);
        else
            sink_put(sink, symbol->id, symbol->begin, symbol->begin + symbol->bytes);
        after_unknown = unknown;
    }
}

static void encode_stretch(const Bpe *b, BpeScratch *s, Span word, TokenSink *sink)
{
    s->count = 0;
    if (b->merges)
        characters_by_rank(b, s, word);
    else
        characters_by_score(b, s, word);
    if (s->count)
        s->symbols[s->count - 1].next = -1;
    merge_all(b, s, word);
    if (!s->failed)
        put_symbols(b, s, word, sink);
}

Err bpe_encode(const Bpe *b, BpeScratch *s, Span word, TokenSink *sink, Error *err)
{
    int32_t whole = b->whole_words_first ? find_normal(b, word) : -1;
    if (whole >= 0) {
        sink_put(sink, whole, 0, word.bytes);
        return OK;
    }
    if (b->has_unused && !b->merges && !s->unused_split) {
        s->unused_split = calloc((size_t)b->vocab->size, sizeof *s->unused_split);
        s->failed |= !s->unused_split;
    }
    size_t place = sink->word;
    for (size_t at = 0, bytes; at < word.bytes && !s->failed; at += bytes) {
        bytes = stretch_bytes(b, span_from(word, at));
        sink->word = place + at;
        encode_stretch(b, s, span_of(word.data + at, bytes), sink);
    }
    sink->word = place;
    return s->failed ? fail(err, NO_MEMORY, "no memory to tokenise a word of %zu bytes", word.bytes) : OK;
}

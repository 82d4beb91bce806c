#include "text/wordpiece.h"

#include "text/utf8.h"

Err wordpiece_init(WordPiece *w, const Vocab *v, Err (*spell)(Span piece, Buf *out), Error *err)
{
    *w = (WordPiece){.vocab = v, .unk = TOKEN_NONE};
    Buf spelled;
    buf_init(&spelled, VOCAB_PIECE_BYTES_MAX);
    bool good = trie_init(&w->trie);
    for (int32_t id = 0; id < v->size && good; id++) {
        Span text = vocab_text(v, id);
        if (v->pieces[id].kind == PIECE_HOLE || v->pieces[id].kind == PIECE_ADDED)
            continue;
        if (spell) {
            buf_cut(&spelled, 0);
            good = spell(text, &spelled) == OK;
            text = buf_span(&spelled);
        }
        good = good && trie_put(&w->trie, text, id);
    }
    buf_deinit(&spelled);
    return good ? OK : fail(err, NO_MEMORY, "%s: no memory for the trie of its %d pieces", v->name, v->size);
}

void wordpiece_deinit(WordPiece *w)
{
    trie_deinit(&w->trie);
    *w = (WordPiece){0};
}

/* The longest piece at `at`, spelled after `prefix`; its bytes of the word, or 0. */
static size_t longest(const WordPiece *w, Span prefix, Span rest, int32_t *id)
{
    int32_t node = trie_walk(&w->trie, TRIE_ROOT, prefix);
    size_t bytes = 0;
    if (prefix.bytes && node == 0)
        return 0;
    for (size_t i = 0; i < rest.bytes && (node = trie_step(&w->trie, node, rest.data[i])); i++)
        if (trie_value(&w->trie, node) >= 0) {
            *id = trie_value(&w->trie, node);
            bytes = i + 1;
        }
    return bytes;
}

void wordpiece_encode(const WordPiece *w, Span word, TokenSink *sink)
{
    size_t count_before = sink->out->count;
    bool good = w->characters_max == 0 || utf8_count(word) <= w->characters_max;
    for (size_t at = 0; good && at < word.bytes;) {
        int32_t id;
        size_t bytes = longest(w, at ? w->continuing : w->word_start, span_from(word, at), &id);
        good = bytes > 0;
        if (good)
            sink_put(sink, id, at, at + bytes);
        at += bytes;
    }
    if (good)
        return;
    sink->out->count = count_before;   /* a word that cannot be finished is unknown as a whole */
    if (w->unk >= 0)
        sink_put(sink, w->unk, 0, word.bytes);
}

void wordlevel_encode(const WordPiece *w, Span word, TokenSink *sink)
{
    int32_t id = vocab_find(w->vocab, word);
    if (id < 0)
        id = w->unk;
    if (id >= 0)
        sink_put(sink, id, 0, word.bytes);
}

void greedy_encode(const WordPiece *w, Span text, TokenSink *sink)
{
    for (size_t at = 0; at < text.bytes;) {
        int32_t id = w->unk;
        size_t bytes = longest(w, (Span){0}, span_from(text, at), &id);
        bytes += bytes == 0;
        if (id >= 0)
            sink_put(sink, id, at, at + bytes);
        at += bytes;
    }
}

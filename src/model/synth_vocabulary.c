#include "model/synth_vocabulary.h"

#include <stdlib.h>


enum { BYTES = 256, TYPE_NORMAL = 1, TYPE_CONTROL = 3 };

/* Byte-level BPE writes a byte as a character that can be seen: itself where it is one, else one of
 * U+0100 on, in order (Radford et al. 2019). */
static uint32_t shown(int byte)
{
    uint32_t hidden = 0;
    for (int b = 0; b <= byte; b++) {
        bool visible = (b >= '!' && b <= '~') || (b >= 0xA1 && b <= 0xAC) || b >= 0xAE;
        if (b == byte)
            return visible ? (uint32_t)byte : 256 + hidden;
        hidden += !visible;
    }
    return 0;
}

static size_t put_shown(char *out, int byte)
{
    uint32_t c = shown(byte);
    if (c < 0x80)
        return out[0] = (char)c, 1;
    out[0] = (char)(0xC0 | c >> 6);
    out[1] = (char)(0x80 | (c & 0x3F));
    return 2;
}

typedef struct Pieces {
    Span *token, *merge;
    int32_t *type;
    char *text;                  /* room for all of them */
    size_t used;
} Pieces;

enum { TOKEN_BYTES_MAX = 8 };    /* a token of 2^24 has at most 4 bytes, each shown as at most 2 */

static Span put_joined(Pieces *p, Span left, const char *between, Span right)
{
    char *at = p->text + p->used;
    size_t gap = strlen(between);
    memcpy(at, left.data, left.bytes);
    memcpy(at + left.bytes, between, gap);
    memcpy(at + left.bytes + gap, right.data, right.bytes);
    p->used += left.bytes + gap + right.bytes;
    return span_of(at, left.bytes + gap + right.bytes);
}

static void fill(Pieces *p, int32_t tokens)
{
    for (int b = 0; b < BYTES; b++) {
        size_t bytes = put_shown(p->text + p->used, b);
        p->token[b] = span_of(p->text + p->used, bytes);
        p->used += bytes;
    }
    for (int32_t i = 0; i < tokens - BYTES - 1; i++) {
        Span left = p->token[i / BYTES], right = p->token[i % BYTES];
        p->token[BYTES + i] = put_joined(p, left, "", right);
        p->merge[i] = put_joined(p, left, " ", right);
    }
    for (int32_t i = 0; i < tokens; i++)
        p->type[i] = TYPE_NORMAL;
    p->token[tokens - 1] = span_text("<|end|>");
    p->type[tokens - 1] = TYPE_CONTROL;
}

Err synth_vocabulary_put(GgufWriter *w, int32_t tokens, Error *err)
{
    if (tokens <= BYTES)
        return fail(err, UNSUPPORTED, "a vocabulary of %d tokens has no room for all bytes; 257 or more are needed", tokens);
    size_t n = (size_t)tokens;
    Pieces p = {.token = calloc(n, sizeof(Span)), .merge = calloc(n, sizeof(Span)), .type = calloc(n, sizeof(int32_t)),
                .text = malloc(n * (2 * TOKEN_BYTES_MAX + 1))};
    Err result = OK;
    if (p.token && p.merge && p.type && p.text) {
        fill(&p, tokens);
        gguf_put_text(w, "tokenizer.ggml.model", "gpt2");
        gguf_put_text(w, "tokenizer.ggml.pre", "gpt-2");
        gguf_put_strings(w, "tokenizer.ggml.tokens", p.token, n);
        gguf_put_array(w, "tokenizer.ggml.token_type", GGUF_I32, p.type, n);
        gguf_put_strings(w, "tokenizer.ggml.merges", p.merge, n - BYTES - 1);
        gguf_put_u32(w, "tokenizer.ggml.bos_token_id", (uint32_t)tokens - 1);
        gguf_put_u32(w, "tokenizer.ggml.eos_token_id", (uint32_t)tokens - 1);
        gguf_put_u32(w, "tokenizer.ggml.padding_token_id", (uint32_t)tokens - 1);
        gguf_put_bool(w, "tokenizer.ggml.add_bos_token", false);
    } else {
        result = fail(err, NO_MEMORY, "no memory for a vocabulary of %d tokens", tokens);
    }
    free(p.token);
    free(p.merge);
    free(p.type);
    free(p.text);
    return result;
}

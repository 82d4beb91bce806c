/* load_chunk.h -- what a chunk of an OpenAI stream says to somebody who measures.
 *
 *     {"choices": [{"delta": {"content": "Hel"}, "finish_reason": null}]}       chat: text
 *     {"choices": [{"text": "Hel"}], "usage": null}                             completions: text
 *     {"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 12}}   the account
 *     {"error": {"message": ...}}                                               an error in a stream that had begun
 *     [DONE]                                                                    the end
 *
 * A role without text, or a chunk that only closes, is no token.
 */
#ifndef TOOLS_LOAD_CHUNK_H
#define TOOLS_LOAD_CHUNK_H

#include "base/buf.h"
#include "base/error.h"

typedef struct LoadChunk {
    bool done, has_text, finished, has_usage;
    int64_t prompt_tokens, cached_tokens, output_tokens;   /* if has_usage */
} LoadChunk;

/* text: gets the first choice's text; NULL: nobody wants it. BAD_FILE: no JSON, or an error that the server told. */
Err load_chunk_read(Span data, LoadChunk *out, Buf *text, Error *err);
/* The message of an error's body, whatever its shape, in one line of at most `bytes`. */
void load_error_text(Span body, char *out, size_t bytes);

#endif

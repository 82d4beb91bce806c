/* tokenizer.h -- text to token ids and back.
 *
 *     "I'm fine<|im_end|>"
 *         |  added tokens: cut out first, whole           <|im_end|>
 *         v
 *     normalise      lower case, NFC, spaces to U+2581 ... as the model's file says
 *     pre-tokenise   cut into words; bytes to GPT-2's alphabet
 *     model          each word to pieces: BPE, Unigram, WordPiece, greedy longest
 *     post-process   begin and end of text
 *         v
 *     [40, 2846, 5, 2]
 *
 * A Tokenizer is opened from one of three sources: tokenizer.json (Hugging Face), tokenizer.model
 * (SentencePiece), or a TokenizerSpec (text/tokenizer_spec.h: what GGUF metadata says). All three
 * compile to the same stages, so what follows does not know where a model came from.
 *
 * It never changes after opening: any number of threads may use one. It never guesses: a normaliser,
 * pre-tokeniser or regular expression that it does not know is an error when the file is opened, and
 * a text that would cost more than its bounds allow is an error of the request.
 *
 * Text that is not UTF-8. tokenizer.json and byte-level BPE: each broken sequence becomes U+FFFD
 * first, as in the reference (whose strings cannot be broken). tokenizer.model: the same, one U+FFFD
 * for each broken byte, as SentencePiece does. A spec of kind "llama" or "rwkv": bytes stay as they
 * are, through byte pieces, and come back from decoding exactly.
 */
#ifndef TEXT_TOKENIZER_H
#define TEXT_TOKENIZER_H

#include "base/buf.h"
#include "base/error.h"

typedef struct Tokenizer Tokenizer;

enum {
    TOKEN_NONE = -1,
    TOKENIZER_FILE_BYTES_MAX = 1 << 28,
    ENCODE_TEXT_BYTES_MAX = 1 << 28,
    END_TOKENS_MAX = 8,
};

/* `name` appears in errors and is copied. `config` is the text of tokenizer_config.json, or empty. */
Err tokenizer_open_json(Span json, Span config, const char *name, Tokenizer **out, Error *err);
Err tokenizer_open_sentencepiece(Span model, Span config, const char *name, Tokenizer **out, Error *err);
void tokenizer_free(Tokenizer *);   /* NULL is allowed */

/* ---- text to ids ---- */

typedef enum EncodeFlags {
    ENCODE_ADD_SPECIAL = 1,     /* begin and end of text, where the model asks for them */
    ENCODE_PARSE_SPECIAL = 2,   /* "<|im_end|>" in the text is the token; otherwise it is those letters */
    ENCODE_PLACES = 4,          /* fill `places` */
} EncodeFlags;

typedef struct TokenPlace {
    uint32_t begin, end;        /* bytes of the text; begin == end for tokens that were added */
} TokenPlace;

typedef struct Encoding {
    int32_t *ids;
    TokenPlace *places;         /* NULL without ENCODE_PLACES */
    size_t count, capacity;
} Encoding;

/* Appends nothing: an Encoding is initialised here and given back by encoding_deinit, also on error. */
Err tokenizer_encode(const Tokenizer *, Span text, unsigned flags, Encoding *out, Error *err);
void encoding_deinit(Encoding *);

/* ---- ids to text ---- */

typedef enum DecodeFlags {
    DECODE_SKIP_SPECIAL = 1,    /* control tokens give no text */
    DECODE_CONTINUES = 2,       /* text stands before these ids: a space that starts them is kept */
} DecodeFlags;

/* Appends to out. Ids that have no piece give nothing. Bytes that are no UTF-8 (half a character) stay
 * as they are: a Detokenizer (text/detokenizer.h) makes whole characters of them. False: out is full. */
bool tokenizer_decode(const Tokenizer *, const int32_t *ids, size_t count, unsigned flags, Buf *out);

/* ---- pieces ---- */

int32_t tokenizer_size(const Tokenizer *);                   /* highest id + 1 */
Span tokenizer_piece(const Tokenizer *, int32_t id);         /* as the vocabulary spells it: "Ġthe" */
Span tokenizer_piece_bytes(const Tokenizer *, int32_t id);   /* what it adds within a text: " the" */
int32_t tokenizer_find(const Tokenizer *, Span piece);       /* by spelling; TOKEN_NONE when there is none */
bool tokenizer_is_special(const Tokenizer *, int32_t id);    /* DECODE_SKIP_SPECIAL leaves it out */
bool tokenizer_is_control(const Tokenizer *, int32_t id);    /* never made from plain text */
bool tokenizer_is_end(const Tokenizer *, int32_t id);        /* generation stops here */

/* TOKEN_NONE where the model has none. */
typedef struct SpecialTokens {
    int32_t bos, eos, unk, pad, sep, mask;
    int32_t fim_prefix, fim_suffix, fim_middle, fim_pad, fim_repo, fim_file;
    int32_t ends[END_TOKENS_MAX];   /* eos and the ends of a turn or message */
    int ends_count;
    bool add_bos, add_eos;          /* ENCODE_ADD_SPECIAL begins with bos, ends with eos */
} SpecialTokens;
const SpecialTokens *tokenizer_specials(const Tokenizer *);

#endif

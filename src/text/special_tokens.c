/* Special tokens that files do not name but everybody spells alike. */
#include "text/tokenizer_parts.h"

/* Where a role has several spellings the first that the vocabulary has wins. */
static const struct {
    size_t role;
    const char *spelling;
} spellings[] = {
#define ROLE(member) offsetof(SpecialTokens, member)
    {ROLE(fim_prefix), "<|fim_prefix|>"}, {ROLE(fim_prefix), "<fim-prefix>"},
    {ROLE(fim_prefix), "<fim_prefix>"},   {ROLE(fim_prefix), "<｜fim▁begin｜>"},
    {ROLE(fim_prefix), "<PRE>"},          {ROLE(fim_prefix), "▁<PRE>"},
    {ROLE(fim_prefix), "<|code_prefix|>"}, {ROLE(fim_prefix), "[PREFIX]"},
    {ROLE(fim_suffix), "<|fim_suffix|>"}, {ROLE(fim_suffix), "<fim-suffix>"},
    {ROLE(fim_suffix), "<fim_suffix>"},   {ROLE(fim_suffix), "<｜fim▁hole｜>"},
    {ROLE(fim_suffix), "<SUF>"},          {ROLE(fim_suffix), "▁<SUF>"},
    {ROLE(fim_suffix), "<|code_suffix|>"}, {ROLE(fim_suffix), "[SUFFIX]"},
    {ROLE(fim_middle), "<|fim_middle|>"}, {ROLE(fim_middle), "<fim-middle>"},
    {ROLE(fim_middle), "<fim_middle>"},   {ROLE(fim_middle), "<｜fim▁end｜>"},
    {ROLE(fim_middle), "<MID>"},          {ROLE(fim_middle), "▁<MID>"},
    {ROLE(fim_middle), "<|code_middle|>"}, {ROLE(fim_middle), "[MIDDLE]"},
    {ROLE(fim_pad), "<|fim_pad|>"},       {ROLE(fim_pad), "<fim-pad>"},
    {ROLE(fim_pad), "<fim_pad>"},         {ROLE(fim_repo), "<|repo_name|>"},
    {ROLE(fim_repo), "<|fim_repo|>"},     {ROLE(fim_repo), "<reponame>"},
    {ROLE(fim_file), "<|file_sep|>"},     {ROLE(fim_file), "<file_sep>"},
#undef ROLE
};

/* The ends of a turn, a message or a document. */
static const char *const ends[] = {
    "<|eot_id|>", "<|im_end|>", "<|end|>", "<end_of_turn>", "<turn|>", "<|endoftext|>", "<|end_of_text|>", "<EOT>",
    "_<EOT>", "[EOT]", "<｜end▁of▁sentence｜>", "<end_of_utterance>", "<|eom_id|>", "<|return|>", "<|call|>",
    "<|END_OF_TURN_TOKEN|>",
};

static int32_t find_special(const Tokenizer *t, const char *spelling)
{
    int32_t id = vocab_find(&t->vocab, span_text(spelling));
    if (id < 0)
        return TOKEN_NONE;
    PieceKind kind = t->vocab.pieces[id].kind;
    return kind == PIECE_CONTROL || kind == PIECE_USER || kind == PIECE_ADDED ? id : TOKEN_NONE;
}

static void add_end(SpecialTokens *s, int32_t id)
{
    for (int i = 0; i < s->ends_count; i++)
        if (s->ends[i] == id)
            return;
    if (id >= 0 && s->ends_count < END_TOKENS_MAX)
        s->ends[s->ends_count++] = id;
}

void special_tokens_guess(Tokenizer *t)
{
    SpecialTokens *s = &t->specials;
    for (size_t i = 0; i < COUNT_OF(spellings); i++) {
        int32_t *role = (int32_t *)((char *)s + spellings[i].role);
        if (*role < 0)
            *role = find_special(t, spellings[i].spelling);
    }
    add_end(s, s->eos);
    for (size_t i = 0; i < COUNT_OF(ends); i++)
        add_end(s, find_special(t, ends[i]));
}

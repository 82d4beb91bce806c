#include "text/pre_names.h"

#include "base/error.h"

/* ---- building blocks: the same few alternatives come back in nearly every published expression ---- */

#define CONTRACTIONS "(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])"
#define LETTERS "[^\\r\\n\\p{L}\\p{N}]?\\p{L}+"                 /* a word, with one sign or space before it */
#define SIGNS " ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*"                  /* signs, with the line ends after them */
#define SIGNS_OR_SLASH " ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*"
#define LINE_ENDS "\\s*[\\r\\n]+"
#define SPACES "\\s+(?!\\S)|\\s+"                               /* all but the last space before a word; or all */
#define UPPER "\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}"
#define LOWER "\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}"
#define ASCII_SIGNS "!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~"

/* ---- the expressions ---- */

/* Radford et al. 2019 */
#define GPT2 "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)"
/* Digits up to three, one at a time, or in any number: all that Llama 3, Qwen 2 and their kin differ in. */
#define DIGITS_3 CONTRACTIONS "|" LETTERS "|\\p{N}{1,3}|" SIGNS "|" LINE_ENDS "|" SPACES
#define DIGIT_EACH CONTRACTIONS "|" LETTERS "|\\p{N}|" SIGNS "|" LINE_ENDS "|" SPACES
#define DIGITS_ALL CONTRACTIONS "|" LETTERS "|\\p{N}+|" SIGNS "|" LINE_ENDS "|" SPACES
#define QWEN35 CONTRACTIONS "|[^\\r\\n\\p{L}\\p{N}]?[\\p{L}\\p{M}]+|\\p{N}| ?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*|" \
               LINE_ENDS "|" SPACES
#define UFAKZEKA LETTERS "|\\p{N}|" SIGNS "|" LINE_ENDS "|" SPACES
#define JAIS2 CONTRACTIONS "|" LETTERS "|\\p{N}{1,3}|" SIGNS "|" LINE_ENDS                             \
              "|\\s{512}(?!\\S)|\\s{256}(?!\\S)|\\s{128}(?!\\S)|\\s{64}(?!\\S)|\\s{32}(?!\\S)"         \
              "|\\s{16}(?!\\S)|\\s{8}(?!\\S)|\\s{4}(?!\\S)|\\s{1,2}(?!\\S)|\\s{1}"
#define SEED CONTRACTIONS "|" LETTERS "|\\p{N}{1}| ?[^\\s\\p{L}\\p{N}\\r\\n]+|" LINE_ENDS "|" SPACES
#define BAILING "'(?:[sSdDmMtT]|[lL][lL]|[vV][eE]|[rR][eE])|" LETTERS "|\\p{N}|" SIGNS "|\\s*[\\r\\n]|" SPACES
#define EXAONE_MOE CONTRACTIONS "|[^\\r\\n\\p{L}\\p{N}]?(?:\\p{L}\\p{M}*(?: \\p{L}\\p{M}*)*)+|\\p{N}" \
                   "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]?|\\s*[\\r\\n]|" SPACES
/* Words are cut where small letters are followed by capitals. `tail` is what may follow a word. */
#define CAMEL(tail) "[^\\r\\n\\p{L}\\p{N}]?[" UPPER "]*[" LOWER "]+" tail "|[^\\r\\n\\p{L}\\p{N}]?[" UPPER "]+[" LOWER "]*" tail
#define TEKKEN CAMEL("") "|\\p{N}|" SIGNS_OR_SLASH "|" LINE_ENDS "|" SPACES
#define GPT4O CAMEL(CONTRACTIONS "?") "|\\p{N}{1,3}|" SIGNS_OR_SLASH "|" LINE_ENDS "|" SPACES
#define YOUTU CAMEL(CONTRACTIONS "?") "|\\p{N}|" SIGNS_OR_SLASH "|" LINE_ENDS "|" SPACES
/* Han characters by themselves; otherwise as GPT-4o. */
#define NO_HAN(set) "(?:(?!\\p{Han})[" set "])"
#define KIMI_K2 "\\p{Han}+|[^\\r\\n\\p{L}\\p{N}]?" NO_HAN(UPPER) "*" NO_HAN(LOWER) "+" CONTRACTIONS "?"        \
                "|[^\\r\\n\\p{L}\\p{N}]?" NO_HAN(UPPER) "+" NO_HAN(LOWER) "*" CONTRACTIONS "?"                 \
                "|\\p{N}{1,3}|" SIGNS "|" LINE_ENDS "|" SPACES
#define DEEPSEEK_V3_WORDS "[" ASCII_SIGNS "][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+"              \
                          "| ?[\\p{P}\\p{S}]+[\\r\\n]*|" LINE_ENDS "|" SPACES
#define SPARK_WORDS "[" ASCII_SIGNS "][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+"                    \
                    "| ?[\\p{P}\\p{S}]+|[\\r\\n]|" SPACES
#define CJK_AND_KANA "[\\x{4E00}-\\x{9FA5}\\x{3040}-\\x{309F}\\x{30A0}-\\x{30FF}]+"
#define DEEPSEEK_CJK "[\\x{4E00}-\\x{9FA5}\\x{0800}-\\x{4E00}\\x{AC00}-\\x{D7FF}]+"
#define DEEPSEEK_LETTERS                                                                                        \
    "\\s?[A-Za-z\\xB5\\xC0-\\xD6\\xD8-\\xF6\\xF8-\\x{1BA}\\x{1BC}-\\x{1BF}\\x{1C4}-\\x{293}\\x{295}-\\x{2AF}"   \
    "\\x{370}-\\x{373}\\x{376}\\x{377}\\x{37B}-\\x{37D}\\x{37F}\\x{386}\\x{388}-\\x{38A}\\x{38C}"               \
    "\\x{38E}-\\x{3A1}\\x{3A3}-\\x{3F5}\\x{3F7}-\\x{481}\\x{48A}-\\x{52F}\\x{531}-\\x{556}\\x{10A0}-\\x{10C5}"  \
    "\\x{13A0}-\\x{13F5}\\x{13F8}-\\x{13FD}\\x{1C90}-\\x{1CBA}\\x{1CBD}-\\x{1CBF}\\x{1D00}-\\x{1D2B}"           \
    "\\x{1D6B}-\\x{1D77}\\x{1D79}-\\x{1D9A}\\x{1E00}-\\x{1F15}\\x{1F18}-\\x{1F1D}\\x{1F20}-\\x{1F45}"           \
    "\\x{1F48}-\\x{1F4D}\\x{1F50}-\\x{1F57}\\x{1F59}\\x{1F5B}\\x{1F5D}\\x{1F5F}-\\x{1F7D}\\x{1F80}-\\x{1FB4}"   \
    "\\x{1FB6}-\\x{1FBC}\\x{1FBE}\\x{1FC2}-\\x{1FC4}\\x{1FC6}-\\x{1FCC}\\x{1FD0}-\\x{1FD3}\\x{1FD6}-\\x{1FDB}"  \
    "\\x{1FE0}-\\x{1FEC}\\x{1FF2}-\\x{1FF4}\\x{1FF6}-\\x{1FFC}\\x{2102}\\x{2107}\\x{210A}-\\x{2113}\\x{2115}"   \
    "\\x{2119}-\\x{211D}\\x{2124}\\x{2126}\\x{2128}\\x{212A}-\\x{212D}\\x{212F}-\\x{2134}\\x{2139}"             \
    "\\x{213C}-\\x{213F}\\x{2145}-\\x{2149}\\x{214E}\\x{2183}\\x{2184}\\x{2C00}-\\x{2C7B}\\x{2C7E}-\\x{2CE4}"   \
    "\\x{2CEB}-\\x{2CEE}\\x{2CF2}\\x{2CF3}\\x{A640}-\\x{A66D}\\x{A680}-\\x{A69B}\\x{A722}-\\x{A76F}"            \
    "\\x{A771}-\\x{A787}\\x{A78B}-\\x{A78E}\\x{AB70}-\\x{ABBF}\\x{FB00}-\\x{FB06}\\x{FB13}-\\x{FB17}"           \
    "\\x{FF21}-\\x{FF3A}\\x{FF41}-\\x{FF5A}\\x{10400}-\\x{1044F}\\x{104B0}-\\x{104D3}\\x{104D8}-\\x{104FB}"     \
    "\\x{10C80}-\\x{10CB2}\\x{10CC0}-\\x{10CF2}\\x{118A0}-\\x{118DF}\\x{1E900}-\\x{1E943}]+"
#define DEEPSEEK_SIGNS \
    "\\s?[!-/:-~\\x{FF01}-\\x{FF0F}\\x{FF1A}-\\x{FF5E}\\x{2018}-\\x{201F}\\x{3000}-\\x{3002}]+"
/* Arabic full stop and comma, Devanagari danda and fullwidth marks end a word here as ASCII ones do. */
#define BLOOM " ?[^(\\s|.,!?\\x{2026}\\x{3002}\\x{FF0C}\\x{3001}\\x{964}\\x{6D4}\\x{60C})]+"
#define ASIAN_SCRIPTS                                                                                           \
    "[\\x{4E00}-\\x{9FFF}\\x{3400}-\\x{4DBF}\\x{F900}-\\x{FAFF}\\x{3040}-\\x{309F}\\x{30A0}-\\x{30FF}"          \
    "\\x{FF65}-\\x{FF9F}\\x{2F00}-\\x{2FDF}\\x{E40}-\\x{E7F}\\x{E80}-\\x{EFF}\\x{1780}-\\x{17FF}"               \
    "\\x{1000}-\\x{109F}\\x{AA60}-\\x{AA7F}\\x{A9E0}-\\x{A9FF}\\x{AC00}-\\x{D7AF}\\x{1100}-\\x{11FF}]+"
/* Digits in threes counted from the right: a first group of one or two where the length asks for it. */
#define DIGITS_FROM_RIGHT "\\p{N}{1,2}(?=(?:\\p{N}{3})+(?!\\p{N}))|\\p{N}{3}|\\p{N}{1,2}"
#define YOUTU_ASIAN                                                                                             \
    "[\\x{AC00}-\\x{D7A3}\\x{3131}-\\x{318E}]+"                                                                 \
    "|[\\x{FF01}\\x{2026}\\x{201C}\\x{201D}\\x{2018}\\x{2019}\\x{2014}\\x{FF1A}\\x{FF1B}\\x{FF0C}"              \
    "\\x{3001}-\\x{303F}\\x{FE30}-\\x{FE4F}]+|[\\x{3105}-\\x{312F}]+|" CJK_AND_KANA
#define LINES "[^\\n]+|[\\n]+"

enum { WWF = PRE_WHOLE_WORDS_FIRST, BOS = PRE_ADDS_BOS, PLAIN = PRE_PLAIN_TEXT, ESCAPES = PRE_ESCAPES_SPACES };

static const PreName names[] = {
    {"default", 0, {"[\\p{P}\\$\\+<=>\\^~\\|]+", GPT2, "\\p{N}+", "[0-9][0-9][0-9]"}},

    {"gpt-2", 0, {GPT2}}, {"phi-2", 0, {GPT2}}, {"jina-es", 0, {GPT2}}, {"jina-de", 0, {GPT2}},
    {"jina-v2-es", 0, {GPT2}}, {"jina-v2-de", 0, {GPT2}}, {"gigachat", 0, {GPT2}}, {"a.x-4.0", 0, {GPT2}},
    {"mellum", 0, {GPT2}}, {"modern-bert", 0, {GPT2}}, {"mpt", 0, {GPT2}}, {"olmo", 0, {GPT2}}, {"jais", 0, {GPT2}},
    {"trillion", 0, {GPT2}}, {"granite-docling", 0, {GPT2}}, {"exaone4", 0, {GPT2}},
    {"jina-v1-en", PRE_ADDS_SEP, {GPT2}}, {"jina-v2-code", PRE_ADDS_SEP, {GPT2}}, {"roberta-bpe", PRE_ADDS_SEP, {GPT2}},

    {"starcoder", 0, {"\\p{N}", GPT2}}, {"refact", 0, {"\\p{N}", GPT2}}, {"command-r", 0, {"\\p{N}", GPT2}},
    {"smollm", 0, {"\\p{N}", GPT2}}, {"codeshell", 0, {"\\p{N}", GPT2}}, {"exaone", 0, {"\\p{N}", GPT2}},
    {"minerva-7b", 0, {"\\p{N}", GPT2}}, {"mellum2", 0, {"\\p{N}", GPT2}},

    {"llama3", WWF | BOS, {DIGITS_3}}, {"llama-v3", WWF | BOS, {DIGITS_3}}, {"llama-bpe", WWF | BOS, {DIGITS_3}},
    {"falcon3", WWF | BOS, {DIGITS_3}}, {"falcon-h1", WWF | BOS, {DIGITS_3}}, {"pixtral", WWF | BOS, {DIGITS_3}},
    {"midm-2.0", WWF | BOS, {DIGITS_3}}, {"lfm2", WWF | BOS, {DIGITS_3}}, {"jina-v5-nano", WWF | BOS, {DIGITS_3}},
    {"dbrx", 0, {DIGITS_3}}, {"smaug-bpe", 0, {DIGITS_3}}, {"chatglm-bpe", 0, {DIGITS_3}}, {"glm4", 0, {DIGITS_3}},
    {"jais-2", 0, {JAIS2}}, {"minicpm5", WWF, {"\\p{N}{1,3}", DIGITS_ALL}},

    {"qwen2", 0, {DIGIT_EACH}}, {"deepseek-r1-qwen", 0, {DIGIT_EACH}}, {"kormo", 0, {DIGIT_EACH}}, {"f2llmv2", 0, {DIGIT_EACH}},
    {"stablelm2", 0, {DIGIT_EACH}}, {"megrez", 0, {DIGIT_EACH}}, {"hunyuan", 0, {DIGIT_EACH}}, {"solar-open", 0, {DIGIT_EACH}},
    {"grok-2", 0, {DIGIT_EACH}}, {"qwen35", 0, {QWEN35}}, {"ufakzeka", 0, {UFAKZEKA}},
    {"laguna", 0, {LINES, DIGIT_EACH}},

    {"deepseek-llm", 0, {"[\\r\\n]", DEEPSEEK_LETTERS, DEEPSEEK_SIGNS, "\\s+\\z", DEEPSEEK_CJK, "\\p{N}+"}},
    {"deepseek-coder", 0, {"[\\r\\n]", "\\s?\\p{L}+", "\\s?\\p{P}+", DEEPSEEK_CJK, "\\p{N}"}},
    {"deepseek-v3", 0, {"\\p{N}{1,3}", CJK_AND_KANA, DEEPSEEK_V3_WORDS}},
    {"hunyuan-dense", 0, {"\\p{N}{1,3}", CJK_AND_KANA, DEEPSEEK_V3_WORDS}},
    {"joyai-llm", 0, {"\\p{N}{1,3}", CJK_AND_KANA, DEEPSEEK_V3_WORDS}},
    {"hy_v4", 0, {"\\p{N}{1,3}", CJK_AND_KANA, DEEPSEEK_V3_WORDS}},
    {"spark2_5", 0, {"\\p{N}{1,3}", CJK_AND_KANA, SPARK_WORDS, "\\p{N}"}},
    {"afmoe", 0, {DIGITS_FROM_RIGHT, ASIAN_SCRIPTS, DEEPSEEK_V3_WORDS}},

    {"falcon", 0, {"[\\p{P}\\$\\+<=>\\^~\\|`]+", GPT2, "[0-9][0-9][0-9]"}},
    {"bloom", 0, {BLOOM}}, {"poro-chat", 0, {BLOOM}}, {"gpt3-finnish", 0, {BLOOM}}, {"viking", 0, {BLOOM, "\\p{N}"}},

    {"tekken", WWF | BOS, {TEKKEN}},
    {"gpt-4o", 0, {GPT4O}}, {"llama4", 0, {GPT4O}}, {"kanana2", 0, {GPT4O}}, {"talkie", 0, {GPT4O}},
    {"minimax-m2", 0, {GPT4O}}, {"granite-embed-multi-97m", WWF, {GPT4O}},
    {"tiny_aya", 0, {"\\d{1,3}(?=(?:\\d{3})*\\b)", GPT4O}}, {"cohere2moe", 0, {"\\d{1,3}(?=(?:\\d{3})*\\b)", GPT4O}},
    {"kimi-k2", 0, {KIMI_K2}}, {"youtu", WWF, {YOUTU_ASIAN, YOUTU}},

    {"superbpe", 0, {"\\p{N}+", "(?=(\\d{3})+(?!\\d))"}},
    {"bailingmoe", 0, {BAILING}}, {"bailingmoe2", 0, {BAILING}}, {"llada-moe", 0, {BAILING}},
    {"seed-coder", 0, {SEED}}, {"exaone-moe", 0, {EXAONE_MOE}},
    {"chameleon", BOS, {"<sentinel:[0-9]+>", "(IMGIMG)((A|B|C|D|E|F|G|H|I){1,4})Z", "([\\t\\n]|    |  )", "\\p{N}",
                        "[\\p{P}!-/:-@\\[-`{-~]", GPT2}},

    {"gemma4", PLAIN | ESCAPES | BOS, {LINES}}, {"granite-embed-multi-311m", PLAIN | ESCAPES | BOS, {LINES}},
    {"sarvam-moe", PLAIN | ESCAPES, {LINES}}, {"whitespace", PLAIN, {"\\S+"}},
};

const PreName *pre_name_find(Span name)
{
    for (size_t i = 0; i < COUNT_OF(names); i++)
        if (span_is(name, names[i].name))
            return &names[i];
    return NULL;
}


const PreName *pre_name_at(int index)
{
    return index >= 0 && (size_t)index < COUNT_OF(names) ? &names[index] : NULL;
}

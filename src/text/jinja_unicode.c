#include "text/jinja_unicode.h"

#include <utf8proc.h>

#include "base/error.h"

uint32_t point_next(const char *data, size_t *at)
{
    const uint8_t *p = (const uint8_t *)data + *at;
    if (p[0] < 0x80) {
        *at += 1;
        return p[0];
    }
    if (p[0] < 0xE0) {
        *at += 2;
        return (p[0] & 0x1Fu) << 6 | (p[1] & 0x3Fu);
    }
    if (p[0] < 0xF0) {
        *at += 3;
        return (p[0] & 0x0Fu) << 12 | (p[1] & 0x3Fu) << 6 | (p[2] & 0x3Fu);
    }
    *at += 4;
    return (p[0] & 0x07u) << 18 | (p[1] & 0x3Fu) << 12 | (p[2] & 0x3Fu) << 6 | (p[3] & 0x3Fu);
}

uint32_t point_before(const char *data, size_t *at)
{
    do
        --*at;
    while (*at > 0 && ((uint8_t)data[*at] & 0xC0) == 0x80);
    size_t start = *at;
    return point_next(data, &start);
}

bool utf8_valid(const char *data, size_t bytes)
{
    for (size_t at = 0; at < bytes;) {
        utf8proc_int32_t point;
        utf8proc_ssize_t n =
            utf8proc_iterate((const uint8_t *)data + at, (utf8proc_ssize_t)(bytes - at), &point);
        if (n <= 0)
            return false;
        at += (size_t)n;
    }
    return true;
}

typedef struct Span32 {
    uint32_t first, last;
} Span32;

static bool listed(uint32_t c, const Span32 *spans, size_t count)
{
    for (size_t i = 0; i < count && spans[i].first <= c; i++)
        if (c <= spans[i].last)
            return true;
    return false;
}

static utf8proc_category_t category(uint32_t c) { return utf8proc_category((utf8proc_int32_t)c); }

bool point_is_space(uint32_t c)
{
    static const Span32 spaces[] = {
        {9, 13}, {28, 32}, {0x85, 0x85}, {0xA0, 0xA0}, {0x1680, 0x1680}, {0x2000, 0x200A},
        {0x2028, 0x2029}, {0x202F, 0x202F}, {0x205F, 0x205F}, {0x3000, 0x3000},
    };
    return listed(c, spaces, COUNT_OF(spaces));
}

bool point_is_line_end(uint32_t c)
{
    return (c >= 10 && c <= 13) || (c >= 28 && c <= 30) || c == 0x85 || c == 0x2028 || c == 0x2029;
}

bool point_is_alpha(uint32_t c)
{
    if (c < 0x80)
        return (c | 32) >= 'a' && (c | 32) <= 'z';
    utf8proc_category_t k = category(c);
    return k >= UTF8PROC_CATEGORY_LU && k <= UTF8PROC_CATEGORY_LO;
}

bool point_is_decimal(uint32_t c)
{
    return c < 0x80 ? c >= '0' && c <= '9' : category(c) == UTF8PROC_CATEGORY_ND;
}

/* Numeric_Type=Digit of the Unicode Character Database: superscripts, circled digits ... */
bool point_is_digit(uint32_t c)
{
    static const Span32 digits[] = {
        {0xB2, 0xB3},       {0xB9, 0xB9},       {0x1369, 0x1371},   {0x19DA, 0x19DA},
        {0x2070, 0x2070},   {0x2074, 0x2079},   {0x2080, 0x2089},   {0x2460, 0x2468},
        {0x2474, 0x247C},   {0x2488, 0x2490},   {0x24EA, 0x24EA},   {0x24F5, 0x24FD},
        {0x24FF, 0x24FF},   {0x2776, 0x277E},   {0x2780, 0x2788},   {0x278A, 0x2792},
        {0x10A40, 0x10A43}, {0x10E60, 0x10E68}, {0x11052, 0x1105A}, {0x1F100, 0x1F10A},
    };
    return point_is_decimal(c) || listed(c, digits, COUNT_OF(digits));
}

/* Beside the categories of numbers, the ideographs that count (Numeric_Type=Numeric within Lo). */
bool point_is_numeric(uint32_t c)
{
    static const uint32_t ideographs[] = {
        0x3405,  0x3483,  0x382A,  0x3B4D,  0x4E00,  0x4E03,  0x4E07,  0x4E09,  0x4E5D,
        0x4E8C,  0x4E94,  0x4E96,  0x4EBF,  0x4EC0,  0x4EDF,  0x4EE8,  0x4F0D,  0x4F70,
        0x5104,  0x5146,  0x5169,  0x516B,  0x516D,  0x5341,  0x5343,  0x5344,  0x5345,
        0x534C,  0x53C1,  0x53C2,  0x53C3,  0x53C4,  0x56DB,  0x58F1,  0x58F9,  0x5E7A,
        0x5EFE,  0x5EFF,  0x5F0C,  0x5F0D,  0x5F0E,  0x5F10,  0x62FE,  0x634C,  0x67D2,
        0x6F06,  0x7396,  0x767E,  0x8086,  0x842C,  0x8CAE,  0x8CB3,  0x8D30,  0x9621,
        0x9646,  0x964C,  0x9678,  0x96F6,  0xF96B,  0xF973,  0xF978,  0xF9B2,  0xF9D1,
        0xF9D3,  0xF9FD,  0x20001, 0x20064, 0x200E2, 0x20121, 0x2092A, 0x20983, 0x2098C,
        0x2099C, 0x20AEA, 0x20AFD, 0x20B19, 0x22390, 0x22998, 0x23B1B, 0x2626D, 0x2F890,
    };
    if (c < 0x80)
        return point_is_decimal(c);
    utf8proc_category_t k = category(c);
    if (k >= UTF8PROC_CATEGORY_ND && k <= UTF8PROC_CATEGORY_NO)
        return true;
    for (size_t i = 0; i < COUNT_OF(ideographs); i++)
        if (ideographs[i] == c)
            return true;
    return false;
}

bool point_is_alnum(uint32_t c) { return point_is_alpha(c) || point_is_numeric(c); }

/* Other_Lowercase and Other_Uppercase: letters by another category, or symbols that have a case. */
bool point_is_lower(uint32_t c)
{
    static const Span32 others[] = {
        {0xAA, 0xAA}, {0xBA, 0xBA}, {0x2B0, 0x2B8}, {0x2C0, 0x2C1}, {0x2E0, 0x2E4}, {0x345, 0x345},
        {0x37A, 0x37A}, {0x1D2C, 0x1D6A}, {0x1D78, 0x1D78}, {0x1D9B, 0x1DBF}, {0x2071, 0x2071},
        {0x207F, 0x207F}, {0x2090, 0x209C}, {0x2170, 0x217F}, {0x24D0, 0x24E9}, {0x2C7C, 0x2C7D},
        {0xA69C, 0xA69D}, {0xA770, 0xA770}, {0xA7F8, 0xA7F9}, {0xAB5C, 0xAB5F}, {0x10780, 0x10780},
        {0x10783, 0x10785}, {0x10787, 0x107B0}, {0x107B2, 0x107BA},
    };
    if (c < 0x80)
        return c >= 'a' && c <= 'z';
    return category(c) == UTF8PROC_CATEGORY_LL || listed(c, others, COUNT_OF(others));
}

bool point_is_upper(uint32_t c)
{
    static const Span32 others[] = {
        {0x2160, 0x216F},   {0x24B6, 0x24CF},   {0x1F130, 0x1F149},
        {0x1F150, 0x1F169}, {0x1F170, 0x1F189},
    };
    if (c < 0x80)
        return c >= 'A' && c <= 'Z';
    return category(c) == UTF8PROC_CATEGORY_LU || listed(c, others, COUNT_OF(others));
}

bool point_is_title(uint32_t c) { return c >= 0x80 && category(c) == UTF8PROC_CATEGORY_LT; }
bool point_is_cased(uint32_t c)
{
    return point_is_lower(c) || point_is_upper(c) || point_is_title(c);
}

bool point_is_printable(uint32_t c)
{
    if (c < 0x7F)
        return c >= 0x20;
    switch (category(c)) {
    case UTF8PROC_CATEGORY_CN: case UTF8PROC_CATEGORY_CC: case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_CS: case UTF8PROC_CATEGORY_CO: case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP: case UTF8PROC_CATEGORY_ZS:
        return false;
    default:
        return true;
    }
}

int point_fold(uint32_t c, uint32_t out[3])
{
    if (c < 0x80) {
        out[0] = c >= 'A' && c <= 'Z' ? c + 32 : c;
        return 1;
    }
    utf8proc_int32_t folded[8];
    int boundary = 0;
    utf8proc_ssize_t n =
        utf8proc_decompose_char((utf8proc_int32_t)c, folded, 8, UTF8PROC_CASEFOLD, &boundary);
    if (n < 1 || n > 3) {
        out[0] = c;
        return 1;
    }
    for (utf8proc_ssize_t i = 0; i < n; i++)
        out[i] = (uint32_t)folded[i];
    return (int)n;
}

/* A lower-case letter whose folding is longer than itself has no upper-case letter of its own: its
 * upper case is that of its folding ("ß" by "ss", "ﬁ" by "fi", "ᾳ" by "αι"). */
static int upper_by_folding(uint32_t c, uint32_t out[3])
{
    int n = c < 0x80 || category(c) == UTF8PROC_CATEGORY_LU ? 1 : point_fold(c, out);
    return n > 1 ? n : 0;
}

int point_upper(uint32_t c, uint32_t out[3])
{
    int n = upper_by_folding(c, out);
    if (n == 0) {
        out[0] = (uint32_t)utf8proc_toupper((utf8proc_int32_t)c);
        return 1;
    }
    for (int i = 0; i < n; i++)
        out[i] = (uint32_t)utf8proc_toupper((utf8proc_int32_t)out[i]);
    return n;
}

int point_title(uint32_t c, uint32_t out[3])
{
    uint32_t simple = (uint32_t)utf8proc_totitle((utf8proc_int32_t)c);
    int n = c == 0xDF || simple == c ? upper_by_folding(c, out) : 0;
    if (n == 0 || point_is_title(c)) {
        out[0] = simple;
        return 1;
    }
    int first = 0;   /* "ŉ" is an apostrophe and a letter: the letter is the one to raise */
    while (first < n - 1 && !point_is_cased(out[first]))
        first++;
    out[first] = (uint32_t)utf8proc_totitle((utf8proc_int32_t)out[first]);
    return n;
}

int point_lower(uint32_t c, uint32_t out[3])
{
    enum { I_WITH_DOT = 0x130, DOT_ABOVE = 0x307 };
    out[0] = c == I_WITH_DOT ? 'i' : (uint32_t)utf8proc_tolower((utf8proc_int32_t)c);
    out[1] = DOT_ABOVE;
    return c == I_WITH_DOT ? 2 : 1;
}

/* Case_Ignorable, near enough: marks, formats, modifiers and the punctuation within words. */
static bool ignored_by_case(uint32_t c)
{
    static const Span32 others[] = {
        {0x27, 0x27},     {0x2E, 0x2E},     {0x3A, 0x3A},     {0x5E, 0x5E},     {0x60, 0x60},
        {0xA8, 0xA8},     {0xAD, 0xAD},     {0xAF, 0xAF},     {0xB4, 0xB4},     {0xB7, 0xB8},
        {0x387, 0x387},   {0x55F, 0x55F},   {0x5F4, 0x5F4},   {0x2018, 0x2019}, {0x2024, 0x2024},
        {0x2027, 0x2027}, {0xFE13, 0xFE13}, {0xFE52, 0xFE52}, {0xFE55, 0xFE55}, {0xFF07, 0xFF07},
        {0xFF0E, 0xFF0E}, {0xFF1A, 0xFF1A},
    };
    if (listed(c, others, COUNT_OF(others)))
        return true;
    switch (c < 0x80 ? UTF8PROC_CATEGORY_CN : category(c)) {
    case UTF8PROC_CATEGORY_MN: case UTF8PROC_CATEGORY_ME: case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_LM: case UTF8PROC_CATEGORY_SK:
        return true;
    default:
        return false;
    }
}

bool sigma_is_final(const char *data, size_t bytes, size_t at)
{
    size_t before = at, after = at;
    uint32_t c = 0;
    while (before > 0 && ignored_by_case(c = point_before(data, &before)))
        c = 0;
    if (!c || !point_is_cased(c))
        return false;
    point_next(data, &after);
    c = 0;
    while (after < bytes && ignored_by_case(c = point_next(data, &after)))
        c = 0;
    return !c || !point_is_cased(c);
}

/* jinja_str.c -- the methods of Python's str. */
#include "text/jinja_methods.h"

#include <math.h>
#include <stdlib.h>

#include "text/jinja_print.h"
#include "text/jinja_run.h"
#include "text/jinja_unicode.h"

static const Str *want_str(Jinja *j, Value v, const char *what)
{
    if (v.kind == V_UNDEFINED)
        undefined_fail(j, v);
    if (v.kind != V_STRING)
        TYPE_ERROR(j, "%s must be str, not %s", what, value_type(v));
    return v.str;
}

static int64_t integer_or(Jinja *j, Value v, int64_t otherwise)
{
    return v.kind == V_MISSING ? otherwise : index_of(j, v);
}

static Value some_space(Jinja *j) { return str_literal(j, " "); }

/* ---- case ---- */

typedef int (*PointMap)(uint32_t, uint32_t[3]);

static void put_lower_at(Text *t, const Str *s, size_t start, uint32_t c)
{
    enum { SIGMA = 0x3A3, FINAL_SIGMA = 0x3C2 };
    uint32_t out[3];
    if (c == SIGMA && sigma_is_final(s->data, s->bytes, start)) {
        text_put_point(t, FINAL_SIGMA);
        return;
    }
    int n = point_lower(c, out);
    for (int i = 0; i < n; i++)
        text_put_point(t, out[i]);
}

static void put_mapped(Text *t, PointMap map, uint32_t c)
{
    uint32_t out[3];
    int n = map(c, out);
    for (int i = 0; i < n; i++)
        text_put_point(t, out[i]);
}

static Value mapped(Jinja *j, Value v, PointMap map)
{
    Text t = text_new(j);
    for (size_t at = 0; at < v.str->bytes;)
        put_mapped(&t, map, point_next(v.str->data, &at));
    return text_value(&t);
}

Value str_upper(Jinja *j, Value v) { return mapped(j, v, point_upper); }

Value str_lower(Jinja *j, Value v)
{
    Text t = text_new(j);
    for (size_t at = 0; at < v.str->bytes;) {
        size_t start = at;
        uint32_t c = point_next(v.str->data, &at);
        put_lower_at(&t, v.str, start, c);
    }
    return text_value(&t);
}

Value str_capitalize(Jinja *j, Value v)
{
    Text t = text_new(j);
    for (size_t at = 0; at < v.str->bytes;) {
        size_t start = at;
        uint32_t c = point_next(v.str->data, &at);
        if (start == 0)
            put_mapped(&t, point_title, c);
        else
            put_lower_at(&t, v.str, start, c);
    }
    return text_value(&t);
}

static Value str_title(Jinja *j, Value v)
{
    Text t = text_new(j);
    bool within = false;
    for (size_t at = 0; at < v.str->bytes;) {
        size_t start = at;
        uint32_t c = point_next(v.str->data, &at);
        if (within)
            put_lower_at(&t, v.str, start, c);
        else
            put_mapped(&t, point_title, c);
        within = point_is_cased(c);
    }
    return text_value(&t);
}

static Value method_swapcase(Jinja *j, Call *call)
{
    const Str *s = call->self.str;
    Text t = text_new(j);
    for (size_t at = 0; at < s->bytes;) {
        size_t start = at;
        uint32_t c = point_next(s->data, &at);
        if (point_is_upper(c))
            put_lower_at(&t, s, start, c);
        else if (point_is_lower(c))
            put_mapped(&t, point_upper, c);
        else
            text_put_point(&t, c);
    }
    return text_value(&t);
}

static Value method_upper(Jinja *j, Call *call) { return str_upper(j, call->self); }
static Value method_lower(Jinja *j, Call *call) { return str_lower(j, call->self); }
static Value method_title(Jinja *j, Call *call) { return str_title(j, call->self); }
static Value method_capitalize(Jinja *j, Call *call) { return str_capitalize(j, call->self); }
static Value method_casefold(Jinja *j, Call *call) { return mapped(j, call->self, point_fold); }

/* ---- classes ---- */

static bool all_points(Value v, bool (*is)(uint32_t))
{
    const Str *s = v.str;
    for (size_t at = 0; at < s->bytes;)
        if (!is(point_next(s->data, &at)))
            return false;
    return s->bytes > 0;
}

bool str_cased_as(Value v, bool upper)
{
    bool cased = false;
    for (size_t at = 0; at < v.str->bytes;) {
        uint32_t c = point_next(v.str->data, &at);
        if (point_is_title(c) || (upper ? point_is_lower(c) : point_is_upper(c)))
            return false;
        cased |= upper ? point_is_upper(c) : point_is_lower(c);
    }
    return cased;
}

static Value method_istitle(Jinja *j, Call *call)
{
    (void)j;
    bool within = false, cased = false;
    for (size_t at = 0; at < call->self.str->bytes;) {
        uint32_t c = point_next(call->self.str->data, &at);
        bool upper = point_is_upper(c) || point_is_title(c), lower = point_is_lower(c);
        if ((upper && within) || (lower && !within))
            return value_bool(false);
        within = upper || lower;
        cased |= within;
    }
    return value_bool(cased);
}

static Value method_isidentifier(Jinja *j, Call *call)
{
    (void)j;
    const Str *s = call->self.str;
    for (size_t at = 0; at < s->bytes;) {
        bool first = at == 0;
        uint32_t c = point_next(s->data, &at);
        if (c != '_' && !(first ? point_is_alpha(c) : point_is_alnum(c)))
            return value_bool(false);
    }
    return value_bool(s->bytes > 0);
}

static Value method_isascii(Jinja *j, Call *call)
{
    (void)j;
    return value_bool(call->self.str->bytes == call->self.str->points);
}

#define CLASS_METHOD(name, is)                                                                     \
    static Value name(Jinja *j, Call *call)                                                        \
    {                                                                                              \
        (void)j;                                                                                   \
        return value_bool(all_points(call->self, is));                                             \
    }
CLASS_METHOD(method_isalnum, point_is_alnum)
CLASS_METHOD(method_isalpha, point_is_alpha)
CLASS_METHOD(method_isdecimal, point_is_decimal)
CLASS_METHOD(method_isdigit, point_is_digit)
CLASS_METHOD(method_isnumeric, point_is_numeric)
CLASS_METHOD(method_isspace, point_is_space)

static Value method_isprintable(Jinja *j, Call *call)
{
    (void)j;
    return value_bool(call->self.str->bytes == 0 || all_points(call->self, point_is_printable));
}

static Value method_islower(Jinja *j, Call *call)
{
    (void)j;
    return value_bool(str_cased_as(call->self, false));
}
static Value method_isupper(Jinja *j, Call *call)
{
    (void)j;
    return value_bool(str_cased_as(call->self, true));
}

/* ---- ends ---- */

static bool in_set(uint32_t c, const Str *set)
{
    for (size_t at = 0; at < set->bytes;)
        if (point_next(set->data, &at) == c)
            return true;
    return false;
}

Value str_strip(Jinja *j, Value v, Value characters, bool left, bool right)
{
    const Str *set = NULL, *s = v.str;
    if (characters.kind != V_MISSING && characters.kind != V_NONE)
        set = want_str(j, characters, "strip arg");
    size_t from = 0, to = s->bytes;
    for (size_t next = from; left && next < to; from = next) {
        uint32_t c = point_next(s->data, &next);
        if (set ? !in_set(c, set) : !point_is_space(c))
            break;
    }
    for (size_t before = to; right && before > from; to = before) {
        uint32_t c = point_before(s->data, &before);
        if (set ? !in_set(c, set) : !point_is_space(c))
            break;
    }
    return from == 0 && to == s->bytes ? v : str_cut(j, v, from, to);
}

static Value method_strip(Jinja *j, Call *call)
{
    return str_strip(j, call->self, call->arg[0], true, true);
}
static Value method_lstrip(Jinja *j, Call *call)
{
    return str_strip(j, call->self, call->arg[0], true, false);
}
static Value method_rstrip(Jinja *j, Call *call)
{
    return str_strip(j, call->self, call->arg[0], false, true);
}

/* The part of self between two optional positions, as find, count and startswith take them; false
 * when it begins beyond the end, where even "" is not found. */
static bool cut_by(Jinja *j, Call *call, int first, Value *out, int64_t *from)
{
    int64_t length = call->self.str->points, edge[2] = {0, length};
    for (int i = 0; i < 2; i++) {
        Value v = call->arg[first + i];
        if (v.kind == V_MISSING || v.kind == V_NONE)
            continue;
        edge[i] = index_of(j, v);
        edge[i] += edge[i] < 0 ? length : 0;
        edge[i] = edge[i] < 0 ? 0 : edge[i];
    }
    edge[1] = edge[1] > length ? length : edge[1];
    *from = edge[0];
    if (edge[0] > edge[1])
        return false;
    *out =
        edge[0] == 0 && edge[1] == length ? call->self : str_slice(j, call->self, edge[0], edge[1]);
    return true;
}

static bool has_end(const Str *s, const Str *part, bool at_start)
{
    return s->bytes >= part->bytes
           && !memcmp(s->data + (at_start ? 0 : s->bytes - part->bytes), part->data, part->bytes);
}

static Value has_any_end(Jinja *j, Call *call, bool at_start)
{
    const char *what = at_start ? "startswith first arg" : "endswith first arg";
    Value part = call->arg[0], self;
    int64_t from;
    bool there = cut_by(j, call, 1, &self, &from), held = false;
    if (part.kind != V_TUPLE)
        return value_bool(
            has_end(there ? self.str : want_str(j, part, what), want_str(j, part, what), at_start)
            && there);
    for (int32_t i = 0; i < part.list->count && !held; i++) {
        const Str *each = want_str(j, part.list->items[i], what);
        held = there && has_end(self.str, each, at_start);
    }
    return value_bool(held);
}

static Value method_startswith(Jinja *j, Call *call) { return has_any_end(j, call, true); }
static Value method_endswith(Jinja *j, Call *call) { return has_any_end(j, call, false); }

static Value method_removeprefix(Jinja *j, Call *call)
{
    const Str *part = want_str(j, call->arg[0], "removeprefix() argument"), *s = call->self.str;
    return has_end(s, part, true) ? str_cut(j, call->self, part->bytes, s->bytes) : call->self;
}

static Value method_removesuffix(Jinja *j, Call *call)
{
    const Str *part = want_str(j, call->arg[0], "removesuffix() argument"), *s = call->self.str;
    return has_end(s, part, false) ? str_cut(j, call->self, 0, s->bytes - part->bytes) : call->self;
}

/* ---- finding ---- */

static const char *find_last(const Str *s, const Str *part)
{
    for (size_t at = s->bytes + 1; at-- > part->bytes;)
        if (!memcmp(s->data + at - part->bytes, part->data, part->bytes))
            return s->data + at - part->bytes;
    return NULL;
}

static const char *find_first(Jinja *j, const Str *s, size_t at, const Str *part)
{
    jinja_work(j, (s->bytes - at) >> 6);
    return part->bytes ? memmem(s->data + at, s->bytes - at, part->data, part->bytes)
                       : s->data + at;
}

static int64_t points_before(const Str *s, const char *end)
{
    int64_t n = 0;
    for (const char *at = s->data; at < end; at++)
        n += ((uint8_t)*at & 0xC0) != 0x80;
    return n;
}

static int64_t position(Jinja *j, Call *call, bool last)
{
    const Str *part = want_str(j, call->arg[0], "the text to find");
    Value self;
    int64_t from;
    if (!cut_by(j, call, 1, &self, &from))
        return -1;
    jinja_work(j, last ? self.str->bytes >> 4 : 0);
    const char *found = last ? find_last(self.str, part) : find_first(j, self.str, 0, part);
    return found ? from + points_before(self.str, found) : -1;
}

static Value method_find(Jinja *j, Call *call) { return value_int(position(j, call, false)); }
static Value method_rfind(Jinja *j, Call *call) { return value_int(position(j, call, true)); }

static Value index_or_fail(Jinja *j, Call *call, bool last)
{
    int64_t at = position(j, call, last);
    if (at < 0)
        TYPE_ERROR(j, "substring not found");
    return value_int(at);
}

static Value method_index(Jinja *j, Call *call) { return index_or_fail(j, call, false); }
static Value method_rindex(Jinja *j, Call *call) { return index_or_fail(j, call, true); }

static Value method_count(Jinja *j, Call *call)
{
    const Str *part = want_str(j, call->arg[0], "the text to count");
    Value self;
    int64_t from, n = 0;
    if (!cut_by(j, call, 1, &self, &from))
        return value_int(0);
    if (part->bytes == 0)
        return value_int((int64_t)self.str->points + 1);
    size_t at = 0;
    for (const char *found; (found = find_first(j, self.str, at, part)); n++)
        at = (size_t)(found - self.str->data) + part->bytes;
    return value_int(n);
}

Value str_replace(Jinja *j, Value v, Value old, Value new, int64_t count)
{
    const Str *s = v.str, *from = old.str;
    Text t = text_new(j);
    size_t at = 0;
    for (; count != 0; count--) {
        const char *found = find_first(j, s, at, from);
        if (!found)
            break;
        size_t start = (size_t)(found - s->data), end = start + from->bytes;
        if (from->bytes == 0) {   /* between all characters, and at both ends */
            text_put_str(&t, new.str);
            if (at == s->bytes)
                return text_value(&t);
            end = at;
            point_next(s->data, &end);
            text_put(&t, s->data + at, end - at);
        } else {
            text_put(&t, s->data + at, start - at);
            text_put_str(&t, new.str);
        }
        at = end;
    }
    if (at == 0)
        return v;
    text_put(&t, s->data + at, s->bytes - at);
    return text_value(&t);
}

static Value method_replace(Jinja *j, Call *call)
{
    want_str(j, call->arg[0], "replace() argument 1");
    want_str(j, call->arg[1], "replace() argument 2");
    return str_replace(j, call->self, call->arg[0], call->arg[1], integer_or(j, call->arg[2], -1));
}

/* ---- splitting ---- */

static Value split_on_space(Jinja *j, Value v, int64_t limit)
{
    const Str *s = v.str;
    Value out = list_new(j, 0);
    for (size_t at = 0;;) {
        size_t start = at;
        for (size_t next = at; next < s->bytes && point_is_space(point_next(s->data, &next));
             at = next)
            start = next;
        if (start >= s->bytes)
            return out;
        if (limit-- == 0) {
            list_put(j, out, str_cut(j, v, start, s->bytes));
            return out;
        }
        size_t end = start;
        for (size_t next = end; next < s->bytes && !point_is_space(point_next(s->data, &next));
             end = next)
            ;
        list_put(j, out, str_cut(j, v, start, end));
        at = end;
    }
}

static void reverse_list(List *l)
{
    for (int32_t i = 0; i < l->count / 2; i++) {
        Value other = l->items[l->count - 1 - i];
        l->items[l->count - 1 - i] = l->items[i];
        l->items[i] = other;
    }
}

static Value rsplit_on_space(Jinja *j, Value v, int64_t limit)
{
    const Str *s = v.str;
    Value out = list_new(j, 0);
    for (size_t end = s->bytes;;) {
        for (size_t before = end; before > 0 && point_is_space(point_before(s->data, &before));
             end = before)
            ;
        if (end == 0)
            break;
        if (limit-- == 0) {
            list_put(j, out, str_cut(j, v, 0, end));
            break;
        }
        size_t start = end;
        for (size_t before = start; before > 0 && !point_is_space(point_before(s->data, &before));
             start = before)
            ;
        list_put(j, out, str_cut(j, v, start, end));
        end = start;
    }
    reverse_list(out.list);
    return out;
}

static Value split_on(Jinja *j, Value v, const Str *separator, int64_t limit)
{
    const Str *s = v.str;
    Value out = list_new(j, 0);
    size_t at = 0;
    for (const char *found; limit != 0 && (found = find_first(j, s, at, separator)); limit--) {
        list_put(j, out, str_cut(j, v, at, (size_t)(found - s->data)));
        at = (size_t)(found - s->data) + separator->bytes;
    }
    list_put(j, out, str_cut(j, v, at, s->bytes));
    return out;
}

static Value rsplit_on(Jinja *j, Value v, const Str *separator, int64_t limit)
{
    const Str *s = v.str;
    Value out = list_new(j, 0);
    Str left = *s;
    jinja_work(j, s->bytes >> 4);
    for (const char *found; limit != 0 && (found = find_last(&left, separator)); limit--) {
        size_t start = (size_t)(found - s->data);
        list_put(j, out, str_cut(j, v, start + separator->bytes, left.bytes));
        left.bytes = (uint32_t)start;
    }
    list_put(j, out, str_cut(j, v, 0, left.bytes));
    reverse_list(out.list);
    return out;
}

static Value split(Jinja *j, Call *call, bool from_right)
{
    int64_t limit = integer_or(j, call->arg[1], -1);
    if (call->arg[0].kind == V_MISSING || call->arg[0].kind == V_NONE)
        return (from_right ? rsplit_on_space : split_on_space)(j, call->self, limit);
    const Str *separator = want_str(j, call->arg[0], "the separator");
    if (separator->bytes == 0)
        TYPE_ERROR(j, "empty separator");
    return (from_right ? rsplit_on : split_on)(j, call->self, separator, limit);
}

static Value method_split(Jinja *j, Call *call) { return split(j, call, false); }
static Value method_rsplit(Jinja *j, Call *call) { return split(j, call, true); }

Value str_split_lines(Jinja *j, Value v, bool keep_ends)
{
    const Str *s = v.str;
    Value out = list_new(j, 0);
    size_t start = 0;
    for (size_t at = 0; at < s->bytes;) {
        size_t end = at;
        uint32_t c = point_next(s->data, &at);
        if (!point_is_line_end(c))
            continue;
        at += c == '\r' && at < s->bytes && s->data[at] == '\n';
        list_put(j, out, str_cut(j, v, start, keep_ends ? at : end));
        start = at;
    }
    if (start < s->bytes)
        list_put(j, out, str_cut(j, v, start, s->bytes));
    return out;
}

static Value method_splitlines(Jinja *j, Call *call)
{
    return str_split_lines(j, call->self,
                           call->arg[0].kind != V_MISSING && value_truth(j, call->arg[0]));
}

static Value partition(Jinja *j, Call *call, bool last)
{
    const Str *separator = want_str(j, call->arg[0], "the separator"), *s = call->self.str;
    if (separator->bytes == 0)
        TYPE_ERROR(j, "empty separator");
    jinja_work(j, s->bytes >> 4);
    const char *found = last ? find_last(s, separator) : find_first(j, s, 0, separator);
    size_t start = found ? (size_t)(found - s->data) : last ? 0 : s->bytes;
    size_t end = found ? start + separator->bytes : start;
    Value out = tuple_new(j, 3);
    list_put(j, out, str_cut(j, call->self, 0, start));
    list_put(j, out, str_cut(j, call->self, start, end));
    list_put(j, out, str_cut(j, call->self, end, s->bytes));
    return out;
}

static Value method_partition(Jinja *j, Call *call) { return partition(j, call, false); }
static Value method_rpartition(Jinja *j, Call *call) { return partition(j, call, true); }

static Value method_join(Jinja *j, Call *call)
{
    Text t = text_new(j);
    Iter it = iter_of(j, call->arg[0]);
    int64_t n = 0;
    for (Value v; iter_next(j, &it, &v); n++) {
        if (n)
            text_put_str(&t, call->self.str);
        text_put_str(&t, want_str(j, v, "sequence item"));
        jinja_work(j, 1);
    }
    return text_value(&t);
}

/* ---- filling ---- */

static Value padded(Jinja *j, Value v, int64_t left, int64_t right, Value fill)
{
    fill = fill.kind == V_MISSING ? some_space(j) : fill;
    if (want_str(j, fill, "the fill character")->points != 1)
        TYPE_ERROR(j, "The fill character must be exactly one character long");
    if (left <= 0 && right <= 0)
        return v;
    Text t = text_new(j);
    text_fill(&t, fill, left);
    text_put_str(&t, v.str);
    text_fill(&t, fill, right);
    return text_value(&t);
}

Value str_center(Jinja *j, Value v, int64_t width, Value fill)
{
    int64_t margin = width > v.str->points ? width - v.str->points : 0;
    int64_t left = margin / 2 + (margin & width & 1);
    return padded(j, v, left, margin - left, fill);
}

static Value method_center(Jinja *j, Call *call)
{
    return str_center(j, call->self, index_of(j, call->arg[0]), call->arg[1]);
}

static int64_t missing_width(Jinja *j, Call *call)
{
    int64_t width = index_of(j, call->arg[0]);
    return width > call->self.str->points ? width - call->self.str->points : 0;
}

static Value method_ljust(Jinja *j, Call *call)
{
    return padded(j, call->self, 0, missing_width(j, call), call->arg[1]);
}

static Value method_rjust(Jinja *j, Call *call)
{
    return padded(j, call->self, missing_width(j, call), 0, call->arg[1]);
}

static Value method_zfill(Jinja *j, Call *call)
{
    const Str *s = call->self.str;
    size_t sign = s->bytes && (s->data[0] == '-' || s->data[0] == '+');
    Text t = text_new(j);
    text_put(&t, s->data, sign);
    text_fill(&t, str_literal(j, "0"), missing_width(j, call));
    text_put(&t, s->data + sign, s->bytes - sign);
    return text_value(&t);
}

static Value method_expandtabs(Jinja *j, Call *call)
{
    int64_t width = integer_or(j, call->arg[0], 8), column = 0;
    Text t = text_new(j);
    for (size_t at = 0; at < call->self.str->bytes;) {
        uint32_t c = point_next(call->self.str->data, &at);
        if (c != '\t') {
            column = c == '\n' || c == '\r' ? 0 : column + 1;
            text_put_point(&t, c);
            continue;
        }
        int64_t spaces = width > 0 ? width - column % width : 0;
        text_fill(&t, some_space(j), spaces);
        column += spaces;
    }
    return text_value(&t);
}

/* ---- formatting ---- */

static Value method_format(Jinja *j, Call *call)
{
    Value names = dict_new(j);
    for (int32_t i = 0; i < call->args->named_count; i++)
        dict_put(j, names, call->args->named[i].name, call->args->named[i].value);
    return brace_format(j, call->self, call->args, names.dict);
}

static Value method_format_map(Jinja *j, Call *call)
{
    if (call->arg[0].kind != V_DICT)
        TYPE_ERROR(j, "format_map() takes a mapping, not %s", value_type(call->arg[0]));
    return brace_format(j, call->self, &(Args){0}, call->arg[0].dict);
}

static Value method_refused(Jinja *j, Call *call)
{
    (void)call;
    jinja_fail(j, UNSUPPORTED, "str.encode, str.maketrans and str.translate are not known here");
}

static const Builtin methods[] = {
    {"capitalize", "/", method_capitalize},
    {"casefold", "/", method_casefold},
    {"center", "/width fillchar?", method_center},
    {"count", "/sub start? end?", method_count},
    {"encode", NULL, method_refused},
    {"endswith", "/suffix start? end?", method_endswith},
    {"expandtabs", "tabsize?", method_expandtabs},
    {"find", "/sub start? end?", method_find},
    {"format", NULL, method_format},
    {"format_map", "/mapping", method_format_map},
    {"index", "/sub start? end?", method_index},
    {"isalnum", "/", method_isalnum},
    {"isalpha", "/", method_isalpha},
    {"isascii", "/", method_isascii},
    {"isdecimal", "/", method_isdecimal},
    {"isdigit", "/", method_isdigit},
    {"isidentifier", "/", method_isidentifier},
    {"islower", "/", method_islower},
    {"isnumeric", "/", method_isnumeric},
    {"isprintable", "/", method_isprintable},
    {"isspace", "/", method_isspace},
    {"istitle", "/", method_istitle},
    {"isupper", "/", method_isupper},
    {"join", "/iterable", method_join},
    {"ljust", "/width fillchar?", method_ljust},
    {"lower", "/", method_lower},
    {"lstrip", "/chars?", method_lstrip},
    {"maketrans", NULL, method_refused},
    {"partition", "/sep", method_partition},
    {"removeprefix", "/prefix", method_removeprefix},
    {"removesuffix", "/suffix", method_removesuffix},
    {"replace", "/old new count?", method_replace},
    {"rfind", "/sub start? end?", method_rfind},
    {"rindex", "/sub start? end?", method_rindex},
    {"rjust", "/width fillchar?", method_rjust},
    {"rpartition", "/sep", method_rpartition},
    {"rsplit", "sep? maxsplit?", method_rsplit},
    {"rstrip", "/chars?", method_rstrip},
    {"split", "sep? maxsplit?", method_split},
    {"splitlines", "keepends?", method_splitlines},
    {"startswith", "/prefix start? end?", method_startswith},
    {"strip", "/chars?", method_strip},
    {"swapcase", "/", method_swapcase},
    {"title", "/", method_title},
    {"translate", NULL, method_refused},
    {"upper", "/", method_upper},
    {"zfill", "/width", method_zfill},
};

const Builtin *str_method_find(Span name) { return builtin_find(methods, COUNT_OF(methods), name); }

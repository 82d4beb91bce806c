/* jinja_ops.c -- arithmetic, slices, attributes and items, as Python and Jinja2's sandbox have them. */
#include "text/jinja_lex.h"

#include <math.h>

#include "text/jinja_methods.h"
#include "text/jinja_print.h"
#include "text/jinja_run.h"

/* ---- arithmetic ---- */

static _Noreturn void fail_overflow(Jinja *j)
{
    jinja_fail(j, LIMIT_REACHED, "an integer of more than 64 bits");
}

static _Noreturn void fail_operands(Jinja *j, const char *sign, Value a, Value b)
{
    if (a.kind == V_UNDEFINED)
        undefined_fail(j, a);
    if (b.kind == V_UNDEFINED)
        undefined_fail(j, b);
    TYPE_ERROR(j, "unsupported operand type(s) for %s: '%s' and '%s'", sign, value_type(a),
               value_type(b));
}

int64_t index_of(Jinja *j, Value v)
{
    if (v.kind == V_UNDEFINED)
        undefined_fail(j, v);
    if (!is_integer(v))
        TYPE_ERROR(j, "'%s' object cannot be interpreted as an integer", value_type(v));
    return integer_of(v);
}

static Value joined(Jinja *j, Value a, Value b)
{
    Value out = a.kind == V_LIST ? list_new(j, (int64_t)a.list->count + b.list->count)
                                 : tuple_new(j, (int64_t)a.list->count + b.list->count);
    jinja_work(j, (uint64_t)a.list->count + (uint64_t)b.list->count);
    for (int32_t i = 0; i < a.list->count; i++)
        list_put(j, out, a.list->items[i]);
    for (int32_t i = 0; i < b.list->count; i++)
        list_put(j, out, b.list->items[i]);
    return out;
}

static Value add(Jinja *j, Value a, Value b)
{
    int64_t sum;
    if (is_integer(a) && is_integer(b)) {
        if (__builtin_add_overflow(integer_of(a), integer_of(b), &sum))
            fail_overflow(j);
        return value_int(sum);
    }
    if (is_number(a) && is_number(b))
        return value_float(number_of(a) + number_of(b));
    if (a.kind == V_STRING && b.kind == V_STRING) {
        bool markup = a.markup || b.markup;
        Value out = str_add(j, markup ? html_escaped(j, a) : a, markup ? html_escaped(j, b) : b);
        out.markup = markup;
        return out;
    }
    if (a.kind == b.kind && (a.kind == V_LIST || a.kind == V_TUPLE))
        return joined(j, a, b);
    if (a.kind == V_STRING && b.kind != V_UNDEFINED)
        TYPE_ERROR(j, "can only concatenate str (not \"%s\") to str", value_type(b));
    fail_operands(j, "+", a, b);
}

static Value subtract(Jinja *j, Value a, Value b)
{
    int64_t difference;
    if (is_integer(a) && is_integer(b)) {
        if (__builtin_sub_overflow(integer_of(a), integer_of(b), &difference))
            fail_overflow(j);
        return value_int(difference);
    }
    if (!is_number(a) || !is_number(b))
        fail_operands(j, "-", a, b);
    return value_float(number_of(a) - number_of(b));
}

static Value repeated(Jinja *j, Value v, int64_t times)
{
    times = times < 0 ? 0 : times;
    if (v.kind == V_STRING) {
        Text t = text_new(j);
        text_fill(&t, v, times);
        Value out = text_value(&t);
        out.markup = v.markup;
        return out;
    }
    int64_t count;
    if (__builtin_mul_overflow(times, (int64_t)v.list->count, &count) || count > INT32_MAX / 16)
        jinja_fail(j, LIMIT_REACHED, "a list repeated %lld times", (long long)times);
    jinja_work(j, (uint64_t)count);
    Value out = v.kind == V_LIST ? list_new(j, count) : tuple_new(j, count);
    for (int64_t i = 0; i < count; i++)
        list_put(j, out, v.list->items[i % v.list->count]);
    return out;
}

static bool repeatable(Value v)
{
    return v.kind == V_STRING || v.kind == V_LIST || v.kind == V_TUPLE;
}

static Value multiply(Jinja *j, Value a, Value b)
{
    int64_t product;
    if (is_integer(a) && is_integer(b)) {
        if (__builtin_mul_overflow(integer_of(a), integer_of(b), &product))
            fail_overflow(j);
        return value_int(product);
    }
    if (is_number(a) && is_number(b))
        return value_float(number_of(a) * number_of(b));
    if (repeatable(a) && is_integer(b))
        return repeated(j, a, integer_of(b));
    if (is_integer(a) && repeatable(b))
        return repeated(j, b, integer_of(a));
    if (a.kind != V_UNDEFINED && b.kind != V_UNDEFINED && (repeatable(a) || repeatable(b)))
        TYPE_ERROR(j, "can't multiply sequence by non-int of type '%s'",
                   value_type(repeatable(a) ? b : a));
    fail_operands(j, "*", a, b);
}

static void check_divisor(Jinja *j, const char *sign, Value a, Value b)
{
    if (!is_number(a) || !is_number(b))
        fail_operands(j, sign, a, b);
    if (number_of(b) == 0)
        TYPE_ERROR(j, "division by zero");
}

static Value divide(Jinja *j, Value a, Value b)
{
    check_divisor(j, "/", a, b);
    return value_float(number_of(a) / number_of(b));
}

/* Python's remainder has the sign of the divisor. */
static double float_remainder(double a, double b)
{
    double r = fmod(a, b);
    if (r == 0)
        return copysign(0.0, b);
    return (b < 0) != (r < 0) ? r + b : r;
}

static double float_floor_divide(double a, double b)
{
    double remainder = float_remainder(a, b), quotient = (a - remainder) / b;
    if (quotient == 0)
        return copysign(0.0, a / b);
    double whole = floor(quotient);
    return quotient - whole > 0.5 ? whole + 1 : whole;
}

static Value floor_divide(Jinja *j, Value a, Value b)
{
    check_divisor(j, "//", a, b);
    if (!is_integer(a) || !is_integer(b))
        return value_float(float_floor_divide(number_of(a), number_of(b)));
    int64_t x = integer_of(a), y = integer_of(b);
    if (y == -1)
        return subtract(j, value_int(0), value_int(x));
    return value_int(x / y - (x % y != 0 && (x < 0) != (y < 0)));
}

static Value modulo(Jinja *j, Value a, Value b)
{
    if (a.kind == V_STRING)
        return percent_format(j, a, b);
    check_divisor(j, "%", a, b);
    if (!is_integer(a) || !is_integer(b))
        return value_float(float_remainder(number_of(a), number_of(b)));
    int64_t x = integer_of(a), y = integer_of(b);
    int64_t r = y == -1 ? 0 : x % y;
    return value_int(r != 0 && (r < 0) != (y < 0) ? r + y : r);
}

static Value integer_power(Jinja *j, int64_t base, int64_t exponent)
{
    int64_t out = 1;
    for (; exponent > 0; exponent >>= 1) {
        if ((exponent & 1) && __builtin_mul_overflow(out, base, &out))
            fail_overflow(j);
        if (exponent > 1 && __builtin_mul_overflow(base, base, &base))
            fail_overflow(j);
    }
    return value_int(out);
}

static Value power(Jinja *j, Value a, Value b)
{
    if (!is_number(a) || !is_number(b))
        fail_operands(j, "** or pow()", a, b);
    if (is_integer(a) && is_integer(b) && integer_of(b) >= 0)
        return integer_power(j, integer_of(a), integer_of(b));
    double x = number_of(a), y = number_of(b), out = pow(x, y);
    if (x == 0 && y < 0)
        TYPE_ERROR(j, "0.0 cannot be raised to a negative power");
    if (x < 0 && isfinite(x) && isfinite(y) && y != floor(y))
        TYPE_ERROR(j, "a negative number cannot be raised to a fractional power");
    if (isinf(out) && isfinite(x) && isfinite(y))
        TYPE_ERROR(j, "Numerical result out of range");
    return value_float(out);
}

Value value_binary(Jinja *j, int token, Value a, Value b)
{
    static Value (*const operations[TOKEN_KINDS])(Jinja *, Value, Value) = {
        [T_ADD] = add, [T_SUB] = subtract, [T_MUL] = multiply, [T_DIV] = divide,
        [T_FLOOR_DIV] = floor_divide, [T_MOD] = modulo, [T_POW] = power,
    };
    return operations[token](j, a, b);
}

Value value_negate(Jinja *j, Value v, bool negative)
{
    if (v.kind == V_UNDEFINED)
        undefined_fail(j, v);
    if (!is_number(v))
        TYPE_ERROR(j, "bad operand type for unary %c: '%s'", negative ? '-' : '+', value_type(v));
    if (v.kind == V_FLOAT)
        return value_float(negative ? -v.number : v.number);
    return negative ? subtract(j, value_int(0), v) : value_int(integer_of(v));
}

/* ---- slices ---- */

typedef struct Slice {
    int64_t start, stop, step, count;
} Slice;

static int64_t slice_edge(Jinja *j, Value v, int64_t otherwise, int64_t length, int64_t low,
                          int64_t high)
{
    if (v.kind == V_NONE)
        return otherwise;
    if (!is_integer(v))
        TYPE_ERROR(j, "slice indices must be integers or None or have an __index__ method");
    int64_t i = integer_of(v);
    if (i < 0)
        i += length;
    return i < low ? low : i > high ? high : i;
}

/* Python's slice.indices(): the first index, the step, and how many. */
static Slice slice_of(Jinja *j, int64_t length, Value start, Value stop, Value step)
{
    int64_t by = step.kind == V_NONE ? 1 : slice_edge(j, step, 1, 0, -INT32_MAX, INT32_MAX);
    if (by == 0)
        TYPE_ERROR(j, "slice step cannot be zero");
    int64_t low = by < 0 ? -1 : 0, high = by < 0 ? length - 1 : length;
    int64_t from = slice_edge(j, start, by < 0 ? high : low, length, low, high);
    int64_t to = slice_edge(j, stop, by < 0 ? low : high, length, low, high);
    int64_t span = by < 0 ? from - to : to - from, size = by < 0 ? -by : by;
    return (Slice){from, to, by, span <= 0 ? 0 : (span + size - 1) / size};
}

static Value slice_string(Jinja *j, Value v, Slice s)
{
    if (s.step == 1)
        return str_slice(j, v, s.start, s.start + s.count);
    Value characters = list_of(j, v);
    Text t = text_new(j);
    for (int64_t i = 0; i < s.count; i++)
        text_put_str(&t, characters.list->items[s.start + i * s.step].str);
    return text_value(&t);
}

static Value slice_range(Jinja *j, const Range *r, Slice s)
{
    Range *out = jinja_take(j, sizeof *out);
    int64_t start = r->start + s.start * r->step, step = r->step * s.step;
    *out = (Range){
        .start = start, .stop = r->start + s.stop * r->step, .step = step, .count = s.count};
    return (Value){.kind = V_RANGE, .range = out};
}

Value value_slice(Jinja *j, Value of, Value start, Value stop, Value step)
{
    if (of.kind == V_UNDEFINED)
        undefined_fail(j, of);
    if (of.kind != V_STRING && of.kind != V_LIST && of.kind != V_TUPLE && of.kind != V_RANGE)
        TYPE_ERROR(j, "'%s' object is not subscriptable by a slice", value_type(of));
    Slice s = slice_of(j, value_length(j, of), start, stop, step);
    if (of.kind == V_STRING) {
        Value out = slice_string(j, of, s);
        out.markup = of.markup;
        return out;
    }
    if (of.kind == V_RANGE)
        return slice_range(j, of.range, s);
    jinja_work(j, (uint64_t)s.count);
    Value out = of.kind == V_LIST ? list_new(j, s.count) : tuple_new(j, s.count);
    for (int64_t i = 0; i < s.count; i++)
        list_put(j, out, of.list->items[s.start + i * s.step]);
    return out;
}

/* ---- items and attributes ---- */

static bool hashable(Jinja *j, Value v)
{
    if (v.kind != V_TUPLE)
        return v.kind != V_LIST && v.kind != V_DICT && v.kind != V_VIEW;
    bool all = true;
    jinja_enter(j);
    for (int32_t i = 0; i < v.list->count && all; i++)
        all = hashable(j, v.list->items[i]);
    jinja_leave(j);
    return all;
}

static bool item_at(Jinja *j, Value of, int64_t i, Value *out)
{
    int64_t length = value_length(j, of);
    i += i < 0 ? length : 0;
    if (i < 0 || i >= length)
        return false;
    if (of.kind == V_STRING) {
        *out = str_slice(j, of, i, i + 1);
        out->markup = of.markup;
    } else if (of.kind == V_RANGE) {
        *out = value_int(of.range->start + i * of.range->step);
    } else {
        *out = of.list->items[i];
    }
    return true;
}

/* of[key] without any fallback. */
static bool own_item(Jinja *j, Value of, Value key, Value *out)
{
    switch (of.kind) {
    case V_LIST: case V_TUPLE: case V_STRING: case V_RANGE:
        return is_integer(key) && item_at(j, of, integer_of(key), out);
    case V_DICT: {
        const Value *found = hashable(j, key) ? dict_find(j, of.dict, key) : NULL;
        if (found)
            *out = *found;
        return found != NULL;
    }
    case V_UNDEFINED:
        undefined_fail(j, of);
    default:
        return false;
    }
}

static Value unsafe_attribute(Jinja *j, Value of, Value name)
{
    Text t = text_new(j);
    text_printf(&t, "access to attribute '%.100s' of '%s' object is unsafe.",
                arena_copy_text(j->arena, name.str->data, name.str->bytes), value_type(of));
    text_put_char(&t, 0);
    return undefined_hint(j, t.data);
}

Value value_own_attribute(Jinja *j, Value of, Value name)
{
    if (of.kind == V_UNDEFINED)
        undefined_fail(j, of);
    if (of.kind == V_NAMESPACE) {
        const Value *found = dict_find(j, of.dict, name);
        return found ? *found : value_missing();
    }
    Value out = object_attribute(j, of, name);
    if (out.kind == V_MISSING && method_is_unsafe(of, name))
        return unsafe_attribute(j, of, name);
    return out;
}

Value value_attribute(Jinja *j, Value of, Value name)
{
    Value out = value_own_attribute(j, of, name);
    if (out.kind != V_MISSING || own_item(j, of, name, &out))
        return out;
    return undefined_in(j, of, name);
}

Value value_item(Jinja *j, Value of, Value key)
{
    Value out = value_missing();
    if (own_item(j, of, key, &out))
        return out;
    if (key.kind == V_STRING)
        out = value_own_attribute(j, of, key);
    return out.kind == V_MISSING ? undefined_in(j, of, key) : out;
}

/* jinja_tests.c -- what may follow `is`. */
#include "text/jinja_builtins.h"

#include "text/jinja_lex.h"
#include "text/jinja_methods.h"
#include "text/jinja_print.h"
#include "text/jinja_run.h"

static bool divides(Jinja *j, Value v, Value by, int64_t remainder)
{
    return value_equal(j, value_binary(j, T_MOD, v, by), value_int(remainder));
}

#define TEST(name, holds) \
    static Value name(Jinja *j, Call *c) { (void)j, (void)c; return value_bool(holds); }

TEST(test_odd, divides(j, c->self, value_int(2), 1))
TEST(test_even, divides(j, c->self, value_int(2), 0))
TEST(test_divisible, divides(j, c->self, c->arg[0], 0))
TEST(test_defined, c->self.kind != V_UNDEFINED)
TEST(test_undefined, c->self.kind == V_UNDEFINED)
TEST(test_none, c->self.kind == V_NONE)
TEST(test_boolean, c->self.kind == V_BOOL)
TEST(test_false, c->self.kind == V_BOOL && !c->self.truth)
TEST(test_true, c->self.kind == V_BOOL && c->self.truth)
TEST(test_integer, c->self.kind == V_INT)
TEST(test_float, c->self.kind == V_FLOAT)
TEST(test_number, is_number(c->self))
TEST(test_string, c->self.kind == V_STRING)
TEST(test_mapping, c->self.kind == V_DICT)
TEST(test_escaped, c->self.markup)
TEST(test_lower, str_cased_as(value_str(j, c->self), false))
TEST(test_upper, str_cased_as(value_str(j, c->self), true))
TEST(test_sameas, value_same(c->self, c->arg[0]))
TEST(test_in, value_contains(j, c->arg[0], c->self))
TEST(test_equal, value_equal(j, c->self, c->arg[0]))
TEST(test_unequal, !value_equal(j, c->self, c->arg[0]))
TEST(test_less, value_ordered(j, c->self, LESS, c->arg[0]))
TEST(test_less_equal, value_ordered(j, c->self, LESS_EQUAL, c->arg[0]))
TEST(test_greater, value_ordered(j, c->self, GREATER, c->arg[0]))
TEST(test_greater_equal, value_ordered(j, c->self, GREATER_EQUAL, c->arg[0]))

static Value test_sequence(Jinja *j, Call *c)
{
    (void)j;
    switch (c->self.kind) {
    case V_STRING: case V_LIST: case V_TUPLE: case V_DICT: case V_RANGE: case V_UNDEFINED:
        return value_bool(true);
    default:
        return value_bool(false);
    }
}

static Value test_iterable(Jinja *j, Call *c)
{
    (void)j;
    return value_bool(value_iterable(c->self) || c->self.kind == V_LOOP);
}

static Value test_callable(Jinja *j, Call *c)
{
    (void)j;
    switch (c->self.kind) {
    case V_FUNCTION: case V_MACRO: case V_LOOP: case V_JOINER: case V_UNDEFINED:
        return value_bool(true);
    default:
        return value_bool(false);
    }
}

static Value test_is_filter(Jinja *j, Call *c)
{
    value_hash(j, c->self);   /* it is looked up in a dict: a list cannot be */
    return value_bool(c->self.kind == V_STRING && filter_find(str_span(c->self)));
}

static Value test_is_test(Jinja *j, Call *c)
{
    value_hash(j, c->self);
    return value_bool(c->self.kind == V_STRING && test_find(str_span(c->self)));
}

static const Builtin tests[] = {
    {"odd", "", test_odd}, {"even", "", test_even},
    {"divisibleby", "num", test_divisible}, {"defined", "", test_defined},
    {"undefined", "", test_undefined}, {"filter", "", test_is_filter},
    {"test", "", test_is_test}, {"none", "", test_none}, {"boolean", "", test_boolean},
    {"false", "", test_false}, {"true", "", test_true}, {"integer", "", test_integer},
    {"float", "", test_float}, {"lower", "", test_lower}, {"upper", "", test_upper},
    {"string", "", test_string}, {"mapping", "", test_mapping},
    {"number", "", test_number}, {"sequence", "", test_sequence},
    {"iterable", "", test_iterable}, {"callable", "/", test_callable},
    {"sameas", "other", test_sameas}, {"escaped", "", test_escaped},
    {"in", "seq", test_in}, {"==", "/b", test_equal}, {"eq", "/b", test_equal},
    {"equalto", "/b", test_equal}, {"!=", "/b", test_unequal}, {"ne", "/b", test_unequal},
    {">", "/b", test_greater}, {"gt", "/b", test_greater},
    {"greaterthan", "/b", test_greater}, {">=", "/b", test_greater_equal},
    {"ge", "/b", test_greater_equal}, {"<", "/b", test_less}, {"lt", "/b", test_less},
    {"lessthan", "/b", test_less}, {"<=", "/b", test_less_equal},
    {"le", "/b", test_less_equal},
};

const Builtin *test_find(Span name) { return builtin_find(tests, COUNT_OF(tests), name); }

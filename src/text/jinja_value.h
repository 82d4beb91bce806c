/* jinja_value.h -- the values of a chat template, and the machine that they live in.
 *
 * A Value is two words: a kind and either the thing itself (a number) or a pointer into the
 * machine's arena (all else). Values mean what Python's mean, since templates are written against
 * Jinja2: strings are counted in code points, integers never wrap (they are 64 bits wide here and an
 * overflow is an error), dicts keep their order, True equals 1.
 *
 * A Jinja is one compilation or one rendering: its arena, its counters, its output. It has one door
 * for failures: jinja_fail() fills the Error and jumps to where the work began. Everything that was
 * made lies in the arena, so nothing is lost by the jump, and a filter reads as the formula it is.
 *
 * All strings are valid UTF-8: the template is checked when it is compiled, the context by jansson.
 * Nothing here is ever shared between two renderings, except the constants of a template, which are
 * never written.
 */
#ifndef TEXT_JINJA_VALUE_H
#define TEXT_JINJA_VALUE_H

#include <setjmp.h>
#include <time.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/span.h"

typedef enum Kind {
    V_MISSING,      /* no value at all: an argument not given, a name not bound; never seen by a template */
    V_UNDEFINED,
    V_NONE,
    V_BOOL,
    V_INT,
    V_FLOAT,
    V_STRING,
    V_LIST,
    V_TUPLE,
    V_DICT,
    V_RANGE,
    V_VIEW,         /* dict.keys(), .values(), .items() */
    V_GENERATOR,    /* what map, select, reverse ... give: read once */
    V_NAMESPACE,
    V_MACRO,
    V_FUNCTION,     /* a global, or a method with its object */
    V_LOOP,
    V_CYCLER,
    V_JOINER,
    KINDS,
} Kind;

typedef struct Str Str;
typedef struct List List;
typedef struct Dict Dict;
typedef struct Undefined Undefined;
typedef struct Range Range;
typedef struct View View;
typedef struct Generator Generator;
typedef struct Macro Macro;
typedef struct Function Function;
typedef struct Loop Loop;
typedef struct Cycler Cycler;
typedef struct Jinja Jinja;
typedef struct Node Node;
typedef struct Scope Scope;

typedef struct Value {
    uint8_t kind;
    bool markup;    /* of a string: already escaped for HTML */
    union {
        bool truth;
        int64_t integer;
        double number;
        Str *str;
        List *list;             /* of a tuple as well */
        Dict *dict;             /* of a namespace as well */
        Undefined *undefined;
        Range *range;
        View *view;
        Generator *generator;
        Macro *macro;
        Function *function;
        Loop *loop;
        Cycler *cycler;         /* of a joiner as well */
        void *pointer;
    };
} Value;

typedef struct Room {
    size_t used, capacity;
} Room;

struct Str {
    const char *data;
    uint32_t bytes, points;     /* equal: the string is ASCII */
    Room *room;                 /* where the string may grow in place when it is the last part; or NULL */
};

struct List {
    Value *items;
    int32_t count, capacity;
    bool group;                 /* of a tuple: made by groupby, so .grouper and .list name its parts */
};

typedef struct Entry {
    Value key, value;
    uint32_t hash;
} Entry;

struct Dict {
    Entry *entries;             /* in the order of insertion */
    int32_t count, capacity;
    int32_t *index;             /* open addressing, entry number + 1; NULL while the dict is small */
    uint32_t mask;
};

struct Undefined {
    const char *hint;           /* the whole message; or NULL */
    const char *owner;          /* the type in which it was looked for; NULL: a name */
    Value name;
};

struct Range {
    int64_t start, stop, step, count;
};

typedef enum ViewKind { VIEW_KEYS, VIEW_VALUES, VIEW_ITEMS } ViewKind;
struct View {
    Dict *dict;
    ViewKind what;
};

struct Generator {
    const char *type;
    Value *items;
    int32_t count, at;
};

struct Cycler {
    Value *items;
    int32_t count, at;
    Value separator;            /* of a joiner */
    bool used;
};

typedef struct Named {
    Value name, value;
} Named;

typedef struct Args {
    Value *items;
    Named *named;
    int32_t count, named_count;
} Args;

/* One call of a builtin: its arguments in the order of the signature, V_MISSING where not given. */
enum { CALL_ARGS_MAX = 8 };
typedef struct Call {
    Value self;
    Value arg[CALL_ARGS_MAX];
    const Args *args;           /* as they came */
} Call;

/* "sep? maxsplit?": names in order, '?' where optional. A '/' before means that they cannot be
 * given by name. NULL: the function reads call->args itself. */
typedef struct Builtin {
    const char *name, *signature;
    Value (*call)(Jinja *, Call *);
} Builtin;

struct Function {
    const Builtin *builtin;
    Value self;
};

struct Jinja {
    jmp_buf failed;
    Error *err;
    Err code;
    const char *name;           /* of the template, for errors */
    int line;                   /* where the template is being read or run */
    int depth, depth_max;
    uint64_t steps, steps_max;
    Arena *arena;
    char *at, *end;             /* the rest of the block from which small things are taken */
    uint32_t seed;
    Buf out;
    time_t now;
    struct tm calendar;
    Value *context;             /* by name: what the caller and the globals define */
    Value *root;                /* by name: what the template sets outside of loops and macros */
    const Str *const *names;
    const struct Tree *tree;
};

enum {
    JINJA_SYNTAX_DEPTH_MAX = 220,       /* of brackets and blocks within each other */
    JINJA_DEPTH_MAX = 1600,             /* of evaluation, and of values inside values */
    JINJA_RANGE_MAX = 100000,           /* as Jinja2's sandbox */
    JINJA_STEPS_MAX = 20 * 1000 * 1000,
    JINJA_TEXT_BYTES_MAX = 64 << 20,    /* of one string, and of the output */
};
#define JINJA_MEMORY_BYTES_MAX ((size_t)512 << 20)

/* ---- the machine ---- */

_Noreturn void jinja_fail(Jinja *, Err, const char *format, ...) __attribute__((format(printf, 3, 4)));
void *jinja_take(Jinja *, size_t bytes);                /* zeroed; never NULL */
void *jinja_take_array(Jinja *, size_t count, size_t element_bytes);
void *jinja_grow(Jinja *, void *old, size_t old_bytes, size_t new_bytes);
void jinja_work(Jinja *, uint64_t steps);               /* counts work; fails at the limit */
void jinja_enter(Jinja *);                              /* one level deeper; fails at the limit */
static inline void jinja_leave(Jinja *j) { j->depth--; }

#define TYPE_ERROR(j, ...) jinja_fail(j, BAD_FILE, __VA_ARGS__)

/* ---- making values ---- */

static inline Value value_none(void) { return (Value){.kind = V_NONE}; }
static inline Value value_missing(void) { return (Value){.kind = V_MISSING}; }
static inline Value value_bool(bool b) { return (Value){.kind = V_BOOL, .truth = b}; }
static inline Value value_int(int64_t i) { return (Value){.kind = V_INT, .integer = i}; }
static inline Value value_float(double x) { return (Value){.kind = V_FLOAT, .number = x}; }
Value undefined_name(Jinja *, const Str *name);
Value undefined_hint(Jinja *, const char *hint);
Value undefined_in(Jinja *, Value owner, Value name);
_Noreturn void undefined_fail(Jinja *, Value undefined);

Value str_new(Jinja *, const char *data, size_t bytes);     /* copies */
Value str_borrow(Jinja *, const char *data, size_t bytes);  /* `data` must outlive the machine */
Value str_literal(Jinja *, const char *text);
Value str_add(Jinja *, Value left, Value right);
Value str_cut(Jinja *, Value str, size_t from, size_t to);  /* bytes */
Value str_slice(Jinja *, Value str, int64_t from, int64_t to);   /* code points, in range */
size_t str_byte_of(const Str *, int64_t point);             /* where the point begins */
static inline Span str_span(Value v) { return span_of(v.str->data, v.str->bytes); }
static inline bool str_is(Value v, const char *text)
{
    return v.kind == V_STRING && span_is(str_span(v), text);
}

Value list_new(Jinja *, int64_t capacity);
Value tuple_new(Jinja *, int64_t capacity);
void list_put(Jinja *, Value list, Value item);
Value generator_of(Jinja *, Value list, const char *type);

Value dict_new(Jinja *);
void dict_put(Jinja *, Value dict, Value key, Value value);
Value *dict_find(Jinja *, const Dict *, Value key);         /* NULL: not there; fails when unhashable */

/* ---- asking ---- */

bool value_truth(Jinja *, Value);
bool value_equal(Jinja *, Value, Value);
bool value_same(Value, Value);                              /* Python's `is` */
typedef enum Order { LESS, LESS_EQUAL, GREATER, GREATER_EQUAL } Order;
bool value_ordered(Jinja *, Value, Order, Value);
bool value_contains(Jinja *, Value container, Value item);
int64_t value_length(Jinja *, Value);
bool value_has_length(Value);
uint32_t value_hash(Jinja *, Value);
const char *value_type(Value);                              /* Python's name of the type */

static inline bool is_integer(Value v) { return v.kind == V_INT || v.kind == V_BOOL; }
static inline bool is_number(Value v) { return is_integer(v) || v.kind == V_FLOAT; }
static inline int64_t integer_of(Value v) { return v.kind == V_BOOL ? v.truth : v.integer; }
static inline double number_of(Value v)
{
    return v.kind == V_FLOAT ? v.number : (double)integer_of(v);
}

/* ---- walking: strings by character, dicts by key, generators where they stand ---- */

typedef struct Iter {
    Value over;
    int64_t at;                 /* item, or byte of a string */
} Iter;

Iter iter_of(Jinja *, Value);                               /* fails when it cannot be walked */
bool iter_next(Jinja *, Iter *, Value *out);
bool value_iterable(Value);
Value list_of(Jinja *, Value iterable);                     /* always a new list */

/* ---- text that is being made ---- */

typedef struct Text {
    Jinja *j;
    char *data;
    size_t bytes, capacity;
} Text;

static inline Text text_new(Jinja *j) { return (Text){.j = j}; }
void text_put(Text *, const void *data, size_t bytes);
void text_puts(Text *, const char *);
void text_put_char(Text *, char);
void text_put_point(Text *, uint32_t code_point);
void text_put_str(Text *, const Str *);
void text_fill(Text *, Value fill, int64_t times);
void text_printf(Text *, const char *format, ...) __attribute__((format(printf, 2, 3)));
Value text_value(Text *);

#endif

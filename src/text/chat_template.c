#include "text/chat_template.h"

#include <stdlib.h>

#include "text/jinja_builtins.h"
#include "text/jinja_run.h"

enum { NAME_BYTES = 128 };

struct ChatTemplate {
    Arena *arena;
    const Tree *tree;
    char name[NAME_BYTES];
};

/* ---- one door for failures ---- */

static Err guard(Jinja *j, void (*work)(Jinja *, void *), void *about)
{
    if (setjmp(j->failed))
        return j->code;
    work(j, about);
    return OK;
}

static Err machine_init(Jinja *j, const char *name, int depth_max, Error *err)
{
    *j = (Jinja){
        .err = err, .name = name, .line = 1, .depth_max = depth_max, .steps_max = JINJA_STEPS_MAX};
    j->arena = arena_new(JINJA_MEMORY_BYTES_MAX);
    if (!j->arena)
        return fail(err, NO_MEMORY, "%s: no memory for the template", name);
    j->seed = (uint32_t)((uintptr_t)arena_take(j->arena, 0) >> 12);
    buf_init(&j->out, JINJA_TEXT_BYTES_MAX);
    return OK;
}

/* ---- compiling ---- */

typedef struct Compilation {
    Span source;
    const Tree *tree;
} Compilation;

static void compile(Jinja *j, void *about)
{
    Compilation *c = about;
    c->tree = jinja_parse(j, c->source);
}

Err chat_template_new(ChatTemplate **out, Span source, const char *name, Error *err)
{
    Jinja j;
    Compilation c = {.source = source};
    if (source.bytes > CHAT_TEMPLATE_BYTES_MAX)
        return fail(err, LIMIT_REACHED, "%s: a template of %zu bytes; at most %d are read", name,
                    source.bytes, CHAT_TEMPLATE_BYTES_MAX);
    TRY(machine_init(&j, name, JINJA_SYNTAX_DEPTH_MAX, err));
    ChatTemplate *t = calloc(1, sizeof *t);
    Err result = t ? guard(&j, compile, &c) : fail(err, NO_MEMORY, "%s: no memory", name);
    buf_deinit(&j.out);
    if (result != OK) {
        free(t);
        arena_free(j.arena);
        return result;
    }
    t->arena = j.arena;
    t->tree = c.tree;
    strncpy(t->name, name, NAME_BYTES - 1);
    *out = t;
    return OK;
}

void chat_template_free(ChatTemplate *t)
{
    if (!t)
        return;
    arena_free(t->arena);
    free(t);
}

/* ---- the context ---- */

static Value value_of_json(Jinja *j, json_t *json);

static Value value_of_object(Jinja *j, json_t *json)
{
    Value out = dict_new(j);
    double bare;
    if (json_object_size(json) == 1 && json_float(json, &bare))
        return value_float(bare);   /* NaN, Infinity: see base/json.h */
    for (void *it = json_object_iter(json); it; it = json_object_iter_next(json, it))
        dict_put(j, out, str_borrow(j, json_object_iter_key(it), json_object_iter_key_len(it)),
                 value_of_json(j, json_object_iter_value(it)));
    return out;
}

static Value value_of_array(Jinja *j, json_t *json)
{
    size_t count = json_array_size(json);
    Value out = list_new(j, (int64_t)count);
    for (size_t i = 0; i < count; i++)
        list_put(j, out, value_of_json(j, json_array_get(json, i)));
    return out;
}

static Value value_of_json(Jinja *j, json_t *json)
{
    jinja_enter(j);
    Value out = value_none();
    switch (json_typeof(json)) {
    case JSON_OBJECT:
        out = value_of_object(j, json);
        break;
    case JSON_ARRAY:
        out = value_of_array(j, json);
        break;
    case JSON_STRING:
        out = str_borrow(j, json_string_value(json), json_string_length(json));
        break;
    case JSON_INTEGER:
        out = value_int(json_integer_value(json));
        break;
    case JSON_REAL:
        out = value_float(json_real_value(json));
        break;
    case JSON_TRUE:
    case JSON_FALSE:
        out = value_bool(json_is_true(json));
        break;
    case JSON_NULL:
        break;
    }
    jinja_leave(j);
    return out;
}

/* The context's values and the globals, by the numbers of the names that the template uses. */
static void define_names(Jinja *j, const Tree *tree, json_t *context)
{
    size_t count = (size_t)tree->name_count;
    j->tree = tree;
    j->names = tree->names;
    j->root = jinja_take_array(j, count, sizeof *j->root);
    j->context = jinja_take_array(j, count, sizeof *j->context);
    for (size_t i = 0; i < count; i++) {
        const Str *name = tree->names[i];
        json_t *given = json_object_getn(context, name->data, name->bytes);
        const Builtin *global = global_find(span_of(name->data, name->bytes));
        if (given)
            j->context[i] = value_of_json(j, given);
        else if (global)
            j->context[i] = function_of(j, global, value_none());
    }
}

/* ---- rendering ---- */

typedef struct Rendering {
    const Tree *tree;
    json_t *context;
} Rendering;

static void render(Jinja *j, void *about)
{
    const Rendering *r = about;
    define_names(j, r->tree, r->context);
    run_tree(j, r->tree);
}

Err chat_template_render(const ChatTemplate *t, json_t *context, const struct tm *now, Buf *out,
                         Error *err)
{
    Jinja j;
    if (!json_is_object(context))
        return fail(err, BAD_ARGUMENT, "%s: the context is not a JSON object", t->name);
    TRY(machine_init(&j, t->name, JINJA_DEPTH_MAX, err));
    j.calendar = *now;
    timegm(&j.calendar);   /* fills the day of the week and of the year */
    Err result = guard(&j, render, &(Rendering){t->tree, context});
    if (result == OK && !buf_put(out, j.out.data, j.out.bytes))
        result =
            fail(err, LIMIT_REACHED, "%s: the prompt has %zu bytes, more than there is room for",
                 t->name, j.out.bytes);
    buf_deinit(&j.out);
    arena_free(j.arena);
    return result;
}

/* ---- choosing ---- */

static const json_t *template_named(const json_t *list, const char *name)
{
    size_t i;
    json_t *each;
    json_array_foreach((json_t *)list, i, each) {
        const char *its_name = json_string_value(json_object_get(each, "name"));
        if (its_name && !strcmp(its_name, name))
            return json_object_get(each, "template");
    }
    return NULL;
}

Err chat_template_choose(const json_t *field, const char *wanted, bool has_tools, Span *source,
                         Error *err)
{
    const json_t *found = field;
    if (json_is_array(field)) {
        found = wanted      ? template_named(field, wanted)
                : has_tools ? template_named(field, "tool_use")
                            : NULL;
        if (!found && !wanted)
            found = template_named(field, "default");
        if (!found)
            return fail(err, NOT_FOUND,
                        "chat_template: there is no template named '%s' among the %zu",
                        wanted ? wanted : "default", json_array_size(field));
    }
    if (!json_is_string(found))
        return fail(err, BAD_FILE,
                    "chat_template: is neither a text nor a list of {name, template}");
    *source = span_of(json_string_value(found), json_string_length(found));
    return OK;
}

#include "main/flags.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool number_read(const char *text, double *out)
{
    char *end;
    *out = strtod(text, &end);
    return *text && !*end && *text != ' ' && !isnan(*out);
}

bool integer_read(const char *text, int64_t *out)
{
    char *end;
    errno = 0;
    *out = strtoll(text, &end, 10);
    return *text && !*end && *text != ' ' && errno == 0;
}

static Err take_number(const Flag *f, const char *value, double *out, Error *err)
{
    if (!number_read(value, out))
        return fail(err, BAD_ARGUMENT, "%s: '%s' is not a number", f->name, value);
    if (*out < f->min || *out > f->max)
        return fail(err, BAD_ARGUMENT, "%s: %s is not between %.12g and %.12g", f->name, value, f->min, f->max);
    return OK;
}

static Err take_integer(const Flag *f, const char *value, int64_t *out, Error *err)
{
    if (!integer_read(value, out))
        return fail(err, BAD_ARGUMENT, "%s: '%s' is not a whole number", f->name, value);
    if ((double)*out < f->min || (double)*out > f->max)
        return fail(err, BAD_ARGUMENT, "%s: %s is not between %.15g and %.15g", f->name, value, f->min, f->max);
    return OK;
}

static Err take_seed(const Flag *f, const char *value, uint64_t *out, Error *err)
{
    char *end;
    errno = 0;
    *out = strtoull(value, &end, 10);
    if (!*value || *end || *value == '-' || *value == ' ' || errno)
        return fail(err, BAD_ARGUMENT, "%s: '%s' is not a whole number from 0 to 18446744073709551615", f->name, value);
    return OK;
}

static Err take_choice(const Flag *f, const char *value, int32_t *out, Error *err)
{
    size_t bytes = strlen(value);
    int32_t index = 0;
    for (const char *at = f->choices; at; at = strchr(at, ','), at = at ? at + 1 : NULL, index++)
        if (bytes && !strncmp(at, value, bytes) && (at[bytes] == ',' || !at[bytes])) {
            *out = index;
            return OK;
        }
    return fail(err, BAD_ARGUMENT, "%s: '%s' is not one of %s", f->name, value, f->choices);
}

static Err take_list(const Flag *f, const char *value, FlagList *out, Error *err)
{
    if (out->count == FLAG_LIST_MAX)
        return fail(err, LIMIT_REACHED, "%s: may be given %d times at most", f->name, FLAG_LIST_MAX);
    out->item[out->count++] = value;
    return OK;
}

static Err take_integers(const Flag *f, const char *value, FlagInts *out, Error *err)
{
    *out = (FlagInts){0};
    for (const char *at = value; *at; at += *at == ',') {
        char text[24];
        int64_t integer;
        size_t bytes = strcspn(at, ",");
        snprintf(text, sizeof text, "%.*s", (int)(bytes < sizeof text ? bytes : sizeof text - 1), at);
        bool reads = bytes < sizeof text && integer_read(text, &integer);
        if (!reads || (double)integer < f->min || (double)integer > f->max)
            return fail(err, BAD_ARGUMENT, "%s: '%s' is not a list of whole numbers from %.15g to %.15g, as 128,512",
                        f->name, value, f->min, f->max);
        if (out->count == FLAG_INTS_MAX)
            return fail(err, LIMIT_REACHED, "%s: at most %d numbers", f->name, FLAG_INTS_MAX);
        out->value[out->count++] = (int32_t)integer;
        at += bytes;
    }
    return OK;
}

static Err take(const Flag *f, void *options, const char *value, Error *err)
{
    void *at = (char *)options + f->offset;
    int64_t integer = 0;
    double number = 0;
    switch (f->kind) {
    case FLAG_SWITCH: *(bool *)at = true; return OK;
    case FLAG_OFF: *(bool *)at = false; return OK;
    case FLAG_TEXT: *(const char **)at = value; return OK;
    case FLAG_SEED: return take_seed(f, value, at, err);
    case FLAG_CHOICE: return take_choice(f, value, at, err);
    case FLAG_LIST: return take_list(f, value, at, err);
    case FLAG_INTS: return take_integers(f, value, at, err);
    case FLAG_CALL: return f->take(options, value, err);
    case FLAG_INT:
        TRY(take_integer(f, value, &integer, err));
        *(int32_t *)at = (int32_t)integer;
        return OK;
    case FLAG_LONG: return take_integer(f, value, at, err);
    case FLAG_FLOAT:
        TRY(take_number(f, value, &number, err));
        *(float *)at = (float)number;
        return OK;
    }
    return OK;
}

/* The flag that a word names, and the value behind its '=' if there is one. */
static const Flag *find(const FlagGroup *groups, const char *word, const FlagGroup **group, const char **value)
{
    size_t bytes = strcspn(word, "=");
    *value = word[bytes] ? word + bytes + 1 : NULL;
    for (; groups->title; groups++)
        for (int i = 0; i < groups->count; i++) {
            const Flag *f = &groups->flags[i];
            bool named = (strlen(f->name) == bytes && !strncmp(f->name, word, bytes)) || (f->alias && !strcmp(f->alias, word));
            if (named) {
                *group = groups;
                return f;
            }
        }
    return NULL;
}

static bool is_switch(const Flag *f) { return f->kind == FLAG_SWITCH || f->kind == FLAG_OFF; }

Err flags_read(const FlagGroup *groups, int argc, char **argv, const char **words, int words_max, int *word_count,
               bool *help, Error *err)
{
    *word_count = 0;
    *help = false;
    bool only_words = false;
    for (int i = 1; i < argc; i++) {
        const char *word = argv[i], *value;
        const FlagGroup *group;
        if (only_words || word[0] != '-' || !word[1]) {
            if (*word_count == words_max)
                return fail(err, BAD_ARGUMENT, "'%s' is one argument too many", word);
            words[(*word_count)++] = word;
            continue;
        }
        if (!strcmp(word, "--")) {
            only_words = true;
            continue;
        }
        if (!strcmp(word, "--help") || !strcmp(word, "-h")) {
            *help = true;
            return OK;
        }
        const Flag *f = find(groups, word, &group, &value);
        if (!f)
            return fail(err, BAD_ARGUMENT, "%s is not an option of this command; --help lists them", word);
        if (is_switch(f) && value)
            return fail(err, BAD_ARGUMENT, "%s takes no value", f->name);
        if (!is_switch(f) && !value) {
            if (i + 1 == argc)
                return fail(err, BAD_ARGUMENT, "%s needs a value: %s", f->name, f->argument);
            value = argv[++i];
        }
        TRY(take(f, group->options, value, err));
    }
    return OK;
}

/* flags.h -- options of a command as a table, from which the parser, --help and the man page are made.
 *
 *     static const Flag flags[] = {
 *         {"--top-k", NULL, "N", FLAG_INT, offsetof(Options, top_k), .min = 0, .max = 1e6, "keep the N likeliest"},
 *
 * A command takes one or more groups, each with a struct that it fills. Both "--top-k 5" and
 * "--top-k=5" are read. A value must be a whole number or word of its kind, within its range; errors
 * name the flag and what would be valid. Words that are no flags are the command's arguments.
 */
#ifndef MAIN_FLAGS_H
#define MAIN_FLAGS_H

#include "base/error.h"

typedef enum FlagKind {
    FLAG_SWITCH,     /* bool: true when given */
    FLAG_OFF,        /* bool: false when given (--no-bos) */
    FLAG_INT,        /* int32_t */
    FLAG_LONG,       /* int64_t */
    FLAG_SEED,       /* uint64_t, all of them */
    FLAG_FLOAT,      /* float */
    FLAG_TEXT,       /* const char *: points into argv */
    FLAG_CHOICE,     /* int32_t: the index in `choices`, a list with commas */
    FLAG_LIST,       /* FlagList: may be given several times */
    FLAG_INTS,       /* FlagInts: "128,512" */
    FLAG_CALL,       /* take() reads it */
} FlagKind;

enum { FLAG_LIST_MAX = 64 };
typedef struct FlagList {
    const char *item[FLAG_LIST_MAX];
    int32_t count;
} FlagList;

enum { FLAG_INTS_MAX = 16 };
typedef struct FlagInts {
    int32_t count, value[FLAG_INTS_MAX];
} FlagInts;

typedef struct Flag {
    const char *name, *alias;      /* "--predict", "-n" or NULL */
    const char *argument;          /* how help calls the value; NULL for switches */
    FlagKind kind;
    size_t offset;
    const char *help;
    double min, max;
    const char *choices;
    Err (*take)(void *options, const char *value, Error *err);
} Flag;

typedef struct FlagGroup {
    const char *title;             /* over the group in help */
    const Flag *flags;
    int count;
    void *options;
} FlagGroup;

typedef struct Command {
    const char *name, *arguments, *summary;   /* "run", "[options]", one line */
    const char *description;                  /* some paragraphs: what it teaches */
    const char *examples;                     /* lines as typed */
    const FlagGroup *groups;                  /* until title NULL; options NULL here */
    int (*run)(int argc, char **argv);        /* argv[0] is the command's name; returns the exit status */
} Command;

#define FLAG_GROUP(title, flags, options) {title, flags, (int)COUNT_OF(flags), options}

/* Fills the groups' structs. `words` (room for words_max) gets what is no flag. A --help anywhere is
 * reported by *help. */
Err flags_read(const FlagGroup *groups, int argc, char **argv, const char **words, int words_max, int *word_count,
               bool *help, Error *err);

/* Strict numbers, for flags with a form of their own. */
bool number_read(const char *text, double *out);
bool integer_read(const char *text, int64_t *out);

#endif

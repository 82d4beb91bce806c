/* main.c -- the command line: finds the command, and keeps the manners that all share. */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "main/help.h"

#define COMMAND(name) extern const Command command_##name;
#include "rooms.inc"
#undef COMMAND

static const Command *const commands[] = {
#define COMMAND(name) &command_##name,
#include "rooms.inc"
#undef COMMAND
};
enum { COMMANDS = COUNT_OF(commands) };

static const Command *find(const char *name)
{
    for (int i = 0; i < COMMANDS; i++)
        if (!strcmp(commands[i]->name, name))
            return commands[i];
    return NULL;
}

/* ridge help [COMMAND], ridge help --man [COMMAND] */
static int help(int argc, char **argv)
{
    bool man = argc > 1 && !strcmp(argv[1], "--man");
    const char *name = argc > 1 + man ? argv[1 + man] : NULL;
    const Command *c = name ? find(name) : NULL;
    if (name && !c) {
        fprintf(stderr, "ridge: there is no command '%s'; `ridge help` lists them\n", name);
        return 1;
    }
    if (c)
        (man ? man_command : help_command)(stdout, c);
    else
        (man ? man_program : help_program)(stdout, commands, COMMANDS);
    return 0;
}

int main(int argc, char **argv)
{
    signal(SIGPIPE, SIG_IGN);   /* a closed pipe is an error of write(), told like every other */
    if (argc < 2) {
        help_program(stderr, commands, COMMANDS);
        return 1;
    }
    if (!strcmp(argv[1], "--version") || !strcmp(argv[1], "version")) {
        puts("ridge " RIDGE_VERSION);
        return 0;
    }
    if (!strcmp(argv[1], "help") || !strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"))
        return help(argc - 1, argv + 1);
    const Command *c = find(argv[1]);
    if (!c) {
        fprintf(stderr, "ridge: there is no command '%s'; `ridge help` lists them\n", argv[1]);
        return 1;
    }
    return c->run(argc - 1, argv + 1);
}

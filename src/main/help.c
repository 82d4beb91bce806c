#include "main/help.h"

#include <string.h>

enum { HELP_COLUMN = 30, HELP_WIDTH = 96 };

static void flag_title(const Flag *f, char *out, size_t bytes)
{
    snprintf(out, bytes, "%s%s%s%s%s", f->alias ? f->alias : "", f->alias ? ", " : "    ", f->name, f->argument ? " " : "",
             f->argument ? f->argument : "");
}

/* Words of `text` from `column` on, in lines of HELP_WIDTH. */
static void put_wrapped(FILE *out, const char *text, int column, int at)
{
    while (*text) {
        int bytes = (int)strcspn(text, " \n");
        if (at > column && at + bytes > HELP_WIDTH)
            at = fprintf(out, "\n%*s", column, "") - 1;
        at += fprintf(out, "%.*s", bytes, text);
        text += bytes;
        if (*text == '\n')
            at = fprintf(out, "\n%*s", column, "") - 1;
        else if (*text == ' ')
            at += fprintf(out, " ");
        text += *text != 0;
    }
    fputc('\n', out);
}

static void help_flag(FILE *out, const Flag *f)
{
    char title[128];
    flag_title(f, title, sizeof title);
    int at = fprintf(out, "  %-*s", HELP_COLUMN - 2, title);
    if (at > HELP_COLUMN || title[HELP_COLUMN - 4 < (int)strlen(title) ? HELP_COLUMN - 4 : (int)strlen(title)])
        fprintf(out, "\n%*s", HELP_COLUMN, "");
    put_wrapped(out, f->help, HELP_COLUMN, HELP_COLUMN);
}

void help_command(FILE *out, const Command *c)
{
    fprintf(out, "usage: ridge %s %s\n\n", c->name, c->arguments);
    put_wrapped(out, c->description, 0, 0);
    for (const FlagGroup *g = c->groups; g->title; g++) {
        fprintf(out, "\n%s:\n", g->title);
        for (int i = 0; i < g->count; i++)
            help_flag(out, &g->flags[i]);
    }
    if (c->examples)
        fprintf(out, "\nexamples:\n%s", c->examples);
}

void help_program(FILE *out, const Command *const *commands, int count)
{
    fputs("ridge " RIDGE_VERSION ": runs language models at the speed of the memory\n\n"
          "usage: ridge COMMAND [options]\n\n", out);
    for (int i = 0; i < count; i++)
        fprintf(out, "  %-10s %s\n", commands[i]->name, commands[i]->summary);
    fputs("\n`ridge COMMAND --help` explains each. Without -m the default model in models/ is used:\n\n"
          "  ridge run -p 'Once upon a time'\n  ridge chat\n  ridge chat -m path/to/checkpoint-or-file.gguf\n", out);
}

/* Text for troff: a backslash, a dash and a dot at the start of a line mean something there. */
static void man_text(FILE *out, const char *text)
{
    for (const char *at = text; *at; at++) {
        if (*at == '\\')
            fputs("\\e", out);
        else if (*at == '-')
            fputs("\\-", out);
        else if ((*at == '.' || *at == '\'') && (at == text || at[-1] == '\n'))
            fprintf(out, "\\&%c", *at);
        else
            fputc(*at, out);
    }
}

void man_command(FILE *out, const Command *c)
{
    fprintf(out, ".TH RIDGE-%s 1 \"\" \"ridge " RIDGE_VERSION "\"\n.SH NAME\nridge\\-%s \\- ", c->name, c->name);
    man_text(out, c->summary);
    fprintf(out, "\n.SH SYNOPSIS\n.B ridge %s\n", c->name);
    man_text(out, c->arguments);
    fputs("\n.SH DESCRIPTION\n", out);
    man_text(out, c->description);
    for (const FlagGroup *g = c->groups; g->title; g++) {
        fprintf(out, "\n.SH %s\n", g->title);
        for (int i = 0; i < g->count; i++) {
            char title[128];
            flag_title(&g->flags[i], title, sizeof title);
            fputs(".TP\n.B ", out);
            man_text(out, title + strspn(title, " "));
            fputc('\n', out);
            man_text(out, g->flags[i].help);
            fputc('\n', out);
        }
    }
    if (c->examples) {
        fputs(".SH EXAMPLES\n.nf\n", out);
        man_text(out, c->examples);
        fputs(".fi\n", out);
    }
    fputs(".SH EXIT STATUS\n0: done. 1: an error, told on stderr. 130: interrupted.\n.SH SEE ALSO\n.BR ridge (1)\n", out);
}

void man_program(FILE *out, const Command *const *commands, int count)
{
    fputs(".TH RIDGE 1 \"\" \"ridge " RIDGE_VERSION "\"\n.SH NAME\nridge \\- runs language models at the speed of the memory\n"
          ".SH SYNOPSIS\n.B ridge\n.I COMMAND\n[options]\n.SH COMMANDS\n", out);
    for (int i = 0; i < count; i++) {
        fprintf(out, ".TP\n.BR ridge\\-%s (1)\n", commands[i]->name);
        man_text(out, commands[i]->summary);
        fputc('\n', out);
    }
}

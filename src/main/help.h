/* help.h -- --help and the man pages, both from the tables of flags. */
#ifndef MAIN_HELP_H
#define MAIN_HELP_H

#include <stdio.h>

#include "main/flags.h"

void help_command(FILE *, const Command *);
void man_command(FILE *, const Command *);       /* troff, section 1 */
void help_program(FILE *, const Command *const *commands, int count);
void man_program(FILE *, const Command *const *commands, int count);

#endif

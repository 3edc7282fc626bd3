/* The help texts, made from the table of verbs. */
#ifndef LEAT_CLI_HELP_H
#define LEAT_CLI_HELP_H

#include <stdio.h>

struct verb;

void help_all(FILE *out);
void help_verb(const struct verb *verb); /* on standard output */

#endif

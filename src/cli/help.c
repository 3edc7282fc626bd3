/* The help texts: see help.h. */
#include "cli/help.h"

#include "cli/verb.h"

#define OPTION_WIDTH 24 /* of the column before an option's help */

static void help_options(const struct option_spec *spec, FILE *out)
{
    for (; spec && spec->name; spec++) {
        char left[64];
        const char *space = spec->value ? " " : "", *value = spec->value ? spec->value : "";
        if (spec->letter)
            (void)snprintf(left, sizeof(left), "-%c, --%s%s%s", spec->letter, spec->name, space,
                           value);
        else
            (void)snprintf(left, sizeof(left), "    --%s%s%s", spec->name, space, value);
        (void)fprintf(out, "  %-*s  %s\n", OPTION_WIDTH, left, spec->help);
    }
}

void help_all(FILE *out)
{
    (void)fputs("usage: leat [OPTIONS] VERB ...\n\n"
                "Runs work on parts of accelerators: each job gets a card, a slice of a device\n"
                "with its own memory and compute.\n\nVerbs:\n",
                out);
    for (const struct verb *const *verb = verb_table; *verb; verb++) {
        char words[32];
        const char *group = (*verb)->group;
        (void)snprintf(words, sizeof(words), "%s%s%s", group ? group : "", group ? " " : "",
                       (*verb)->name);
        (void)fprintf(out, "  %-18s%s\n", words, (*verb)->summary);
    }
    (void)fputs("\nOptions of every verb:\n", out);
    help_options(global_options, out);
    (void)fputs("\n`leat VERB -h` explains one verb; `man leat` and `man leat-VERB` say more.\n",
                out);
}

void help_verb(const struct verb *verb)
{
    (void)printf("usage: leat %s%s%s [OPTIONS]%s%s\n\n%s.\n", verb->group ? verb->group : "",
                 verb->group ? " " : "", verb->name, verb->operands ? " " : "",
                 verb->operands ? verb->operands : "", verb->summary);
    if (verb->details)
        (void)printf("%s\n", verb->details);
    (void)fputs("\nOptions:\n", stdout);
    help_options(verb->options, stdout);
    help_options(verb->more_options, stdout);
    help_options(global_options, stdout);
    (void)printf("\nExample:\n  %s\n", verb->example);
}

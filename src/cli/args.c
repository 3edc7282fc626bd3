/* The one parser of options, on getopt_long: see args.h. */
#include "cli/args.h"

#include <errno.h>
#include <getopt.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/error.h"

#define OPTIONS_MAX 64  /* of all tables of one verb together */
#define LONG_OPTION 256 /* no letter: getopt also tells by its index which long option it was */

/* The tables in getopt's form: `specs[i]` is what `longs[i]` stands for. */
struct getopt_tables {
    struct option longs[OPTIONS_MAX + 1];
    const struct option_spec *specs[OPTIONS_MAX];
    int count;
    struct buf letters;
};

static int tables_add(struct getopt_tables *tables, const struct option_spec *spec)
{
    for (; spec && spec->name; spec++) {
        if (tables->count == OPTIONS_MAX)
            return -E2BIG;
        tables->longs[tables->count] =
            (struct option){.name = spec->name,
                            .has_arg = spec->value ? required_argument : no_argument,
                            .val = LONG_OPTION};
        tables->specs[tables->count++] = spec;
        if (spec->letter)
            (void)buf_printf(&tables->letters, "%c%s", spec->letter, spec->value ? ":" : "");
    }
    return tables->letters.failed;
}

static const struct option_spec *tables_find(const struct getopt_tables *tables, int letter)
{
    for (int i = 0; i < tables->count; i++) {
        if (tables->specs[i]->letter == letter)
            return tables->specs[i];
    }
    return NULL;
}

static int args_add(struct args *args, const struct option_spec *spec, const char *value)
{
    struct given *longer = realloc(args->given, (args->given_count + 1) * sizeof(*args->given));
    if (!longer)
        return -ENOMEM;
    args->given = longer;
    args->given[args->given_count++] = (struct given){.spec = spec, .value = value};
    return 0;
}

/* getopt leaves in optopt which option it was, 0 for a long one that it does not know. */
static int refuse(int found, char **argv, struct error *err)
{
    const char *word = argv[optind - 1];
    if (found == ':')
        return error_set(err, -EINVAL, "usage", "option '%s' needs a value", word);
    if (optopt == LONG_OPTION)
        return error_set(err, -EINVAL, "usage", "option '%s' takes no value", word);
    if (optopt)
        return error_set(err, -EINVAL, "usage", "there is no option '-%c'", optopt);
    return error_set(err, -EINVAL, "usage", "there is no option '%s', or it is ambiguous", word);
}

/* Whether the word before the first operand is the "--" that ended the options, and not the value
 * of the last one. */
static bool args_separated(const struct args *args, char **argv)
{
    const char *before = optind > 1 ? argv[optind - 1] : "";
    bool is_value = args->given_count && args->given[args->given_count - 1].value == before;
    return strcmp(before, "--") == 0 && !is_value;
}

int args_parse(struct args *args, const struct option_spec *const tables[ARGS_TABLES],
               enum args_order order, int argc, char **argv, struct error *err)
{
    struct getopt_tables known = {0};
    int r = buf_puts(&known.letters, order == ARGS_OPTIONS_FIRST ? "+:" : ":");
    for (int i = 0; r == 0 && i < ARGS_TABLES; i++)
        r = tables_add(&known, tables[i]);
    optind = 0; /* glibc: start afresh */
    opterr = 0;
    while (r == 0) {
        int at = -1;
        int found = getopt_long(argc, argv, known.letters.data, known.longs, &at);
        if (found == -1)
            break;
        if (found == '?' || found == ':') {
            r = refuse(found, argv, err);
            break;
        }
        r = args_add(args, at >= 0 ? known.specs[at] : tables_find(&known, found), optarg);
    }
    buf_finish(&known.letters);
    if (r == -ENOMEM || r == -E2BIG)
        return error_set(err, r, "out-of-memory", "reading the options");
    if (r < 0)
        return r;
    args->operands = argv + optind;
    args->operand_count = argc - optind;
    args->separated = args_separated(args, argv);
    return 0;
}

void args_finish(struct args *args)
{
    free(args->given);
    *args = (struct args){0};
}

const char *args_next(const struct args *args, const char *name, size_t *cursor)
{
    while (*cursor < args->given_count) {
        const struct given *given = &args->given[(*cursor)++];
        if (strcmp(given->spec->name, name) == 0)
            return given->value;
    }
    return NULL;
}

const char *args_text(const struct args *args, const char *name)
{
    size_t cursor = 0;
    const char *last = NULL;
    for (const char *value; (value = args_next(args, name, &cursor));)
        last = value;
    return last;
}

bool args_has(const struct args *args, const char *name)
{
    for (size_t i = 0; i < args->given_count; i++) {
        if (strcmp(args->given[i].spec->name, name) == 0)
            return true;
    }
    return false;
}

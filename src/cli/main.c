/* The `leat` command: finds the verb, reads its options by the tables, prints what went wrong. What
 * a verb does is in its own file. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "cli/help.h"
#include "cli/hint.h"
#include "cli/verb.h"
#include "leat/client.h"

void cli_say(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)fputs("leat: ", stderr);
    (void)vfprintf(stderr, format, args);
    (void)fputc('\n', stderr);
    va_end(args);
}

int cli_connect(struct cli *cli, struct error *err)
{
    if (cli->client)
        return 0;
    AUTO_BUF struct buf socket = BUF_INIT;
    const char *host = cli->host;
    if (!host && cli->run_dir) {
        if (buf_printf(&socket, "unix:%s/leatd.sock", cli->run_dir) < 0)
            return error_set(err, -ENOMEM, "out-of-memory", "naming the socket");
        host = socket.data;
    }
    struct leat_error reason = {0};
    int r = leat_client_create(host, cli->token, &cli->client, &reason);
    if (r < 0)
        return error_set(err, r, reason.code, "%s", reason.text);
    leat_client_interrupt_on(cli->client, cli->interrupt_fd);
    return 0;
}

int cli_interrupt_on(struct cli *cli, int fd, struct error *err)
{
    cli->interrupt_fd = fd;
    int r = cli_connect(cli, err);
    if (r == 0)
        leat_client_interrupt_on(cli->client, fd);
    return r;
}

static void cli_take_globals(struct cli *cli, const struct args *args)
{
    cli->host = args_text(args, "host");
    cli->token = args_text(args, "token");
    cli->run_dir = args_text(args, "run-dir");
    cli->json = args_has(args, "json");
}

/* How many words of `argv` name `verb`: 0 when they name another. A group's first verb is also
 * meant by the group's name alone. */
static int verb_words(const struct verb *verb, int argc, char **argv)
{
    const char *second = argc > 1 ? argv[1] : NULL;
    if (!verb->group)
        return strcmp(argv[0], verb->name) == 0;
    if (strcmp(argv[0], verb->group) != 0)
        return 0;
    if (second && strcmp(second, verb->name) == 0)
        return 2;
    return !second || second[0] == '-';
}

static int verb_find(int argc, char **argv, const struct verb **ret_verb, struct error *err)
{
    const char *group = NULL;
    for (const struct verb *const *verb = verb_table; *verb; verb++) {
        int words = verb_words(*verb, argc, argv);
        if (words > 0) {
            *ret_verb = *verb;
            return words;
        }
        if ((*verb)->group && strcmp((*verb)->group, argv[0]) == 0)
            group = (*verb)->group;
    }
    if (group)
        return error_set(err, -EINVAL, "usage", "there is no verb '%s %s'", group, argv[1]);
    return error_set(err, -EINVAL, "usage", "there is no verb '%s'", argv[0]);
}

static int verb_check_operands(const struct verb *verb, const struct args *args, struct error *err)
{
    if (args->operand_count < verb->operands_min)
        return error_set(err, -EINVAL, "usage", "%s is missing", verb->operands);
    if (verb->operands_max >= 0 && args->operand_count > verb->operands_max)
        return error_set(err, -EINVAL, "usage", "'%s' is one operand too many",
                         args->operands[verb->operands_max]);
    return 0;
}

static int verb_run_parsed(const struct verb *verb, struct cli *cli, struct args *args, int argc,
                           char **argv, struct error *err)
{
    enum args_order order = verb->flags & VERB_PASSES_ON ? ARGS_OPTIONS_FIRST : ARGS_MIXED;
    const struct option_spec *const tables[ARGS_TABLES] = {verb->options, verb->more_options,
                                                           global_options};
    int r = args_parse(args, tables, order, argc, argv, err);
    if (r < 0)
        return r;
    if (args_has(args, "help")) {
        help_verb(verb);
        return 0;
    }
    cli_take_globals(cli, args);
    r = verb_check_operands(verb, args, err);
    return r < 0 ? r : verb->run(cli, args, err);
}

/* `ret_verb` tells which verb was meant as soon as that is known. */
static int cli_main(struct cli *cli, struct args *args, int argc, char **argv,
                    const struct verb **ret_verb, struct error *err)
{
    const struct option_spec *const tables[ARGS_TABLES] = {global_options};
    int r = args_parse(args, tables, ARGS_OPTIONS_FIRST, argc, argv, err);
    if (r < 0)
        return r;
    if (args_has(args, "help") || !args->operand_count || strcmp(args->operands[0], "help") == 0) {
        help_all(args->operand_count || args_has(args, "help") ? stdout : stderr);
        return args->operand_count || args_has(args, "help") ? 0 : EXIT_USAGE;
    }
    argc = args->operand_count;
    argv = args->operands;
    r = verb_find(argc, argv, ret_verb, err);
    if (r < 0)
        return r;
    argc -= r - 1;
    argv += r - 1;
    return verb_run_parsed(*ret_verb, cli, args, argc, argv, err);
}

static int cli_report(const struct verb *verb, const struct error *err)
{
    const char *hint = hint_find(err->code);
    cli_say("%s", err->text);
    if (hint)
        (void)fprintf(stderr, "%s\n", hint);
    if (err->errnum == -ECANCELED)
        return EXIT_SIGNALLED + SIGINT;
    if (strcmp(err->code, "usage") != 0)
        return verb && verb->flags & VERB_RUNS_JOB ? EXIT_LEAT : EXIT_FAILURE;
    if (verb)
        (void)fprintf(stderr, "See: leat %s%s%s -h\n", verb->group ? verb->group : "",
                      verb->group ? " " : "", verb->name);
    else
        (void)fprintf(stderr, "See: leat -h\n");
    return EXIT_USAGE;
}

int main(int argc, char **argv)
{
    struct cli cli = {.interrupt_fd = -1};
    struct args args = {0};
    struct error err = {0};
    const struct verb *verb = NULL;
    int status = cli_main(&cli, &args, argc, argv, &verb, &err);
    if (status < 0)
        status = cli_report(verb, &err);
    leat_client_destroy(cli.client);
    args_finish(&args);
    if (fflush(stdout) != 0 && status == 0) {
        cli_say("standard output: %s", strerror(errno));
        status = EXIT_FAILURE;
    }
    return status;
}

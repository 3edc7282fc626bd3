/* Configuration: see config.h. Options and file share one table of names. */
#include "leatd/config.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stddef.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/path.h"
#include "base/units.h"
#include "base/yaml.h"

#define CONFIG_FILE_MAX_BYTES (64u << 10)

/* As given; NULL: not given. */
struct given {
    char *run_dir, *state_dir, *data_dir, *listen, *engine, *cardd, *loan_minimum, *loan_notice,
        *preemption, *moves;
};

#define MOVES_DEFAULT 6 /* of cards to other devices, an hour */

static const struct setting {
    const char *name; /* of the option and of the member in the file */
    const char *value, *help;
    size_t offset;
} settings[] = {
    {"run-dir", "DIR", "sockets and locks", offsetof(struct given, run_dir)},
    {"state-dir", "DIR", "database, images, jobs", offsetof(struct given, state_dir)},
    {"data-dir", "DIR", "templates and image recipes", offsetof(struct given, data_dir)},
    {"listen", "HOST:PORT", "serve TCP too, with the token in STATE/token",
     offsetof(struct given, listen)},
    {"engine", "NAME", "what runs containers: local or fake", offsetof(struct given, engine)},
    {"cardd", "PATH", "leat-cardd to start, or none", offsetof(struct given, cardd)},
    {"loan-minimum", "TIME", "that a borrower of compute may run (1m)",
     offsetof(struct given, loan_minimum)},
    {"loan-notice", "TIME", "before borrowed compute goes back (30s)",
     offsetof(struct given, loan_notice)},
    {"preemption", "on|off", "jobs give way to those of higher priority (on)",
     offsetof(struct given, preemption)},
    {"moves-per-hour", "COUNT", "of cards to other devices, to let a waiting job in (6)",
     offsetof(struct given, moves)},
};

#define SETTINGS (sizeof(settings) / sizeof(settings[0]))

static char **given_slot(struct given *given, const struct setting *setting)
{
    return (char **)(void *)((char *)given + setting->offset);
}

static void given_finish(struct given *given)
{
    for (size_t i = 0; i < SETTINGS; i++)
        free(*given_slot(given, &settings[i]));
}

static int set(char **slot, const char *value, struct error *err)
{
    char *copy = strdup(value);
    if (!copy)
        return error_set(err, -ENOMEM, "out-of-memory", "reading the configuration");
    free(*slot);
    *slot = copy;
    return 0;
}

void config_print_help(void)
{
    (void)printf("usage: leatd [OPTION...]\n\nThe control plane of Leat: takes jobs over HTTP and "
                 "runs them in containers on parts of devices.\n\n");
    for (size_t i = 0; i < SETTINGS; i++)
        (void)printf("      --%s=%-*s%s\n", settings[i].name, 24 - (int)strlen(settings[i].name),
                     settings[i].value, settings[i].help);
    (void)printf("  -c, --config=FILE               YAML file with the names above\n"
                 "      --foreground                do not detach (always so)\n"
                 "      --print-routes              list what the REST interface offers\n"
                 "  -V, --version                   print the version\n"
                 "  -h, --help                      print this text\n");
}

/* The file fills what the command line left open. */
static int file_apply(const char *path, struct given *given, struct error *err)
{
    AUTO_BUF struct buf text = BUF_INIT;
    struct given from_file = {0};
    struct json_field fields[SETTINGS + 1] = {0};
    for (size_t i = 0; i < SETTINGS; i++)
        fields[i] = (struct json_field){settings[i].name, JSON_KIND_TEXT, settings[i].offset,
                                        JSON_OPTIONAL};
    if (file_read(AT_FDCWD, path, CONFIG_FILE_MAX_BYTES, &text, err) < 0)
        return err->errnum;
    AUTO_JSON json_t *file = yaml_parse(text.data, text.length, CONFIG_FILE_MAX_BYTES, err);
    int r = file ? json_decode(file, fields, &from_file, err) : err->errnum;
    for (size_t i = 0; r == 0 && i < SETTINGS; i++) {
        if (!*given_slot(given, &settings[i]))
            *given_slot(given, &settings[i]) = TAKE(*given_slot(&from_file, &settings[i]));
    }
    given_finish(&from_file);
    return r < 0 ? error_context(err, "configuration file '%s'", path) : 0;
}

static const struct option plain_options[] = {
    {"config", required_argument, NULL, 'c'}, {"help", no_argument, NULL, 'h'},
    {"version", no_argument, NULL, 'V'},      {"print-routes", no_argument, NULL, 'r'},
    {"foreground", no_argument, NULL, 'f'},
};

#define PLAIN_OPTIONS (sizeof(plain_options) / sizeof(plain_options[0]))

static int options_parse(int argc, char **argv, struct config *config, struct given *given,
                         const char **ret_file, struct error *err)
{
    struct option options[PLAIN_OPTIONS + SETTINGS + 1] = {0};
    memcpy(options, plain_options, sizeof(plain_options));
    for (size_t i = 0; i < SETTINGS; i++)
        options[PLAIN_OPTIONS + i] = (struct option){settings[i].name, required_argument, NULL, 0};
    int r = 0, which = 0;
    config->action = CONFIG_RUN;
    for (int option; r == 0 && (option = getopt_long(argc, argv, "c:hV", options, &which)) != -1;) {
        if (option == 0)
            r = set(given_slot(given, &settings[(size_t)which - PLAIN_OPTIONS]), optarg, err);
        else if (option == 'c')
            *ret_file = optarg;
        else if (option == 'h')
            config->action = CONFIG_SHOW_HELP;
        else if (option == 'V')
            config->action = CONFIG_SHOW_VERSION;
        else if (option == 'r')
            config->action = CONFIG_SHOW_ROUTES;
        else if (option != 'f')
            r = error_set(err, -EINVAL, "bad-usage", "see leatd --help");
    }
    if (r == 0 && optind < argc)
        r = error_set(err, -EINVAL, "bad-usage", "'%s' is not an option; see leatd --help",
                      argv[optind]);
    return r;
}

/* A path that was given (and exists), else the first that exists beside this program. */
static int companion_find(const char *what, const char *given, const char *const *places,
                          char ret_path[PATH_MAX], struct error *err)
{
    if (!given || !*given)
        return path_find_beside(what, places, ret_path, err);
    if (!realpath(given, ret_path))
        return error_errno(err, -errno, "not-found", "cannot find the %s at '%s'", what, given);
    return 0;
}

/* In a build tree, under a prefix, on the system. */
static const char *const data_places[] = {"../../../templates", "../share/leat/templates",
                                          "/usr/share/leat/templates", NULL};
static const char *const cardd_places[] = {"leat-cardd", "../card/cardd/leat-cardd",
                                           "../libexec/leat/leat-cardd",
                                           "/usr/libexec/leat/leat-cardd", NULL};

/* Not given: 0. */
static int time_apply(const char *text, uint64_t *ret_ms, struct error *err)
{
    return text ? duration_parse(text, ret_ms, err) : 0;
}

static int switch_apply(const char *text, bool *ret_off, struct error *err)
{
    *ret_off = strcmp(text, "off") == 0;
    return *ret_off || strcmp(text, "on") == 0
               ? 0
               : error_set(err, -EINVAL, "bad-switch", "'%.32s' is neither on nor off", text);
}

static int figures_apply(const struct given *given, struct config *config, struct error *err)
{
    int r = time_apply(given->loan_minimum, &config->loan_minimum_ms, err);
    if (r == 0)
        r = time_apply(given->loan_notice, &config->loan_notice_ms, err);
    if (r == 0 && given->preemption)
        r = switch_apply(given->preemption, &config->no_preemption, err);
    if (r == 0 && given->moves)
        r = u64_parse(given->moves, &config->moves_per_hour, err);
    return r;
}

static int given_apply(struct given *given, struct config *config, struct error *err)
{
    const char *data_dir = given->data_dir ? given->data_dir : getenv("LEAT_DATA_DIR");
    if (given->engine && strcmp(given->engine, "local") != 0 && strcmp(given->engine, "fake") != 0)
        return error_set(err, -EINVAL, "unknown-engine",
                         "there is no engine '%s'; choose local or fake", given->engine);
    int r = path_run_dir(given->run_dir, config->run_dir, err);
    if (r == 0)
        r = path_state_dir(given->state_dir, config->state_dir, err);
    if (r == 0)
        r = companion_find("data folder", data_dir, data_places, config->data_dir, err);
    if (r == 0 && !(data_dir && *data_dir))
        *strrchr(config->data_dir, '/') = '\0'; /* the folder that holds the templates */
    if (r == 0 && !(given->cardd && strcmp(given->cardd, "none") == 0))
        r = companion_find("leat-cardd", given->cardd, cardd_places, config->cardd, err);
    if (r == 0)
        r = figures_apply(given, config, err);
    config->listen = TAKE(given->listen);
    config->engine = TAKE(given->engine);
    return r;
}

int config_read(int argc, char **argv, struct config *config, struct error *err)
{
    config->moves_per_hour = MOVES_DEFAULT;
    struct given given = {0};
    const char *file = NULL;
    int r = options_parse(argc, argv, config, &given, &file, err);
    if (r == 0 && config->action == CONFIG_RUN && file)
        r = file_apply(file, &given, err);
    if (r == 0 && config->action == CONFIG_RUN)
        r = given_apply(&given, config, err);
    given_finish(&given);
    return r;
}

void config_finish(struct config *config)
{
    free(config->listen);
    free(config->engine);
}

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
#include "base/yaml.h"

#define CONFIG_FILE_MAX_BYTES (64u << 10)

/* As given; NULL: not given. */
struct given {
    char *run_dir, *state_dir, *data_dir, *listen, *engine, *cardd;
};

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
};

#define SETTINGS (sizeof(settings) / sizeof(settings[0]))

enum {
    OPTION_CONFIG = 'c',
    OPTION_HELP = 'h',
    OPTION_VERSION = 'V',
    OPTION_ROUTES = 1000,
    OPTION_FOREGROUND,
    OPTION_SETTING
};

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
        char **slot = given_slot(given, &settings[i]);
        if (!*slot && *given_slot(&from_file, &settings[i]))
            r = set(slot, *given_slot(&from_file, &settings[i]), err);
    }
    given_finish(&from_file);
    return r < 0 ? error_context(err, "configuration file '%s'", path) : 0;
}

static int options_parse(int argc, char **argv, struct config *config, struct given *given,
                         const char **ret_file, struct error *err)
{
    struct option options[SETTINGS + 6] = {
        {"config", required_argument, NULL, OPTION_CONFIG},
        {"help", no_argument, NULL, OPTION_HELP},
        {"version", no_argument, NULL, OPTION_VERSION},
        {"print-routes", no_argument, NULL, OPTION_ROUTES},
        {"foreground", no_argument, NULL, OPTION_FOREGROUND},
    };
    for (size_t i = 0; i < SETTINGS; i++)
        options[5 + i] =
            (struct option){settings[i].name, required_argument, NULL, OPTION_SETTING + (int)i};
    int r = 0;
    config->action = CONFIG_RUN;
    for (int option; r == 0 && (option = getopt_long(argc, argv, "c:hV", options, NULL)) != -1;) {
        if (option >= OPTION_SETTING)
            r = set(given_slot(given, &settings[option - OPTION_SETTING]), optarg, err);
        else if (option == OPTION_CONFIG)
            *ret_file = optarg;
        else if (option == OPTION_HELP)
            config->action = CONFIG_SHOW_HELP;
        else if (option == OPTION_VERSION)
            config->action = CONFIG_SHOW_VERSION;
        else if (option == OPTION_ROUTES)
            config->action = CONFIG_SHOW_ROUTES;
        else if (option == '?')
            r = error_set(err, -EINVAL, "bad-usage", "see leatd --help");
    }
    if (r == 0 && optind < argc)
        r = error_set(err, -EINVAL, "bad-usage", "'%s' is not an option; see leatd --help",
                      argv[optind]);
    return r;
}

/* The data folder: as given, else where templates are beside this program (build tree, prefix). */
static int data_dir_find(const char *option, char ret_path[PATH_MAX], struct error *err)
{
    static const char *const places[] = {"../../../templates", "../share/leat/templates",
                                         "/usr/share/leat/templates", NULL};
    const char *given = option ? option : getenv("LEAT_DATA_DIR");
    if (given && *given) {
        if (realpath(given, ret_path))
            return 0;
        return error_errno(err, -errno, "no-data-dir", "cannot find the data folder '%s'", given);
    }
    int r = path_find_beside("templates", places, ret_path, err);
    if (r == 0)
        *strrchr(ret_path, '/') = '\0';
    return r;
}

static int cardd_find(const char *option, char ret_path[PATH_MAX], struct error *err)
{
    static const char *const places[] = {"leat-cardd", "../card/cardd/leat-cardd",
                                         "../libexec/leat/leat-cardd",
                                         "/usr/libexec/leat/leat-cardd", NULL};
    if (!option)
        return path_find_beside("leat-cardd", places, ret_path, err);
    if (strcmp(option, "none") == 0)
        return 0;
    if (!realpath(option, ret_path))
        return error_errno(err, -errno, "no-cardd", "cannot find leat-cardd at '%s'", option);
    return 0;
}

static int given_apply(struct given *given, struct config *config, struct error *err)
{
    if (given->engine && strcmp(given->engine, "local") != 0 && strcmp(given->engine, "fake") != 0)
        return error_set(err, -EINVAL, "unknown-engine",
                         "there is no engine '%s'; choose local or fake", given->engine);
    int r = path_run_dir(given->run_dir, config->run_dir, err);
    if (r == 0)
        r = path_state_dir(given->state_dir, config->state_dir, err);
    if (r == 0)
        r = data_dir_find(given->data_dir, config->data_dir, err);
    if (r == 0)
        r = cardd_find(given->cardd, config->cardd, err);
    config->listen = TAKE(given->listen);
    config->engine = TAKE(given->engine);
    return r;
}

int config_read(int argc, char **argv, struct config *config, struct error *err)
{
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

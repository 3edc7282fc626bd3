/* leat up: start the leatd of this machine. leat down: end it; jobs go on. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/path.h"
#include "cli/ask.h"
#include "cli/daemon.h"
#include "cli/patience.h"
#include "cli/resource.h"
#include "cli/verb.h"
#include "cli/verbs.h"
#include "cli/view.h"
#include "leat/client.h"

#define RUN_FOLDER_MODE 0711 /* as leatd makes it */

static const struct option_spec up_options[] = {
    {"foreground", 'f', NULL, "stay, with leatd's log on standard error"},
    {"state-dir", 0, "DIR", "folder of database, images and jobs (LEAT_STATE_DIR)"},
    {"data-dir", 0, "DIR", "folder of templates and image recipes (LEAT_DATA_DIR)"},
    {"listen", 0, "HOST:PORT", "also listen on TCP, for who has the token"},
    {"engine", 0, "NAME", "what runs the jobs: local, fake"},
    {"config", 'c', "FILE", "leatd's configuration file"},
    {0},
};

/* Options that leatd has too: its words for them. exec wants words writable, and does not write. */
static const struct {
    const char *name, *word;
} passed_options[] = {
    {"state-dir", "--state-dir"}, {"data-dir", "--data-dir"}, {"listen", "--listen"},
    {"engine", "--engine"},       {"config", "--config"},
};

#define PASSED (sizeof(passed_options) / sizeof(*passed_options))
#define WORDS_MAX (2 + 2 * PASSED + 1)

static void options_pass(const struct args *args, char *run_dir, char *ret_words[WORDS_MAX])
{
    size_t count = 0;
    ret_words[count++] = (char *)"--run-dir";
    ret_words[count++] = run_dir;
    for (size_t i = 0; i < PASSED; i++) {
        const char *value = args_text(args, passed_options[i].name);
        if (!value)
            continue;
        ret_words[count++] = (char *)passed_options[i].word;
        ret_words[count++] = (char *)value;
    }
    ret_words[count] = NULL;
}

/* The folder of the socket that the client would ask: leatd is to listen just there. */
static int run_folder(const struct cli *cli, char ret_path[PATH_MAX], struct error *err)
{
    const char *socket = leat_client_socket(cli->client);
    const char *name = socket ? strrchr(socket, '/') : NULL;
    if (!socket)
        return error_set(err, -EINVAL, "not-local", "%s is not on this machine; start leatd there",
                         leat_client_place(cli->client));
    if (!name || strcmp(name, "/leatd.sock") != 0)
        return error_set(err, -EINVAL, "bad-host", "leatd's socket is DIR/leatd.sock, not '%s'",
                         socket);
    if (snprintf(ret_path, PATH_MAX, "%.*s", (int)(name - socket), socket) >= PATH_MAX)
        return error_set(err, -ENAMETOOLONG, "bad-path", "'%s' is too long", socket);
    return 0;
}

/* Say where it listens and what it has; opening the devices may take a moment. */
static int up_report(struct cli *cli, const char *how, struct error *err)
{
    static const struct leat_request devices = {.method = "GET", .path = "/v1/devices"};
    AUTO_JSON json_t *version = NULL, *there = NULL;
    pid_t pid = 0;
    int r = ask_get(cli, &version, err, "/v1/version");
    if (r == 0)
        r = daemon_pid(cli, &pid, err);
    if (r < 0)
        return r;
    if (cli->json) {
        ask_print(version);
        return 0;
    }
    (void)printf("leatd %s %s at %s (pid %d)\n\n", view_text(version, "version", "?"), how,
                 leat_client_place(cli->client), (int)pid);
    r = patience_ask(cli, &devices, &there, err);
    return r < 0 ? r : resource_list(cli, &device_resource, err);
}

static int up_main(struct cli *cli, const struct args *args, struct error *err)
{
    char run_dir[PATH_MAX], log_path[PATH_MAX];
    char *words[WORDS_MAX];
    pid_t pid = 0;
    int r = cli_connect(cli, err);
    if (r == 0)
        r = run_folder(cli, run_dir, err);
    if (r < 0)
        return r;
    if (daemon_pid(cli, &pid, NULL) == 0)
        return up_report(cli, "is up already", err);
    options_pass(args, run_dir, words);
    if (args_has(args, "foreground"))
        return daemon_exec(words, err);
    r = dir_make(run_dir, RUN_FOLDER_MODE, err);
    if (r == 0)
        r = path_join(run_dir, "leatd.log", log_path, err);
    if (r == 0)
        r = daemon_start(words, log_path, err);
    return r < 0 ? r : up_report(cli, "listens", err);
}

static int down_main(struct cli *cli, const struct args *args, struct error *err)
{
    (void)args; /* has nothing of its own */
    pid_t pid = 0;
    int r = daemon_pid(cli, &pid, err);
    if (r == -ECONNREFUSED) {
        cli_say("no leatd is up at %s", leat_client_place(cli->client));
        return 0;
    }
    if (r == 0)
        r = daemon_stop(pid, err);
    if (r == 0)
        cli_say("leatd (pid %d) has ended; jobs and cards go on", (int)pid);
    return r;
}

const struct verb verb_up = {
    .name = "up",
    .summary = "Start the leatd of this machine and show its devices",
    .details = "When one is up already, says so. Its log is leatd.log in the run folder.",
    .example = "leat up",
    .options = up_options,
    .run = up_main,
};

const struct verb verb_down = {
    .name = "down",
    .summary = "End the leatd of this machine; jobs go on",
    .details = "The next `leat up` finds the jobs again.",
    .example = "leat down",
    .run = down_main,
};

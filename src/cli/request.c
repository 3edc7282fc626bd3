/* A job request from the command line: see request.h. */
#include "cli/request.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/random.h"
#include "base/units.h"
#include "cli/ask.h"
#include "cli/guess.h"
#include "cli/patience.h"
#include "cli/size.h"
#include "cli/verb.h"
#include "cli/view.h"
#include "leat/client.h"

const struct option_spec request_options[] = {
    {"library", 'l', "NAME", "library type; guessed from PROGRAM when not given"},
    {"type", 't', "NAME", "job type: training, inference, notebook, batch"},
    {"image", 'i', "NAME", "image instead of the template's"},
    {"name", 'n', "NAME", "a name for the job"},
    {"memory", 'm', "BYTES", "memory of the card: 2GiB"},
    {"model", 0, "MODEL", "size the card by what this model, registered or in a file, needs"},
    {"model-setting", 0, "NAME=VALUE",
     "of leat estimate: method=lora, batch=4; may be given again"},
    {"share", 's', "SHARE", "compute of the device: 50%"},
    {"burst", 0, NULL, "go beyond the share while nobody else wants the device"},
    {"device", 'D', "DEVICE", "the device to be on; else any that fits"},
    {"cuda", 0, NULL, "the program is a CUDA program: a card of a CUDA device"},
    {"remote", 0, NULL,
     "with --cuda: the program has only a socket, and its card can be suspended"},
    {"mps", 0, NULL, "with --cuda: as a client of the device's MPS, which must be running"},
    {"vendor", 0, "NAMES", "a device of one of these vendors, in order: 'nvidia|amd,intel'"},
    {"device-model", 0, "WORDS", "a device whose name has one of these words: 'H100|H200,A100'"},
    {"cpus", 'c', "COUNT", "CPUs of the container: 1.5"},
    {"ram", 'r', "BYTES", "main memory of the container"},
    {"pids", 0, "COUNT", "processes of the container, at most"},
    {"restarts", 0, "COUNT", "on a larger card when Leat had chosen the memory and it was refused"},
    {"network", 0, "KIND", "none, host or outbound"},
    {"idle-after", 0, "TIME", "lend its compute when unused this long: 10m"},
    {"idle", 0, "WHAT", "share or memory: what an unused card leaves to others"},
    {"grace", 0, "TIME", "between asking it to stop and killing it: 10s"},
    {"signal", 0, "SIGNAL[@TIME]", "sent to it this long before its card is taken: USR1@30s"},
    {"pre-stop", 0, "COMMAND", "run in its container then, by /bin/sh -c; 0: its state is saved"},
    {"requeue", 0, NULL,
     "it may be stopped to give way when its card cannot be suspended, and is started again"},
    {"workdir", 'w', "DIR", "host folder to work in, writable, at /work"},
    {"env", 'e', "NAME=VALUE", "environment variable; NAME alone copies it"},
    {"priority", 'p', "NUMBER", "0 to 1000, higher goes first"},
    {"tenant", 0, "NAME", "whom it is charged to"},
    {"expect", 0, "TIME", "how long it will run, so that shorter ones may go first: 2h"},
    {"gang", 0, "NAME", "start together with the other jobs of this name"},
    {"gang-size", 0, "COUNT", "how many jobs the gang has"},
    {"dry-run", 0, NULL, "print the filled description and do nothing"},
    {0},
};

/* Options whose value is handed on as it stands, or as a number or an absolute path. */
enum member_kind { MEMBER_INVALID, MEMBER_TEXT, MEMBER_NUMBER, MEMBER_FOLDER };

static const struct {
    const char *option, *member;
    enum member_kind kind;
} members[] = {
    {"library", "library", MEMBER_TEXT},
    {"type", "type", MEMBER_TEXT},
    {"image", "image", MEMBER_TEXT},
    {"name", "name", MEMBER_TEXT},
    {"memory", "memory", MEMBER_TEXT},
    {"share", "share", MEMBER_TEXT},
    {"device", "device", MEMBER_TEXT},
    {"cpus", "cpus", MEMBER_TEXT},
    {"ram", "ram", MEMBER_TEXT},
    {"network", "network", MEMBER_TEXT},
    {"grace", "grace", MEMBER_TEXT},
    {"idle-after", "idle_after", MEMBER_TEXT},
    {"tenant", "tenant", MEMBER_TEXT},
    {"priority", "priority", MEMBER_NUMBER},
    {"pids", "pids", MEMBER_NUMBER},
    {"restarts", "restarts", MEMBER_NUMBER},
    {"vendor", "vendor", MEMBER_TEXT},
    {"expect", "expect", MEMBER_TEXT},
    {"device-model", "device_model", MEMBER_TEXT},
    {"gang", "gang", MEMBER_TEXT},
    {"gang-size", "gang_size", MEMBER_NUMBER},
    {"workdir", "workdir", MEMBER_FOLDER},
    {"idle", "idle", MEMBER_TEXT},
    {"signal", "signal", MEMBER_TEXT},
};

/* Members of the options' names that are true when given. */
static const char *const flags[] = {"burst", "requeue"};

static int out_of_memory(struct error *err)
{
    return error_set(err, -ENOMEM, "out-of-memory", "making the request");
}

static int absolute_path(const char *path, char ret_path[PATH_MAX], struct error *err)
{
    if (!realpath(path, ret_path))
        return error_errno(err, -errno, "bad-path", "'%s'", path);
    return 0;
}

/* Takes over `value`. */
static int request_put(json_t *request, const char *member, json_t *value, struct error *err)
{
    return json_object_set_new(request, member, value) < 0 ? out_of_memory(err) : 0;
}

static int request_put_member(json_t *request, const char *member, enum member_kind kind,
                              const char *text, struct error *err)
{
    char path[PATH_MAX];
    uint64_t number = 0;
    int r = 0;
    if (kind == MEMBER_FOLDER)
        r = absolute_path(text, path, err);
    else if (kind == MEMBER_NUMBER)
        r = u64_parse(text, &number, err);
    if (r < 0)
        return error_context(err, "%s", member);
    json_t *value = kind == MEMBER_NUMBER ? json_integer((json_int_t)number)
                                          : json_string(kind == MEMBER_FOLDER ? path : text);
    if (!value)
        return error_set(err, -EINVAL, "bad-field", "'%s' is not UTF-8 text", member);
    return request_put(request, member, value, err);
}

/* Words as a JSON list; NULL with err set. */
static json_t *words_json(char *const *words, struct error *err)
{
    AUTO_JSON json_t *list = json_array();
    for (; list && *words; words++) {
        if (json_array_append_new(list, json_string(*words)) < 0) {
            (void)error_set(err, -EINVAL, "bad-field", "'%s' is not UTF-8 text", *words);
            return NULL;
        }
    }
    if (!list)
        (void)out_of_memory(err);
    return TAKE(list);
}

static int request_put_words(json_t *request, const char *member, char *const *words,
                             struct error *err)
{
    json_t *list = words_json(words, err);
    return list ? request_put(request, member, list, err) : -EINVAL;
}

static int request_put_env(json_t *request, const struct args *args, struct error *err)
{
    AUTO_JSON json_t *env = json_object();
    size_t cursor = 0;
    for (const char *pair; (pair = args_next(args, "env", &cursor));) {
        size_t length = strcspn(pair, "=");
        AUTO_FREE char *name = strndup(pair, length);
        const char *value = !name ? NULL : pair[length] == '=' ? pair + length + 1 : getenv(name);
        if (!name || !*name || !value)
            return error_set(err, -EINVAL, "bad-env",
                             "--env '%s' is neither NAME=VALUE nor the "
                             "name of a variable that is set",
                             pair);
        if (json_object_set_new(env, name, json_string(value)) < 0)
            return error_set(err, -EINVAL, "bad-env", "--env '%s' is not UTF-8 text", pair);
    }
    return json_object_size(env) ? request_put(request, "env", json_incref(env), err) : 0;
}

static int request_put_pre_stop(json_t *request, const struct args *args, struct error *err)
{
    const char *command = args_text(args, "pre-stop");
    return command ? request_put(request, "pre_stop",
                                 json_pack("[s, s, s]", "/bin/sh", "-c", command), err)
                   : 0;
}

/* PROGRAM is a file of this host; a COMMAND after "--" is one of the image. */
static int request_put_work(json_t *request, const struct args *args, struct error *err)
{
    char path[PATH_MAX];
    if (args->separated)
        return request_put_words(request, "command", args->operands, err);
    int r = absolute_path(args->operands[0], path, err);
    if (r < 0)
        return error_context(err, "the program (a command of the image comes after --)");
    r = request_put_member(request, "program", MEMBER_TEXT, path, err);
    if (r == 0 && args->operand_count > 1)
        r = request_put_words(request, "args", args->operands + 1, err);
    if (r < 0 || json_object_get(request, "library"))
        return r;
    const char *library = guess_library(path);
    if (args_has(args, "cuda") && strcmp(library, "opencl-c") == 0)
        library = "generic";
    if (!args_has(args, "quiet"))
        cli_say("library '%s' by the look of %s; --library says otherwise", library,
                args->operands[0]);
    return request_put_member(request, "library", MEMBER_TEXT, library, err);
}

/* What is no path is the name of a registered model, whatever lies in the folder. */
static bool is_path(const char *model)
{
    return strchr(model, '/') || model[0] == '.';
}

/* leatd knows it, and sizes the card. */
static int request_put_model(json_t *request, const struct args *args, struct error *err)
{
    AUTO_JSON json_t *settings = json_object();
    int r = settings ? size_settings(args, settings, err) : out_of_memory(err);
    if (r == 0)
        r = request_put_member(request, "model", MEMBER_TEXT, args_text(args, "model"), err);
    if (r == 0 && json_object_size(settings))
        r = request_put(request, "model_settings", json_incref(settings), err);
    return r;
}

/* The card's memory from the model's size when nobody named it. */
static int request_put_size(json_t *request, const struct args *args, struct error *err)
{
    char amount[UNITS_TEXT_MAX], text[32];
    uint64_t bytes;
    if (!args_has(args, "model") && args_has(args, "model-setting"))
        return error_set(err, -EINVAL, "usage", "--model-setting needs --model");
    if (!args_has(args, "model"))
        return 0;
    if (!is_path(args_text(args, "model")))
        return request_put_model(request, args, err);
    if (args_has(args, "memory"))
        return 0;
    int r = size_card(args, &bytes, err);
    if (r < 0)
        return error_context(err, "sizing the card");
    if (!args_has(args, "quiet"))
        cli_say("memory %s by the size of %s; --memory says otherwise", bytes_text(bytes, amount),
                args_text(args, "model"));
    (void)snprintf(text, sizeof(text), "%llu", (unsigned long long)bytes);
    return request_put_member(request, "memory", MEMBER_TEXT, text, err);
}

static int request_put_interface(json_t *request, const struct args *args, struct error *err)
{
    bool remote = args_has(args, "remote"), mps = args_has(args, "mps");
    if (remote && mps)
        return error_set(err, -EINVAL, "usage",
                         "a program with --remote never meets the driver, and so no --mps");
    if (!args_has(args, "cuda"))
        return remote || mps ? error_set(err, -EINVAL, "usage", "--%s goes with --cuda",
                                         remote ? "remote" : "mps")
                             : 0;
    return request_put_member(request, "interface", MEMBER_TEXT,
                              remote ? "cuda-remote"
                              : mps  ? "cuda-mps"
                                     : "cuda",
                              err);
}

int request_make(const struct args *args, json_t **ret_request, struct error *err)
{
    AUTO_JSON json_t *request = json_object();
    int r = request ? 0 : out_of_memory(err);
    for (size_t i = 0; r == 0 && i < sizeof(members) / sizeof(*members); i++) {
        const char *text = args_text(args, members[i].option);
        if (text)
            r = request_put_member(request, members[i].member, members[i].kind, text, err);
    }
    for (size_t i = 0; r == 0 && i < sizeof(flags) / sizeof(*flags); i++) {
        if (args_has(args, flags[i]))
            r = request_put(request, flags[i], json_true(), err);
    }
    if (r == 0)
        r = request_put_interface(request, args, err);
    if (r == 0)
        r = request_put_size(request, args, err);
    if (r == 0)
        r = request_put_env(request, args, err);
    if (r == 0)
        r = request_put_pre_stop(request, args, err);
    if (r == 0)
        r = request_put_work(request, args, err);
    if (r < 0)
        return r;
    *ret_request = TAKE(request);
    return 0;
}

static int request_post(struct cli *cli, const char *path, const char *key, const json_t *request,
                        json_t **ret_answer, struct error *err)
{
    AUTO_FREE char *body = json_text(request);
    if (!body)
        return out_of_memory(err);
    struct leat_request post = {.method = "POST", .path = path, .body = body, .key = key};
    return patience_ask(cli, &post, ret_answer, err);
}

int request_submit(struct cli *cli, const json_t *request, json_t **ret_job, struct error *err)
{
    char key[TOKEN_TEXT_MAX];
    int r = random_token(key);
    if (r < 0)
        return error_errno(err, r, "no-randomness", "making an idempotency key");
    return request_post(cli, "/v1/jobs", key, request, ret_job, err);
}

int request_describe(struct cli *cli, const json_t *request, struct error *err)
{
    AUTO_JSON json_t *answer = NULL;
    int r = request_post(cli, "/v1/jobs?dry_run=true", NULL, request, &answer, err);
    if (r < 0)
        return r;
    if (cli->json)
        ask_print(answer);
    else
        (void)fputs(view_text(answer, "yaml", ""), stdout);
    return 0;
}

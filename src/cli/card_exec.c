/* leat card exec: run a program on a card, with leat-cardd alone. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/path.h"
#include "base/random.h"
#include "base/units.h"
#include "cli/card_daemon.h"
#include "cli/card_relay.h"
#include "cli/child.h"
#include "cli/verb.h"
#include "cli/verbs.h"
#include "leat/card.h"

#define START_TRIES 3 /* a leat-cardd may leave between our connecting and our asking */
#define ICD_TEXT_MAX_BYTES 8192
#define LIBRARIES_MAX (4 * PATH_MAX)
#define CUDA_DEVICE "cuda-" /* and its number in the order of their bus addresses */
#define FIGURES_LOOKS 100   /* for the last figures of a card of another host, ... */
#define FIGURES_LOOK_MS 20
#define CARDS_MAX 16 /* of one program, as its library has no more */

DEFINE_CLEANUP(relay, struct card_relay, card_relay_stop)
DEFINE_CLEANUP(control, struct leat_card_control, leat_card_control_close)

static const struct option_spec exec_options[] = {
    {"memory", 'm', "SIZE", "memory quota of the card, as 2GiB"},
    {"share", 's', "SHARE", "share of the device's compute, as 25%"},
    {"burst", 0, NULL, "go beyond the share while nobody else wants the device"},
    {"priority", 0, "N", "0 to 9: the higher gets the device first, within its share (0)"},
    {"device", 0, "ID", "device to take the card from (default: the first); ID,ID or ID+ID"},
    {"cuda", 0, NULL, "the program is a CUDA program (default device: cuda-0)"},
    {"remote", 0, NULL, "with --cuda: the program has only a socket, and no way to the driver"},
    {"on", 0, "HOST[:PORT]", "take the card from a host where leat-relay listens"},
    {"host-token", 0, "FILE", "holds the secret of that host"},
    {"host-fingerprint", 0, "SHA256", "of that host's certificate, as its leat-relay logs it"},
    {"stats", 0, NULL, "print what the program used to standard error at the end"},
    {0},
};

/* What was asked for, and the places it needs. */
struct exec {
    const char *devices[CARDS_MAX]; /* a card of each; the first may be NULL: any */
    char behind[CARDS_MAX];         /* each: ',', or '+': the next is of the same platform */
    unsigned devices_count;
    char device_list[LIBRARIES_MAX]; /* what they point into */
    const char *on;                  /* NULL: this host */
    const char *host_token, *host_fingerprint;
    bool cuda, remote; /* remote: an executor calls the CUDA driver, not the program */
    uint64_t memory_bytes;
    uint32_t share_permille;
    uint32_t priority;
    bool burst;
    char run_dir[PATH_MAX], socket[PATH_MAX], icd_dir[PATH_MAX];
    char libraries[LIBRARIES_MAX]; /* LD_LIBRARY_PATH of a CUDA program */
    char cards_dir[PATH_MAX]; /* leat-cardd's run folder, or what stands for that of the host */
};

/* After the device and the host: a CUDA card is of a CUDA device, and remote when it is another
 * host's. */
static int cuda_read(const struct args *args, struct exec *exec, struct error *err)
{
    exec->cuda = args_has(args, "cuda");
    exec->remote = args_has(args, "remote") || (exec->cuda && exec->on);
    if (exec->remote && !exec->cuda)
        return error_set(err, -EINVAL, "usage",
                         "--remote goes with --cuda: OpenCL cards always are");
    if (exec->devices_count > 1 && (exec->remote || exec->on))
        return error_set(err, -EINVAL, "usage", "several devices do not go with --remote or --on");
    if (!exec->cuda)
        return 0;
    if (!exec->devices[0])
        exec->devices[0] = CUDA_DEVICE "0";
    if (exec->devices_count > 1 && memchr(exec->behind, '+', exec->devices_count))
        return error_set(err, -EINVAL, "usage", "'+' between devices is for OpenCL programs");
    for (unsigned i = 0; i < exec->devices_count; i++)
        if (strncmp(exec->devices[i], CUDA_DEVICE, strlen(CUDA_DEVICE)) != 0)
            return error_set(err, -EINVAL, "usage",
                             "'%s' is no CUDA device; they are named " CUDA_DEVICE "0 ...",
                             exec->devices[i]);
    return 0;
}

static int devices_read(const struct args *args, struct exec *exec, struct error *err)
{
    const char *text = args_text(args, "device");
    exec->devices_count = 1;
    exec->devices[0] = NULL;
    if (!text)
        return 0;
    if (snprintf(exec->device_list, sizeof(exec->device_list), "%s", text) >=
        (int)sizeof(exec->device_list))
        return error_set(err, -EINVAL, "usage", "the list of devices is too long");
    exec->devices_count = 0;
    for (char *at = exec->device_list; at; exec->devices_count++) {
        if (exec->devices_count == CARDS_MAX)
            return error_set(err, -EINVAL, "usage", "a program has %d cards at most", CARDS_MAX);
        exec->behind[exec->devices_count] = at[strcspn(at, ",+")];
        exec->devices[exec->devices_count] = strsep(&at, ",+");
    }
    return 0;
}

static int priority_read(const struct args *args, uint32_t *ret_priority, struct error *err)
{
    const char *text = args_text(args, "priority");
    uint64_t priority = 0;
    int r = text ? u64_parse(text, &priority, err) : 0;
    *ret_priority = priority > UINT32_MAX ? UINT32_MAX : (uint32_t)priority;
    return r;
}

static int options_read(const struct cli *cli, const struct args *args, struct exec *exec,
                        struct error *err)
{
    const char *memory = args_text(args, "memory"), *share = args_text(args, "share");
    if (!memory || !share)
        return error_set(err, -EINVAL, "usage",
                         "say how large the card is, for example --memory 2GiB --share 25%%");
    int r = bytes_parse(memory, &exec->memory_bytes, err);
    if (r == 0)
        r = share_parse(share, &exec->share_permille, err);
    if (r == 0)
        r = priority_read(args, &exec->priority, err);
    exec->burst = args_has(args, "burst");
    if (r == 0)
        r = path_run_dir(cli->run_dir, exec->run_dir, err);
    if (r == 0)
        r = devices_read(args, exec, err);
    exec->on = args_text(args, "on");
    if (r == 0)
        r = cuda_read(args, exec, err);
    exec->host_token = args_text(args, "host-token");
    exec->host_fingerprint = args_text(args, "host-fingerprint");
    if (r == 0 && exec->on && !exec->host_token)
        r = error_set(err, -EINVAL, "usage", "--on needs --host-token");
    if (r == 0)
        (void)snprintf(exec->cards_dir, sizeof(exec->cards_dir), "%s", exec->run_dir);
    return r;
}

/* The folder that the OpenCL loader is pointed at: one file that names Leat's library. */
static int icd_prepare(struct exec *exec, struct error *err)
{
    static const char *const places[] = {"../card/opencl/libleat-opencl.so",
                                         LEAT_LIBDIR_FROM_BINDIR "/leat/libleat-opencl.so",
                                         LEAT_LIBDIR_FROM_BINDIR "/libleat-opencl.so", NULL};
    char library[PATH_MAX], file[PATH_MAX];
    int r = path_find_beside("the OpenCL library libleat-opencl.so", places, library, err);
    if (r == 0)
        r = path_join(exec->run_dir, "icd", exec->icd_dir, err);
    if (r == 0)
        r = dir_make(exec->icd_dir, 0755, err);
    if (r == 0)
        r = path_join(exec->icd_dir, "leat.icd", file, err);
    if (r < 0)
        return r;
    AUTO_BUF struct buf wanted = BUF_INIT, there = BUF_INIT;
    if (buf_printf(&wanted, "%s\n", library) < 0)
        return error_set(err, -ENOMEM, "out-of-memory", "writing '%s'", file);
    if (file_read(AT_FDCWD, file, ICD_TEXT_MAX_BYTES, &there, NULL) == 0 && there.data &&
        strcmp(there.data, wanted.data) == 0)
        return 0;
    return file_write_atomic(AT_FDCWD, file, wanted.data, wanted.length, 0644, err);
}

/* Where the program's loader is to look first: Leat's libcuda.so.1. */
static int cuda_prepare(struct exec *exec, struct error *err)
{
    static const char *const places[] = {"../card/cuda/libcuda.so.1",
                                         LEAT_LIBDIR_FROM_BINDIR "/leat/cuda/libcuda.so.1", NULL};
    char library[PATH_MAX];
    const char *others = getenv("LD_LIBRARY_PATH");
    int r = path_find_beside("the CUDA library libcuda.so.1", places, library, err);
    if (r < 0)
        return r;
    *strrchr(library, '/') = '\0'; /* it is an absolute path */
    int length = snprintf(exec->libraries, sizeof(exec->libraries), "%s%s%s", library,
                          others ? ":" : "", others ? others : "");
    if (length >= (int)sizeof(exec->libraries))
        return error_set(err, -ENAMETOOLONG, "usage", "LD_LIBRARY_PATH is too long");
    return 0;
}

/* One more token, and what a CUDA program knows the device of its card by: one without a name of
 * the driver's has its number. */
static int card_add(const struct exec *exec, unsigned number, const struct leat_card_lease *lease,
                    struct buf *tokens, struct buf *visible)
{
    const char *comma = number ? "," : "";
    const char *name = lease->uuid;
    if (!name[0] && exec->cuda)
        name = exec->devices[number] + strlen(CUDA_DEVICE);
    const char *joint = number && exec->behind[number - 1] == '+' ? "+" : comma;
    int r = buf_printf(tokens, "%s%s", joint, lease->token);
    return r < 0 ? r : buf_printf(visible, "%s%s", comma, name);
}

/* Run the program where it finds its cards; its exit status. */
static int program_run(const struct exec *exec, const struct args *args,
                       const struct leat_card_lease *leases, struct error *err)
{
    AUTO_BUF struct buf tokens = BUF_INIT, visible = BUF_INIT;
    for (unsigned i = 0; i < exec->devices_count; i++)
        if (card_add(exec, i, &leases[i], &tokens, &visible) < 0)
            return error_set(err, -ENOMEM, "out-of-memory", "naming the cards");
    const struct child_variable opencl[] = {
        {"LEAT_CARD_SOCKET", exec->socket},
        {"LEAT_CARD_TOKEN", tokens.data},
        {"OCL_ICD_VENDORS", exec->icd_dir},
        {NULL, NULL},
    };
    const struct child_variable cuda[] = {
        {"LEAT_CARD_SOCKET", exec->socket},     {"LEAT_CARD_TOKEN", tokens.data},
        {"LD_LIBRARY_PATH", exec->libraries},   {"CUDA_DEVICE_ORDER", "PCI_BUS_ID"},
        {"CUDA_VISIBLE_DEVICES", visible.data}, {NULL, NULL},
    };
    return child_run(args->operands, exec->cuda ? cuda : opencl, err);
}

/* A host's leat-cardd is not ours to start. */
static int cards_connect(const struct exec *exec, struct leat_card_control **ret_control,
                         struct error *err)
{
    struct leat_error why = {0};
    if (!exec->on)
        return card_daemon_connect(exec->run_dir, ret_control, err);
    int r = leat_card_control_connect(exec->cards_dir, ret_control, &why);
    return r < 0 ? error_set(err, r, why.code, "%s", why.text) : 0;
}

/* One more card, bound to the connection: it goes when this process does, however that ends. */
static int card_make(const struct exec *exec, struct leat_card_control *control, unsigned number,
                     struct leat_card_lease *ret_lease, struct error *err)
{
    char name[LEAT_CARD_NAME_MAX], random[TOKEN_TEXT_MAX];
    struct leat_error why = {0};
    int r = random_token(random);
    if (r < 0)
        return error_errno(err, r, "card-failed", "no random bytes");
    (void)snprintf(name, sizeof(name), "exec-%d-%.8s", (int)getpid(), random);
    const struct leat_card_request request = {
        .card = name,
        .device = exec->devices[number],
        .memory_bytes = exec->memory_bytes,
        .share_permille = exec->share_permille,
        .flags = LEAT_CARD_BOUND | (exec->remote ? LEAT_CARD_REMOTE : 0) |
                 (exec->burst ? LEAT_CARD_BURST : 0),
        .priority = exec->priority,
    };
    r = leat_card_create(control, &request, ret_lease, &why);
    return r < 0 ? error_set(err, r, why.code, "%s", why.text) : 0;
}

/* All of them or none. */
static int cards_make(const struct exec *exec, struct leat_card_control **ret_control,
                      struct leat_card_lease *ret_leases, struct error *err)
{
    int r = 0;
    for (int tries = 0; tries < START_TRIES; tries++) {
        struct leat_card_control *control;
        r = cards_connect(exec, &control, err);
        if (r < 0)
            return r;
        for (unsigned i = 0; i < exec->devices_count && r == 0; i++)
            r = card_make(exec, control, i, &ret_leases[i], err);
        if (r == 0) {
            *ret_control = control;
            return 0;
        }
        leat_card_control_close(control);
        if (strcmp(err->code, "cardd-lost") != 0)
            break;
    }
    return r;
}

static double part(uint64_t of, uint64_t whole)
{
    return whole ? 100.0 * (double)of / (double)whole : 0;
}

static void carried_print_text(const struct leat_card_status *s)
{
    char to[UNITS_TEXT_MAX], line_to[UNITS_TEXT_MAX], from[UNITS_TEXT_MAX],
        line_from[UNITS_TEXT_MAX];
    (void)fprintf(stderr, "  line     %s there, as %s on the line; %s back, as %s\n",
                  bytes_text(s->carried_to_device_bytes, to),
                  bytes_text(s->line_to_device_bytes, line_to),
                  bytes_text(s->carried_from_device_bytes, from),
                  bytes_text(s->line_from_device_bytes, line_from));
}

static void stats_print_text(const struct leat_card_status *s)
{
    char peak[UNITS_TEXT_MAX], quota[UNITS_TEXT_MAX], granted[UNITS_TEXT_MAX];
    uint64_t age_ns = s->age_ms * 1000000,
             calls = s->calls_local + s->calls_posted + s->calls_waited;
    (void)fprintf(stderr, "\ncard on %s\n", s->device);
    (void)fprintf(stderr, "  memory   %s at most, of a quota of %s; %llu refusals\n",
                  bytes_text(s->memory_peak_bytes, peak), bytes_text(s->memory_quota_bytes, quota),
                  (unsigned long long)s->refusals);
    (void)fprintf(stderr, "  compute  %.3f s of device time in %.3f s: %.1f %%, of a share of %s\n",
                  (double)s->device_time_ns / 1e9, (double)age_ns / 1e9,
                  part(s->device_time_ns, age_ns),
                  share_text((uint32_t)s->share_permille, granted));
    (void)fprintf(
        stderr,
        "  calls    %llu: %.1f %% answered in the program, %.1f %% posted, %.1f %% waited "
        "for; %llu records\n",
        (unsigned long long)calls, part(s->calls_local, calls), part(s->calls_posted, calls),
        part(s->calls_waited, calls), (unsigned long long)s->records);
    if (s->carried_to_device_bytes + s->carried_from_device_bytes)
        carried_print_text(s);
    (void)fprintf(stderr, "  builds   %llu by the driver, %llu kept from before\n",
                  (unsigned long long)s->builds, (unsigned long long)s->build_hits);
}

static void stats_print_json(const struct leat_card_status *s)
{
    AUTO_JSON json_t *object = json_pack(
        "{ss sI sI sI sI sI sI sI sI sI sI sI sI sI sI sI sI sI sI sI sI sI}", "device", s->device,
        "age_ms", (json_int_t)s->age_ms, "memory_quota_bytes", (json_int_t)s->memory_quota_bytes,
        "memory_peak_bytes", (json_int_t)s->memory_peak_bytes, "share_permille",
        (json_int_t)s->share_permille, "device_time_ns", (json_int_t)s->device_time_ns,
        "throttled_ns", (json_int_t)s->throttled_ns, "commands", (json_int_t)s->commands,
        "refusals", (json_int_t)s->refusals, "calls_local", (json_int_t)s->calls_local,
        "calls_posted", (json_int_t)s->calls_posted, "calls_waited", (json_int_t)s->calls_waited,
        "records", (json_int_t)s->records, "bytes_to_device", (json_int_t)s->bytes_to_device,
        "bytes_from_device", (json_int_t)s->bytes_from_device, "wait_ns", (json_int_t)s->wait_ns,
        "carried_to_device_bytes", (json_int_t)s->carried_to_device_bytes,
        "carried_from_device_bytes", (json_int_t)s->carried_from_device_bytes,
        "line_to_device_bytes", (json_int_t)s->line_to_device_bytes, "line_from_device_bytes",
        (json_int_t)s->line_from_device_bytes, "builds", (json_int_t)s->builds, "build_hits",
        (json_int_t)s->build_hits);
    AUTO_FREE char *text = object ? json_text(object) : NULL;
    (void)fprintf(stderr, "%s\n", text ? text : "{}");
}

/* The last figures of a card of another host come behind its program's end: they are waited for,
 * but not for long, for the line may be lost. */
static void figures_await(struct leat_card_control *control, const char *card)
{
    struct leat_card_status figures = {.sessions = 1};
    struct leat_error why;
    for (int i = 0; i < FIGURES_LOOKS && figures.sessions; i++) {
        if (i > 0)
            (void)poll(NULL, 0, FIGURES_LOOK_MS);
        if (leat_card_show(control, card, &figures, &why) < 0)
            return; /* the card's removal says why */
    }
}

static int card_exec(struct cli *cli, const struct args *args, struct error *err)
{
    struct exec exec;
    CLEANUP(cleanup_relay) struct card_relay *relay = NULL;
    CLEANUP(cleanup_control) struct leat_card_control *control = NULL;
    struct leat_card_lease leases[CARDS_MAX];
    int r = options_read(cli, args, &exec, err);
    if (r == 0)
        r = exec.cuda ? cuda_prepare(&exec, err) : icd_prepare(&exec, err);
    if (r == 0 && exec.on) {
        const struct card_relay_host host = {exec.on, exec.host_token, exec.host_fingerprint};
        r = card_relay_start(exec.run_dir, &host, CARD_RELAY_COMMAND, exec.cards_dir, &relay, err);
    }
    if (r == 0)
        r = path_join(exec.cards_dir, "card/card.sock", exec.socket, err);
    if (r == 0)
        r = cards_make(&exec, &control, leases, err);
    if (r < 0)
        return r;
    int status = program_run(&exec, args, leases, err);
    for (unsigned i = 0; i < exec.devices_count; i++) {
        struct leat_card_status figures;
        struct leat_error why = {0};
        if (exec.on && args_has(args, "stats"))
            figures_await(control, leases[i].card);
        if (leat_card_remove(control, leases[i].card, &figures, &why) < 0)
            cli_say("%s", why.text);
        else if (args_has(args, "stats"))
            (cli->json ? stats_print_json : stats_print_text)(&figures);
    }
    return status;
}

const struct verb verb_card_exec = {
    .group = "card",
    .name = "exec",
    .operands = "PROGRAM [ARGUMENT...]",
    .operands_min = 1,
    .operands_max = -1,
    .summary = "Run an OpenCL or CUDA program on a card, without leatd",
    .details =
        "The program sees one device: a card with this memory quota and share of compute. With\n"
        "--device cpu-0,cpu-1 it has a card of each, all of this size, and each is an OpenCL\n"
        "platform; with --device cpu-0+cpu-1 they are the devices of one platform, as they are\n"
        "without cards, and may share contexts: memory counts on each card of its context. A CUDA\n"
        "program, with --cuda, finds Leat's libcuda.so.1 in LD_LIBRARY_PATH; --device "
        "cuda-0,cuda-1\n"
        "gives it a card of each, all of this size. With --remote or --on it is\n"
        "served if it is on the CUDA driver's interface; the CUDA runtime library is not.\n"
        "leat-cardd is started when it does not run. The exit status is the program's; 128 + N\n"
        "after signal N; 125 when the card could not be had. With --on the card is one of another "
        "host;\n"
        "see leat-relay(8).",
    .example = "leat card exec --memory 512MiB --share 25% --stats -- clinfo -l",
    .options = exec_options,
    .flags = VERB_PASSES_ON | VERB_RUNS_JOB,
    .run = card_exec,
};

/* What this host allows, found by doing it: trial containers from the best isolation downwards,
 * then one whole task with network. Nothing is assumed from versions or configuration. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/json.h"
#include "engine/cgroup.h"
#include "engine/image.h"
#include "engine/local.h"

#define UID_BASE_DEFAULT 100000 /* as adduser hands out, when /etc/subuid names no range for us */
#define IDS_DEFAULT 65536
#define TRIAL_RAM_BYTES (128u << 20)
#define SMALL_FILE_BYTES (256u << 10)

struct way {
    bool user_namespace;
    enum cgroup_place cgroups;
    bool privileged; /* only for a daemon that is root */
    const char *text;
};

/* From the best to what is still better than nothing. */
static const struct way ways[] = {
    {true, CGROUP_OWN, true, "user namespace, limits below the daemon's cgroup"},
    {true, CGROUP_TOP, true, "user namespace, limits in cgroups of its own at the top"},
    {false, CGROUP_OWN, true, "no user namespace, limits below the daemon's cgroup"},
    {false, CGROUP_TOP, true, "no user namespace, limits in cgroups of its own at the top"},
    {true, CGROUP_NONE, false, "user namespace, no limits"},
    {false, CGROUP_NONE, true, "no user namespace, no limits"},
};

static const char *const runtimes[] = {"runc", "crun"};
#define WAYS (sizeof(ways) / sizeof(ways[0]))
#define RUNTIMES (sizeof(runtimes) / sizeof(runtimes[0]))

struct probe {
    struct local_engine *local;
    void (*done)(struct local_engine *local);
    size_t step; /* way * RUNTIMES + runtime */
    bool again;  /* this step, or the network, has failed once already */
    char paths[RUNTIMES][PATH_MAX];
    char bundle[PATH_MAX], cid[CID_MAX];
};

void local_probe_free(struct probe *probe)
{
    free(probe);
}

/* -- looking around -- */

/* Daemons are often started without the sbin folders in their PATH. */
static bool find_program(const char *const *names, char ret_path[PATH_MAX])
{
    const char *path = getenv("PATH");
    AUTO_BUF struct buf folders = BUF_INIT;
    (void)buf_printf(&folders, "%s:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                     path ? path : ""); /* a failure is remembered */
    for (; *names && !folders.failed; names++) {
        for (const char *at = folders.data; *at;) {
            size_t length = strcspn(at, ":");
            int written = snprintf(ret_path, PATH_MAX, "%.*s/%s", (int)length, at, *names);
            if (length && written < PATH_MAX && access(ret_path, X_OK) == 0)
                return true;
            at += length + (at[length] == ':');
        }
    }
    ret_path[0] = '\0';
    return false;
}

/* "leat:BASE:COUNT", else that of root, else what Debian's adduser would give first. */
static void find_ids(struct host_facts *facts)
{
    static const char *const owners[] = {"leat", "root"};
    AUTO_BUF struct buf text = BUF_INIT;
    facts->uid_base = UID_BASE_DEFAULT;
    facts->ids_count = IDS_DEFAULT;
    if (!facts->privileged) {
        facts->uid_base = getuid();
        facts->ids_count = 1;
        return;
    }
    if (file_read(AT_FDCWD, "/etc/subuid", SMALL_FILE_BYTES, &text, NULL) || !text.data)
        return;
    for (size_t i = 0; i < sizeof(owners) / sizeof(owners[0]); i++) {
        for (const char *line = text.data; line; line = strchr(line, '\n')) {
            unsigned base, count;
            char owner[33];
            line += *line == '\n';
            if (sscanf(line, "%32[^:\n]:%u:%u", owner, &base, &count) == 3 &&
                strcmp(owner, owners[i]) == 0 && base >= 1000 && count >= IDS_DEFAULT) {
                facts->uid_base = base;
                facts->ids_count = IDS_DEFAULT;
                return;
            }
        }
    }
}

/* One line; what programs said goes in with their line ends. */
static void note(struct local_engine *local, const char *text)
{
    char line[512];
    (void)snprintf(line, sizeof(line), "%s", text); /* cut is fine */
    for (char *end = line; (end = strchr(end, '\n'));)
        *end = ' ';
    (void)json_array_append_new(local->notes, json_string(line)); /* the report lacks a line */
}

static void look_around(struct local_engine *local)
{
    static const char *const conmons[] = {"conmon", NULL};
    static const char *const inits[] = {"tini-static", "catatonit", NULL};
    static const char *const helpers[] = {"slirp4netns", NULL};
    struct host_facts *facts = &local->facts;
    facts->privileged = geteuid() == 0;
    facts->swap_limit = cgroup_limits_swap();
#if defined(__x86_64__)
    facts->architecture = "SCMP_ARCH_X86_64";
#elif defined(__aarch64__)
    facts->architecture = "SCMP_ARCH_AARCH64";
#endif
    find_ids(facts);
    (void)find_program(conmons, facts->conmon); /* absent: "" */
    if (!find_program(inits, facts->init))
        note(local, "no static init (package tini): a program that handles no signals ends only "
                    "when the grace of a stop is over");
    if (find_program(helpers, facts->net_helper_path))
        facts->net_helper = NET_HELPER_SLIRP;
    else
        note(local, "no slirp4netns: containers have no outbound network");
    if (!facts->architecture)
        note(local, "no seccomp profile for this machine's architecture");
}

/* -- the last part: a whole task -- */

static void probe_over(struct probe *probe)
{
    struct local_engine *local = probe->local;
    char job[PATH_MAX];
    if (local_path(job, NULL, "%s/jobs/" LOCAL_PROBE_ID, local->state_dir) == 0)
        (void)dir_remove_tree(AT_FDCWD, job, NULL); /* looked for again at the next start */
    probe->done(local);
}

static void on_task_removed(void *context, const char *id, const struct error *err)
{
    probe_over(context);
}

static void try_task(struct probe *probe, enum engine_network network, engine_done done);

static void give_up(struct probe *probe, const struct error *err)
{
    struct local_engine *local = probe->local;
    local->facts.runtime[0] = '\0';
    (void)snprintf(local->why, sizeof(local->why), "%.250s", err->text);
    probe_over(probe);
}

static void on_plain_task(void *context, const char *id, const struct error *err)
{
    struct probe *probe = context;
    if (err)
        give_up(probe, err);
    else if (local_remove(&probe->local->base, id, on_task_removed, probe, NULL))
        probe_over(probe);
}

static void on_linked_task(void *context, const char *id, const struct error *err)
{
    struct probe *probe = context;
    AUTO_BUF struct buf text = BUF_INIT;
    if (!err) {
        on_plain_task(context, id, NULL);
        return;
    }
    if (!probe->again) {
        probe->again = true;
        try_task(probe, ENGINE_NETWORK_OUTBOUND, on_linked_task);
        return;
    }
    (void)buf_printf(&text, "containers have no outbound network: %s", err->text);
    note(probe->local, text.data ? text.data : "containers have no outbound network");
    probe->local->facts.net_helper = NET_HELPER_NONE;
    try_task(probe, ENGINE_NETWORK_NONE, on_plain_task);
}

static void try_task(struct probe *probe, enum engine_network network, engine_done done)
{
    static const char *const argv[] = {"/bin/true", NULL};
    struct engine_task_spec spec = {.id = LOCAL_PROBE_ID,
                                    .image = "host",
                                    .argv = argv,
                                    .hostname = "probe",
                                    .network = network};
    struct error err = {0};
    if (local_start_now(probe->local, &spec, done, probe, &err))
        give_up(probe, &err);
}

static void on_old_probe_removed(void *context, const char *id, const struct error *err)
{
    struct probe *probe = context;
    if (probe->local->facts.net_helper != NET_HELPER_NONE)
        try_task(probe, ENGINE_NETWORK_OUTBOUND, on_linked_task);
    else
        try_task(probe, ENGINE_NETWORK_NONE, on_plain_task);
}

/* -- trials -- */

static void try_next(struct probe *probe);

static void record_trial(struct probe *probe, bool works, const char *text)
{
    (void)json_array_append_new(
        probe->local->tried,
        json_pack("{s:s, s:s, s:b, s:s}", "runtime", runtimes[probe->step % RUNTIMES], "with",
                  ways[probe->step / RUNTIMES].text, "works", works, "text", text)); /* as note */
}

/* A host can be short of something for a moment: only what fails twice is given up for good. */
static void step_failed(struct probe *probe)
{
    probe->step += probe->again;
    probe->again = !probe->again;
    try_next(probe);
}

static void on_version(void *context, int status)
{
    struct probe *probe = context;
    struct local_engine *local = probe->local;
    char path[PATH_MAX], text[512] = "";
    struct error err = {0};
    if (local_path(path, NULL, "%s/version", probe->bundle) == 0)
        local_tail(path, text, sizeof(text));
    (void)snprintf(local->version, sizeof(local->version), "%.*s",
                   (int)strcspn(text, "\n") < 60 ? (int)strcspn(text, "\n") : 60, text);
    (void)dir_remove_tree(AT_FDCWD, probe->bundle, NULL); /* emptied again at the next start */
    if (!local->facts.conmon[0]) {
        (void)error_set(&err, -ENOENT, "no-conmon", "conmon is not installed (package conmon)");
        give_up(probe, &err);
    } else if (local_command_by(local, local->facts.runtime, &err) ||
               local_remove(&local->base, LOCAL_PROBE_ID, on_old_probe_removed, probe, &err)) {
        give_up(probe, &err);
    }
}

static void ask_version(struct probe *probe)
{
    const struct host_facts *facts = &probe->local->facts;
    const char *const argv[] = {facts->runtime, "--version", NULL};
    char path[PATH_MAX];
    AUTO_FD int fd = local_path(path, NULL, "%s/version", probe->bundle)
                         ? -1
                         : open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    struct run_spec spec = {
        .file = facts->runtime, .argv = argv, .output_fd = fd, .pass = {-1, -1}};
    if (run_start(&probe->local->runner, &spec, on_version, probe, NULL))
        on_version(probe, -1);
}

static void on_trial_over(void *context, int status)
{
    struct probe *probe = context;
    struct local_engine *local = probe->local;
    const struct way *way = &ways[probe->step / RUNTIMES];
    char path[PATH_MAX], text[256] = "";
    if (status == 0) {
        probe->again = false;
        record_trial(probe, true, "");
        (void)snprintf(local->why, sizeof(local->why),
                       "%s is the first runtime that ran a container with: %s",
                       runtimes[probe->step % RUNTIMES], way->text);
        if (!way->user_namespace)
            note(local, "no user namespaces: containers run as an unprivileged user of the host");
        if (way->cgroups == CGROUP_NONE)
            note(local, "no cgroups: the limits of cpu, ram and pids of a job are not enforced");
        ask_version(probe);
        return;
    }
    if (local_path(path, NULL, "%s/runtime.log", probe->bundle) == 0)
        local_tail(path, text, sizeof(text));
    record_trial(probe, false, text);
    step_failed(probe);
}

static int write_trial(struct probe *probe, struct error *err)
{
    static const char *const argv[] = {"/bin/true", NULL};
    struct local_engine *local = probe->local;
    char root[PATH_MAX], root_name[NAME_MAX], cgroup[CID_MAX];
    struct engine_task_spec task = {.id = LOCAL_TRIAL_ID,
                                    .hostname = "probe",
                                    .image = "host",
                                    .argv = argv,
                                    .network = ENGINE_NETWORK_NONE,
                                    .ram_bytes = TRIAL_RAM_BYTES,
                                    .cpus_milli = 1000};
    struct bundle bundle = {.spec = &task,
                            .facts = &local->facts,
                            .dir = probe->bundle,
                            .work_dir = probe->bundle,
                            .cgroup = cgroup,
                            .root = root,
                            .host_over = images_host_over(local->images),
                            .host_view = true,
                            .owner_uid = local->facts.uid_base,
                            .owner_gid =
                                local->facts.privileged ? local->facts.uid_base : getgid()};
    (void)snprintf(cgroup, sizeof(cgroup), "%s/" LOCAL_TRIAL_ID, local->prefix); /* fits */
    int result = images_root(local->images, "host", root, root_name, err);
    (void)dir_remove_tree(AT_FDCWD, probe->bundle, NULL); /* dir_make tells */
    if (!result)
        result = dir_make(probe->bundle, 0711, err);
    AUTO_JSON json_t *config = result ? NULL : bundle_config(&bundle, err);
    AUTO_FREE char *text = config ? json_text(config) : NULL;
    if (!text)
        return result ? result : -ENOMEM;
    result = local_write(probe->bundle, "config.json", text, 0600, err);
    if (!result)
        result = local_write(probe->bundle, "hosts", "", 0644, err);
    return result ? result : local_write(probe->bundle, "resolv.conf", "", 0644, err);
}

static void no_way(struct probe *probe)
{
    struct local_engine *local = probe->local;
    const json_t *last = json_array_get(local->tried, 0);
    const char *text = json_string_value(json_object_get(last, "text"));
    struct error err = {0};
    if (text)
        (void)error_set(&err, -ENOSYS, "no-runtime",
                        "neither runc nor crun can run a container: %s", text);
    else
        (void)error_set(&err, -ENOSYS, "no-runtime", "neither runc nor crun is installed");
    give_up(probe, &err);
}

/* The trial before this one, or one that an earlier daemon was killed in, has left nothing. */
static void on_trial_cleared(void *context, const char *id, const struct error *failure)
{
    struct probe *probe = context;
    struct local_engine *local = probe->local;
    struct error err = failure ? *failure : (struct error){0};
    const char *path = probe->paths[probe->step % RUNTIMES];
    const char *const args[] = {"run", "-b", probe->bundle, probe->cid, NULL};
    if (!failure && write_trial(probe, &err) == 0 &&
        local_runtime_at(local, path, probe->bundle, args, on_trial_over, probe, &err) == 0)
        return;
    record_trial(probe, false, err.text);
    step_failed(probe);
}

static void try_next(struct probe *probe)
{
    struct local_engine *local = probe->local;
    struct host_facts *facts = &local->facts;
    struct error err = {0};
    for (; probe->step < WAYS * RUNTIMES; probe->step++) {
        const struct way *way = &ways[probe->step / RUNTIMES];
        const char *path = probe->paths[probe->step % RUNTIMES];
        if (!path[0] || (way->privileged && !facts->privileged))
            continue;
        (void)snprintf(facts->runtime, sizeof(facts->runtime), "%s", path);
        facts->user_namespace = way->user_namespace;
        facts->cgroups = way->cgroups;
        if (local_remove(&local->base, LOCAL_TRIAL_ID, on_trial_cleared, probe, &err) == 0)
            return;
        record_trial(probe, false, err.text);
        probe->again = false;
    }
    no_way(probe);
}

/* The first step comes from the loop, so that no callback runs inside engine_create. */
static void on_first_turn(void *context)
{
    try_next(context);
}

int local_probe(struct local_engine *local, void (*done)(struct local_engine *local),
                struct error *err)
{
    struct probe *probe = calloc(1, sizeof(*probe));
    struct run_timer *timer;
    if (!probe)
        return error_set(err, -ENOMEM, "no-memory", "no memory to look at the host");
    local->probe = probe;
    probe->local = local;
    probe->done = done;
    look_around(local);
    for (size_t i = 0; i < RUNTIMES; i++) {
        const char *const names[] = {runtimes[i], NULL};
        (void)find_program(names, probe->paths[i]); /* absent: "" */
    }
    local_cid(local, LOCAL_TRIAL_ID, probe->cid);
    int result = local_path(probe->bundle, err, "%s/probe", local->run_dir);
    return result ? result : run_after(&local->runner, 0, on_first_turn, probe, &timer, err);
}

/* The OCI config of a container: see bundle.h. */
#include "engine/bundle.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/json.h"
#include "engine/seccomp.h"

#define PIDS_MAX_DEFAULT 4096
#define TMP_BYTES_DEFAULT (1ull << 30)
#define CPU_PERIOD_US 100000 /* the kernel's default */
#define SLIRP_RESOLVER "10.0.2.3"
#define VENDORS_INSIDE "/etc/OpenCL/vendors"
#define LIBRARY_INSIDE "/usr/lib/leat/libleat-opencl.so"
#define SOCKET_INSIDE "/run/leat"

const char *const bundle_host_folders[] = {"/opt",   "/bin",   "/sbin",   "/lib",
                                           "/lib32", "/lib64", "/libx32", NULL};

/* -- mounts -- */

struct plain_mount {
    const char *inside, *type, *source, *options;
};

/* The parts that every container has. */
static const struct plain_mount kernel_mounts[] = {
    {"/proc", "proc", "proc", "nosuid,noexec,nodev"},
    {"/dev", "tmpfs", "tmpfs", "nosuid,noexec,mode=755,size=64k"},
    {"/dev/pts", "devpts", "devpts", "nosuid,noexec,newinstance,ptmxmode=0666,mode=0620"},
    {"/dev/shm", "tmpfs", "shm", "nosuid,noexec,nodev,mode=1777,size=1g"},
    {"/run", "tmpfs", "tmpfs", "nosuid,nodev,mode=755,size=16m"},
    {"/mnt", "tmpfs", "tmpfs", "nosuid,nodev,mode=755,size=1m"},
};

static json_t *options_of(const char *text)
{
    json_t *options = json_array();
    while (*text) {
        size_t length = strcspn(text, ",");
        (void)json_array_append_new(options,
                                    json_stringn(text, length)); /* a hole is caught below */
        text += length + (text[length] == ',');
    }
    return options;
}

static int add_mount(json_t *mounts, const char *inside, const char *type, const char *source,
                     const char *options)
{
    return json_array_append_new(mounts,
                                 json_pack("{s:s, s:s, s:s, s:o}", "destination", inside, "type",
                                           type, "source", source, "options", options_of(options)));
}

static int add_bind(json_t *mounts, const char *inside, const char *host, bool writable)
{
    return add_mount(mounts, inside, "bind", host,
                     writable ? "bind,rw,nosuid,nodev" : "bind,ro,nosuid,nodev");
}

static int add_kernel_mounts(json_t *mounts, const struct engine_task_spec *spec)
{
    char options[96];
    int failed = 0;
    for (size_t i = 0; i < sizeof(kernel_mounts) / sizeof(kernel_mounts[0]); i++)
        failed |= add_mount(mounts, kernel_mounts[i].inside, kernel_mounts[i].type,
                            kernel_mounts[i].source, kernel_mounts[i].options);
    (void)snprintf(options, sizeof(options), "nosuid,nodev,mode=1777,size=%llu",
                   (unsigned long long)(spec->tmp_bytes ? spec->tmp_bytes : TMP_BYTES_DEFAULT));
    failed |= add_mount(mounts, "/tmp", "tmpfs", "tmpfs", options);
    /* A new sysfs belongs to a network namespace, which is ours only when it is new. */
    if (spec->network == ENGINE_NETWORK_HOST)
        failed |= add_mount(mounts, "/sys", "bind", "/sys", "rbind,ro,nosuid,noexec,nodev");
    else
        failed |= add_mount(mounts, "/sys", "sysfs", "sysfs", "nosuid,noexec,nodev,ro");
    return failed;
}

/* An overlay of two read-only folders: the host's own, and above it one with the mount points that
 * the host's lacks. */
static int add_host_overlay(json_t *mounts, const struct bundle *bundle, const char *folder)
{
    AUTO_BUF struct buf options = BUF_INIT;
    if (buf_printf(&options, "ro,nosuid,nodev,lowerdir=%s%s:%s", bundle->host_over, folder, folder))
        return -1;
    return add_mount(mounts, folder, "overlay", "overlay", options.data);
}

static int add_host_view(json_t *mounts, const struct bundle *bundle)
{
    struct stat info;
    int failed =
        add_host_overlay(mounts, bundle, "/usr") | add_host_overlay(mounts, bundle, "/etc");
    for (size_t i = 0; bundle_host_folders[i]; i++)
        if (lstat(bundle_host_folders[i], &info) == 0 && S_ISDIR(info.st_mode))
            failed |= add_bind(mounts, bundle_host_folders[i], bundle_host_folders[i], false);
    return failed;
}

static int add_names(json_t *mounts, const struct bundle *bundle)
{
    AUTO_BUF struct buf hosts = BUF_INIT, resolv = BUF_INIT;
    int failed = buf_printf(&hosts, "%s/hosts", bundle->dir);
    failed |= buf_printf(&resolv, "%s/resolv.conf", bundle->dir);
    if (failed || bundle->spec->network == ENGINE_NETWORK_HOST)
        return failed ? failed
                      : add_bind(mounts, "/etc/hosts", "/etc/hosts", false) |
                            add_bind(mounts, "/etc/resolv.conf", "/etc/resolv.conf", false);
    return add_bind(mounts, "/etc/hosts", hosts.data, false) |
           add_bind(mounts, "/etc/resolv.conf", resolv.data, false);
}

static int add_card(json_t *mounts, const struct bundle *bundle)
{
    const struct engine_task_spec *spec = bundle->spec;
    if (!spec->card_socket_dir)
        return 0;
    return add_bind(mounts, SOCKET_INSIDE, spec->card_socket_dir, false) |
           add_bind(mounts, LIBRARY_INSIDE, spec->card_library, false) |
           add_bind(mounts, VENDORS_INSIDE, bundle->vendors_dir, false);
}

static int add_node(json_t *mounts, const char *path)
{
    return add_mount(mounts, path, "bind", path, "bind,rw,nosuid,noexec");
}

static json_t *mounts_of(const struct bundle *bundle)
{
    const struct engine_task_spec *spec = bundle->spec;
    json_t *mounts = json_array();
    int failed = bundle->host_view ? add_host_view(mounts, bundle) : 0;
    failed |= add_kernel_mounts(mounts, spec);
    failed |= add_names(mounts, bundle);
    if (spec->src_dir)
        failed |= add_bind(mounts, "/src", spec->src_dir, false);
    failed |= add_bind(mounts, "/work", bundle->work_dir, true);
    failed |= add_card(mounts, bundle);
    for (size_t i = 0; i < spec->mounts_count; i++)
        failed |= spec->mounts[i].flags & ENGINE_MOUNT_DEVICE
                      ? add_node(mounts, spec->mounts[i].host)
                      : add_bind(mounts, spec->mounts[i].inside, spec->mounts[i].host,
                                 spec->mounts[i].flags & ENGINE_MOUNT_WRITABLE);
    if (failed) {
        json_decref(mounts);
        return NULL;
    }
    return mounts;
}

/* -- process -- */

static bool env_has(const char *const *env, const char *pair)
{
    size_t length = strcspn(pair, "=") + 1;
    for (; env && *env; env++)
        if (strncmp(*env, pair, length) == 0)
            return true;
    return false;
}

static json_t *env_of(const struct engine_task_spec *spec)
{
    static const char *const defaults[] = {
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME=/work",
        "TMPDIR=/tmp",
        NULL,
        "LEAT_CARD_SOCKET=" SOCKET_INSIDE "/card.sock",
        "OCL_ICD_VENDORS=" VENDORS_INSIDE,
    };
    json_t *env = json_array();
    for (size_t i = 0; i < sizeof(defaults) / sizeof(defaults[0]); i++) {
        if (!defaults[i] && !spec->card_socket_dir)
            break;
        if (defaults[i] && !env_has(spec->env, defaults[i]))
            (void)json_array_append_new(env, json_string(defaults[i])); /* constants do not fail */
    }
    for (const char *const *pair = spec->env; pair && *pair; pair++) {
        if (json_array_append_new(env, json_string(*pair))) {
            json_decref(env);
            return NULL;
        }
    }
    return env;
}

/* With an init, signals reach a program that set no handler for them, and orphans are reaped. */
static json_t *argv_of(const struct bundle *bundle)
{
    json_t *argv =
        bundle->facts->init[0] ? json_pack("[s, s, s]", BUNDLE_INIT, "-g", "--") : json_array();
    for (const char *const *arg = bundle->spec->argv; *arg; arg++) {
        if (json_array_append_new(argv, json_string(*arg))) {
            json_decref(argv);
            return NULL;
        }
    }
    return argv;
}

static json_t *process_of(const struct bundle *bundle)
{
    const struct engine_task_spec *spec = bundle->spec;
    /* Without a user namespace the program is an ordinary user instead of a root of its own. */
    bool mapped = bundle->facts->user_namespace;
    return json_pack("{s:b, s:{s:I, s:I}, s:o, s:o, s:s, s:b,"
                     " s:{s:[], s:[], s:[], s:[], s:[]}}",
                     "terminal", 0, "user", "uid", (json_int_t)(mapped ? 0 : bundle->owner_uid),
                     "gid", (json_int_t)(mapped ? 0 : bundle->owner_gid), "args", argv_of(bundle),
                     "env", env_of(spec), "cwd", spec->cwd ? spec->cwd : "/work", "noNewPrivileges",
                     1, "capabilities", "bounding", "effective", "inheritable", "permitted",
                     "ambient");
}

/* -- kernel -- */

static json_t *namespaces_of(const struct bundle *bundle)
{
    json_t *list = json_pack("[{s:s}, {s:s}, {s:s}, {s:s}]", "type", "pid", "type", "mount", "type",
                             "ipc", "type", "uts");
    if (bundle->facts->cgroups != CGROUP_NONE)
        (void)json_array_append_new(list, json_pack("{s:s}", "type", "cgroup")); /* constants */
    if (bundle->spec->network != ENGINE_NETWORK_HOST)
        (void)json_array_append_new(list, json_pack("{s:s}", "type", "network"));
    if (bundle->facts->user_namespace)
        (void)json_array_append_new(list, json_pack("{s:s}", "type", "user"));
    return list;
}

/* The container's root is the owner of its work folder; its other ids are of the centre's range. */
static json_t *mapping(const struct host_facts *facts, uint64_t owner)
{
    const char *inside = "containerID", *host = "hostID", *size = "size";
    if (owner == facts->uid_base)
        return json_pack("[{s:i, s:I, s:I}]", inside, 0, host, (json_int_t)owner, size,
                         (json_int_t)facts->ids_count);
    if (facts->ids_count < 2)
        return json_pack("[{s:i, s:I, s:i}]", inside, 0, host, (json_int_t)owner, size, 1);
    return json_pack("[{s:i, s:I, s:i}, {s:i, s:I, s:I}]", inside, 0, host, (json_int_t)owner, size,
                     1, inside, 1, host, (json_int_t)facts->uid_base + 1, size,
                     (json_int_t)facts->ids_count - 1);
}

static int add_limits(json_t *resources, const struct bundle *bundle)
{
    const struct engine_task_spec *spec = bundle->spec;
    int failed = json_object_set_new(
        resources, "pids",
        json_pack("{s:I}", "limit",
                  (json_int_t)(spec->pids_max ? spec->pids_max : PIDS_MAX_DEFAULT)));
    if (spec->cpus_milli)
        failed |= json_object_set_new(
            resources, "cpu",
            json_pack("{s:I, s:i}", "quota", (json_int_t)spec->cpus_milli * (CPU_PERIOD_US / 1000),
                      "period", CPU_PERIOD_US));
    if (spec->ram_bytes && bundle->facts->swap_limit)
        failed |= json_object_set_new(resources, "memory",
                                      json_pack("{s:I, s:I}", "limit", (json_int_t)spec->ram_bytes,
                                                "swap", (json_int_t)spec->ram_bytes));
    else if (spec->ram_bytes)
        failed |= json_object_set_new(resources, "memory",
                                      json_pack("{s:I}", "limit", (json_int_t)spec->ram_bytes));
    return failed;
}

/* No device, but for those that are shown; nothing may be made. */
static json_t *device_rules(const struct engine_task_spec *spec)
{
    json_t *rules = json_pack("[{s:b, s:s}]", "allow", 0, "access", "rwm");
    struct stat node;
    for (size_t i = 0; i < spec->mounts_count; i++) {
        if (!(spec->mounts[i].flags & ENGINE_MOUNT_DEVICE) || stat(spec->mounts[i].host, &node) < 0)
            continue;
        json_t *rule =
            json_pack("{s:b, s:s, s:i, s:i, s:s}", "allow", 1, "type", "c", "major",
                      (int)major(node.st_rdev), "minor", (int)minor(node.st_rdev), "access", "rw");
        if (json_array_append_new(rules, rule) < 0) {
            json_decref(rules);
            return NULL;
        }
    }
    return rules;
}

static int add_cgroup(json_t *kernel, const struct bundle *bundle)
{
    AUTO_BUF struct buf path = BUF_INIT;
    json_t *resources = json_pack("{s:o}", "devices", device_rules(bundle->spec));
    int failed =
        buf_printf(&path, "%s%s", bundle->facts->cgroups == CGROUP_TOP ? "/" : "", bundle->cgroup);
    failed |= add_limits(resources, bundle);
    failed |= json_object_set_new(kernel, "resources", resources);
    failed |= json_object_set_new(kernel, "cgroupsPath", json_string(path.data));
    return failed;
}

/* Of what the image "host" shows: readable to root alone, and a container whose work folder is
 * root's has root's id. */
static int mask_secrets(json_t *kernel)
{
    static const char *const secrets[] = {"/etc/shadow",    "/etc/shadow-",     "/etc/gshadow",
                                          "/etc/gshadow-",  "/etc/ssh",         "/etc/ssl/private",
                                          "/etc/sudoers.d", "/etc/krb5.keytab", "/etc/leat"};
    int failed = 0;
    for (size_t i = 0; i < sizeof(secrets) / sizeof(secrets[0]); i++)
        failed |=
            json_array_append_new(json_object_get(kernel, "maskedPaths"), json_string(secrets[i]));
    return failed;
}

static json_t *kernel_of(const struct bundle *bundle)
{
    const struct host_facts *facts = bundle->facts;
    json_t *kernel = json_pack(
        "{s:o, s:[s,s,s,s,s,s,s,s,s,s,s], s:[s,s,s,s,s]}", "namespaces", namespaces_of(bundle),
        "maskedPaths", "/proc/asound", "/proc/acpi", "/proc/kcore", "/proc/keys",
        "/proc/latency_stats", "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug",
        "/proc/scsi", "/sys/firmware", "/sys/devices/virtual/powercap", "readonlyPaths",
        "/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger");
    int failed = bundle->host_view ? mask_secrets(kernel) : 0;
    if (facts->user_namespace) {
        failed |= json_object_set_new(kernel, "uidMappings", mapping(facts, bundle->owner_uid));
        failed |= json_object_set_new(kernel, "gidMappings", mapping(facts, bundle->owner_gid));
    }
    if (facts->cgroups != CGROUP_NONE)
        failed |= add_cgroup(kernel, bundle);
    if (facts->architecture)
        failed |= json_object_set_new(kernel, "seccomp", seccomp_profile(facts->architecture));
    if (failed) {
        json_decref(kernel);
        return NULL;
    }
    return kernel;
}

json_t *bundle_config(const struct bundle *bundle, struct error *err)
{
    const struct engine_task_spec *spec = bundle->spec;
    AUTO_BUF struct buf hostname = BUF_INIT;
    (void)(spec->hostname ? buf_puts(&hostname, spec->hostname)
                          : buf_printf(&hostname, "leat-%s", spec->id)); /* remembered in failed */
    json_t *mounts = mounts_of(bundle);
    if (mounts && bundle->facts->init[0] &&
        add_bind(mounts, BUNDLE_INIT, bundle->facts->init, false)) {
        json_decref(mounts);
        mounts = NULL;
    }
    json_t *config =
        json_pack("{s:s, s:o, s:{s:s, s:b}, s:s, s:o, s:o}", "ociVersion", "1.0.2", "process",
                  process_of(bundle), "root", "path", bundle->root, "readonly", 1, "hostname",
                  hostname.data ? hostname.data : "", "mounts", mounts, "linux", kernel_of(bundle));
    if (!config || hostname.failed) {
        json_decref(config);
        (void)error_set(err, -EINVAL, "bad-text",
                        "the command, the environment or a path of task '%s' is not UTF-8",
                        spec->id);
        return NULL;
    }
    return config;
}

/* -- names -- */

int bundle_hosts(const char *hostname, char *ret_text, size_t room)
{
    int length =
        snprintf(ret_text, room, "127.0.0.1 localhost %s\n::1 localhost %s\n", hostname, hostname);
    return length < 0 || (size_t)length >= room ? -EMSGSIZE : 0;
}

int bundle_resolv(const char *host_resolv, char *ret_text, size_t room)
{
    AUTO_BUF struct buf text = BUF_INIT;
    (void)buf_puts(&text, "nameserver " SLIRP_RESOLVER "\n"); /* a failure is remembered */
    for (const char *line = host_resolv; line && *line;) {
        size_t length = strcspn(line, "\n");
        if (strncmp(line, "search ", 7) == 0 || strncmp(line, "options ", 8) == 0)
            (void)buf_printf(&text, "%.*s\n", (int)length, line);
        line += length + (line[length] == '\n');
    }
    if (text.failed || text.length >= room)
        return -EMSGSIZE;
    memcpy(ret_text, text.data, text.length + 1);
    return 0;
}

/* Landlock rules and capabilities of an executor: see sandbox.h. Landlock only allows, so the
 * tables below are the whole world; a path that is not there is left out. */
#include "card/executor/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/landlock.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"

#define FILE_READ (LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_READ_FILE)
#define FILE_WRITE (FILE_READ | LANDLOCK_ACCESS_FS_WRITE_FILE | ACCESS_TRUNCATE)
#define TREE_READ (FILE_READ | LANDLOCK_ACCESS_FS_READ_DIR)
#define TREE_WRITE \
    (TREE_READ | FILE_WRITE | LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_REMOVE_FILE | \
     LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_SYM | \
     ACCESS_REFER)
#define TREE_MAKE_OTHER \
    (LANDLOCK_ACCESS_FS_MAKE_CHAR | LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_MAKE_FIFO | \
     LANDLOCK_ACCESS_FS_MAKE_BLOCK)
/* Not in the headers of older systems. */
#define ACCESS_REFER (1ull << 13)    /* ABI 2 */
#define ACCESS_TRUNCATE (1ull << 14) /* ABI 3 */

/* The kernel's struct as of ABI 6; older kernels take the part they know. */
struct sandbox_rules {
    uint64_t files;
    uint64_t network; /* ABI 4: TCP bind and connect */
    uint64_t scoped;  /* ABI 6: abstract sockets and signals stay inside */
};
#define NETWORK_ALL 3u
#define SCOPED_ALL 3u

enum sandbox_use { USE_READ, USE_WRITE, USE_NODES };

struct sandbox_path {
    const char *path;
    enum sandbox_use use;
};

static const struct sandbox_path system_paths[] = {
    {"/usr", USE_READ},
    {"/lib", USE_READ},
    {"/lib32", USE_READ},
    {"/lib64", USE_READ},
    {"/bin", USE_READ},
    {"/opt", USE_READ},
    {"/nix/store", USE_READ},
    {"/run/opengl-driver", USE_READ},
    {"/etc/OpenCL", USE_READ},
    {"/etc/pocl", USE_READ},
    {"/etc/nvidia", USE_READ},
    {"/etc/amd", USE_READ},
    {"/etc/alternatives", USE_READ},
    {"/etc/ld.so.cache", USE_READ},
    {"/etc/ld.so.conf", USE_READ},
    {"/etc/ld.so.conf.d", USE_READ},
    {"/etc/localtime", USE_READ},
    {"/sys/bus", USE_READ},
    {"/sys/class", USE_READ},
    {"/sys/dev", USE_READ},
    {"/sys/devices", USE_READ},
    {"/sys/fs/cgroup", USE_READ}, /* how many CPUs a driver may count on */
    {"/sys/kernel/mm", USE_READ},
    {"/sys/module", USE_READ},
    {"/proc/self", USE_READ},
    {"/proc/cpuinfo", USE_READ},
    {"/proc/devices", USE_READ},
    {"/proc/driver", USE_READ},
    {"/proc/filesystems", USE_READ},
    {"/proc/loadavg", USE_READ},
    {"/proc/meminfo", USE_READ},
    {"/proc/modules", USE_READ},
    {"/proc/stat", USE_READ},
    {"/proc/sys/vm", USE_READ},
    {"/proc/version", USE_READ},
    {"/dev", USE_NODES},
    {"/dev/shm", USE_WRITE},
};

/* Paths in the environment: what an operator points drivers and the linker to. */
static const struct sandbox_path named_paths[] = {
    {"POCL_CACHE_DIR", USE_WRITE},  {"XDG_CACHE_HOME", USE_WRITE},
    {"CUDA_CACHE_PATH", USE_WRITE}, {"LEAT_DEVICE_ICD_VENDORS", USE_READ},
    {"LD_LIBRARY_PATH", USE_READ},  {"LEAT_CUDA_DRIVER", USE_READ},
};

static uint64_t use_access(enum sandbox_use use, int is_folder)
{
    switch (use) {
    case USE_WRITE:
        return is_folder ? TREE_WRITE : FILE_WRITE;
    case USE_NODES:
        return is_folder ? TREE_READ | FILE_WRITE : FILE_WRITE;
    case USE_READ:
        break;
    }
    return is_folder ? TREE_READ : FILE_READ;
}

/* 0, also when the path is not there. */
static int allow(int rules_fd, const char *path, enum sandbox_use use, uint64_t handled)
{
    struct stat found;
    AUTO_FD int fd = open(path, O_PATH | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &found) < 0)
        return 0;
    const struct landlock_path_beneath_attr rule = {
        .allowed_access = use_access(use, S_ISDIR(found.st_mode)) & handled, .parent_fd = fd};
    if (syscall(SYS_landlock_add_rule, rules_fd, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) < 0)
        return -errno;
    return 0;
}

static int allow_system(int rules_fd, uint64_t handled)
{
    int result = 0;
    for (unsigned i = 0; !result && i < sizeof(system_paths) / sizeof(system_paths[0]); i++)
        result = allow(rules_fd, system_paths[i].path, system_paths[i].use, handled);
    return result;
}

/* Each of the paths joined by ':' in a variable. */
static int allow_named(int rules_fd, uint64_t handled)
{
    int result = 0;
    for (unsigned i = 0; !result && i < sizeof(named_paths) / sizeof(named_paths[0]); i++) {
        const char *value = getenv(named_paths[i].path);
        AUTO_FREE char *copy = value ? strdup(value) : NULL;
        char *rest = copy, *path;
        while (!result && (path = strsep(&rest, ":")) != NULL) {
            if (named_paths[i].use == USE_WRITE && *path)
                (void)dir_make(path, 0700, NULL); /* without it, kernels are compiled each time */
            result = allow(rules_fd, path, named_paths[i].use, handled);
        }
    }
    return result;
}

static int restrict_files(struct error *err)
{
    long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    if (abi < 1)
        return error_set(err, -ENOSYS, "no-landlock", "this kernel has no Landlock");
    struct sandbox_rules rules = {TREE_WRITE | TREE_MAKE_OTHER, NETWORK_ALL, SCOPED_ALL};
    size_t known = abi >= 6 ? sizeof(rules) : abi >= 4 ? 2 * sizeof(uint64_t) : sizeof(uint64_t);
    if (abi < 2)
        rules.files &= ~ACCESS_REFER;
    if (abi < 3)
        rules.files &= ~ACCESS_TRUNCATE;
    AUTO_FD int fd = (int)syscall(SYS_landlock_create_ruleset, &rules, known, 0);
    if (fd < 0)
        return error_errno(err, -errno, "landlock-refused", "cannot make Landlock rules");
    int result = allow_system(fd, rules.files);
    if (!result)
        result = allow_named(fd, rules.files);
    if (!result && syscall(SYS_landlock_restrict_self, fd, 0) < 0)
        result = -errno;
    return result ? error_errno(err, result, "landlock-refused", "cannot enter Landlock rules") : 0;
}

static int drop_capabilities(struct error *err)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    const struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {{0}};
    if (syscall(SYS_capset, &header, none) < 0)
        return error_errno(err, -errno, "capabilities", "cannot give up capabilities");
    return 0;
}

int sandbox_enter(struct error *err)
{
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return error_errno(err, -errno, "no-new-privs", "cannot give up new privileges");
    int result = restrict_files(err);
    if (result < 0 && result != -ENOSYS)
        return result;
    int dropped = drop_capabilities(err);
    return dropped < 0 ? dropped : result;
}

/* Finishing an unpacked root: see rootfs.h. */
#include "engine/rootfs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"

#define DEPTH_MAX 256

static const char *const folders[] = {"proc", "dev",  "sys",          "tmp",
                                      "run",  "mnt",  "work",         "src",
                                      "etc",  "root", "usr/lib/leat", "etc/OpenCL/vendors"};
static const char *const files[] = {"etc/resolv.conf", "etc/hosts",
                                    "usr/lib/leat/libleat-opencl.so"};

/* As openat, with every link, ".." and absolute path resolved below `root_fd`. */
static int open_inside(int root_fd, const char *path, int flags)
{
    struct open_how how = {.flags = (uint64_t)(flags | O_CLOEXEC), .resolve = RESOLVE_IN_ROOT};
    int fd = (int)syscall(SYS_openat2, root_fd, path, &how, sizeof(how));
    return fd < 0 ? -errno : fd;
}

/* Open the folder `path` inside the root, made with its parents when absent. */
static int make_folder(int root_fd, const char *path)
{
    char part[PATH_MAX];
    int fd = open_inside(root_fd, ".", O_PATH | O_DIRECTORY);
    for (const char *at = path; fd >= 0 && *at;) {
        size_t length = strcspn(at, "/");
        char name[NAME_MAX + 1];
        (void)snprintf(part, sizeof(part), "%.*s", (int)(at - path) + (int)length, path);
        (void)snprintf(name, sizeof(name), "%.*s", (int)length, at);
        int below = open_inside(root_fd, part, O_PATH | O_DIRECTORY);
        if (below == -ENOENT && mkdirat(fd, name, 0755) == 0)
            below = open_inside(root_fd, part, O_PATH | O_DIRECTORY);
        (void)close(fd); /* O_PATH */
        fd = below;
        at += length + (at[length] == '/');
    }
    return fd;
}

/* An ordinary file to mount on; a link in its place (resolv.conf often is one) makes way. */
static int make_file(int root_fd, const char *path)
{
    char folder[PATH_MAX];
    struct stat info;
    const char *name = strrchr(path, '/') + 1; /* every path of the table has one */
    (void)snprintf(folder, sizeof(folder), "%.*s", (int)(name - path - 1), path);
    AUTO_FD int dir_fd = make_folder(root_fd, folder);
    if (dir_fd < 0)
        return dir_fd;
    if (fstatat(dir_fd, name, &info, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(info.st_mode))
        return 0;
    (void)unlinkat(dir_fd, name, 0); /* the open tells */
    AUTO_FD int fd =
        openat(dir_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
    return fd < 0 ? -errno : 0;
}

/* Sum the sizes and drop device nodes. `fd` is closed. */
static int walk(int fd, unsigned depth, uint64_t *size_bytes)
{
    DIR *dir = depth ? fdopendir(fd) : NULL;
    int result = 0;
    if (!dir) {
        (void)close(fd); /* read only */
        return depth ? -ENOMEM : -ELOOP;
    }
    for (struct dirent *entry; !result && (entry = readdir(dir));) {
        struct stat info;
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        if (fstatat(dirfd(dir), entry->d_name, &info, AT_SYMLINK_NOFOLLOW)) {
            result = -errno;
        } else if (S_ISDIR(info.st_mode)) {
            int below =
                openat(dirfd(dir), entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
            result = below < 0 ? -errno : walk(below, depth - 1, size_bytes);
        } else if (S_ISCHR(info.st_mode) || S_ISBLK(info.st_mode)) {
            result = unlinkat(dirfd(dir), entry->d_name, 0) ? -errno : 0;
        } else {
            *size_bytes += (uint64_t)info.st_size;
        }
    }
    (void)closedir(dir); /* read only */
    return result;
}

int rootfs_finish(const char *path, uint64_t *ret_size_bytes, struct error *err)
{
    uint64_t size_bytes = 0;
    int result = 0;
    AUTO_FD int root_fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (root_fd < 0)
        return error_errno(err, -errno, "bad-root", "cannot open '%s'", path);
    for (size_t i = 0; !result && i < sizeof(folders) / sizeof(folders[0]); i++) {
        AUTO_FD int fd = make_folder(root_fd, folders[i]);
        result = fd < 0 ? fd : 0;
    }
    for (size_t i = 0; !result && i < sizeof(files) / sizeof(files[0]); i++)
        result = make_file(root_fd, files[i]);
    if (!result && fchmod(root_fd, 0755))
        result = -errno;
    if (!result)
        result = walk(fcntl(root_fd, F_DUPFD_CLOEXEC, 0), DEPTH_MAX, &size_bytes);
    if (result)
        return error_errno(err, result, "bad-root", "cannot make the root '%s' fit", path);
    *ret_size_bytes = size_bytes;
    return 0;
}

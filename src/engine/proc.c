/* Finding and ending processes: see proc.h. */
#include "engine/proc.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/units.h"

#define CMDLINE_MAX 8192 /* what we look for stands in short command lines */
#define END_WAIT_MS 5000 /* for one killed process to be gone */

static ssize_t read_proc(pid_t pid, const char *name, char *text, size_t room)
{
    char path[64];
    (void)snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
    AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t length = fd < 0 ? -1 : read(fd, text, room - 1);
    if (length >= 0)
        text[length] = '\0';
    return length;
}

bool proc_has_word(pid_t pid, const char *word)
{
    char text[CMDLINE_MAX];
    ssize_t length = read_proc(pid, "cmdline", text, sizeof(text));
    for (const char *arg = text; length > 0 && arg < text + length; arg += strlen(arg) + 1) {
        const char *last = strrchr(arg, ' ');
        if (strcmp(last ? last + 1 : arg, word) == 0)
            return true;
    }
    return false;
}

static bool runs_one_of(pid_t pid, const char *const *programs)
{
    char comm[32];
    ssize_t length = read_proc(pid, "comm", comm, sizeof(comm));
    if (length <= 0)
        return false;
    comm[strcspn(comm, "\n")] = '\0';
    for (; *programs; programs++)
        if (strcmp(comm, *programs) == 0)
            return true;
    return false;
}

int proc_kill(pid_t pid)
{
    AUTO_FD int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (pidfd < 0)
        return errno == ESRCH ? 0 : -errno;
    if (syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0) < 0 && errno != ESRCH)
        return -errno;
    struct pollfd waited = {.fd = pidfd, .events = POLLIN};
    return poll(&waited, 1, END_WAIT_MS) == 1 ? 0 : -EBUSY;
}

int proc_kill_all(const char *const *programs, const char *word)
{
    int result = 0;
    DIR *dir = opendir("/proc");
    if (!dir)
        return -errno;
    for (struct dirent *entry; (entry = readdir(dir));) {
        uint64_t pid;
        if (u64_parse(entry->d_name, &pid, NULL) || pid <= 1)
            continue;
        if (runs_one_of((pid_t)pid, programs) && proc_has_word((pid_t)pid, word) &&
            proc_kill((pid_t)pid))
            result = -EBUSY;
    }
    (void)closedir(dir); /* read only */
    return result;
}

/* A leat-relay for one command: see card_relay.h. */
#include "cli/card_relay.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/path.h"

#define READY_FD 3 /* in leat-relay */
#define READY_TEXT "3"

struct card_relay {
    pid_t pid;
};

#define LINGER_MS "10000"

/* Nothing of it is left to whoever waits for our output. */
static void outlive(const char *dir)
{
    char log[PATH_MAX];
    (void)setsid(); /* fails only for a group leader, which a fresh child is not */
    int null = open("/dev/null", O_RDWR);
    int file = path_join(dir, "../relay.log", log, NULL) < 0
                   ? -1
                   : open(log, O_WRONLY | O_CREAT | O_APPEND, 0640);
    if (null < 0 || file < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(null, STDOUT_FILENO) < 0 ||
        dup2(file, STDERR_FILENO) < 0)
        _exit(EXIT_FAILURE);
}

static _Noreturn void relay_become(const char *program, const char *dir,
                                   const struct card_relay_host *host, enum card_relay_life life,
                                   int ready_fd)
{
    const char *argv[15] = {program, "--ready-fd",  READY_TEXT,     "--run-dir",     dir,
                            "--to",  host->address, "--token-file", host->token_file};
    size_t count = 9;
    if (host->fingerprint) {
        argv[count++] = "--fingerprint";
        argv[count++] = host->fingerprint;
    }
    if (life == CARD_RELAY_COMMAND) {
        argv[count++] = "--with-parent";
    } else {
        argv[count++] = "--linger";
        argv[count++] = LINGER_MS;
        outlive(dir);
    }
    /* dup2 to itself would leave the descriptor close-on-exec. */
    if (ready_fd == READY_FD ? fcntl(ready_fd, F_SETFD, 0) < 0 : dup2(ready_fd, READY_FD) < 0)
        _exit(EXIT_FAILURE);
    (void)setpgid(0, 0); /* keys of the terminal are for the program; a session's leader may not */
    (void)close_range(READY_FD + 1, ~0u, 0); /* fails only on wrong arguments */
    (void)execv(program, (char *const *)(uintptr_t)argv);
    _exit(EXIT_FAILURE);
}

static int relay_spawn(const char *program, const char *dir, const struct card_relay_host *host,
                       enum card_relay_life life, struct card_relay *relay, struct error *err)
{
    int ends[2];
    char ready = 0;
    if (pipe2(ends, O_CLOEXEC) < 0)
        return error_errno(err, -errno, "relay-failed", "cannot make a pipe");
    relay->pid = fork();
    if (relay->pid == 0)
        relay_become(program, dir, host, life, ends[1]);
    (void)close(ends[1]);
    ssize_t n = relay->pid > 0 ? read(ends[0], &ready, 1) : -1;
    (void)close(ends[0]);
    return n == 1 ? 0 : error_set(err, -EIO, "relay-failed", "leat-relay could not start");
}

int card_relay_start(const char *run_dir, const struct card_relay_host *host,
                     enum card_relay_life life, char ret_dir[PATH_MAX],
                     struct card_relay **ret_relay, struct error *err)
{
    static const char *const places[] = {"../card/relay/leat-relay", "leat-relay",
                                         "../sbin/leat-relay", NULL};
    char program[PATH_MAX], dir[PATH_MAX];
    struct card_relay *relay = calloc(1, sizeof(*relay));
    if (!relay)
        return error_set(err, -ENOMEM, "out-of-memory", "starting leat-relay");
    int r = path_find_beside("leat-relay", places, program, err);
    if (r == 0)
        r = path_join(run_dir, "on-XXXXXX", dir, err);
    if (r == 0 && !mkdtemp(dir))
        r = error_errno(err, -errno, "relay-failed", "cannot make a folder in '%.200s'", run_dir);
    if (r == 0)
        r = relay_spawn(program, dir, host, life, relay, err);
    if (r < 0) {
        card_relay_stop(relay);
        return r;
    }
    (void)snprintf(ret_dir, PATH_MAX, "%s", dir);
    *ret_relay = relay;
    return 0;
}

void card_relay_stop(struct card_relay *relay)
{
    if (!relay)
        return;
    if (relay->pid > 0) {
        (void)kill(relay->pid, SIGTERM); /* our child, not yet waited for */
        while (waitpid(relay->pid, NULL, 0) < 0 && errno == EINTR)
            continue;
    }
    free(relay);
}

void card_relay_leave(struct card_relay *relay)
{
    free(relay);
}

/* The run folder of one leat-cardd: its lock and its two sockets. */
#ifndef LEAT_CARDD_RUNDIR_H
#define LEAT_CARDD_RUNDIR_H

#include <limits.h>

struct error;

#define RUNDIR_CONTROL "cardd.sock"     /* control protocol, for the owner only */
#define RUNDIR_SESSION_DIR "card"       /* what containers get to see */
#define RUNDIR_SESSION "card/card.sock" /* sessions, for everybody: the token is the authority */
#define RUNDIR_LOCK "cardd.lock"
#define RUNDIR_ANSWERING_S 1
#define RUNDIR_WAIT_S 10 /* how long a start waits for an instance that is just leaving */

struct rundir {
    char path[PATH_MAX];
    int lock_fd;
    int control_fd, session_fd; /* listening, non-blocking */
};

/* Make the folder, take the lock, replace the sockets of a dead instance. -EEXIST when another
 * instance serves the folder. */
int rundir_open(const char *path, struct rundir *ret_rundir, struct error *err);
/* Remove the sockets first, the lock last. Sockets handed on are closed by their new owner: set
 * them to -1. */
void rundir_close(struct rundir *rundir);

#endif

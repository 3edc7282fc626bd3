/* Child processes, worker jobs and pipes of the local engine, on its loop. A runner counts what is
 * still open, so that the engine can close all and be freed when the last handle has gone. */
#ifndef LEAT_ENGINE_RUN_H
#define LEAT_ENGINE_RUN_H

#include <stdbool.h>
#include <stddef.h>

#include "base/list.h"

struct error;
struct uv_loop_s;

#define RUN_PASS_MAX 2 /* descriptors handed to a child besides the standard three */

struct runner {
    struct uv_loop_s *loop;
    struct list items; /* what is open */
    bool closed;
    void (*gone)(void *context); /* after runner_close, when nothing is open any more */
    void *context;
};

void runner_init(struct runner *runner, struct uv_loop_s *loop, void (*gone)(void *context),
                 void *context);
/* No callback but `gone` comes after it. Children go on; nobody waits for them. */
void runner_close(struct runner *runner);

struct run_spec {
    const char *file;        /* program: a path, or looked up in PATH */
    const char *const *argv; /* NULL-ended */
    const char *env;         /* one more NAME=VALUE for the child, or NULL */
    const char *cwd;         /* or NULL */
    int output_fd;           /* standard output, and error unless told; -1: /dev/null */
    int error_fd;            /* standard error; 0: where output goes */
    int pass[RUN_PASS_MAX];  /* become 3, 4 in the child; ended by -1 */
};

/* `status`: exit status, or minus the signal. */
typedef void (*run_done)(void *context, int status);

int run_start(struct runner *runner, const struct run_spec *spec, run_done done, void *context,
              struct error *err);

/* Read from `fd`, which is closed afterwards, up to its first newline or its end. `line` is without
 * the newline, "" when the other end closed without a word. */
int run_read_line(struct runner *runner, int fd, void (*done)(void *context, const char *line),
                  void *context, struct error *err);

/* Call `readable` once when `fd` (a pidfd, say) becomes readable; `fd` is closed then. */
struct run_watch;
int run_watch(struct runner *runner, int fd, void (*readable)(void *context), void *context,
              struct run_watch **ret_watch, struct error *err);
void run_watch_cancel(struct run_watch *watch); /* NULL is fine */

struct run_timer;
int run_after(struct runner *runner, unsigned long long delay_ms, void (*due)(void *context),
              void *context, struct run_timer **ret_timer, struct error *err);
void run_timer_cancel(struct run_timer *timer); /* NULL is fine; not after it was due */

/* Call `work` in the pool, then `done` on the loop. `free_input` releases `input` afterwards, also
 * when the runner closed in between. */
int run_in_pool(struct runner *runner, void (*work)(void *input),
                void (*done)(void *context, void *input), void *context, void *input,
                void (*free_input)(void *input), struct error *err);

#endif

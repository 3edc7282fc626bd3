/* A core of a few lines behind core.h, so that the interface is tested alone: job "1" exists, job
 * "2" answers late, everything else is unknown. Drive it from the loop's thread. */
#ifndef LEAT_TESTS_FAKE_CORE_H
#define LEAT_TESTS_FAKE_CORE_H

#include <stdint.h>

struct core;
struct uv_loop_s;

struct core *fake_core_create(struct uv_loop_s *loop);
/* Adds an event and tells the subscribers. */
void fake_core_event(struct core *core, const char *kind);
/* The log of job 1: how many bytes it has, and whether the job has ended. */
void fake_core_log(struct core *core, uint64_t bytes, int ended);
uint64_t fake_core_log_read(const struct core *core); /* bytes given to readers */
unsigned fake_core_open(const struct core *core); /* replies owed, logs and subscriptions open */
void fake_core_answer(struct core *core);         /* give the replies that are owed */

#endif

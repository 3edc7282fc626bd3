/* Whether a program may be told of its kernels' arguments. The executor has every program built
 * with the option that keeps their names and types, for it needs to know what they are; a program
 * that did not ask for that gets what its device would answer then. */
#ifndef LEAT_CARD_EXECUTOR_ARG_INFO_H
#define LEAT_CARD_EXECUTOR_ARG_INFO_H

#include "card/executor/opencl.h"

struct session;

#define ARG_INFO_OPTION "-cl-kernel-arg-info"

/* 1 when `asked`, the program's own options (NULL: none), or the driver's habit has arguments told
 * of. `program` lends its context. The habit is learned from a small build, once per tenant and
 * driver. */
int arg_info_is_told(struct session *session, cl_program program, const char *asked);

#endif

/* Command buffers (cl_khr_command_buffer 0.9.0): lists of commands that are checked and copied when
 * they are recorded, and posted one by one as ordinary commands each time the buffer is enqueued.
 * The executor knows nothing of them. */
#ifndef LEAT_CARD_OPENCL_COMMAND_BUFFER_H
#define LEAT_CARD_OPENCL_COMMAND_BUFFER_H

#include <CL/cl_ext.h>

#include "card/opencl/copy.h"

/* More than can be recorded: the last record of a run names each command that no other follows. */
#define RECORDED_MAX 8192u

/* Three numbers, or none: NULL is for the enqueue call to judge. */
struct recorded_sizes {
    size_t at[3];
    int given;
};

/* What a command keeps beside its objects; which members, its `enqueue` knows. */
struct recorded_arguments {
    struct recorded_sizes from, to, region; /* of a launch: offset, global and local size */
    size_t numbers[4];                      /* offsets, amounts, pitches */
    cl_uint dims;
    unsigned char pattern[FILL_PATTERN_MAX];
    int has_pattern;
};

struct recorded {
    /* Make the enqueue call. */
    cl_int (*enqueue)(const struct recorded *command, cl_command_queue queue,
                      const struct command_waits *waits);
    struct object *held[2]; /* one reference each, may be NULL; first a launch's own kernel */
    struct recorded_arguments arguments;
    cl_uint wait_count;
    cl_sync_point_khr *waits; /* owned; of a command before it each */
    int is_followed;          /* another command waits for it */
};

/* An enqueued buffer whose commands have not been seen to end. */
struct command_run {
    struct command_run *next;
    cl_event event; /* one reference */
};

struct _cl_command_buffer_khr {
    struct object object;
    cl_command_queue queue;                       /* one reference */
    cl_command_buffer_properties_khr *properties; /* as given, with the closing 0; NULL: none */
    size_t properties_bytes;
    cl_command_buffer_flags_khr flags;
    uint32_t lock;              /* what follows, until the buffer is final */
    struct recorded **commands; /* command i is sync point i + 1 */
    cl_uint command_count, waits_most;
    int is_final;
    uint32_t posting; /* runs that are being posted; like `runs` always under the lock */
    struct command_run *runs;
};

/* How a command is recorded: what the calls have in common. */
struct recording {
    cl_command_buffer_khr buffer;
    cl_command_queue queue;
    cl_uint wait_count;
    const cl_sync_point_khr *waits;
    cl_sync_point_khr *ret_point;       /* may be NULL */
    cl_mutable_command_khr *ret_handle; /* must be */
};

/* Whether a command could be recorded now: CL_SUCCESS or the call's code. */
cl_int recording_check(const struct recording *recording);
/* Check `command` as its enqueue call would, and append a copy. References are taken. */
cl_int recording_append(const struct recording *recording, const struct recorded *command);

#endif

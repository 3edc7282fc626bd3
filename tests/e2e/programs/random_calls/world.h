/* Random sequences of OpenCL calls, right and wrong ones mixed, that depend on a seed alone. What
 * is printed must be the same wherever the sequence runs: results and codes, never addresses or
 * times.
 *
 * A world is one context with its objects; each thread has worlds of its own. So that results do
 * not depend on timing, every command that uses an object's contents waits for the one that used
 * them last, on whatever queue; and so that nothing waits for ever, the user's events that a
 * command waits for are set before the program waits for it. */
#ifndef LEAT_TEST_RANDOM_CALLS_WORLD_H
#define LEAT_TEST_RANDOM_CALLS_WORLD_H

#include <CL/cl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

enum {
    QUEUES = 4,
    MEMORIES = 12,
    SAMPLERS = 3,
    PROGRAMS = 6,
    KERNELS = 8,
    EVENTS = 12,
    SHARED = 4
};
enum { ARGUMENTS = 10 };

/* An event and the user's events, as bits, that must be set before it can end. */
struct promise {
    cl_event event;
    uint64_t gates;
};

struct queue {
    cl_command_queue handle;
    cl_command_queue_properties properties;
    uint64_t gates; /* of everything that was put in it */
};

/* The bytes behind a memory object and its parts, or behind shared virtual memory. */
struct contents {
    struct promise last;    /* its event is NULL where the last command told none */
    struct queue *queue;    /* where the last command is; NULL: nothing to wait for */
    unsigned reads, writes; /* maps */
    struct contents *next;
};

struct map {
    struct map *next;
    unsigned char *pointer;
    size_t region[3], row, slice; /* bytes, rows, slices; the pitches of the last two */
    bool reads, writes;
    struct promise done;
};

struct memory {
    cl_mem handle;
    unsigned number;
    cl_mem_flags flags;
    size_t bytes, origin;
    unsigned char *host; /* of the program, NULL if none */
    struct contents *contents;
    struct map *maps;
    bool is_image, is_part;
    cl_image_desc desc;
    cl_image_format format;
    size_t pixel, region[3];
};

struct kernel {
    cl_kernel handle;
    const struct signature *signature;
    struct memory *memory[ARGUMENTS]; /* what an argument was set to; may be gone */
    bool is_set[ARGUMENTS], fresh;
};

struct source;

struct program {
    cl_program handle;
    const struct source *source; /* what its kernels are of; NULL if it can have none */
    bool has_source, is_binary, built, compiled;
};

struct shared {
    unsigned char *memory;
    size_t bytes;
    struct contents *contents;
    cl_map_flags mapped;
};

/* A read whose data have not been looked at yet. */
struct pending {
    struct pending *next;
    struct promise done;
    unsigned char *data;
    size_t bytes;
    unsigned step;
};

/* Memory that stays until the sequence ends. */
struct kept {
    struct kept *next;
    _Alignas(128) unsigned char bytes[];
};

struct world {
    uint64_t dice;
    FILE *out;
    unsigned step, made, said;
    bool is_wrong; /* something in this step already is */
    cl_device_id device;
    cl_context context;
    struct world *other; /* whose objects are foreign here */
    struct queue queues[QUEUES];
    struct memory *memories[MEMORIES];
    cl_sampler samplers[SAMPLERS];
    struct program programs[PROGRAMS];
    struct kernel kernels[KERNELS];
    struct promise events[EVENTS];
    struct shared shared[SHARED];
    cl_event gates[64]; /* the user's events, in the order in which they were made */
    unsigned gate_count;
    uint64_t opened;
    struct pending *pending, **last_pending;
    struct kept *kept;
    struct contents *contents; /* all */
    pthread_mutex_t lock;
    pthread_cond_t called;
    unsigned expected, calls, failed_calls; /* callbacks */
    size_t largest;                         /* what the device allows for one allocation */
};

/* Dice: all that is random. */
unsigned dice(struct world *w, unsigned sides);
bool chance(struct world *w, unsigned percent);
/* Which of the `ways` is wrong with a call: 0 for none, mostly. There is one wrong thing in a step,
 * for which of two a driver tells of is its own affair. */
unsigned wrong(struct world *w, unsigned ways);
#define ANY_OF(w, array) ((array)[dice(w, COUNT_OF(array))])
void scatter(struct world *w, void *bytes, size_t count);

/* Memory of the program's own, until the end. */
void *keep(struct world *w, size_t bytes);

__attribute__((format(printf, 2, 3))) void say(struct world *w, const char *format, ...);
void say_bytes(struct world *w, const char *what, const void *bytes, size_t count);
/* The call's name and code, and whether the code is success. */
bool told(struct world *w, const char *call, cl_int code);
/* Ends the program: the sequence cannot go on. */
void need(cl_int code, const char *what);

/* A command: where, what it waits for and what it uses. */
struct command {
    struct queue *queue;
    cl_command_queue handle; /* the queue's, or a wrong one */
    bool blocks, list_is_right;
    cl_uint count;
    cl_event list[16];
    const cl_event *waits;
    uint64_t gates;
    struct contents *uses[ARGUMENTS];
    unsigned use_count;
    cl_event event, *ret_event;
};

struct command command_on(struct world *w, struct queue *queue);
struct queue *any_queue(struct world *w);
void command_uses(struct command *command, struct contents *contents);
/* Fills in what `command` waits for, with things wrong with it now and then, after all uses. */
void command_begin(struct world *w, struct command *command);
/* Prints the code; what was made is accounted. */
bool command_end(struct world *w, struct command *command, const char *call, cl_int code);
/* The last command of those contents as an event, without a reference; NULL if there is none. */
struct promise last_of(struct world *w, struct contents *contents);

/* Sets the user's events of those bits that are not set yet. */
void open_gates(struct world *w, uint64_t gates);
void await(struct world *w, struct promise promise);
void promise_drop(struct promise *promise);
bool in_order(const struct queue *queue);
/* Looks at the data of reads that have ended; `all` waits for them. */
void settle(struct world *w);
void finish_all(struct world *w);

struct memory *memory_among(struct world *w, bool is_image, bool to_write);
/* A free place, freed if need be. */
struct memory **memory_place(struct world *w);
/* Flags that go together. */
cl_mem_flags any_flags(struct world *w);
void memory_release(struct world *w, struct memory **slot);
void any_region(struct world *w, const struct memory *memory, size_t *ret_offset,
                size_t *ret_bytes);
/* A call that touches the memory from the program's side may be wrong because of its flags. */
void heed_access(struct world *w, const struct memory *memory);
/* A host pointer behind which `bytes` are, and more; filled with something. */
unsigned char *host_bytes(struct world *w, size_t bytes);
void expect_data(struct world *w, const struct command *command, unsigned char *data, size_t bytes);
/* `map` has all but what it reads and writes, and when it is done. */
void note_map(struct world *w, struct memory *memory, struct map map, cl_map_flags flags);
extern const cl_map_flags map_kinds[5];
void unmap_all(struct world *w, struct memory *memory);
struct contents *contents_new(struct world *w);

/* One kind of step. */
struct act {
    void (*run)(struct world *w);
    unsigned weight;
};
extern const struct act queue_acts[], buffer_acts[], image_acts[], program_acts[], kernel_acts[],
    shared_acts[], ask_acts[];

/* What every sequence begins with, so that there is something to work on. */
void queues_open(struct world *w);
void buffers_open(struct world *w);
void programs_open(struct world *w);
void kernels_close(struct world *w);
void programs_close(struct world *w);
void shared_close(struct world *w);

#endif

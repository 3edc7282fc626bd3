/* A job: what was asked, what it became, where it is in its life. Plain data and rules; no I/O.
 *
 * A `struct job_request` is what a user sent; a template fills every member the user left out. A
 * `struct job` is the record that the store keeps and that REST shows. Texts in both are owned by
 * the struct; NULL means "not given". */
#ifndef LEAT_MODEL_JOB_H
#define LEAT_MODEL_JOB_H

#include <stdbool.h>
#include <stdint.h>

struct error;
struct json_t;

#define JOB_ID_TEXT_MAX 24
#define JOB_NAME_MAX 128        /* bytes, also of tenant, library, type and image */
#define JOB_ARGUMENTS_MAX 1024  /* of command and args, each */
#define JOB_ENVIRONMENT_MAX 256 /* variables */
#define JOB_MEMORY_MIN_BYTES (1ull << 20)
#define JOB_PRIORITY_MAX 1000
#define JOB_PRIORITY_DEFAULT 500
#define JOB_GANG_MAX 64 /* members of a gang */
#define JOB_GRACE_MAX_MS (3600ull * 1000)
#define JOB_UNSET_MS UINT64_MAX /* a duration that was not given: 0 is a value */

enum job_state {
    JOB_STATE_INVALID,
    JOB_QUEUED,
    JOB_STARTING,
    JOB_RUNNING,
    JOB_IDLE, /* alive; the card's compute is lent to others */
    JOB_STOPPING,
    JOB_SUCCEEDED,
    JOB_FAILED,
    JOB_STOPPED,
    JOB_STATE_COUNT
};

const char *job_state_name(enum job_state state);
enum job_state job_state_parse(const char *name); /* JOB_STATE_INVALID when unknown */
bool job_state_ended(enum job_state state);
/* May `to` follow `from`? The one table of a job's life. */
bool job_state_may_follow(enum job_state from, enum job_state to);

enum job_network { JOB_NETWORK_INVALID, JOB_NETWORK_NONE, JOB_NETWORK_HOST, JOB_NETWORK_OUTBOUND };

enum job_network job_network_parse(const char *name);

/* What a user asks for, and after template_fill what is to be done: nothing is missing any more. */
struct job_request {
    char *name, *tenant, *library, *type, *image;
    char *program;      /* host path of the start file */
    char **args;        /* for the program */
    char **command;     /* the whole command line, instead of a program */
    char *src;          /* host folder that the job sees, read-only, at /src; set by the template */
    struct json_t *env; /* object of texts */
    uint64_t memory_bytes;   /* of the card; 0: not given */
    uint32_t share_permille; /* of the device's compute; 0: not given */
    bool burst;              /* and what others leave of it, while nobody else wants the device */
    char *model;             /* a registered one, by whose size the card is made; NULL: none */
    struct json_t *model_settings; /* over those it was registered with; NULL: none */
    char *device;                  /* the device it must be on; NULL: any */
    char *interface_name;          /* of its program, see job_interface; NULL: OpenCL */
    char *vendor;           /* or one of these vendors, in order: "nvidia|amd,intel"; NULL: any */
    char *device_model;     /* or one whose name has one of these words, likewise; NULL: any */
    char *gang;             /* jobs of its tenant with this name start together; NULL: alone */
    uint32_t gang_size;     /* how many those are; with `gang` */
    uint64_t expect_ms;     /* how long it is expected to run; 0: not given */
    uint32_t cpus_milli;    /* limit of the container; 0: not given */
    uint64_t ram_bytes;     /* limit of the container; 0: not given */
    char *network_name;     /* see job_network_parse; NULL: not given */
    uint64_t idle_after_ms; /* 0: never; JOB_UNSET_MS: not given */
    char *idle_name;        /* what it gives away then, see job_gives_memory; NULL: not given */
    uint64_t grace_ms;      /* between the polite and the final signal; JOB_UNSET_MS: not given */
    char *workdir;          /* host folder, writable at /work; NULL: a private one */
    uint32_t priority;      /* 0..JOB_PRIORITY_MAX, higher first; UINT32_MAX: not given */
    uint32_t pids;          /* limit of the container; 0: not given */
    uint32_t restarts;      /* on a larger card when memory was refused, at most */
    char *signal_name;      /* sent before its card is taken: "USR1@30s"; NULL: none */
    bool requeue;           /* it may be stopped to give way, and is started again */
    char **pre_stop;        /* a command run in its container then; NULL: none */
};

/* The number of "USR1@30s", and how long before; JOB_UNSET_MS when that is not said. */
int job_signal_parse(const char *text, int *ret_number, uint64_t *ret_before_ms, struct error *err);

/* What its program calls, and how that reaches the device. */
enum job_interface {
    JOB_INTERFACE_INVALID,
    JOB_OPENCL,
    JOB_CUDA,        /* the driver, in the program's own process */
    JOB_CUDA_REMOTE, /* the driver, in an executor: the program has only a socket */
    JOB_CUDA_MPS     /* the driver, as a client of the device's MPS */
};
enum job_interface job_interface(const struct job_request *request);
/* Its card is of a CUDA device, and no other. */
bool job_is_cuda(const struct job_request *request);

void job_request_init(struct job_request *request);
void job_request_finish(struct job_request *request);
/* Decode a REST body (any subset of the members) into an initialised request. Refuses unknown
 * members and wrong types. Only what can be judged without template, devices or file system is
 * judged here. */
int job_request_decode(const struct json_t *body, struct job_request *request, struct error *err);
/* The request as a REST body again, amounts as people write them; NULL: out of memory. Members not
 * given are left out. */
struct json_t *job_request_encode(const struct job_request *request);
/* What earlier runs are known by: the program, else the first word of the command; never NULL. */
const char *job_request_program(const struct job_request *request);
/* Does the card leave its device when the job is idle ("memory"), or lend its compute only
 * ("share")? */
bool job_gives_memory(const struct job_request *request);
/* Is the filled request complete and within limits? */
int job_request_check(const struct job_request *request, struct error *err);

/* What a job used: the last figures of its card, kept after the card is gone. */
struct job_usage {
    uint64_t memory_used_bytes, memory_peak_bytes;
    uint64_t memory_wanted_bytes; /* most that it wanted at once and was refused; 0: nothing */
    uint64_t device_time_ns, throttled_ns;
    uint64_t calls_local, calls_posted, calls_waited, records, commands, refusals;
    uint64_t bytes_to_device, bytes_from_device;
    uint64_t carried_to_device_bytes, line_to_device_bytes; /* between hosts, and on the line */
    uint64_t carried_from_device_bytes, line_from_device_bytes;
    uint64_t wait_ns;                 /* programs spent waiting for the card */
    uint64_t queue_depth;             /* commands handed to the device and not ended */
    uint64_t builds, build_hits;      /* programs built by the driver, taken from a kept build */
    uint64_t idle_ms;                 /* since the last use of the device */
    uint64_t idle_total_ms;           /* spent in state idle */
    uint32_t share_granted_permille;  /* now */
    uint32_t share_measured_permille; /* device time over wall time while running */
    uint32_t released_permille;       /* lent to others now */
    uint32_t times_idle;              /* how often its share was released */
};

/* See estimate/estimate.h, which makes it. */
struct job_prediction {
    uint64_t duration_ms; /* expected; 0: unknown */
    uint64_t duration_low_ms, duration_high_ms;
    uint64_t device_time_ns; /* that it will have used; 0: unknown */
    uint64_t remaining_ms;   /* of a running job, put right as it goes on; 0: unknown */
    uint64_t memory_bytes;   /* peak that its card will see; 0: unknown */
    uint32_t share_permille; /* expected use of the device; 0: unknown */
    uint32_t runs;           /* how many earlier runs it rests on */
    char *basis;             /* one sentence */
};

struct job {
    uint64_t id; /* from 1 up, never used twice */
    enum job_state state;
    char *code, *text;                         /* the reason of the state */
    struct job_request request;                /* filled */
    char *memory_basis;                        /* one sentence: why its card has that memory */
    char *device;                              /* where its card is; NULL: not placed */
    char *token;                               /* secret of its card; never shown */
    uint64_t created_us, started_us, ended_us; /* real time; 0: not yet */
    uint64_t changed_us;                       /* when it came into its state */
    bool has_exit;                             /* the container's process was seen to end */
    int exit_status;                           /* valid with has_exit and signal 0 */
    int signal;
    bool oom;
    bool stop_asked;
    bool has_used;            /* its card did at least one command */
    uint64_t paid_since_us;   /* when its tenant began to pay for its share; 0: it does not */
    uint64_t loan_due_us;     /* when its borrowed compute goes back; 0: not called */
    uint64_t preempt_for;     /* the job of higher priority that it gives way to; 0: none */
    uint64_t preempt_due_us;  /* when its card is suspended for that; 0: it is, or none */
    uint64_t told_us;         /* when its program was told of that; 0: not of this notice */
    uint64_t checkpoint_us;   /* when its state was last saved, as it says; 0: never */
    char *pre_stop_outcome;   /* of the last one; NULL: none */
    bool mustered;            /* its gang has been placed together */
    struct json_t *placement; /* why it sits where it sits; NULL: not known */
    uint32_t starts;          /* how many times it was given to the engine */
    char *directory;          /* host path of the job's own folder */
    uint64_t program_bytes, data_bytes; /* what the prediction went by */
    char *family;                /* jobs of one family differ in nothing that matters to a run */
    uint64_t memory_point_bytes; /* what the formulas say its model needs; 0: nothing */
    uint64_t steps, step_kflop;  /* work of the run; 0: not known */
    bool memory_asked;           /* by the user: Leat gives neither less nor more */
    bool restarting;             /* it is being cleared, or stopped, to be started again */
    uint32_t memory_restarts;    /* on larger cards, after memory was refused */
    uint32_t requeues;           /* after it gave way */
    struct job_usage usage;
    struct job_prediction prediction;
};

void job_init(struct job *job);
void job_finish(struct job *job);
const char *job_id_text(uint64_t id, char text[JOB_ID_TEXT_MAX]);
/* Work that stopping it now would lose: since its start, or since its state was saved. */
uint64_t job_lost_us(const struct job *job, uint64_t now_us);
/* The share that its run had on the whole: what it asked for, and with `burst` what it was lent. */
uint32_t job_share_had(const struct job *job);
/* 0 or -EINVAL ("bad-job-id"). */
int job_id_parse(const char *text, uint64_t *ret_id, struct error *err);
/* Replace code and text of the state (copied). 0 or -ENOMEM. */
int job_reason_set(struct job *job, const char *code, const char *text);

/* JOB of the REST interface: no secrets. New reference, NULL: out of memory. */
struct json_t *job_encode(const struct job *job);
/* The record of the store: all that struct job holds. */
struct json_t *job_record_encode(const struct job *job);
int job_record_decode(const struct json_t *record, struct job *job, struct error *err);

#endif

/* What a client and its executor share: the hand-shake on the session socket and the layout of the
 * session's shared memory. Records themselves are generated from gen/records.table.
 *
 * Trust: the client may write anything anywhere in the session memory. The executor copies a
 * header before it looks at it, checks every offset, id and count, and never reads a checked value
 * twice. The client trusts the executor. */
#ifndef LEAT_CARD_WIRE_H
#define LEAT_CARD_WIRE_H

#include <stdint.h>

#include "card/wire/stats.h"
#include "wire_records.h"

#define WIRE_MAGIC 0x5441454cu /* "LEAT" */
#define WIRE_VERSION 12
#define WIRE_TOKEN_MAX 72
#define WIRE_CARDS_MAX 8   /* of one session: the devices of its platform */
#define WIRE_FURTHER_MAX 7 /* of them, beside the first */
#define WIRE_CACHE_LINE 64

#define WIRE_LANES 64                 /* threads of one process that may issue calls at once */
#define WIRE_LANE_BYTES (256u * 1024) /* ring of one lane; a record is a quarter at most */
#define WIRE_RECORD_MAX (WIRE_LANE_BYTES / 4)
#define WIRE_RECORD_ALIGN 16          /* of start and length: a skip always has room for a header */
#define WIRE_QUEUES 4096              /* command queues of one process */
#ifndef WIRE_SMALL                    /* a build of fuzz targets, which says the sizes itself */
#define WIRE_EVENTS 65536             /* event slots; slot 0 means "no event" */
#define WIRE_OBJECTS 65536            /* object ids; id 0 means "none" */
#define WIRE_SLAB_BYTES (1088u << 20) /* staging area for transfers and payloads, sparse */
#endif
/* The part used while what is there comes free again. Beyond it lies what waits for an event that
 * the program itself has to set. */
#define WIRE_SLAB_USUAL_BYTES (64u << 20)
#define WIRE_SNAPSHOT_BYTES (256u * 1024)
#define WIRE_RANGES 65536    /* ranges of the arena in use at once; range 0 means "none" */
#define WIRE_RANGE_ALIGN 256 /* of every range's start */

/* Hand-shake on a SOCK_STREAM Unix socket. The client sends a hello; the answer is a welcome, with
 * three descriptors when status is 0: the session memory (map read-write), the card's ledger page
 * (map read-only) and the card's claims page (map read-write); then the two pages of each further
 * card. The socket stays open and silent: its end is the end of the session for both sides. */
enum wire_hello_flags {
    WIRE_HELLO_OPENCL = 0,
    /* On a card of its own host a CUDA program calls the driver itself and writes its own slot: the
     * welcome says 0 session_bytes then and has other descriptors: ledger page, turn of the device
     * (both to be mapped read-write), and the card's eventfd; the socket is not kept. */
    WIRE_HELLO_CUDA = 1,
    WIRE_HELLO_MOVED = 2 /* by a relay, of another host's session; its checkpoint comes along */
};

#define WIRE_SESSION_ID_BYTES 16
struct wire_hello {
    uint32_t magic, version;
    uint32_t pid, flags;                    /* enum wire_hello_flags */
    char token[WIRE_TOKEN_MAX];             /* NUL-ended */
    uint8_t session[WIRE_SESSION_ID_BYTES]; /* that moved */
    uint32_t further_count;                 /* cards beside the first, devices of one platform */
    char further[WIRE_FURTHER_MAX][WIRE_TOKEN_MAX];
};

struct wire_welcome {
    uint32_t magic, version;
    int32_t status; /* 0 or a negative errno; the text says why */
    uint32_t slot;  /* of this session in the ledger and claims pages */
    uint64_t session_bytes;
    uint32_t further_slots[WIRE_FURTHER_MAX]; /* in the pages of the further cards */
    char text[256];
    uint32_t zero;
};

/* One lane: a single-producer ring of records. `tail` and `head` count bytes and never wrap back;
 * the position is the count modulo WIRE_LANE_BYTES. A record never wraps round the end: the
 * producer fills the rest with a record of opcode WIRE_INVALID (skip) and starts again at 0. Skips
 * carry no sequence number. */
struct wire_lane {
    _Alignas(WIRE_CACHE_LINE) uint64_t tail; /* written by the client, after the record (release) */
    uint32_t in_use;                         /* written by the client */
    _Alignas(WIRE_CACHE_LINE) uint64_t head; /* written by the executor */
    /* The client sleeps on this word (futex) while the ring is full: it sets 1; the executor, when
     * it moved `head`, half of the ring is free and it saw 1, sets 0 and wakes. Sequentially
     * consistent, like `asleep`. */
    uint32_t producer_waits;
    /* Reply to the lane's last waiting record: `reply_sequence` is written last (release) and is
     * the futex word; it holds the record's sequence number plus 1, so it never equals the initial
     * 0 for sequence 0. */
    _Alignas(WIRE_CACHE_LINE) uint32_t reply_sequence;
    int32_t reply_status; /* an OpenCL error code */
    uint64_t reply_value;
    uint64_t reply_length; /* bytes of payload written at the record's reply_offset */
};

/* Completion of one queue. A thread that is about to sleep lowers `wanted` to the count it waits
 * for and sleeps on `woken` (futex); the executor, when it has raised `completed` that far, sets
 * `wanted` to 0, changes `woken` and wakes: see wake.h. */
struct wire_queue_state {
    _Alignas(WIRE_CACHE_LINE)
        uint64_t completed; /* commands of this queue that have ended, any status */
    int32_t error;   /* first negative status of a command of this queue, sticky; 0 if none */
    uint32_t woken;  /* how often sleepers were woken */
    uint64_t wanted; /* the lowest count that somebody sleeps for; 0: nobody */
};

/* Completion of one event. Times are the device's own, in ns (CL_PROFILING_COMMAND_*), 0 for a
 * command that never ran. The client writes CL_QUEUED before it posts the record; the executor
 * writes the final status only (0 or negative), once. */
struct wire_event_state {
    _Alignas(WIRE_CACHE_LINE)
        int32_t status; /* CL_QUEUED 3, CL_SUBMITTED 2, CL_RUNNING 1, CL_COMPLETE 0, or an error */
    uint32_t waited;    /* 1: somebody sleeps on `status` (futex); the executor sets 0 and wakes */
    uint64_t queued_ns, submit_ns, start_ns,
        end_ns; /* written before status becomes 0 or negative */
};

/* The session memory, one memfd. Offsets are bytes from its start. */
struct wire_session {
    uint32_t magic, version;
    uint64_t lanes_offset;    /* WIRE_LANES structs wire_lane */
    uint64_t rings_offset;    /* WIRE_LANES runs of WIRE_LANE_BYTES */
    uint64_t queues_offset;   /* WIRE_QUEUES structs wire_queue_state */
    uint64_t events_offset;   /* WIRE_EVENTS structs wire_event_state */
    uint64_t snapshot_offset; /* answers to the info queries, see struct wire_info */
    uint64_t snapshot_length;
    uint64_t further_lengths[WIRE_FURTHER_MAX]; /* of further cards' answers: behind, padded to 8 */
    uint64_t slab_offset;                       /* WIRE_SLAB_BYTES */
    /* The arena is the memory of a device that works on the host's own: a buffer with a range of it
     * is the same bytes for the client and for the driver. It is the rest of the memfd, sparse, and
     * is placed by the client; arena_bytes is 0 when the device has memory of its own. A range is
     * used again only when its word is 0: the client writes 1 before it sends the creation, the
     * executor 0 when the driver has let go of the buffer. */
    uint64_t ranges_offset; /* WIRE_RANGES words of u32 */
    uint64_t arena_offset, arena_bytes;
    /* See opencl/arena.h, executor/depart.h. */
    _Alignas(WIRE_CACHE_LINE) uint32_t arena_left, arena_users, arena_maps;
    /* The consumer sets `asleep` to 1, looks at the lanes once more and sleeps on it (futex); a
     * producer that publishes a record and sees 1 sets 0 and wakes. All memory orders sequentially
     * consistent. */
    _Alignas(WIRE_CACHE_LINE) uint32_t asleep;
    uint32_t executor_ended; /* set by the executor before it leaves in good order */
    /* Completions: `completion` counts changes of queue and event states (futex word); the executor
     * wakes it only when `waiters` is not 0. Whoever waits for one command sleeps on its queue or
     * event instead, and counts in `sleepers`, while it spins already. */
    _Alignas(WIRE_CACHE_LINE) uint32_t completion;
    uint32_t waiters, sleepers;
    uint32_t line_ns; /* to another host and back, when that is short; written before the welcome */
    _Alignas(WIRE_CACHE_LINE) struct wire_stats stats;
};

/* Snapshot: a run of these, each followed by `length` bytes padded to 8. The client answers
 * clGetPlatformInfo and clGetDeviceInfo from it. */
enum wire_info_of {
    WIRE_INFO_INVALID,
    WIRE_INFO_PLATFORM,
    WIRE_INFO_DEVICE,
    WIRE_INFO_IMAGE_FORMATS,
    WIRE_INFO_PART /* in the reply to DEVICE_PARTITION: what follows are answers of the part */
};
struct wire_info {
    uint32_t of;   /* enum wire_info_of */
    uint32_t name; /* CL_DEVICE_..., CL_PLATFORM_...; for image formats: flags << 16 | image type &
                      0xffff; for a part: which of them */
    uint32_t length; /* bytes that follow */
    uint32_t keeps;  /* of a part: 1 when it stands for itself in contexts, not for its whole */
};

/* What a PROGRAM_BUILD does. */
enum wire_build_stage {
    WIRE_BUILD_WHOLE,   /* clBuildProgram */
    WIRE_BUILD_COMPILE, /* clCompileProgram; headers are in the source already */
    WIRE_BUILD_LINK     /* clLinkProgram */
};
/* Beside a stage: the program gave no options, which a driver may take otherwise than empty. */
#define WIRE_BUILD_BARE 0x100u

/* Build reply: this, the log (NUL-ended, padded to 8), the options as the driver tells them
 * (NUL-ended, padded to 8), then per kernel a wire_kernel_info, its texts and its arguments.
 * Everything padded to 8. */
struct wire_build_reply {
    int32_t status;       /* what clBuildProgram, clCompileProgram or clLinkProgram returned */
    int32_t build_status; /* CL_PROGRAM_BUILD_STATUS */
    uint32_t binary_type;
    uint32_t kernel_count;
    uint64_t binary_length; /* 0: ask with PROGRAM_GET_BINARY (some drivers compile every kernel for
                               it) */
    uint64_t log_length;    /* with the NUL */
    uint64_t global_variable_bytes; /* CL_PROGRAM_BUILD_GLOBAL_VARIABLE_TOTAL_SIZE */
    uint64_t hides_arguments;       /* 1: the program is not told what its kernels' arguments are */
};

struct wire_kernel_info {
    uint64_t work_group_size;
    uint64_t compile_work_group[3];
    uint64_t local_bytes;
    uint64_t preferred_multiple;
    uint64_t private_bytes;
    uint32_t arg_count;
    uint32_t name_length;       /* with the NUL; texts follow in this order, each padded to 8 */
    uint32_t attributes_length; /* with the NUL */
    uint32_t has_arg_info;      /* 0: the driver has none, CL_KERNEL_ARG_INFO_NOT_AVAILABLE */
};

struct wire_arg_info {
    uint32_t address; /* CL_KERNEL_ARG_ADDRESS_... */
    uint32_t access;
    uint64_t type_qualifier;
    uint32_t size_bytes;  /* exact size that clSetKernelArg takes, learned by probing; 0: any size
                             (local memory, and values of which the driver takes any size, such as
                             structures on PoCL) */
    uint32_t short_bytes; /* a smaller size that it takes, too; 0: none */
    uint32_t unused;
    uint32_t kind;             /* enum wire_arg_kind */
    uint32_t type_name_length; /* with the NUL */
    uint32_t name_length;      /* with the NUL; 0: the driver has none, as of SPIR */
};

/* One changed argument of a LAUNCH; the bytes follow, padded to 8. For memory, sampler and queue
 * objects the bytes are one u32 id (0: a null buffer), for a pointer to shared virtual memory it as
 * a u64; for local memory there are none and `size_bytes` is the size. */
enum wire_arg_kind {
    WIRE_ARG_INVALID,
    WIRE_ARG_VALUE,
    WIRE_ARG_MEMORY,
    WIRE_ARG_SAMPLER,
    WIRE_ARG_LOCAL,
    WIRE_ARG_SVM /* only in a LAUNCH, of an argument that is memory */
};
struct wire_arg {
    uint32_t index;
    uint32_t kind;
    uint64_t size_bytes;
};

/* Which ends of an IMAGE_COPY are images. */
enum wire_copy_shape { WIRE_COPY_IMAGES, WIRE_COPY_IMAGE_TO_BUFFER, WIRE_COPY_BUFFER_TO_IMAGE };

/* QUEUE_CREATE properties, beside OpenCL's own: what is in this queue (first contents of buffers,
 * for which nobody waits) has ended before a command of another that is posted later begins. */
#define WIRE_QUEUE_FIRST (UINT64_C(1) << 63)

/* Of a BUFFER_CREATE's flags: it keeps its address in the arena's second place wherever it goes. */
#define WIRE_BUFFER_SHARED (UINT64_C(1) << 63)

/* LAUNCH shape_flags */
#define WIRE_SHAPE_OFFSET 1u /* global_offset given */
#define WIRE_SHAPE_LOCAL 2u  /* local size given */

/* Fill the offsets for a session memory; returns the bytes the memfd must have. */
uint64_t wire_session_layout(struct wire_session *session);

#endif

/* The objects of a session: what a client made, and all it takes to make it again. */
#ifndef LEAT_CARD_EXECUTOR_OBJECT_H
#define LEAT_CARD_EXECUTOR_OBJECT_H

#include <stdint.h>

#include "base/buf.h"
#include "card/executor/opencl.h"
#include "card/executor/range.h"
#include "card/executor/seat.h"
#include "card/executor/subdevice.h"
#include "card/executor/svm.h"

struct session;

enum object_kind {
    OBJECT_NONE,
    OBJECT_CONTEXT,
    OBJECT_QUEUE,
    OBJECT_MEMORY,
    OBJECT_SAMPLER,
    OBJECT_PROGRAM,
    OBJECT_KERNEL,
    OBJECT_CUDA_MEMORY, /* `driver` is the handle of physical memory mapped at `address` */
    OBJECT_DEVICE       /* a part of a card, or (seat.h) another card */
};

/* A client's object, and what it is made from, so that it can be made again after the card was
 * suspended. One that could not be made keeps its place with `error` set, and what uses it fails
 * with that error. */
struct object {
    enum object_kind kind;
    cl_int error;
    uint64_t serial; /* counts what the session makes; never used twice */
    uint32_t parent; /* the context, buffer, program or device it was made from (a device: 0 is the
                        card itself); it outlives its children */
    int is_buffer;   /* a memory object, an image or not, that stands in the ledger, */
    seat_set seats;  /* of these cards */
    int away;        /* suspended: the driver's object is gone, to come back */
    void *driver;    /* the cl_... handle, one reference owned; NULL when error is set or away */
    void *extra;     /* struct device_list (of a context), queue, program, kernel or subdevice; an
                        away buffer's contents; owned */
    int spilled;     /* those are in the file instead, see spill.h */
    uint64_t spilled_at_bytes, spilled_checksum;
    uint64_t flags; /* of memory, properties of a queue, samplers: normalized */
    union {
        struct {
            uint64_t origin_bytes, size_bytes;
        };
        struct {
            uint32_t addressing, filter;
        };
    };
    uint64_t address;              /* of CUDA memory, for ever */
    struct allocation *allocation; /* of a buffer that the driver holds; freed with it */
    struct range range;            /* of a buffer; what lies there stays there while it is away */
    struct image *image;           /* NULL: not an image; owned */
    struct svm_memory *svm;        /* NULL: not shared virtual memory; owned */
    /* Of buffers: which one says how much of this one is of use, and of which one this says so; 0:
     * none. While it is away, and when it was read, only the first counts. */
    uint32_t content_size, content_of;
};

/* What an image is made from, but for its flags and for what it is a view of. */
struct image {
    cl_image_format format;
    cl_image_desc desc;
    uint32_t pixel_bytes;
    size_t extents[3]; /* pixels, rows and slices, as commands count them */
};

/* Memory of the device, accounted for until the driver has freed it. */
struct allocation {
    struct session *session;
    uint64_t bytes;
    seat_set seats; /* whose ledgers have it */
    int kept;       /* it only leaves the device: its bytes and its range stay reserved */
    struct range range;
};

struct queue {
    uint32_t slot; /* of its wire_queue_state */
    int dirty;     /* has commands that were not flushed */
    int in_order;
    int timed; /* the client may ask for the times of its commands */
    uint32_t device_id;
    unsigned seat; /* number of the card that its commands are charged to */
    int first;     /* WIRE_QUEUE_FIRST */
    cl_command_queue driver;
};

/* A build that succeeded, for devices of a program. */
struct built {
    struct built *next;
    struct device_list devices;
    char *options; /* owned */
};

struct program {
    struct buf build; /* the last build's replies */
    char *text;       /* what it is made of, owned */
    size_t text_length;
    const char *kind;           /* "source", "binary" or "built-in" */
    struct device_list devices; /* that there are binaries for, or built-in kernels */
    size_t *lengths;            /* of the binaries in `text`, owned */
    cl_program created;  /* a reference while the object's driver is one made of a kept binary */
    int hides_arguments; /* the program is not told what its kernels' arguments are */
    struct built *built; /* to be built again: the oldest first */
};

/* The value an argument has. */
struct kernel_arg {
    uint32_t kind; /* WIRE_ARG_... */
    int is_set;
    cl_int error; /* of its last value, when that was refused */
    uint64_t size_bytes;
    uint32_t object; /* of memory and samplers; 0: a null buffer */
    void *bytes;     /* of a value or a pointer, owned */
};

#define KERNEL_ARGS_MAX 4096 /* more than the record of a launch holds */
struct kernel {
    char *name;              /* owned */
    struct kernel_arg *args; /* grown as they are set, owned */
    uint32_t arg_count;      /* room in `args` */
    uint32_t pace_base;      /* hash of program and name */
    uint32_t refused_count;  /* arguments whose last value was refused */
    uint64_t *pointers;      /* shared virtual memory that it reaches beside its arguments, owned */
    uint32_t pointer_count, pointer_total; /* come so far, and of the whole list */
};

#endif

/* What CUDA clients and executors say to each other beside the records of gen/records.table. */
#ifndef LEAT_CARD_WIRE_CUDA_H
#define LEAT_CARD_WIRE_CUDA_H

#include <stdint.h>

#define WIRE_CUDA_NAME 256
#define WIRE_CUDA_ATTRIBUTES 160 /* of a device: those below this number */
#define WIRE_CUDA_FUNCTION_ATTRIBUTES 16

struct wire_cuda_device {
    int32_t driver_version;
    char name[WIRE_CUDA_NAME]; /* NUL-ended */
    uint8_t uuid[16];
    int32_t attributes[WIRE_CUDA_ATTRIBUTES];
    uint8_t attribute_known[WIRE_CUDA_ATTRIBUTES];
};

/* A function of a module: this, the name (NUL-ended, padded to 8), then where each parameter
 * lies. */
struct wire_cuda_function {
    uint32_t name_length; /* with the NUL */
    uint32_t parameter_count;
    int32_t attributes[WIRE_CUDA_FUNCTION_ATTRIBUTES];
};
struct wire_cuda_parameter {
    uint32_t offset, bytes;
};

/* What CUDA_ASK and CUDA_TELL carry: the meaning of `object`, `other` and the numbers, and the
 * reply value. An id of something that is to be made must be free. */
enum wire_cuda_call {
    WIRE_CUDA_NOTHING,         /* tells what failed before */
    WIRE_CUDA_PAUSE,           /* does not */
    WIRE_CUDA_CONTEXT_CREATE,  /* object: its id; flags; 1: the device's primary one */
    WIRE_CUDA_CONTEXT_DESTROY, /* object; 1: the primary one, which is reset */
    WIRE_CUDA_CONTEXT_WAIT,
    WIRE_CUDA_LIMIT_SET,          /* which; value */
    WIRE_CUDA_LIMIT_GET,          /* which -> value */
    WIRE_CUDA_MEMORY_TAKE,        /* bytes -> address */
    WIRE_CUDA_MEMORY_GIVE,        /* address */
    WIRE_CUDA_MEMORY_LEFT,        /* -> bytes */
    WIRE_CUDA_MODULE_UNLOAD,      /* object */
    WIRE_CUDA_FUNCTION_SET,       /* object: module; other: function; attribute; value */
    WIRE_CUDA_FUNCTION_OCCUPANCY, /* likewise; block size; shared bytes; flags -> blocks */
    WIRE_CUDA_STREAM_CREATE,      /* object: its id; flags; priority */
    WIRE_CUDA_STREAM_DESTROY,     /* object, as in what follows */
    WIRE_CUDA_STREAM_WAIT,
    WIRE_CUDA_STREAM_QUERY,
    WIRE_CUDA_EVENT_CREATE,  /* object: its id; flags */
    WIRE_CUDA_EVENT_DESTROY, /* object, as in what follows */
    WIRE_CUDA_EVENT_RECORD,  /* other: stream */
    WIRE_CUDA_EVENT_FOLLOW,  /* other: the stream that waits for it; flags */
    WIRE_CUDA_EVENT_WAIT,
    WIRE_CUDA_EVENT_QUERY,
    WIRE_CUDA_EVENT_ELAPSED,     /* other: the later one -> the bits of a float */
    WIRE_CUDA_CAPTURE_BEGIN,     /* object: stream; mode */
    WIRE_CUDA_CAPTURE_END,       /* object: id of the graph to be; other: stream */
    WIRE_CUDA_GRAPH_DESTROY,     /* object; its nodes go with it */
    WIRE_CUDA_GRAPH_INSTANTIATE, /* object: id of the executable graph to be; other: graph; flags */
    WIRE_CUDA_GRAPH_LAUNCH,      /* object: executable graph; other: stream */
    WIRE_CUDA_EXEC_DESTROY,      /* object: executable graph */
    WIRE_CUDA_GRAPH_CREATE,      /* object: its id */
    WIRE_CUDA_NODE_EMPTY,        /* object: id of the node to be; other: graph */
    WIRE_CUDA_NODE_CHILD,        /* likewise; graph that is copied into it */
    WIRE_CUDA_NODE_DESTROY,      /* object: node */
    WIRE_CUDA_RUNTIME_REFUSED,   /* the program is one on the CUDA runtime library */
    WIRE_CUDA_CALLS
};

/* What the records of a graph's nodes change. */
enum wire_cuda_change {
    WIRE_CUDA_NODE_ADD,
    WIRE_CUDA_NODE_SET,         /* in the graph that it was added to */
    WIRE_CUDA_NODE_SET_IN_EXEC, /* in an executable one that was made of that */
    WIRE_CUDA_CHANGES
};

#endif

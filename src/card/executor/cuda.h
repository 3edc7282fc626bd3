/* The CUDA side of an executor: the real driver called for a remote card's client, under the same
 * ledger and meter as programs that call it themselves (src/card/cuda). Contexts, modules, streams
 * and events stay with the driver while the card is suspended; memory leaves. Consumer's thread. */
#ifndef LEAT_CARD_EXECUTOR_CUDA_H
#define LEAT_CARD_EXECUTOR_CUDA_H

#include <stdint.h>

#include "card/cuda/types.h"
#include "card/executor/session.h"
#include "card/wire/cuda.h"

enum cuda_kind {
    CUDA_KIND_NONE,
    CUDA_KIND_CONTEXT,
    CUDA_KIND_MODULE,
    CUDA_KIND_STREAM,
    CUDA_KIND_EVENT,
    CUDA_KIND_GRAPH,
    CUDA_KIND_EXEC,
    CUDA_KIND_NODE
};

/* What the client named. One that the driver has refused keeps its place with its error. */
struct cuda_object {
    enum cuda_kind kind;
    uint32_t context; /* that it was made in; of a primary context itself: 1 */
    CUresult error;
    uint32_t graph_id; /* of a node: the number of the graph that it goes with */
    int has_nodes;     /* of a graph: some have a number */
    union {
        void *handle;
        CUcontext context_handle;
        CUmodule module;
        CUstream stream;
        CUevent event;
        CUgraph graph;
        CUgraphExec exec;
        CUgraphNode node;
    };
    CUfunction *functions; /* of a module; owned, like what follows */
    unsigned function_count;
    struct buf reply; /* what the client was told of them */
};

/* A run of device memory: one allocation, or many small ones. */
struct cuda_chunk;

struct cuda {
    struct session *session;
    CUdevice device;
    struct cuda_object *objects; /* WIRE_OBJECTS */
    uint32_t objects_end;        /* above the highest that was ever used */
    uint32_t current;            /* context of the driver's calls now; 0: none */
    CUresult late;               /* failed in a record that nobody waited for */
    uint64_t granule_bytes;      /* of physical memory */
    CUdeviceptr range;           /* addresses for all memory, reserved once */
    uint64_t range_bytes;
    struct cuda_chunk *chunks; /* by address */
    unsigned captures;         /* of streams, that are under way */
    struct cuda_waits *waits;  /* cuda_wait.c; NULL: none was long */
};

/* The driver and its device, at the first record. 0, or -ENODEV with err set. */
int cuda_open(struct session *session, struct error *err);

/* Objects of the client; -EPROTO when there is none of the kind, or the place is taken. */
int cuda_get(struct cuda *cuda, uint32_t id, enum cuda_kind kind, struct cuda_object **ret_object,
             struct error *err);
int cuda_place(struct cuda *cuda, uint32_t id, enum cuda_kind kind, struct cuda_object **ret_object,
               struct error *err);
/* The stream of a record, the null stream for 0. */
int cuda_stream(struct cuda *cuda, uint32_t id, CUstream *ret_stream, CUresult *ret_status,
                struct error *err);
/* Release what the driver has of it, and free the place. */
void cuda_drop(struct cuda *cuda, struct cuda_object *object);
/* Make the context current that a record names: CUDA_SUCCESS, or what the driver says. */
int cuda_enter(struct cuda *cuda, uint32_t context_id, CUresult *ret_status, struct error *err);
/* The context goes, and all that was made in it: what the driver says. It is there. */
CUresult cuda_context_end(struct cuda *cuda, uint32_t id);
/* Release everything. */
void cuda_clear(struct cuda *cuda);
/* Wait until the driver has done everything. */
void cuda_settle(struct cuda *cuda);

/* One of the calls of card/wire/cuda.h (cuda_call.c): its status, with the protocol's errors in
 * `*result`. The reply's value is set, and whether it comes later. */
CUresult cuda_call(struct cuda *cuda, const struct wire_cuda_ask *record, struct reply *reply,
                   int *result, struct error *err);
/* The handle of a context that is there, NULL for 0. */
CUcontext cuda_context(const struct cuda *cuda, uint32_t context_id);

/* Memory (cuda_memory.c). */
CUresult cuda_memory_open(struct cuda *cuda);
CUresult cuda_memory_take(struct cuda *cuda, uint32_t context_id, uint64_t bytes,
                          uint64_t *ret_address);
CUresult cuda_memory_give(struct cuda *cuda, uint64_t address);
/* What a context has goes with it. */
void cuda_memory_leave(struct cuda *cuda, uint32_t context_id);
/* As objects of a session: physical memory at the object's addresses, and its contents. */
cl_int cuda_memory_make(struct session *session, struct object *object);
void cuda_memory_unmake(struct session *session, struct object *object);
cl_int cuda_memory_read(struct session *session, const struct object *object, void *contents);
cl_int cuda_memory_write(struct session *session, const struct object *object,
                         const void *contents);

record_handler handle_cuda_open, handle_cuda_ask, handle_cuda_tell;
/* cuda_module.c */
record_handler handle_cuda_module_load, handle_cuda_module_functions, handle_cuda_module_global,
    handle_cuda_launch;
CUresult cuda_function(struct cuda *cuda, uint32_t module_id, uint32_t index,
                       CUfunction *ret_function, int *result, struct error *err);
/* cuda_graph.c */
record_handler handle_cuda_kernel_node, handle_cuda_copy_node, handle_cuda_fill_node,
    handle_cuda_edges;
/* The place of a node to be of the graph with that number, which is there. -EPROTO: it is taken. */
int cuda_place_node(struct cuda *cuda, uint32_t graph_id, uint32_t id,
                    struct cuda_object **ret_node, struct error *err);
/* cuda_transfer.c */
record_handler handle_cuda_upload, handle_cuda_download, handle_cuda_copy, handle_cuda_fill;
/* The record failed, and nobody waits for it. */
void cuda_fail(struct cuda *cuda, CUresult status);
/* What failed before, which is told now; CUDA_SUCCESS: nothing. */
CUresult cuda_told(struct cuda *cuda);

#endif

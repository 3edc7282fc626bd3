/* The driver of a remote card: what stands in for the real one when an executor calls it, on this
 * host or on another. Its functions, remote_NAME in remote_*.c, put records into the session's
 * rings. What follows is what they share: the session, records, handles. Any thread; a child after
 * fork begins anew. */
#ifndef LEAT_CARD_CUDA_REMOTE_H
#define LEAT_CARD_CUDA_REMOTE_H

#include <stddef.h>
#include <stdint.h>

#include "card/cuda/types.h"
#include "card/wire/cuda.h"
#include "card/wire/wire.h"

/* The function of that number: Leat's where the card is remote, for which NOT_SUPPORTED stands in
 * where there is none. NULL: the card is not remote. */
void *remote_entry(unsigned name);

/* By number; NULL: not served. Generated. */
extern void *const remote_table[];

/* ---- handles ---- */

enum remote_kind {
    REMOTE_INVALID,
    REMOTE_CONTEXT,
    REMOTE_MODULE,
    REMOTE_FUNCTION,
    REMOTE_STREAM,
    REMOTE_EVENT,
    REMOTE_GRAPH,
    REMOTE_EXEC,
    REMOTE_NODE,
    REMOTE_KINDS
};

/* First in whatever a handle points to. */
struct remote_object {
    uint32_t stamp; /* of kind and session, while it lives */
    uint32_t id;    /* at the executor */
};

/* Zeroed memory with a struct remote_object in front and a number; NULL: none to be had. */
void *remote_create(enum remote_kind kind, size_t bytes);
/* Give number and memory back. */
void remote_destroy(void *handle);
int remote_is(const void *handle, enum remote_kind kind);
/* The number of a living handle. */
uint32_t remote_id(const void *handle);
/* The stamp of a living handle, for what has no number of its own. */
uint32_t remote_stamp(enum remote_kind kind);

/* The number of a handle that may be NULL where 0 stands for that; CUDA_ERROR_INVALID_HANDLE. */
CUresult remote_stream_id(CUstream stream, uint32_t *ret_id);
CUresult remote_context_id_of(CUcontext context, uint32_t *ret_id);

/* ---- records ---- */

/* A record for this call; posted with it. NULL: the executor is gone. */
void *remote_begin(uint64_t length);
/* Send it. With LEAT_CARD_STRICT=1 it has been carried out, and the result is its own. */
CUresult remote_post(void *record, unsigned opcode, uint64_t length);
/* Send it and wait: the reply's status. `ret_value` and `ret_length` may be NULL. */
CUresult remote_wait(void *record, unsigned opcode, uint64_t length, uint64_t *ret_value,
                     uint64_t *ret_length);

/* A CUDA_ASK or CUDA_TELL (card/wire/cuda.h). */
struct remote_call {
    enum wire_cuda_call call;
    uint32_t object, other;
    uint64_t first, second, third;
};
CUresult remote_ask(const struct remote_call *call, uint64_t *ret_value);
CUresult remote_tell(const struct remote_call *call);

/* Make something under a number of its own, the call's object: told of at once, or waited for. */
CUresult remote_make(enum remote_kind kind, size_t bytes, struct remote_call *call,
                     void **ret_handle);
CUresult remote_make_now(enum remote_kind kind, size_t bytes, struct remote_call *call,
                         void **ret_handle);
/* Something that an object does on a stream. */
CUresult remote_tell_on_stream(enum wire_cuda_call what, const void *handle, enum remote_kind kind,
                               CUstream stream, uint64_t flags);
/* Give it up; the handle is none any more. */
CUresult remote_end(void *handle, enum remote_kind kind, enum wire_cuda_call what);

/* ---- the slab ---- */

#define REMOTE_PIECE_BYTES (16u << 20) /* larger transfers go in pieces of this */

/* Room for `bytes` (at most a piece), waited for while there is none.
 * CUDA_ERROR_SYSTEM_NOT_READY: the executor is gone. */
CUresult remote_room(uint64_t bytes, uint64_t *ret_offset);
void *remote_room_at(uint64_t offset);
/* Nobody reads or writes it any more. */
void remote_room_give(uint64_t offset, uint64_t bytes);
/* What is there belongs to the record posted next by this thread, and comes free with it. */
void remote_room_lend(uint64_t offset, uint64_t bytes);

/* ---- what the card is ---- */

/* The device, asked for once; NULL: the executor is gone. */
const struct wire_cuda_device *remote_device(void);
uint64_t remote_quota_bytes(void);

/* The context that is current for this thread: NULL and 0: none. */
CUcontext remote_context(void);
uint32_t remote_context_id(void);
/* 1: an address of the card's memory. */
int remote_memory_has(CUdeviceptr address);
/* Memory of a context that is gone is, too. */
void remote_memory_forget(uint32_t context_id);
/* In a child after fork. */
void remote_memory_clear(void);

#endif

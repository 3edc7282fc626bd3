/* Buffers: decided against the quota when they are created, sent when they are used. */
#ifndef LEAT_CARD_OPENCL_MEMORY_H
#define LEAT_CARD_OPENCL_MEMORY_H

#include "card/opencl/object.h"

struct arena_range;
struct memory_farewell;
struct memory_map;

struct _cl_mem {
    struct object object;
    cl_context context;
    cl_mem parent; /* of a sub-buffer, else NULL */
    size_t origin; /* in the parent */
    size_t size;
    cl_mem_object_type type;
    cl_mem_flags flags;
    cl_mem_properties *properties; /* as given, with the closing 0; NULL when none were */
    size_t properties_bytes;
    void *host_ptr; /* of CL_MEM_USE_HOST_PTR: the user's; NULL otherwise */
    uint64_t
        init_target; /* of the context's hidden queue: when the initial content is there; 0: none */
    struct arena_range
        *range;    /* of a root buffer that is memory of ours, too; set when it is sent */
    uint32_t lock; /* what follows */
    char *shadow;  /* host memory for maps, made at the first; of a root buffer only */
    struct memory_map *maps;
    cl_uint map_count;
    struct memory_farewell *farewells; /* last set first */
};

/* Before a record that uses the buffer: the executor knows it and its initial content is there. */
cl_int memory_ensure(cl_mem memory);

/* 1 when `bytes` at `offset` lie inside the buffer. */
static inline int memory_holds(const struct _cl_mem *memory, size_t offset, size_t bytes)
{
    return offset <= memory->size && bytes <= memory->size - offset;
}

/* Frees what maps need at the end of a buffer (map.c). */
void memory_maps_finish(cl_mem memory);

#endif

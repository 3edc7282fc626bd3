/* Buffers: decided against the quota when they are created, sent when they are used. */
#ifndef LEAT_CARD_OPENCL_MEMORY_H
#define LEAT_CARD_OPENCL_MEMORY_H

#include "card/opencl/object.h"

struct arena_range;
struct command_waits;
struct image;
struct memory_farewell;
struct memory_map;
struct region;

struct _cl_mem {
    struct object object;
    cl_context context;
    cl_mem parent;       /* what a sub-buffer or an image is made of, else NULL */
    size_t origin;       /* in the parent */
    struct image *image; /* NULL: a buffer; owned */
    size_t size;         /* as the program is told */
    size_t charged;      /* bytes that count against the quota; 0: the parent's */
    cl_mem_object_type type;
    cl_mem_flags flags;
    cl_mem_properties *properties; /* as given, with the closing 0; NULL when none were */
    size_t properties_bytes;
    void *host_ptr;         /* of CL_MEM_USE_HOST_PTR: the user's; NULL otherwise */
    unsigned svm_alignment; /* of shared virtual memory outside the arena; 0: it is none */
    int is_shared; /* it is shared virtual memory in the arena, which the user has at host_ptr */
    struct arena_range *range; /* of a root buffer that is memory of ours, too, once it is sent */
    uint32_t lock;             /* what follows */
    char *shadow;              /* host memory for maps, made at the first; of a root buffer only */
    struct memory_map *maps;
    cl_uint map_count;
    struct memory_farewell *farewells; /* last set first */
    cl_mem content_size, content_of;   /* see content_size.h; under the context's content_lock */
};

/* The memory object with bytes of its own that this one is a part or view of. */
static inline cl_mem memory_root(cl_mem memory)
{
    while (memory->parent)
        memory = memory->parent;
    return memory;
}

/* Before a record that uses the buffer: the executor knows it and its initial content is there. */
cl_int memory_ensure(cl_mem memory);

/* Flags of a creation, whatever is created: CL_SUCCESS or CL_INVALID_VALUE. */
cl_int memory_check_flags(cl_mem_flags flags);
/* As they are remembered: no flags at all mean the default. */
cl_mem_flags memory_flags(cl_mem_flags flags);
/* What a part or view takes over from its parent when its own flags leave it open. CL_SUCCESS or
 * CL_INVALID_VALUE. */
cl_int memory_merge_flags(cl_mem_flags parent, cl_mem_flags *flags);
/* An object for memory of its own, `bytes` of the quota; the caller fills in the rest. NULL with
 * `*ret_code` set when there is no room. */
cl_mem memory_create(cl_context context, size_t bytes, cl_int *ret_code);
/* An object for a part or view of `parent`. */
cl_mem memory_create_part(cl_mem parent, cl_int *ret_code);
/* Send initial content; who uses the memory later waits for it. */
cl_int memory_write(cl_mem memory, const struct region *content);
/* Remember that an empty list of properties was given. */
void memory_keep_no_properties(cl_mem memory);
/* What the memory's flags say of a map's flags. */
cl_int memory_check_map(const struct _cl_mem *memory, cl_map_flags flags);

/* 1 when `bytes` at `offset` lie inside the buffer. */
static inline int memory_holds(const struct _cl_mem *memory, size_t offset, size_t bytes)
{
    return offset <= memory->size && bytes <= memory->size - offset;
}

/* Map a part of a buffer to where its bytes lie in this process, and unmap it (map.c). The
 * arguments have been checked; a pointer that is not mapped is CL_INVALID_VALUE. */
struct memory_mapping {
    cl_mem memory;
    size_t offset, bytes;
    cl_map_flags flags;
};
cl_int memory_map(cl_command_queue queue, cl_command_type type,
                  const struct memory_mapping *mapping, cl_bool blocking,
                  const struct command_waits *waits, void **ret_pointer);
cl_int memory_unmap(cl_command_queue queue, cl_command_type type, cl_mem memory,
                    const void *pointer, const struct command_waits *waits);
int memory_is_mapped(cl_mem memory, const void *pointer);
/* Frees what maps need at the end of a buffer. */
void memory_maps_finish(cl_mem memory);

#endif

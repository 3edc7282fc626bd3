/* Contexts: what they were made with, the user's notifications, and a hidden queue for the content
 * that buffers are created with. */
#ifndef LEAT_CARD_OPENCL_CONTEXT_H
#define LEAT_CARD_OPENCL_CONTEXT_H

#include "card/opencl/object.h"

struct slot_leaving;

struct context_farewell {
    struct context_farewell *next;
    void(CL_CALLBACK *notify)(cl_context context, void *user_data);
    void *user_data;
};

struct _cl_context {
    struct object object;
    cl_device_id *devices; /* as the driver tells them, owned */
    cl_uint device_count;
    cl_device_id *given; /* held, owned; NULL: the first card alone */
    cl_uint given_count;
    uint32_t cards;                    /* of the devices, a bit each: see claim.h */
    cl_context_properties *properties; /* as given, with the closing 0; NULL when none were */
    size_t properties_bytes;
    void(CL_CALLBACK *notify)(const char *text, const void *data, size_t length, void *user_data);
    void *user_data;
    struct context_farewell *farewells; /* last set first */
    uint32_t content_lock;              /* of what content_size.c keeps in its buffers */
    uint32_t lock;                      /* what follows, and the farewells */
    cl_command_queue hidden_queue;
    cl_command_queue queues; /* the user's, newest first */
};

/* The queue on which initial contents are written, made at the first use; owned by the context.
 * NULL with `*ret_code` set when there is no room for one more queue. */
cl_command_queue context_hidden_queue(cl_context context, cl_int *ret_code);

/* How far queues are to come until the commands have ended that were posted to the context's
 * queues, and to any that was released with commands under way; at most `most` are told. Gives
 * their number. */
size_t context_unended(cl_context context, struct slot_leaving *targets, size_t most);

#endif

/* The session's tables and the dispatch of records to their handlers. */
#include "card/executor/session.h"

#include <errno.h>
#include <sys/mman.h>

#include "base/error.h"
#include "card/executor/completion.h"
#include "card/executor/cuda.h"
#include "card/executor/readout.h"
#include "card/meter/meter.h"

#define LIST_MAX (WIRE_RECORD_MAX / sizeof(uint32_t))

static record_handler *const handlers[WIRE_OPCODE_COUNT] = {
    [WIRE_CONTEXT_CREATE] = handle_context_create,
    [WIRE_QUEUE_CREATE] = handle_queue_create,
    [WIRE_BUFFER_CREATE] = handle_buffer_create,
    [WIRE_SUBBUFFER_CREATE] = handle_subbuffer_create,
    [WIRE_IMAGE_CREATE] = handle_image_create,
    [WIRE_SAMPLER_CREATE] = handle_sampler_create,
    [WIRE_PROGRAM_SOURCE] = handle_program_source,
    [WIRE_PROGRAM_BINARY] = handle_program_binary,
    [WIRE_PROGRAM_BUILD] = handle_program_build,
    [WIRE_PROGRAM_GET_BINARY] = handle_program_get_binary,
    [WIRE_PROGRAM_GET_BUILD] = handle_program_get_build,
    [WIRE_KERNEL_CREATE] = handle_kernel_create,
    [WIRE_USER_EVENT_CREATE] = handle_user_event_create,
    [WIRE_USER_EVENT_SET] = handle_user_event_set,
    [WIRE_EVENT_RELEASE] = handle_event_release,
    [WIRE_RELEASE] = handle_release,
    [WIRE_LAUNCH] = handle_launch,
    [WIRE_WRITE] = handle_write,
    [WIRE_READ] = handle_read,
    [WIRE_COPY] = handle_copy,
    [WIRE_COPY_RECT] = handle_copy_rect,
    [WIRE_RECT_SLAB] = handle_rect_slab,
    [WIRE_FILL] = handle_fill,
    [WIRE_MIGRATE] = handle_migrate,
    [WIRE_SYNC_POINT] = handle_sync_point,
    [WIRE_FLUSH] = handle_flush,
    [WIRE_DRAIN] = handle_drain,
    [WIRE_IMAGE_WRITE] = handle_image_write,
    [WIRE_IMAGE_READ] = handle_image_read,
    [WIRE_IMAGE_FILL] = handle_image_fill,
    [WIRE_IMAGE_COPY] = handle_image_copy,
    [WIRE_OUTPUT_READ] = handle_output_read,
    [WIRE_SVM_PLACE] = handle_svm_place,
    [WIRE_DEVICE_PARTITION] = handle_device_partition,
    [WIRE_CONTEXT_DEVICES] = handle_context_devices,
    [WIRE_OBJECT_STATUS] = handle_object_status,
    [WIRE_PROGRAM_BUILT_IN] = handle_program_built_in,
    [WIRE_SVM_ALLOC] = handle_svm_alloc,
    [WIRE_KERNEL_POINTERS] = handle_kernel_pointers,
    [WIRE_STATE_READ] = handle_state_read,
    [WIRE_CONTENT_SIZE] = handle_content_size,
};

static record_handler *const cuda_handlers[WIRE_OPCODE_COUNT] = {
    [WIRE_CUDA_OPEN] = handle_cuda_open,
    [WIRE_CUDA_ASK] = handle_cuda_ask,
    [WIRE_CUDA_TELL] = handle_cuda_tell,
    [WIRE_CUDA_MODULE_LOAD] = handle_cuda_module_load,
    [WIRE_CUDA_MODULE_FUNCTIONS] = handle_cuda_module_functions,
    [WIRE_CUDA_MODULE_GLOBAL] = handle_cuda_module_global,
    [WIRE_CUDA_UPLOAD] = handle_cuda_upload,
    [WIRE_CUDA_DOWNLOAD] = handle_cuda_download,
    [WIRE_CUDA_COPY] = handle_cuda_copy,
    [WIRE_CUDA_FILL] = handle_cuda_fill,
    [WIRE_CUDA_LAUNCH] = handle_cuda_launch,
    [WIRE_CUDA_KERNEL_NODE] = handle_cuda_kernel_node,
    [WIRE_CUDA_COPY_NODE] = handle_cuda_copy_node,
    [WIRE_CUDA_FILL_NODE] = handle_cuda_fill_node,
    [WIRE_CUDA_EDGES] = handle_cuda_edges,
};

void *table_create(size_t count, size_t bytes)
{
    void *table =
        mmap(NULL, count * bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return table == MAP_FAILED ? NULL : table;
}

int session_init(struct session *session, const struct wire_session *layout)
{
    uint8_t *base = (uint8_t *)session->shared;
    session->slab = base + layout->slab_offset;
    session->ranges = (uint32_t *)(base + layout->ranges_offset);
    session->queue_states = (struct wire_queue_state *)(base + layout->queues_offset);
    session->event_states = (struct wire_event_state *)(base + layout->events_offset);
    session->objects = table_create(WIRE_OBJECTS, sizeof(*session->objects));
    session->events = table_create(WIRE_EVENTS, sizeof(*session->events));
    session->wait_list = table_create(LIST_MAX, sizeof(*session->wait_list));
    session->memory_list = table_create(LIST_MAX, sizeof(*session->memory_list));
    list_init(&session->commands);
    list_init(&session->swept);
    list_init(&session->spare);
    for (unsigned slot = 0; slot < WIRE_QUEUES; slot++)
        list_init(&session->quiet[slot]);
    pthread_mutex_init(&session->commands_lock, NULL);
    consumer_init(&session->consumer, session->shared, layout);
    return session->objects && session->events && session->wait_list && session->memory_list
               ? 0
               : -ENOMEM;
}

void session_clear(struct session *session)
{
    session_flush(session);
    completion_rest(session); /* what ended unseen is charged */
    if (session->cuda)
        cuda_clear(session->cuda);
    /* Parts of the card last: not every driver keeps them for the queues on them. */
    for (int devices = 0; devices <= 1; devices++)
        for (uint32_t id = 1; id < session->objects_end; id++) {
            struct object *object = &session->objects[id];
            if (object->kind != OBJECT_NONE && (object->kind == OBJECT_DEVICE) == devices)
                object_release(session, object);
        }
    for (uint32_t slot = 1; slot < session->events_end; slot++) {
        if (session->events[slot].in_use)
            event_clear(session, slot);
    }
    session->objects_end = session->events_end = 0;
    completion_finish(session);
    svm_clear(session);
}

int session_dispatch(struct session *session, const struct wire_header *record, struct error *err)
{
    struct reply reply = {0};
    session->opcode = record->opcode;
    if (record->opcode != WIRE_STATE_READ && readout_end(session, err) < 0)
        return err->errnum;
    if (wire_opcode_waits(record->opcode))
        completion_rest(session); /* it may take long */
    /* consumer_take checked the opcode; which interface it is of shows here. */
    record_handler *handler = (session->cuda ? cuda_handlers : handlers)[record->opcode];
    int result = handler ? handler(session, record, &reply, err)
                         : BAD_RECORD(err, "a record of another interface");
    if (result < 0)
        return error_context(err, "%s", wire_opcode_name(record->opcode));
    if (wire_opcode_waits(record->opcode) && !reply.later)
        consumer_reply(&session->consumer, record->sequence, reply.status, reply.value,
                       reply.length);
    return 0;
}

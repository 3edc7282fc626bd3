/* A session's state as bytes: see state.h. Nothing that is read is believed: who can write a
 * checkpoint may write what he likes. */
#include "card/executor/state.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "card/executor/build.h"
#include "card/executor/image.h"
#include "card/executor/output.h"
#include "card/executor/session.h"
#include "card/ledger/ledger.h"

#define STATE_VERSION 3u
#define DEVICES_MAX (WIRE_RECORD_MAX / sizeof(uint32_t)) /* of a list */
#define OUTPUT_MAX (16u << 20)
#define PROGRAM_KINDS 3

static const char *const program_kinds[PROGRAM_KINDS] = {"source", "binary", "built-in"};

struct state_head {
    uint32_t version, objects, events;
    uint32_t next_sequence, lane, lanes_seen;
    uint32_t record_bytes; /* of the record that was taken and not carried out; it follows */
    uint32_t device_bytes; /* of the device's identity, which follows that */
    uint64_t serials, heads[WIRE_LANES];
    uint64_t second_place, second_bytes; /* of the arena; 0: none */
    uint32_t second_apart;               /* that has something else in its stead */
    uint32_t output_bytes; /* that kernels printed and nobody fetched; behind the identity */
};

struct state_event {
    uint32_t slot, context;
    int32_t error;
    uint8_t settled, user_open, zero[2];
};

/* Followed by what is special about it, then the texts, then a kernel's arguments and pointers. */
struct state_object {
    uint32_t id, kind;
    int32_t error;
    uint32_t parent, is_buffer, away;
    uint16_t has_image, has_svm;
    uint32_t range_number;
    uint64_t serial, flags, range_offset;
    uint64_t origin_bytes, size_bytes; /* or what a sampler has there */
    uint32_t queue_slot, in_order;
    uint16_t timed, first;
    uint32_t device_id; /* of a queue; of a buffer its content_size */
    uint32_t pace_base, args;
    uint32_t program_kind, has_text, lengths, builds; /* of a program; its devices follow */
    uint64_t text_bytes, build_bytes;
    uint32_t name_bytes;    /* of a kernel's name */
    uint32_t refused_bytes; /* of the table of refused arguments; 0: none was */
    uint32_t pointers, pointer_total;
};

struct state_part {
    uint32_t index, depth, properties, zero; /* which follow */
};

struct state_svm {
    uint64_t address, alignment;
};

struct state_arg {
    uint32_t kind, is_set, object, has_bytes;
    uint64_t size_bytes;
};

/* ---- writing; buf remembers what fails ---- */

static void put(struct buf *state, const void *data, size_t bytes)
{
    if (bytes)
        (void)buf_append(state, data, bytes);
}

static void put_u32(struct buf *state, uint32_t value)
{
    put(state, &value, sizeof(value));
}

static void list_write(const struct device_list *list, struct buf *state)
{
    put_u32(state, list->count);
    put(state, list->ids, list->count * sizeof(*list->ids));
}

static void program_write(struct state_object *head, const struct program *program,
                          struct buf *state)
{
    while (strcmp(program_kinds[head->program_kind], program->kind) != 0)
        head->program_kind++;
    head->has_text = program->text != NULL;
    head->text_bytes = program->text ? program->text_length : 0;
    head->build_bytes = program->build.length;
    head->lengths = program->lengths ? device_list_length(&program->devices) : 0;
    for (const struct built *built = program->built; built; built = built->next)
        head->builds++;
    put(state, head, sizeof(*head));
    put(state, program->text, head->text_bytes);
    put(state, program->build.data, head->build_bytes);
    put(state, program->lengths, head->lengths * sizeof(*program->lengths));
    list_write(&program->devices, state);
    for (const struct built *built = program->built; built; built = built->next) {
        list_write(&built->devices, state);
        put_u32(state, (uint32_t)strlen(built->options) + 1);
        put(state, built->options, strlen(built->options) + 1);
    }
}

static void kernel_write(struct state_object *head, const struct kernel *kernel, struct buf *state)
{
    head->name_bytes = (uint32_t)strlen(kernel->name) + 1;
    head->pace_base = kernel->pace_base;
    head->args = kernel->arg_count;
    head->refused_bytes = kernel->refused_count ? kernel->arg_count * sizeof(cl_int) : 0;
    head->pointers = kernel->pointer_count;
    head->pointer_total = kernel->pointer_total;
    put(state, head, sizeof(*head));
    put(state, kernel->name, head->name_bytes);
    for (uint32_t i = 0; i < kernel->arg_count && kernel->refused_count; i++)
        put(state, &kernel->args[i].error, sizeof(cl_int));
    for (uint32_t i = 0; i < kernel->arg_count; i++) {
        const struct kernel_arg *arg = &kernel->args[i];
        const struct state_arg saved = {arg->kind, (uint32_t)arg->is_set, arg->object,
                                        arg->bytes != NULL, arg->size_bytes};
        put(state, &saved, sizeof(saved));
        put(state, arg->bytes, arg->bytes ? arg->size_bytes : 0);
    }
    put(state, kernel->pointers, kernel->pointer_count * sizeof(*kernel->pointers));
}

static void part_write(const struct subdevice *part, struct buf *state)
{
    const struct state_part saved = {part->index, part->depth, part->property_count, 0};
    put(state, &saved, sizeof(saved));
    put(state, part->properties, part->property_count * sizeof(part->properties[0]));
}

static void svm_write(const struct svm_memory *svm, struct buf *state)
{
    const struct state_svm saved = {svm->address, svm->alignment};
    put(state, &saved, sizeof(saved));
}

/* With all that is special about its kind. */
static void special_write(struct state_object *head, const struct object *object, struct buf *state)
{
    if (object->kind == OBJECT_PROGRAM && object->extra) {
        program_write(head, object->extra, state);
    } else if (object->kind == OBJECT_KERNEL && object->extra) {
        kernel_write(head, object->extra, state);
    } else {
        put(state, head, sizeof(*head));
        put(state, object->image, object->image ? sizeof(*object->image) : 0);
    }
    if (object->kind == OBJECT_CONTEXT)
        list_write(object->extra, state);
    if (object->kind == OBJECT_DEVICE)
        part_write(object->extra, state);
    if (object->svm)
        svm_write(object->svm, state);
}

static void object_write(const struct session *session, uint32_t id, struct buf *state)
{
    const struct object *object = &session->objects[id];
    const struct queue *queue = object->kind == OBJECT_QUEUE ? object->extra : NULL;
    struct state_object head = {
        .id = id,
        .kind = object->kind,
        .error = object->error,
        .parent = object->parent,
        .is_buffer = object->is_buffer != 0,
        .away = object->away != 0,
        .has_image = object->image != NULL,
        .has_svm = object->svm != NULL,
        .range_number = object->range.host ? object->range.number : 0,
        .serial = object->serial,
        .flags = object->flags,
        .range_offset = object->range.host ? (uint64_t)(object->range.host - session->arena) : 0,
        .origin_bytes = object->origin_bytes,
        .size_bytes = object->size_bytes,
        .queue_slot = queue ? queue->slot : 0,
        .in_order = queue ? queue->in_order != 0 : 0,
        .timed = queue ? queue->timed != 0 : 0,
        .first = queue ? queue->first != 0 : 0,
        .device_id = queue ? queue->device_id : object->content_size,
    };
    special_write(&head, object, state);
}

static void events_write(const struct session *session, struct buf *state)
{
    for (uint32_t slot = 1; slot < session->events_end; slot++) {
        const struct event_slot *event = &session->events[slot];
        const struct state_event saved = {slot, event->context, event->error, event->settled,
                                          event->user_open};
        if (event->in_use)
            put(state, &saved, sizeof(saved));
    }
}

const char *state_obstacle(const struct session *session)
{
    return session->seat_count > 1 ? "a program has several cards in one platform"
           : session->params.cuda  ? "contexts of CUDA programs stay with their driver"
           : output_left(session) > OUTPUT_MAX
               ? "a program has not fetched very much that its kernels printed"
               : NULL;
}

int state_write(const struct session *session, struct buf *state)
{
    const struct consumer *consumer = &session->consumer;
    const struct wire_header *record = (const void *)consumer->record;
    struct state_head head = {
        .version = STATE_VERSION,
        .next_sequence = consumer->next_sequence,
        .lane = consumer->lane,
        .lanes_seen = consumer->lanes_seen,
        .record_bytes = session->holds_record ? record->length : 0,
        .device_bytes = session->device_text ? (uint32_t)strlen(session->device_text) : 0,
        .serials = session->serials,
        .second_place = (uintptr_t)session->svm,
        .second_bytes = session->svm_bytes,
        .second_apart = session->svm_apart != 0,
        .output_bytes = (uint32_t)output_left(session),
    };
    if (state_obstacle(session))
        return -EOPNOTSUPP;
    memcpy(head.heads, consumer->heads, sizeof(head.heads));
    for (uint32_t id = 1; id < session->objects_end; id++)
        head.objects += session->objects[id].kind != OBJECT_NONE;
    for (uint32_t slot = 1; slot < session->events_end; slot++)
        head.events += session->events[slot].in_use;
    put(state, &head, sizeof(head));
    put(state, record, head.record_bytes);
    put(state, session->device_text, head.device_bytes);
    output_save(session, head.output_bytes, state);
    for (uint32_t id = 1; id < session->objects_end; id++) {
        if (session->objects[id].kind != OBJECT_NONE)
            object_write(session, id, state);
    }
    events_write(session, state);
    return state->failed;
}

/* ---- reading ---- */

struct cursor {
    const uint8_t *at, *end;
    uint64_t memory_bytes; /* that the objects still to come may hold */
};

/* The next `bytes`; NULL: there are fewer. */
static const void *take(struct cursor *cursor, uint64_t bytes)
{
    const uint8_t *at = cursor->at;
    if (bytes > (uint64_t)(cursor->end - at))
        return NULL;
    cursor->at += bytes;
    return at;
}

static int get(struct cursor *cursor, void *to, size_t bytes)
{
    const void *from = take(cursor, bytes);
    if (from)
        memcpy(to, from, bytes);
    return from ? 0 : -EPROTO;
}

/* A copy with a NUL after it, owned by the caller; NULL: there are fewer bytes, or no memory. */
static char *get_text(struct cursor *cursor, uint64_t bytes)
{
    const void *from = take(cursor, bytes);
    char *text = from ? malloc(bytes + 1) : NULL;
    if (text) {
        memcpy(text, from, bytes);
        text[bytes] = '\0';
    }
    return text;
}

/* The parts that it names may come later, and those that never come are missed when it is used. */
static int list_read(struct cursor *cursor, struct device_list *list)
{
    struct device_list named = {0};
    if (get(cursor, &named.count, sizeof(named.count)) < 0 || named.count > DEVICES_MAX)
        return -EPROTO;
    const size_t bytes = named.count * sizeof(*named.ids);
    AUTO_FREE uint32_t *ids = malloc(bytes + 1);
    if (!ids || get(cursor, ids, bytes) < 0)
        return -EPROTO;
    named.ids = ids;
    return device_list_copy(&named, list);
}

static int builds_read(struct cursor *cursor, uint32_t count, struct program *program)
{
    int r = 0;
    for (uint32_t i = 0; r == 0 && i < count; i++) {
        AUTO_DEVICES struct device_list devices = {0};
        uint32_t bytes = 0;
        r = list_read(cursor, &devices);
        if (r == 0)
            r = get(cursor, &bytes, sizeof(bytes));
        AUTO_FREE char *options = r == 0 ? get_text(cursor, bytes) : NULL;
        if (!options)
            return -EPROTO;
        build_remember(program, &devices, options);
    }
    return r;
}

/* The devices of a program, and how long the binaries in its text are. */
static int binaries_read(struct cursor *cursor, uint32_t count, struct program *program)
{
    uint64_t left = program->text_length;
    bool has_binaries = strcmp(program->kind, "binary") == 0 && program->text;
    int r = 0;
    if (count) {
        program->lengths = calloc(count, sizeof(*program->lengths));
        r = program->lengths ? get(cursor, program->lengths, count * sizeof(*program->lengths))
                             : -ENOMEM;
    }
    for (uint32_t i = 0; r == 0 && i < count; i++) {
        r = program->lengths[i] <= left ? 0 : -EPROTO;
        left -= r == 0 ? program->lengths[i] : 0;
    }
    if (r == 0)
        r = list_read(cursor, &program->devices);
    bool has_lengths = count || has_binaries;
    return r == 0 && has_lengths && count != device_list_length(&program->devices) ? -EPROTO : r;
}

static int text_read(struct cursor *cursor, const struct state_object *head,
                     struct program *program)
{
    program->text = head->has_text ? get_text(cursor, head->text_bytes) : NULL;
    program->text_length = program->text ? head->text_bytes : 0;
    const void *build = take(cursor, head->build_bytes);
    if ((head->has_text && !program->text) || !build)
        return -EPROTO;
    return head->build_bytes ? buf_append(&program->build, build, head->build_bytes) : 0;
}

static int program_read(struct cursor *cursor, const struct state_object *head,
                        struct object *object)
{
    struct program *program = calloc(1, sizeof(*program));
    object->extra = program;
    if (!program)
        return -ENOMEM;
    if (head->program_kind >= PROGRAM_KINDS || head->lengths > DEVICES_MAX)
        return -EPROTO;
    program->kind = program_kinds[head->program_kind];
    int r = text_read(cursor, head, program);
    if (r == 0)
        r = binaries_read(cursor, head->lengths, program);
    return r == 0 ? builds_read(cursor, head->builds, program) : r;
}

static int context_read(struct cursor *cursor, struct object *object)
{
    struct device_list *devices = calloc(1, sizeof(*devices));
    object->extra = devices;
    return devices ? list_read(cursor, devices) : -ENOMEM;
}

static int arg_read(struct cursor *cursor, struct kernel_arg *arg)
{
    struct state_arg saved;
    if (get(cursor, &saved, sizeof(saved)) < 0)
        return -EPROTO;
    bool is_bytes = saved.is_set && (saved.kind == WIRE_ARG_VALUE || saved.kind == WIRE_ARG_SVM);
    if (is_bytes != (saved.has_bytes != 0))
        return -EPROTO;
    *arg = (struct kernel_arg){.kind = saved.kind,
                               .is_set = saved.is_set != 0,
                               .size_bytes = saved.size_bytes,
                               .object = saved.object};
    if (saved.has_bytes)
        arg->bytes = get_text(cursor, saved.size_bytes);
    return saved.has_bytes && !arg->bytes ? -EPROTO : 0;
}

static int pointers_read(struct cursor *cursor, const struct state_object *head,
                         struct kernel *kernel)
{
    const size_t bytes = head->pointers * sizeof(*kernel->pointers);
    const void *pointers = head->pointers <= head->pointer_total ? take(cursor, bytes) : NULL;
    if (!pointers)
        return -EPROTO;
    kernel->pointers = malloc(bytes + 1);
    if (!kernel->pointers)
        return -ENOMEM;
    memcpy(kernel->pointers, pointers, bytes);
    kernel->pointer_count = head->pointers;
    kernel->pointer_total = head->pointer_total;
    return 0;
}

static int kernel_read(struct cursor *cursor, const struct state_object *head,
                       struct object *object)
{
    struct kernel *kernel = calloc(1, sizeof(*kernel));
    object->extra = kernel;
    if (!kernel)
        return -ENOMEM;
    kernel->pace_base = head->pace_base;
    kernel->name = get_text(cursor, head->name_bytes);
    if (!kernel->name || head->args > KERNEL_ARGS_MAX ||
        (head->refused_bytes && head->refused_bytes != head->args * sizeof(cl_int)))
        return -EPROTO;
    const char *errors = take(cursor, head->refused_bytes);
    kernel->args = calloc(head->args + 1u, sizeof(*kernel->args));
    if (!kernel->args)
        return -ENOMEM;
    int r = errors ? 0 : -EPROTO;
    for (; r == 0 && kernel->arg_count < head->args; kernel->arg_count++) {
        struct kernel_arg *arg = &kernel->args[kernel->arg_count];
        r = arg_read(cursor, arg);
        if (head->refused_bytes)
            memcpy(&arg->error, errors + kernel->arg_count * sizeof(cl_int), sizeof(cl_int));
        kernel->refused_count += arg->error != 0;
    }
    return r == 0 ? pointers_read(cursor, head, kernel) : r;
}

static int queue_read(const struct state_object *head, struct object *object)
{
    struct queue *queue = calloc(1, sizeof(*queue));
    object->extra = queue;
    if (!queue)
        return -ENOMEM;
    queue->slot = head->queue_slot;
    queue->in_order = head->in_order != 0;
    queue->timed = head->timed != 0;
    queue->first = head->first != 0;
    queue->device_id = head->device_id;
    return queue->slot < WIRE_QUEUES ? 0 : -EPROTO;
}

/* Its state is another host's, which has no part of the client's memory. */
static bool is_from_elsewhere(const struct session *session)
{
    return session->client.moved || session->was_away;
}

/* Where pointers lead to what lay in the arena of another host. */
static int arena_settle(struct session *session, const struct state_object *head,
                        struct object *object)
{
    if (!session->svm || !(head->flags & WIRE_BUFFER_SHARED))
        return 0;
    return svm_settle(session, object, (uintptr_t)session->svm + head->range_offset);
}

/* The place of its bytes: in the arena, or else in memory of this process. */
static int contents_place(struct session *session, struct cursor *cursor,
                          const struct state_object *head, struct object *object)
{
    const struct range *place = place_of(session, object);
    uint64_t end;
    if (head->size_bytes > cursor->memory_bytes || (place && place->bytes != head->size_bytes))
        return -EPROTO;
    cursor->memory_bytes -= head->size_bytes;
    if (place) {
        object->range = *place;
        return 0;
    }
    if (head->range_number && !is_from_elsewhere(session)) {
        if (!session->arena || head->range_number >= WIRE_RANGES ||
            head->range_offset % WIRE_RANGE_ALIGN ||
            __builtin_add_overflow(head->range_offset, head->size_bytes, &end) ||
            end > session->arena_bytes)
            return -EPROTO;
        object->range = (struct range){session->arena + head->range_offset, head->size_bytes,
                                       head->range_number};
        return 0;
    }
    object->extra = calloc(1, head->size_bytes ? head->size_bytes : 1);
    if (!object->extra)
        return -ENOMEM;
    return head->range_number ? arena_settle(session, head, object) : 0;
}

static int image_read(struct cursor *cursor, struct object *object)
{
    cl_int status;
    object->image = malloc(sizeof(*object->image));
    if (!object->image || get(cursor, object->image, sizeof(*object->image)) < 0)
        return -EPROTO;
    object->image->desc.buffer = NULL;
    uint64_t bytes = image_measure(object->image, &status);
    return status == CL_SUCCESS && bytes == object->size_bytes ? 0 : -EPROTO;
}

static int part_read(struct cursor *cursor, struct object *object)
{
    struct state_part saved;
    if (get(cursor, &saved, sizeof(saved)) < 0 || saved.depth < 1 ||
        saved.depth > SUBDEVICE_DEPTH_MAX || saved.properties < 1)
        return -EPROTO;
    const void *properties =
        take(cursor, saved.properties * (uint64_t)sizeof(cl_device_partition_property));
    struct subdevice *part =
        properties ? subdevice_create(saved.index, saved.depth, properties, saved.properties)
                   : NULL;
    object->extra = part;
    return part && part->properties[part->property_count - 1] == 0 ? 0 : -EPROTO;
}

/* Its address is looked for when it comes back. */
static int svm_read(struct session *session, struct cursor *cursor, struct object *object)
{
    struct state_svm saved;
    if (get(cursor, &saved, sizeof(saved)) < 0 || !svm_may_be_aligned(saved.alignment) ||
        (object->away && saved.address == 0))
        return -EPROTO;
    if (object->away && place_of(session, object))
        return 0; /* it is a part of the arena again */
    object->svm = calloc(1, sizeof(*object->svm));
    if (!object->svm)
        return -ENOMEM;
    object->svm->address = saved.address;
    object->svm->alignment = saved.alignment;
    return object->away && svm_is_settled(session, saved.address)
               ? svm_settle(session, object, saved.address)
               : 0;
}

static int extra_read(struct session *session, struct cursor *cursor,
                      const struct state_object *head, struct object *object)
{
    if ((head->has_image && image_read(cursor, object) < 0) ||
        (head->has_svm && svm_read(session, cursor, object) < 0))
        return -EPROTO;
    switch (object->kind) {
    case OBJECT_QUEUE:
        return queue_read(head, object);
    case OBJECT_PROGRAM:
        return program_read(cursor, head, object);
    case OBJECT_KERNEL:
        return kernel_read(cursor, head, object);
    case OBJECT_MEMORY:
        return object->is_buffer && object->away ? contents_place(session, cursor, head, object)
                                                 : 0;
    case OBJECT_CONTEXT:
        return context_read(cursor, object);
    case OBJECT_SAMPLER:
        return 0;
    case OBJECT_DEVICE:
        return part_read(cursor, object);
    case OBJECT_NONE:
    case OBJECT_CUDA_MEMORY:
        break;
    }
    return -EPROTO;
}

/* It is one thing only, and not on the device. */
static bool is_sound(const struct state_object *head)
{
    bool is_memory = head->kind == OBJECT_MEMORY;
    return head->parent < WIRE_OBJECTS && (head->away || head->error) &&
           (is_memory || !(head->is_buffer || head->has_image)) &&
           (head->is_buffer || !head->has_svm) &&
           !(head->has_svm && (head->has_image || head->range_number));
}

static int object_read(struct session *session, struct cursor *cursor)
{
    struct state_object head;
    struct object *object;
    if (get(cursor, &head, sizeof(head)) < 0 || !is_sound(&head) ||
        object_place(session, head.id, &object, NULL) < 0)
        return -EPROTO;
    *object = (struct object){
        .kind = (enum object_kind)head.kind,
        .error = head.error,
        .serial = head.serial,
        .parent = head.parent,
        .is_buffer = head.is_buffer != 0,
        .away = head.away != 0,
        .flags = head.flags,
        .origin_bytes = head.origin_bytes,
        .size_bytes = head.size_bytes,
        .content_size =
            head.kind == OBJECT_MEMORY && head.device_id < WIRE_OBJECTS ? head.device_id : 0,
    };
    return extra_read(session, cursor, &head, object);
}

static int event_read(struct session *session, struct cursor *cursor)
{
    struct state_event saved;
    if (get(cursor, &saved, sizeof(saved)) < 0 || saved.slot == 0 || saved.slot >= WIRE_EVENTS ||
        saved.context >= WIRE_OBJECTS || session->events[saved.slot].in_use)
        return -EPROTO;
    event_use(session, saved.slot);
    session->events[saved.slot].context = saved.context;
    session->events[saved.slot].error = saved.error;
    session->events[saved.slot].settled = saved.settled != 0;
    session->events[saved.slot].user_open = saved.user_open != 0;
    session->user_events_open += saved.user_open != 0;
    return 0;
}

/* The relay that brings the session brings all records that were not carried out, or knows how far
 * they were. */
static int consumer_pass(struct session *session, struct cursor *cursor,
                         const struct state_head *head)
{
    if (!take(cursor, head->record_bytes))
        return -EPROTO;
    free(session->moved_from);
    session->moved_from = head->device_bytes ? get_text(cursor, head->device_bytes) : NULL;
    return head->device_bytes && !session->moved_from ? -EPROTO : 0;
}

/* Go on behind the records that were carried out, if those are all that were taken. */
static int consumer_read(struct session *session, struct cursor *cursor,
                         const struct state_head *head)
{
    struct consumer *consumer = &session->consumer;
    if (head->lane >= WIRE_LANES || head->lanes_seen > WIRE_LANES || head->lanes_seen == 0)
        return -EPROTO;
    for (unsigned lane = 0; lane < WIRE_LANES; lane++) {
        if (__atomic_load_n(&consumer->lanes[lane].head, __ATOMIC_SEQ_CST) != head->heads[lane])
            return -ESTALE;
    }
    if (head->record_bytes) {
        const struct wire_header *record = (const void *)consumer->record;
        if (head->record_bytes > sizeof(consumer->record) ||
            get(cursor, consumer->record, head->record_bytes) < 0 ||
            record->length != head->record_bytes || wire_record_check(record) < 0)
            return -EPROTO;
        session->holds_record = 1;
    }
    memcpy(consumer->heads, head->heads, sizeof(consumer->heads));
    consumer->next_sequence = head->next_sequence;
    consumer->lane = head->lane;
    consumer->lanes_seen = head->lanes_seen;
    return take(cursor, head->device_bytes) ? 0 : -EPROTO;
}

/* Of the arena, or memory in its stead, which one that was away goes on with where it had it. */
static int second_place_read(struct session *session, const struct state_head *head)
{
    const bool is_apart = session->client.moved ||
                          (session->was_away ? !session->comes_inside : head->second_apart != 0);
    if (session->was_away &&
        (head->second_place != (uintptr_t)session->svm || head->second_bytes != session->svm_bytes))
        return -EPROTO;
    return head->second_place
               ? arena_place(session, head->second_place, is_apart ? head->second_bytes : 0)
               : 0;
}

/* What belongs to no object. */
static int session_read(struct session *session, struct cursor *cursor,
                        const struct state_head *head)
{
    int r = (is_from_elsewhere(session) ? consumer_pass : consumer_read)(session, cursor, head);
    const void *output = r == 0 ? take(cursor, head->output_bytes) : NULL;
    if (!output)
        return r < 0 ? r : -EPROTO;
    r = output_load(session, output, head->output_bytes);
    return r == 0 ? second_place_read(session, head) : r;
}

/* What the one before has in the ledger, of bytes that were on their way twice; of what comes from
 * elsewhere, what a card may hold at most. */
static uint64_t ledger_held(const struct session *session)
{
    if (is_from_elsewhere(session))
        return __atomic_load_n(&session->ledger->quota_bytes, __ATOMIC_SEQ_CST);
    const struct ledger_slot *slot = &session->ledger->slots[session->client.slot];
    return __atomic_load_n(&slot->used_bytes, __ATOMIC_SEQ_CST) +
           __atomic_load_n(&slot->away_bytes, __ATOMIC_SEQ_CST);
}

/* What the one before has in the ledger is now away; what comes from elsewhere is reserved
 * first. */
static int ledger_take_over(const struct session *session, struct error *err)
{
    struct ledger_slot *slot = &session->ledger->slots[session->client.slot];
    uint64_t bytes = 0;
    for (uint32_t id = 1; id < session->objects_end; id++) {
        const struct object *object = &session->objects[id];
        if (object->is_buffer && object->away &&
            __builtin_add_overflow(bytes, object->size_bytes, &bytes))
            bytes = UINT64_MAX;
    }
    if (session->client.moved && ledger_reserve(session->ledger, session->client.slot, bytes) < 0)
        return error_set(err, -ENOSPC, "memory-exceeds-card",
                         "what the programs hold does not fit the card there");
    __atomic_store_n(&slot->away_bytes, bytes, __ATOMIC_SEQ_CST); /* before the others are taken */
    __atomic_store_n(&slot->used_bytes, 0, __ATOMIC_SEQ_CST);
    __atomic_store_n(&slot->pending_bytes, 0, __ATOMIC_SEQ_CST);
    __atomic_store_n(&slot->commands_in_flight, 0, __ATOMIC_SEQ_CST);
    return 0;
}

int state_read(struct session *session, const void *data, size_t length, struct error *err)
{
    const uint8_t *bytes = data;
    struct cursor cursor = {bytes, bytes + length, ledger_held(session)};
    struct state_head head;
    int r = get(&cursor, &head, sizeof(head));
    if (r == 0 && head.version != STATE_VERSION)
        r = -EPROTO;
    if (r == 0)
        r = session_read(session, &cursor, &head);
    for (uint32_t i = 0; r == 0 && i < head.objects; i++)
        r = object_read(session, &cursor);
    for (uint32_t i = 0; r == 0 && i < head.events; i++)
        r = event_read(session, &cursor);
    if (r == 0 && cursor.at != cursor.end)
        r = -EPROTO;
    if (r == -ESTALE)
        return error_set(err, r, "checkpoint-stale",
                         "the program's commands were carried out since the checkpoint");
    if (r == -EEXIST)
        return error_set(err, r, "rebuild-failed",
                         "a program's shared virtual memory cannot have its address here");
    if (r < 0)
        return error_set(err, r, "checkpoint-corrupt", "the session cannot be made again");
    session->serials = head.serials;
    return ledger_take_over(session, err);
}

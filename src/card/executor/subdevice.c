/* Parts of the card: see subdevice.h. */
#include "card/executor/subdevice.h"

#include <errno.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "card/executor/session.h"
#include "card/executor/snapshot.h"
#include "card/ledger/ledger.h"

void device_list_finish(struct device_list *list)
{
    free(list->ids);
    free(list->drivers);
    *list = (struct device_list){0};
}

int device_exists(const struct session *session, uint32_t id)
{
    return id == 0 || (id < WIRE_OBJECTS && session->objects[id].kind == OBJECT_DEVICE);
}

cl_device_id device_of(const struct session *session, uint32_t id)
{
    if (id == 0)
        return session->device;
    return device_exists(session, id) ? session->objects[id].driver : NULL;
}

static int device_list_make(const uint32_t *ids, uint32_t count, struct device_list *ret_list)
{
    struct device_list list = {.count = count,
                               .ids = malloc((count + 1u) * sizeof(*list.ids)),
                               .drivers = calloc(count + 1u, sizeof(*list.drivers))};
    if (!list.ids || !list.drivers) {
        device_list_finish(&list);
        return -ENOMEM;
    }
    memcpy(list.ids, ids, count * sizeof(*ids));
    *ret_list = list;
    return 0;
}

int device_list_read(struct session *session, const uint32_t *ids, uint32_t count,
                     struct device_list *ret_list, struct error *err)
{
    for (uint32_t i = 0; i < count; i++)
        if (!device_exists(session, ids[i]))
            return BAD_RECORD(err, "%u is no device", ids[i]);
    return device_list_make(ids, count, ret_list) < 0
               ? BAD_RECORD(err, "no memory for a list of devices")
               : 0;
}

int device_list_copy(const struct device_list *list, struct device_list *ret_copy)
{
    return device_list_make(list->ids, list->count, ret_copy);
}

cl_int device_list_find(const struct session *session, struct device_list *list)
{
    list->drivers[0] = session->device;
    for (uint32_t i = 0; i < list->count; i++) {
        list->drivers[i] = device_of(session, list->ids[i]);
        if (!list->drivers[i])
            return CL_INVALID_DEVICE;
    }
    return CL_SUCCESS;
}

struct subdevice *subdevice_create(uint32_t index, uint32_t depth, const void *properties,
                                   uint32_t count)
{
    const size_t bytes = count * sizeof(cl_device_partition_property);
    struct subdevice *subdevice =
        calloc(1, sizeof(*subdevice) + bytes + sizeof(subdevice->properties[0])); /* and an end */
    if (!subdevice)
        return NULL;
    *subdevice = (struct subdevice){index, depth, count};
    memcpy(subdevice->properties, properties, bytes);
    return subdevice;
}

cl_int subdevice_make(struct session *session, struct object *object)
{
    if (seat_is_device(session, object))
        return seat_make(session, object);
    const struct subdevice *subdevice = object->extra;
    cl_device_id parent = device_of(session, object->parent);
    cl_uint count = 0;
    cl_int status = parent ? clCreateSubDevices(parent, subdevice->properties, 0, NULL, &count)
                           : CL_INVALID_DEVICE;
    if (status != CL_SUCCESS || subdevice->index >= count)
        return status ? status : CL_DEVICE_PARTITION_FAILED;
    AUTO_FREE cl_device_id *parts = calloc(count, sizeof(cl_device_id));
    if (!parts)
        return CL_OUT_OF_HOST_MEMORY;
    status = clCreateSubDevices(parent, subdevice->properties, count, parts, NULL);
    if (status != CL_SUCCESS)
        return status;
    object->driver = parts[subdevice->index];
    for (cl_uint i = 0; i < count; i++)
        if (i != subdevice->index)
            (void)clReleaseDevice(parts[i]); /* ours */
    return CL_SUCCESS;
}

/* A partition under way. */
struct partition {
    uint32_t parent, depth;
    cl_device_id driver;
    const cl_device_partition_property *properties;
    uint32_t property_count;
    cl_device_id *parts;
    cl_uint count;
};

/* The driver's `part` under number `id`, taken over. 0 or -EPROTO. */
static int keep_part(struct session *session, const struct partition *partition, uint32_t index,
                     uint32_t id, struct error *err)
{
    struct object *object;
    struct subdevice *subdevice =
        subdevice_create(index, partition->depth, partition->properties, partition->property_count);
    if (subdevice && object_place(session, id, &object, err) == 0) {
        *object = (struct object){.kind = OBJECT_DEVICE,
                                  .parent = partition->parent,
                                  .serial = ++session->serials,
                                  .driver = partition->parts[index],
                                  .extra = subdevice};
        return 0;
    }
    free(subdevice);
    (void)clReleaseDevice(partition->parts[index]); /* ours */
    return subdevice ? -EPROTO : BAD_RECORD(err, "no memory for a device");
}

/* What the parts answer, fitted to the card. */
static void describe(struct session *session, const struct partition *partition,
                     const struct wire_device_partition *record, struct reply *reply)
{
    AUTO_BUF struct buf answers = BUF_INIT;
    const struct seat *seat = &session->seats[seat_of_device(session, partition->parent)];
    const uint64_t quota_bytes = __atomic_load_n(&seat->ledger->quota_bytes, __ATOMIC_RELAXED);
    for (cl_uint i = 0; i < partition->count; i++)
        snapshot_write_part(partition->driver, partition->parts[i], i, quota_bytes, &answers);
    if (answers.failed || answers.length > record->reply_room) {
        reply->status = CL_OUT_OF_HOST_MEMORY;
        return;
    }
    reply->length = answers.length;
    if (answers.length)
        memcpy(session->slab + record->reply_offset, answers.data, answers.length);
}

/* Give every part its number. 0 or -EPROTO. */
static int keep_parts(struct session *session, struct partition *partition,
                      const struct wire_device_partition *record, struct reply *reply,
                      struct error *err)
{
    int r = 0;
    describe(session, partition, record, reply);
    for (cl_uint i = 0; i < partition->count; i++) {
        if (r < 0 || reply->status)
            (void)clReleaseDevice(partition->parts[i]); /* ours */
        else
            r = keep_part(session, partition, i, wire_device_partition_ids(record)[i], err);
    }
    return r;
}

static cl_int check_partition(const struct session *session,
                              const struct wire_device_partition *record,
                              struct partition *partition)
{
    const struct object *parent = &session->objects[record->device_id];
    partition->depth = 1;
    if (record->device_id && !seat_is_device(session, parent))
        partition->depth += ((const struct subdevice *)parent->extra)->depth;
    if (partition->depth > SUBDEVICE_DEPTH_MAX)
        return CL_DEVICE_PARTITION_FAILED;
    partition->driver = device_of(session, record->device_id);
    return partition->driver ? CL_SUCCESS : CL_INVALID_DEVICE;
}

int handle_device_partition(struct session *session, const struct wire_header *header,
                            struct reply *reply, struct error *err)
{
    const struct wire_device_partition *record = (const void *)header;
    const uint64_t *properties = wire_device_partition_properties(record);
    if (!device_exists(session, record->device_id))
        return BAD_RECORD(err, "%u is no device", record->device_id);
    if (record->property_count == 0 || properties[record->property_count - 1] != 0)
        return BAD_RECORD(err, "properties without end");
    if (slab_check(record->reply_offset, record->reply_room, err) < 0)
        return -EPROTO;
    AUTO_FREE cl_device_id *parts = calloc(record->id_count + 1u, sizeof(cl_device_id));
    struct partition partition = {.parent = record->device_id,
                                  .properties = (const cl_device_partition_property *)properties,
                                  .property_count = record->property_count,
                                  .parts = parts};
    reply->status = parts ? check_partition(session, record, &partition) : CL_OUT_OF_HOST_MEMORY;
    if (!reply->status)
        reply->status = clCreateSubDevices(partition.driver, partition.properties,
                                           record->id_count ? record->id_count : record->room,
                                           record->id_count ? parts : NULL, &partition.count);
    if (reply->status)
        return 0;
    reply->value = partition.count;
    return record->id_count ? keep_parts(session, &partition, record, reply, err) : 0;
}

/* The number of a device that the driver tells. */
static uint32_t number_of(const struct session *session, cl_device_id driver)
{
    for (uint32_t id = 1; id < session->objects_end; id++)
        if (session->objects[id].kind == OBJECT_DEVICE && session->objects[id].driver == driver)
            return id;
    return 0;
}

int handle_context_devices(struct session *session, const struct wire_header *header,
                           struct reply *reply, struct error *err)
{
    const struct wire_context_devices *record = (const void *)header;
    struct object *context;
    size_t length = 0;
    if (object_get(session, record->id, OBJECT_CONTEXT, &context, err) < 0 ||
        slab_check(record->reply_offset, record->reply_room, err) < 0)
        return -EPROTO;
    reply->status = context->error;
    if (!reply->status)
        reply->status = clGetContextInfo(context->driver, CL_CONTEXT_DEVICES, 0, NULL, &length);
    if (reply->status)
        return 0;
    AUTO_FREE cl_device_id *drivers = malloc(length + 1);
    size_t count = length / sizeof(cl_device_id);
    if (!drivers || count > record->reply_room / sizeof(uint32_t)) {
        reply->status = CL_OUT_OF_HOST_MEMORY;
        return 0;
    }
    reply->status = clGetContextInfo(context->driver, CL_CONTEXT_DEVICES, length, drivers, NULL);
    for (size_t i = 0; i < count && !reply->status; i++) {
        const uint32_t id = number_of(session, drivers[i]);
        memcpy(session->slab + record->reply_offset + i * sizeof(id), &id, sizeof(id));
        reply->length += sizeof(id);
    }
    return 0;
}

int handle_object_status(struct session *session, const struct wire_header *header,
                         struct reply *reply, struct error *err)
{
    const struct wire_object_status *record = (const void *)header;
    if (record->id == 0 || record->id >= WIRE_OBJECTS ||
        session->objects[record->id].kind == OBJECT_NONE)
        return BAD_RECORD(err, "there is no object %u", record->id);
    reply->status = session->objects[record->id].error;
    return 0;
}

#include "card/opencl/subdevice.h"

#include "card/opencl/info.h"
#include "card/opencl/transfer.h"
#include "opencl_api.h"

#define PROPERTIES_MAX 1024
#define ANSWERS_OF_PART 8192u /* room for what a part may answer otherwise */

const void *device_find(cl_device_id device, uint32_t name, size_t *ret_length)
{
    for (; device->parent; device = device->parent) {
        const void *data = snapshot_find(&device->snapshot, WIRE_INFO_DEVICE, name, ret_length);
        if (data)
            return data;
    }
    return snapshot_find(device->object.id ? &device->snapshot : &process.snapshot,
                         WIRE_INFO_DEVICE, name, ret_length);
}

uint64_t device_number(cl_device_id device, uint32_t name)
{
    size_t length;
    uint64_t number = 0;
    const void *data = device_find(device, name, &length);
    if (data && length <= sizeof(number))
        memcpy(&number, data, length);
    return number;
}

void device_let_go(cl_device_id device)
{
    if (device->parent)
        object_release(&device->object);
}

int device_stands_for(cl_device_id device, const cl_device_id *devices, cl_uint count)
{
    for (; device; device = device->keeps ? NULL : device->parent)
        for (cl_uint i = 0; i < count; i++)
            if (devices[i] == device)
                return (int)i;
    return -1;
}

void device_choice_finish(struct device_choice *choice)
{
    free(choice->devices);
    *choice = (struct device_choice){0};
}

static cl_int choose(const cl_device_id *devices, cl_uint count, cl_device_id asked,
                     struct device_choice *choice)
{
    int index = handle_is(asked, OBJECT_DEVICE) ? device_stands_for(asked, devices, count) : -1;
    if (index < 0)
        return CL_INVALID_DEVICE;
    for (cl_uint i = 0; i < choice->count; i++)
        if (choice->devices[i] == devices[index])
            return CL_SUCCESS;
    choice->devices[choice->count++] = devices[index];
    return CL_SUCCESS;
}

cl_int devices_choose(const cl_device_id *devices, cl_uint count, const cl_device_id *asked,
                      cl_uint asked_count, struct device_choice *ret_choice)
{
    if (!asked != !asked_count)
        return CL_INVALID_VALUE;
    const cl_device_id *from = asked_count ? asked : devices;
    const cl_uint from_count = asked_count ? asked_count : count;
    struct device_choice choice = {.devices = calloc(count, sizeof(cl_device_id))};
    cl_int result = choice.devices ? CL_SUCCESS : CL_OUT_OF_HOST_MEMORY;
    for (cl_uint i = 0; i < from_count && result == CL_SUCCESS; i++)
        result = choose(devices, count, from[i], &choice);
    if (result == CL_SUCCESS)
        *ret_choice = choice;
    else
        device_choice_finish(&choice);
    return result;
}

static void destroy_device(struct object *object)
{
    cl_device_id device = (cl_device_id)object, parent = device->parent;
    snapshot_finish(&device->snapshot);
    free(device->answers);
    object_free(object);
    device_let_go(parent);
}

/* Parts are made at the executor before anybody has their handles. */
const struct object_kind device_kind = {NULL, NULL, NULL, destroy_device};

/* A partition under way. */
struct partition {
    cl_device_id device;
    const cl_device_partition_property *properties;
    uint32_t property_count;
    uint32_t *ids; /* for the parts */
    uint32_t id_count;
    cl_uint most;          /* parts that the program has room for */
    uint64_t offset, room; /* of the reply */
    uint64_t count;        /* of parts */
};

/* The executor has the part under `id`. NULL: out of memory, and it is no more. */
static cl_device_id make_part(const struct partition *partition, const struct wire_info *info,
                              uint32_t id)
{
    cl_device_id part = object_create(OBJECT_DEVICE, sizeof(*part));
    char *answers = malloc(info->length + 1u);
    if (part && answers) {
        memcpy(answers, info + 1, info->length);
        part->answers = answers;
        part->keeps = info->keeps;
        part->references = 1;
        part->parent = partition->device;
        part->object.id = id;
        device_hold(partition->device);
        if (snapshot_init(&part->snapshot, answers, info->length) == 0)
            return part;
        object_release(&part->object);
        return NULL;
    }
    free(answers);
    if (part)
        object_free(&part->object);
    object_release_id(id);
    return NULL;
}

static cl_int make_parts(const struct partition *partition, cl_device_id *parts)
{
    uint64_t at = partition->offset;
    int failed = 0;
    for (uint64_t i = 0; i < partition->count; i++) {
        const struct wire_info *info = (const void *)slab_at(at);
        parts[i] = make_part(partition, info, partition->ids[i]);
        failed |= !parts[i];
        at += sizeof(*info) + wire_pad8(info->length);
    }
    for (uint64_t i = 0; failed && i < partition->count; i++) {
        if (parts[i])
            object_release(&parts[i]->object);
        parts[i] = NULL;
    }
    return failed ? CL_OUT_OF_HOST_MEMORY : CL_SUCCESS;
}

static cl_int ask(struct partition *partition)
{
    const size_t property_bytes = partition->property_count * sizeof(uint64_t);
    const size_t id_bytes = partition->id_count * sizeof(uint32_t);
    const size_t bytes = sizeof(struct wire_device_partition) + (size_t)wire_pad8(property_bytes) +
                         (size_t)wire_pad8(id_bytes);
    struct wire_device_partition *record = record_begin(bytes);
    if (!record)
        return CL_DEVICE_NOT_AVAILABLE;
    record->device_id = partition->device->object.id;
    record->room = partition->most;
    record->reply_offset = partition->offset;
    record->reply_room = partition->room;
    record->property_count = partition->property_count;
    record->id_count = partition->id_count;
    memset(wire_device_partition_properties(record), 0, property_bytes);
    memcpy(wire_device_partition_properties(record), partition->properties,
           property_bytes - sizeof(uint64_t));
    memcpy(wire_device_partition_ids(record), partition->ids, id_bytes);
    return record_wait(record, WIRE_DEVICE_PARTITION, bytes, &partition->count, NULL);
}

/* Numbers for as many parts as there can be. */
static cl_int take_ids(struct partition *partition)
{
    const uint64_t units = device_number(partition->device, CL_DEVICE_MAX_COMPUTE_UNITS);
    const uint32_t count = partition->most < units ? partition->most : (uint32_t)units;
    partition->ids = calloc(count + 1u, sizeof(*partition->ids));
    if (!partition->ids)
        return CL_OUT_OF_HOST_MEMORY;
    while (partition->id_count < count) {
        uint32_t id = slots_take(&process.ids);
        if (id == 0)
            return CL_OUT_OF_RESOURCES;
        partition->ids[partition->id_count++] = id;
    }
    partition->room = (uint64_t)count * ANSWERS_OF_PART;
    return CL_SUCCESS;
}

/* From the first that no part has. */
static void give_ids(struct partition *partition, uint64_t first)
{
    while (partition->id_count > first)
        slots_give(&process.ids, partition->ids[--partition->id_count], 0);
    free(partition->ids);
}

/* Up to the first 0, with it and one more: the numbers of a partition by counts end with one. */
static uint32_t count_properties(const cl_device_partition_property *properties)
{
    uint32_t count = 0;
    while (count < PROPERTIES_MAX && properties[count] != 0)
        count++;
    return count < PROPERTIES_MAX ? count + 2 : 0;
}

cl_int api_clCreateSubDevices(cl_device_id in_device,
                              const cl_device_partition_property *partition_properties,
                              cl_uint num_entries, cl_device_id *out_devices, cl_uint *num_devices)
{
    if (!partition_properties || (out_devices && num_entries == 0))
        return CL_INVALID_VALUE;
    struct partition partition = {.device = in_device,
                                  .most = num_entries,
                                  .properties = partition_properties,
                                  .property_count = count_properties(partition_properties)};
    if (partition.property_count == 0)
        return CL_INVALID_DEVICE_PARTITION_COUNT;
    cl_int result = out_devices ? take_ids(&partition) : CL_SUCCESS;
    if (result == CL_SUCCESS)
        result = slab_reserve(partition.room, &partition.offset);
    if (result == CL_SUCCESS) {
        result = ask(&partition);
        if (result != CL_SUCCESS)
            partition.count = 0;
        else if (out_devices)
            result = make_parts(&partition, out_devices);
        slab_release(partition.offset, partition.room);
    }
    give_ids(&partition, out_devices ? partition.count : 0);
    if (result == CL_SUCCESS && num_devices)
        *num_devices = (cl_uint)partition.count;
    return result;
}

cl_int api_clRetainDevice(cl_device_id device)
{
    if (!device->parent) /* a root device is not counted */
        return CL_SUCCESS;
    (void)__atomic_add_fetch(&device->references, 1, __ATOMIC_RELAXED);
    object_retain(&device->object);
    return CL_SUCCESS;
}

cl_int api_clReleaseDevice(cl_device_id device)
{
    if (!device->parent)
        return CL_SUCCESS;
    if (__atomic_load_n(&device->references, __ATOMIC_RELAXED) == 0)
        return CL_INVALID_DEVICE; /* what was made from it keeps it, not the program */
    (void)__atomic_sub_fetch(&device->references, 1, __ATOMIC_RELAXED);
    object_release(&device->object);
    return CL_SUCCESS;
}

/* An ICD in front of another one, PoCL, that keeps to the specification where PoCL takes the whole
 * device for each of its parts: contexts and programs are of the devices they were given, builds
 * are of the devices they were for, and other devices are refused. It puts its own functions into
 * the driver's dispatch table. For tests in one thread: nothing is locked or forgotten. */
#include "icd_front.h"

#define OBJECTS_MAX 4096
#define DEVICES_MAX 8

/* What a context or program was given. */
struct entry {
    const void *object;
    cl_uint count;
    cl_device_id devices[DEVICES_MAX];
    int built[DEVICES_MAX];
};

static struct {
    struct entry entries[OBJECTS_MAX];
    unsigned used;
} icd;

static struct entry *find(const void *object)
{
    for (unsigned i = icd.used; i-- > 0;)
        if (icd.entries[i].object == object)
            return &icd.entries[i];
    return NULL;
}

static int index_of(const struct entry *entry, cl_device_id device)
{
    for (cl_uint i = 0; i < entry->count; i++)
        if (entry->devices[i] == device)
            return (int)i;
    return -1;
}

static int all_in(const struct entry *entry, cl_uint count, const cl_device_id *devices)
{
    for (cl_uint i = 0; entry && i < count; i++)
        if (index_of(entry, devices[i]) < 0)
            return 0;
    return 1;
}

/* Newest last, for addresses come again; no device twice. */
static void remember(const void *object, cl_uint count, const cl_device_id *devices, int built)
{
    if (!object || icd.used == OBJECTS_MAX)
        return;
    struct entry *entry = &icd.entries[icd.used++];
    entry->object = object;
    for (cl_uint i = 0; i < count; i++)
        if (index_of(entry, devices[i]) < 0) {
            entry->built[entry->count] = built;
            entry->devices[entry->count++] = devices[i];
        }
}

static void mark_built(cl_program program, cl_uint count, const cl_device_id *devices)
{
    struct entry *entry = find(program);
    for (cl_uint i = 0; entry && i < entry->count; i++)
        for (cl_uint d = 0; d < (count ? count : 1); d++)
            entry->built[i] |= !count || entry->devices[i] == devices[d];
}

static cl_device_id root_of(cl_device_id device)
{
    for (cl_device_id parent = device; parent;) {
        device = parent;
        if (driver.clGetDeviceInfo(device, CL_DEVICE_PARENT_DEVICE, sizeof(parent), &parent,
                                   NULL) != CL_SUCCESS)
            break;
    }
    return device;
}

static cl_int put(const void *data, size_t length, size_t room, void *value, size_t *ret_length)
{
    if (value && room < length)
        return CL_INVALID_VALUE;
    if (value)
        memcpy(value, data, length);
    if (ret_length)
        *ret_length = length;
    return CL_SUCCESS;
}

static cl_context CL_API_CALL create_context(
    const cl_context_properties *properties, cl_uint count, const cl_device_id *devices,
    void(CL_CALLBACK *notify)(const char *, const void *, size_t, void *), void *arg, cl_int *code)
{
    cl_context context = driver.clCreateContext(properties, count, devices, notify, arg, code);
    remember(context, count, devices, 0);
    return context;
}

static cl_int CL_API_CALL context_info(cl_context context, cl_context_info what, size_t room,
                                       void *value, size_t *length)
{
    const struct entry *entry = find(context);
    if (entry && what == CL_CONTEXT_DEVICES)
        return put(entry->devices, entry->count * sizeof(cl_device_id), room, value, length);
    if (entry && what == CL_CONTEXT_NUM_DEVICES)
        return put(&entry->count, sizeof(entry->count), room, value, length);
    return driver.clGetContextInfo(context, what, room, value, length);
}

static cl_command_queue CL_API_CALL create_queue(cl_context context, cl_device_id device,
                                                 cl_command_queue_properties properties,
                                                 cl_int *code)
{
    if (all_in(find(context), 1, &device))
        return driver.clCreateCommandQueue(context, device, properties, code);
    *code = CL_INVALID_DEVICE;
    return NULL;
}

static cl_program CL_API_CALL program_source(cl_context context, cl_uint count, const char **texts,
                                             const size_t *lengths, cl_int *code)
{
    const struct entry *entry = find(context);
    cl_program program = driver.clCreateProgramWithSource(context, count, texts, lengths, code);
    if (entry)
        remember(program, entry->count, entry->devices, 0);
    return program;
}

static cl_program CL_API_CALL program_binary(cl_context context, cl_uint count,
                                             const cl_device_id *devices, const size_t *lengths,
                                             const unsigned char **binaries, cl_int *loaded,
                                             cl_int *code)
{
    if (!all_in(find(context), count, devices)) {
        *code = CL_INVALID_DEVICE;
        return NULL;
    }
    cl_program program =
        driver.clCreateProgramWithBinary(context, count, devices, lengths, binaries, loaded, code);
    for (cl_uint i = 0; loaded && i < count; i++)
        loaded[i] = *code; /* of a driver that knows one device */
    remember(program, count, devices, 0);
    return program;
}

static cl_int CL_API_CALL build(cl_program program, cl_uint count, const cl_device_id *devices,
                                const char *options, void(CL_CALLBACK *notify)(cl_program, void *),
                                void *arg)
{
    if (!all_in(find(program), count, devices))
        return CL_INVALID_DEVICE;
    cl_int result = driver.clBuildProgram(program, count, devices, options, notify, arg);
    if (result == CL_SUCCESS)
        mark_built(program, count, devices);
    return result;
}

static cl_int CL_API_CALL compile(cl_program program, cl_uint count, const cl_device_id *devices,
                                  const char *options, cl_uint header_count,
                                  const cl_program *headers, const char **names,
                                  void(CL_CALLBACK *notify)(cl_program, void *), void *arg)
{
    if (!all_in(find(program), count, devices))
        return CL_INVALID_DEVICE;
    cl_int result = driver.clCompileProgram(program, count, devices, options, header_count, headers,
                                            names, notify, arg);
    if (result == CL_SUCCESS)
        mark_built(program, count, devices);
    return result;
}

static cl_program CL_API_CALL link_programs(cl_context context, cl_uint count,
                                            const cl_device_id *devices, const char *options,
                                            cl_uint input_count, const cl_program *inputs,
                                            void(CL_CALLBACK *notify)(cl_program, void *),
                                            void *arg, cl_int *code)
{
    const struct entry *entry = find(context);
    if (!all_in(entry, count, devices)) {
        *code = CL_INVALID_DEVICE;
        return NULL;
    }
    cl_program program = driver.clLinkProgram(context, count, devices, options, input_count, inputs,
                                              notify, arg, code);
    if (count || entry)
        remember(program, count ? count : entry->count, count ? devices : entry->devices, 1);
    return program;
}

static cl_int binaries(const struct entry *entry, cl_program program, cl_program_info what,
                       size_t room, void *value, size_t *ret_length)
{
    size_t length = 0, bytes = entry->count * sizeof(size_t), lengths[DEVICES_MAX] = {0};
    cl_int result =
        driver.clGetProgramInfo(program, CL_PROGRAM_BINARY_SIZES, sizeof(length), &length, NULL);
    for (cl_uint i = 0; i < entry->count; i++)
        lengths[i] = entry->built[i] ? length : 0;
    if (result != CL_SUCCESS || what == CL_PROGRAM_BINARY_SIZES)
        return result ? result : put(lengths, bytes, room, value, ret_length);
    if (value && room < bytes)
        return CL_INVALID_VALUE;
    unsigned char **targets = value;
    for (cl_uint i = 0; value && i < entry->count && result == CL_SUCCESS; i++)
        if (targets[i] && lengths[i])
            result = driver.clGetProgramInfo(program, CL_PROGRAM_BINARIES, sizeof(targets[i]),
                                             &targets[i], NULL);
    if (ret_length)
        *ret_length = bytes;
    return result;
}

static cl_int CL_API_CALL program_info(cl_program program, cl_program_info what, size_t room,
                                       void *value, size_t *length)
{
    const struct entry *entry = find(program);
    if (entry && what == CL_PROGRAM_DEVICES)
        return put(entry->devices, entry->count * sizeof(cl_device_id), room, value, length);
    if (entry && what == CL_PROGRAM_NUM_DEVICES)
        return put(&entry->count, sizeof(entry->count), room, value, length);
    if (entry && (what == CL_PROGRAM_BINARIES || what == CL_PROGRAM_BINARY_SIZES))
        return binaries(entry, program, what, room, value, length);
    return driver.clGetProgramInfo(program, what, room, value, length);
}

static cl_int CL_API_CALL build_info(cl_program program, cl_device_id device,
                                     cl_program_build_info what, size_t room, void *value,
                                     size_t *length)
{
    const cl_build_status none = CL_BUILD_NONE;
    const struct entry *entry = find(program);
    int index = entry ? index_of(entry, device) : 0;
    if (index < 0)
        return CL_INVALID_DEVICE;
    if (entry && !entry->built[index] && what == CL_PROGRAM_BUILD_STATUS)
        return put(&none, sizeof(none), room, value, length);
    return driver.clGetProgramBuildInfo(program, root_of(device), what, room, value, length);
}

static cl_int CL_API_CALL work_group_info(cl_kernel kernel, cl_device_id device,
                                          cl_kernel_work_group_info what, size_t room, void *value,
                                          size_t *length)
{
    cl_program program;
    cl_int result =
        driver.clGetKernelInfo(kernel, CL_KERNEL_PROGRAM, sizeof(program), &program, NULL);
    const struct entry *entry = result == CL_SUCCESS ? find(program) : NULL;
    int index = !entry ? 0 : device ? index_of(entry, device) : entry->count == 1 ? 0 : -1;
    if (index < 0 || (entry && !entry->built[index]))
        return CL_INVALID_DEVICE;
    return driver.clGetKernelWorkGroupInfo(kernel, device ? root_of(device) : NULL, what, room,
                                           value, length);
}

static void intercept(struct _cl_icd_dispatch *table)
{
    table->clCreateContext = create_context;
    table->clGetContextInfo = context_info;
    table->clCreateCommandQueue = create_queue;
    table->clCreateProgramWithSource = program_source;
    table->clCreateProgramWithBinary = program_binary;
    table->clBuildProgram = build;
    table->clCompileProgram = compile;
    table->clLinkProgram = link_programs;
    table->clGetProgramInfo = program_info;
    table->clGetProgramBuildInfo = build_info;
    table->clGetKernelWorkGroupInfo = work_group_info;
}

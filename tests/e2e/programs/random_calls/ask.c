/* What objects tell of themselves: rightly asked, into too little room, of things that are none. */
#include "world.h"

#include <string.h>

/* How an answer is shown: its bytes, whether it is the object that it must be, only its size, or
 * only the code. */
enum shown { BYTES, OBJECT, SIZE, CODE };

struct question {
    cl_uint name;
    enum shown shown;
};

typedef cl_int asker(const void *object, cl_uint name, size_t bytes, void *value,
                     size_t *ret_bytes);

#define ASKER(call, type) \
    static cl_int ask_##call(const void *object, cl_uint name, size_t bytes, void *value, \
                             size_t *ret_bytes) \
    { \
        return call((type)(uintptr_t)object, name, bytes, value, ret_bytes); \
    }
ASKER(clGetContextInfo, cl_context)
ASKER(clGetCommandQueueInfo, cl_command_queue)
ASKER(clGetMemObjectInfo, cl_mem)
ASKER(clGetImageInfo, cl_mem)
ASKER(clGetSamplerInfo, cl_sampler)
ASKER(clGetProgramInfo, cl_program)
ASKER(clGetKernelInfo, cl_kernel)
ASKER(clGetEventInfo, cl_event)
ASKER(clGetDeviceInfo, cl_device_id)

static const struct question of_context[] = {{CL_CONTEXT_DEVICES, OBJECT},
                                             {CL_CONTEXT_NUM_DEVICES, BYTES},
                                             {CL_CONTEXT_PROPERTIES, SIZE},
                                             {0x1111, CODE},
                                             {0}};
static const struct question of_queue[] = {{CL_QUEUE_CONTEXT, OBJECT},
                                           {CL_QUEUE_DEVICE, OBJECT},
                                           {CL_QUEUE_PROPERTIES, BYTES},
                                           {CL_QUEUE_SIZE, CODE},
                                           {CL_QUEUE_DEVICE_DEFAULT, CODE},
                                           {CL_QUEUE_REFERENCE_COUNT, SIZE},
                                           {CL_QUEUE_PROPERTIES_ARRAY, SIZE},
                                           {0x1111, CODE},
                                           {0}};
static const struct question of_memory[] = {{CL_MEM_TYPE, BYTES},
                                            {CL_MEM_FLAGS, BYTES},
                                            {CL_MEM_SIZE, BYTES},
                                            {CL_MEM_MAP_COUNT, SIZE},
                                            {CL_MEM_CONTEXT, OBJECT},
                                            {CL_MEM_OFFSET, BYTES},
                                            {CL_MEM_ASSOCIATED_MEMOBJECT, SIZE},
                                            {CL_MEM_HOST_PTR, SIZE},
                                            {CL_MEM_USES_SVM_POINTER, BYTES},
                                            {CL_MEM_PROPERTIES, SIZE},
                                            {CL_MEM_REFERENCE_COUNT, SIZE},
                                            {0x1111, CODE},
                                            {0}};
static const struct question of_image[] = {{CL_IMAGE_FORMAT, BYTES},
                                           {CL_IMAGE_ELEMENT_SIZE, BYTES},
                                           {CL_IMAGE_ROW_PITCH, BYTES},
                                           {CL_IMAGE_SLICE_PITCH, BYTES},
                                           {CL_IMAGE_WIDTH, BYTES},
                                           {CL_IMAGE_HEIGHT, BYTES},
                                           {CL_IMAGE_DEPTH, BYTES},
                                           {CL_IMAGE_ARRAY_SIZE, BYTES},
                                           {CL_IMAGE_NUM_SAMPLES, BYTES},
                                           {CL_IMAGE_NUM_MIP_LEVELS, BYTES},
                                           {CL_IMAGE_BUFFER, SIZE},
                                           {0x1111, CODE},
                                           {0}};
static const struct question of_sampler[] = {{CL_SAMPLER_CONTEXT, OBJECT},
                                             {CL_SAMPLER_NORMALIZED_COORDS, BYTES},
                                             {CL_SAMPLER_ADDRESSING_MODE, BYTES},
                                             {CL_SAMPLER_FILTER_MODE, BYTES},
                                             {CL_SAMPLER_REFERENCE_COUNT, SIZE},
                                             {CL_SAMPLER_PROPERTIES, SIZE},
                                             {0x1111, CODE},
                                             {0}};
static const struct question of_program[] = {{CL_PROGRAM_CONTEXT, OBJECT},
                                             {CL_PROGRAM_NUM_DEVICES, BYTES},
                                             {CL_PROGRAM_DEVICES, OBJECT},
                                             {CL_PROGRAM_SOURCE, BYTES},
                                             {CL_PROGRAM_NUM_KERNELS, BYTES},
                                             {CL_PROGRAM_KERNEL_NAMES, BYTES},
                                             {CL_PROGRAM_REFERENCE_COUNT, SIZE},
                                             {CL_PROGRAM_IL, SIZE},
                                             {0x1111, CODE},
                                             {0}};
static const struct question of_kernel[] = {{CL_KERNEL_FUNCTION_NAME, BYTES},
                                            {CL_KERNEL_NUM_ARGS, BYTES},
                                            {CL_KERNEL_CONTEXT, OBJECT},
                                            {CL_KERNEL_ATTRIBUTES, BYTES},
                                            {CL_KERNEL_REFERENCE_COUNT, SIZE},
                                            {0x1111, CODE},
                                            {0}};
static const struct question of_event[] = {{CL_EVENT_COMMAND_TYPE, BYTES},
                                           {CL_EVENT_CONTEXT, OBJECT},
                                           {CL_EVENT_COMMAND_QUEUE, SIZE},
                                           {CL_EVENT_REFERENCE_COUNT, SIZE},
                                           {0x1111, CODE},
                                           {0}};
static const struct question of_device[] = {{CL_DEVICE_TYPE, BYTES},
                                            {CL_DEVICE_MAX_COMPUTE_UNITS, BYTES},
                                            {CL_DEVICE_MAX_WORK_ITEM_SIZES, BYTES},
                                            {CL_DEVICE_MAX_WORK_GROUP_SIZE, BYTES},
                                            {CL_DEVICE_IMAGE_SUPPORT, BYTES},
                                            {CL_DEVICE_IMAGE2D_MAX_WIDTH, BYTES},
                                            {CL_DEVICE_MAX_PARAMETER_SIZE, BYTES},
                                            {CL_DEVICE_MEM_BASE_ADDR_ALIGN, BYTES},
                                            {CL_DEVICE_SINGLE_FP_CONFIG, BYTES},
                                            {CL_DEVICE_DOUBLE_FP_CONFIG, BYTES},
                                            {CL_DEVICE_LOCAL_MEM_SIZE, BYTES},
                                            {CL_DEVICE_ENDIAN_LITTLE, BYTES},
                                            {CL_DEVICE_QUEUE_ON_HOST_PROPERTIES, BYTES},
                                            {CL_DEVICE_OPENCL_C_VERSION, BYTES},
                                            {CL_DEVICE_PROFILE, BYTES},
                                            {CL_DEVICE_MAX_CONSTANT_BUFFER_SIZE, BYTES},
                                            {CL_DEVICE_PARTITION_PROPERTIES, BYTES},
                                            {CL_DEVICE_PRINTF_BUFFER_SIZE, BYTES},
                                            {CL_DEVICE_OPENCL_C_ALL_VERSIONS, BYTES},
                                            {CL_DEVICE_OPENCL_C_FEATURES, BYTES},
                                            {CL_DEVICE_MAX_SAMPLERS, BYTES},
                                            {0x1111, CODE},
                                            {0}};

static void ask(struct world *w, const char *what, asker *info, const void *object,
                const struct question *questions)
{
    static const size_t sizes[] = {0, 1, 3, 8};
    unsigned char value[4096] = {0};
    size_t bytes = 0, room = sizeof(value), count = 0;
    while (questions[count].name)
        count++;
    const struct question *question = &questions[dice(w, (unsigned)count)];
    void *given = value;
    if (!object)
        return;
    switch (wrong(w, 3)) {
    case 1:
        object = NULL;
        break;
    case 2:
        room = ANY_OF(w, sizes);
        break;
    case 3:
        given = NULL;
        break;
    default:
        break;
    }
    cl_int code = info(object, question->name, room, given, &bytes);
    say(w, " %x", question->name);
    if (!told(w, what, code) || question->shown == CODE)
        return;
    if (question->shown == BYTES && given)
        say_bytes(w, "value", value, bytes);
    const void *first;
    memcpy(&first, value, sizeof(first));
    if (question->shown == OBJECT && given)
        say(w, " right %d", first == w->context || first == w->device);
    else
        say(w, " size %zu", bytes);
}

static void ask_of_memory(struct world *w)
{
    struct memory *memory = w->memories[dice(w, MEMORIES)];
    if (memory)
        say(w, " of %u", memory->number);
    if (memory && memory->is_image && chance(w, 60))
        ask(w, "image info", ask_clGetImageInfo, memory->handle, of_image);
    else if (memory)
        ask(w, "memory info", ask_clGetMemObjectInfo, memory->handle, of_memory);
}

static void ask_of_something(struct world *w)
{
    switch (dice(w, 7)) {
    case 0:
        ask(w, "context info", ask_clGetContextInfo, w->context, of_context);
        break;
    case 1:
        ask(w, "queue info", ask_clGetCommandQueueInfo, any_queue(w)->handle, of_queue);
        break;
    case 2:
        ask(w, "sampler info", ask_clGetSamplerInfo, w->samplers[dice(w, SAMPLERS)], of_sampler);
        break;
    case 3:
        ask(w, "program info", ask_clGetProgramInfo, w->programs[dice(w, PROGRAMS)].handle,
            of_program);
        break;
    case 4:
        ask(w, "kernel info", ask_clGetKernelInfo, w->kernels[dice(w, KERNELS)].handle, of_kernel);
        break;
    case 5:
        ask(w, "event info", ask_clGetEventInfo, w->events[dice(w, EVENTS)].event, of_event);
        break;
    default:
        ask(w, "device info", ask_clGetDeviceInfo, w->device, of_device);
        break;
    }
}

const struct act ask_acts[] = {{ask_of_memory, 12}, {ask_of_something, 12}, {NULL, 0}};

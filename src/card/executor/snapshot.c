/* Building the snapshot. Every query in the ranges below is put to the driver; a table says which
 * answers a card replaces. Answers that are handles (platform, parent device) are the client's
 * own. */
#include "card/executor/snapshot.h"

#include <errno.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "card/executor/executor.h"
#include "card/wire/wire.h"

#define ANSWER_MAX 65536u
#define ANSWER_SAME_MAX 4096u /* a longer one counts as another */

struct range {
    cl_uint first, last;
};

static const struct range platform_queries[] = {{0x0900, 0x092f}};
static const struct range device_queries[] = {
    {0x1000, 0x10ff}, /* core and cl_khr_* */
    {CL_DEVICE_COMMAND_BUFFER_CAPABILITIES_KHR,
     CL_DEVICE_COMMAND_BUFFER_REQUIRED_QUEUE_PROPERTIES_KHR},
    {CL_DEVICE_UUID_KHR, CL_DEVICE_NODE_MASK_KHR},   /* cl_khr_device_uuid */
    {CL_DEVICE_COMPUTE_CAPABILITY_MAJOR_NV, 0x400a}, /* cl_nv_device_attribute_query */
    {0x4030, 0x404f},                                /* cl_amd_device_attribute_query */
    {CL_DEVICE_SPIR_VERSIONS, CL_DEVICE_SPIR_VERSIONS},
};

#define CARD_ICD "cl_khr_icd"

/* Kept by the client in front of any device that has it; of this version, whatever the device's. */
#define COMMAND_BUFFER "cl_khr_command_buffer"
static const cl_version command_buffer_version = CL_MAKE_VERSION(0, 9, 0);

/* What a card offers of the device's extensions: beside it those that live in the compiler or in
 * answers, and need no entry point of their own. */
static const char *const served_extensions[] = {CARD_ICD,
                                                "cl_khr_byte_addressable_store",
                                                "cl_khr_global_int32_base_atomics",
                                                "cl_khr_global_int32_extended_atomics",
                                                "cl_khr_local_int32_base_atomics",
                                                "cl_khr_local_int32_extended_atomics",
                                                "cl_khr_int64_base_atomics",
                                                "cl_khr_int64_extended_atomics",
                                                "cl_khr_3d_image_writes",
                                                "cl_khr_depth_images",
                                                "cl_khr_image2d_from_buffer",
                                                "cl_khr_fp64",
                                                "cl_khr_fp16",
                                                "cl_khr_select_fprounding_mode",
                                                "cl_khr_device_uuid",
                                                "cl_khr_extended_bit_ops",
                                                "cl_khr_integer_dot_product",
                                                COMMAND_BUFFER,
                                                "cl_khr_subgroups",
                                                "cl_khr_pci_bus_info",
                                                "cl_khr_spir",
                                                "cl_nv_device_attribute_query",
                                                "cl_amd_device_attribute_query",
                                                "cl_ext_float_atomics",
                                                "cl_ext_atomic_counters_32",
                                                "cl_pocl_content_size",
                                                NULL};

/* Whether a card has an extension that the driver has; cl_khr_icd its platform has anyway. */
static int is_served(enum wire_info_of of, const char *name, size_t length)
{
    for (unsigned i = of == WIRE_INFO_PLATFORM; served_extensions[i]; i++) {
        if (strlen(served_extensions[i]) == length &&
            memcmp(served_extensions[i], name, length) == 0)
            return 1;
    }
    return 0;
}

static void append(struct buf *snapshot, enum wire_info_of of, cl_uint name, const void *data,
                   size_t length)
{
    static const char zeros[8];
    const struct wire_info info = {.of = of, .name = name, .length = (uint32_t)length};
    (void)buf_append(snapshot, &info, sizeof(info)); /* failures are remembered in the buf */
    (void)buf_append(snapshot, data, length);
    (void)buf_append(snapshot, zeros, wire_pad8(length) - length);
}

static void append_text(struct buf *snapshot, enum wire_info_of of, cl_uint name, const char *text)
{
    append(snapshot, of, name, text, strlen(text) + 1);
}

/* Device answers that are the same for every card, whatever the device says; no longer than the
 * device's, for drivers differ in the types of some. */
struct fixed {
    cl_uint name;
    uint32_t length;
    uint64_t value;
};

static const struct fixed fixed_answers[] = {
    {CL_DEVICE_EXECUTION_CAPABILITIES, sizeof(cl_device_exec_capabilities), CL_EXEC_KERNEL},
    {CL_DEVICE_QUEUE_ON_DEVICE_PROPERTIES, sizeof(cl_command_queue_properties), 0},
    {CL_DEVICE_QUEUE_ON_DEVICE_PREFERRED_SIZE, sizeof(cl_uint), 0},
    {CL_DEVICE_QUEUE_ON_DEVICE_MAX_SIZE, sizeof(cl_uint), 0},
    {CL_DEVICE_MAX_ON_DEVICE_QUEUES, sizeof(cl_uint), 0},
    {CL_DEVICE_MAX_ON_DEVICE_EVENTS, sizeof(cl_uint), 0},
    {CL_DEVICE_DEVICE_ENQUEUE_CAPABILITIES, sizeof(cl_bitfield), 0},
    {CL_DEVICE_PIPE_SUPPORT, sizeof(cl_bool), CL_FALSE},
    {CL_DEVICE_MAX_PIPE_ARGS, sizeof(cl_uint), 0},
    {CL_DEVICE_PIPE_MAX_ACTIVE_RESERVATIONS, sizeof(cl_uint), 0},
    {CL_DEVICE_PIPE_MAX_PACKET_SIZE, sizeof(cl_uint), 0},
    {CL_DEVICE_MAX_NUM_SUB_GROUPS, sizeof(cl_uint), 0},
    {CL_DEVICE_REFERENCE_COUNT, sizeof(cl_uint), 1},
    {CL_DEVICE_IL_VERSION, 1, 0},       /* the empty text */
    {CL_DEVICE_ILS_WITH_VERSION, 0, 0}, /* the empty list */
};

/* Answers that are handles, or that are written from the list of served extensions. */
static const cl_uint left_out[] = {CL_DEVICE_PLATFORM, CL_DEVICE_PARENT_DEVICE};

static int is_left_out(cl_uint name)
{
    for (unsigned i = 0; i < sizeof(left_out) / sizeof(left_out[0]); i++) {
        if (left_out[i] == name)
            return 1;
    }
    return 0;
}

static const struct fixed *find_fixed(cl_uint name)
{
    for (unsigned i = 0; i < sizeof(fixed_answers) / sizeof(fixed_answers[0]); i++) {
        if (fixed_answers[i].name == name)
            return &fixed_answers[i];
    }
    return NULL;
}

/* Those that a card serves, in the driver's order; the platform's begin with cl_khr_icd. */
static void append_extensions(struct buf *snapshot, enum wire_info_of of, cl_uint name,
                              const char *all)
{
    AUTO_BUF struct buf kept = BUF_INIT;
    (void)buf_puts(&kept, of == WIRE_INFO_PLATFORM ? CARD_ICD : ""); /* remembered in the buf */
    for (const char *at = all; *at;) {
        size_t length = strcspn(at, " ");
        if (is_served(of, at, length)) {
            (void)buf_puts(&kept, kept.length ? " " : "");
            (void)buf_append(&kept, at, length);
        }
        at += length;
        at += strspn(at, " ");
    }
    if (kept.failed)
        snapshot->failed = kept.failed;
    else
        append_text(snapshot, of, name, kept.data);
}

static void append_extension_versions(struct buf *snapshot, enum wire_info_of of, cl_uint name,
                                      const cl_name_version *all, size_t count)
{
    AUTO_BUF struct buf kept = BUF_INIT;
    const cl_name_version icd = {CL_MAKE_VERSION(1, 0, 0), CARD_ICD};
    (void)buf_append(&kept, &icd, of == WIRE_INFO_PLATFORM ? sizeof(icd) : 0); /* remembered */
    for (size_t i = 0; i < count; i++) {
        cl_name_version one = all[i];
        if (!is_served(of, one.name, strnlen(one.name, sizeof(one.name))))
            continue;
        if (strncmp(one.name, COMMAND_BUFFER, sizeof(one.name)) == 0)
            one.version = command_buffer_version;
        (void)buf_append(&kept, &one, sizeof(one));
    }
    if (kept.failed)
        snapshot->failed = kept.failed;
    else
        append(snapshot, of, name, kept.data, kept.length);
}

/* Features of OpenCL C that go with what a card does not offer. */
static const char *const features_not_served[] = {"__opencl_c_pipes", "__opencl_c_device_enqueue",
                                                  "__opencl_c_subgroups", NULL};

static void append_features(struct buf *snapshot, cl_uint name, const cl_name_version *all,
                            size_t count)
{
    AUTO_BUF struct buf kept = BUF_INIT;
    (void)buf_reserve(&kept, 1); /* failures are remembered in the buf */
    for (size_t i = 0; i < count; i++) {
        int served = 1;
        for (unsigned f = 0; features_not_served[f]; f++)
            served &= strncmp(all[i].name, features_not_served[f], sizeof(all[i].name)) != 0;
        if (served)
            (void)buf_append(&kept, &all[i], sizeof(all[i]));
    }
    if (kept.failed)
        snapshot->failed = kept.failed;
    else
        append(snapshot, WIRE_INFO_DEVICE, name, kept.data, kept.length);
}

/* What the client keeps of command buffers. */
static void append_command_buffer(struct buf *snapshot, const void *answer, size_t length)
{
    cl_device_command_buffer_capabilities_khr served = 0;
    if (length == sizeof(served))
        memcpy(&served, answer, sizeof(served));
    served &= CL_COMMAND_BUFFER_CAPABILITY_KERNEL_PRINTF_KHR |
              CL_COMMAND_BUFFER_CAPABILITY_SIMULTANEOUS_USE_KHR |
              CL_COMMAND_BUFFER_CAPABILITY_OUT_OF_ORDER_KHR;
    append(snapshot, WIRE_INFO_DEVICE, CL_DEVICE_COMMAND_BUFFER_CAPABILITIES_KHR, &served,
           sizeof(served));
}

/* No more than a card can offer. */
static void append_svm(struct buf *snapshot, const void *answer, size_t length)
{
    cl_device_svm_capabilities capabilities = 0;
    memcpy(&capabilities, answer, length < sizeof(capabilities) ? length : sizeof(capabilities));
    capabilities &= CL_DEVICE_SVM_COARSE_GRAIN_BUFFER;
    append(snapshot, WIRE_INFO_DEVICE, CL_DEVICE_SVM_CAPABILITIES, &capabilities,
           sizeof(capabilities));
}

/* One answer of the device; `answer` is aligned and followed by a NUL. */
static void append_device(struct buf *snapshot, cl_uint name, const void *answer, size_t length)
{
    const struct fixed *fixed = find_fixed(name);
    if (is_left_out(name))
        return;
    if (fixed)
        append(snapshot, WIRE_INFO_DEVICE, name, &fixed->value,
               fixed->length < length ? fixed->length : length);
    else if (name == CL_DEVICE_SVM_CAPABILITIES)
        append_svm(snapshot, answer, length);
    else if (name == CL_DEVICE_COMMAND_BUFFER_CAPABILITIES_KHR)
        append_command_buffer(snapshot, answer, length);
    else if (name == CL_DEVICE_EXTENSIONS)
        append_extensions(snapshot, WIRE_INFO_DEVICE, name, answer);
    else if (name == CL_DEVICE_OPENCL_C_FEATURES)
        append_features(snapshot, name, answer, length / sizeof(cl_name_version));
    else if (name == CL_DEVICE_EXTENSIONS_WITH_VERSION)
        append_extension_versions(snapshot, WIRE_INFO_DEVICE, name, answer,
                                  length / sizeof(cl_name_version));
    else
        append(snapshot, WIRE_INFO_DEVICE, name, answer, length);
}

static void append_platform(struct buf *snapshot, cl_uint name, const void *answer, size_t length)
{
    switch (name) {
    case CL_PLATFORM_NAME:
    case CL_PLATFORM_VENDOR:
        append_text(snapshot, WIRE_INFO_PLATFORM, name, "Leat");
        break;
    case CL_PLATFORM_ICD_SUFFIX_KHR:
        append_text(snapshot, WIRE_INFO_PLATFORM, name, "LEAT");
        break;
    case CL_PLATFORM_EXTENSIONS:
        append_extensions(snapshot, WIRE_INFO_PLATFORM, name, answer);
        break;
    case CL_PLATFORM_EXTENSIONS_WITH_VERSION:
        append_extension_versions(snapshot, WIRE_INFO_PLATFORM, name, answer,
                                  length / sizeof(cl_name_version));
        break;
    default:
        append(snapshot, WIRE_INFO_PLATFORM, name, answer, length);
        break;
    }
}

/* The formats of every type of image with each of the access flags. */
static void append_formats(struct buf *snapshot, cl_device_id device, void *answer)
{
    static const cl_mem_flags flags[] = {CL_MEM_READ_WRITE, CL_MEM_WRITE_ONLY, CL_MEM_READ_ONLY,
                                         CL_MEM_KERNEL_READ_AND_WRITE};
    const cl_uint room = ANSWER_MAX / sizeof(cl_image_format);
    cl_int status;
    cl_context context = clCreateContext(NULL, 1, &device, NULL, NULL, &status);
    if (status != CL_SUCCESS)
        return; /* the first use of the card will say why */
    for (unsigned i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
        for (cl_uint type = CL_MEM_OBJECT_IMAGE2D; type <= CL_MEM_OBJECT_IMAGE1D_BUFFER; type++) {
            cl_uint count = 0;
            if (clGetSupportedImageFormats(context, flags[i], type, room, answer, &count) ==
                CL_SUCCESS)
                append(snapshot, WIRE_INFO_IMAGE_FORMATS, (cl_uint)flags[i] << 16 | type, answer,
                       (count < room ? count : room) * sizeof(cl_image_format));
        }
    }
    (void)clReleaseContext(context); /* ours */
}

static int answers_same(cl_device_id device, cl_uint name, const void *answer, size_t length)
{
    char other[ANSWER_SAME_MAX];
    size_t other_length;
    return length <= sizeof(other) &&
           clGetDeviceInfo(device, name, sizeof(other), other, &other_length) == CL_SUCCESS &&
           other_length == length && memcmp(other, answer, length) == 0;
}

/* What a device answers, and, of what it is a part of, where that differs; ANSWER_MAX bytes at
 * `answer`, and one. */
static void append_answers(struct buf *snapshot, cl_device_id device, cl_device_id parent,
                           char *answer)
{
    size_t length;
    for (unsigned r = 0; r < sizeof(device_queries) / sizeof(device_queries[0]); r++) {
        for (cl_uint name = device_queries[r].first; name <= device_queries[r].last; name++) {
            if (clGetDeviceInfo(device, name, ANSWER_MAX, answer, &length) != CL_SUCCESS ||
                (parent && answers_same(parent, name, answer, length)))
                continue;
            answer[length] = '\0';
            append_device(snapshot, name, answer, length);
        }
    }
}

int snapshot_write(cl_platform_id platform, cl_device_id device, struct buf *snapshot)
{
    AUTO_FREE char *answer = malloc(ANSWER_MAX + 1);
    size_t length;
    if (!answer)
        return -ENOMEM;
    for (unsigned r = 0; r < sizeof(platform_queries) / sizeof(platform_queries[0]); r++) {
        for (cl_uint name = platform_queries[r].first; name <= platform_queries[r].last; name++) {
            if (clGetPlatformInfo(platform, name, ANSWER_MAX, answer, &length) != CL_SUCCESS)
                continue;
            answer[length] = '\0';
            append_platform(snapshot, name, answer, length);
        }
    }
    append_answers(snapshot, device, NULL, answer);
    append_formats(snapshot, device, answer);
    return snapshot->failed;
}

/* What a card has of an amount that the device gives; `length` bytes at `answer`. */
static void fit(uint8_t *answer, uint32_t length, int at_most, uint64_t quota_bytes)
{
    uint64_t value;
    if (length != sizeof(value))
        return;
    memcpy(&value, answer, sizeof(value));
    if (!at_most || value > quota_bytes)
        memcpy(answer, &quota_bytes, sizeof(quota_bytes));
}

void executor_fit_snapshot(uint8_t *snapshot, uint64_t length, uint64_t quota_bytes)
{
    struct wire_info info;
    for (uint64_t offset = 0; offset + sizeof(info) <= length;
         offset += sizeof(info) + wire_pad8(info.length)) {
        memcpy(&info, snapshot + offset, sizeof(info));
        if (info.of != WIRE_INFO_DEVICE || info.length > length - offset - sizeof(info))
            continue;
        if (info.name == CL_DEVICE_GLOBAL_MEM_SIZE || info.name == CL_DEVICE_MAX_MEM_ALLOC_SIZE)
            fit(snapshot + offset + sizeof(info), info.length,
                info.name == CL_DEVICE_MAX_MEM_ALLOC_SIZE, quota_bytes);
    }
}

/* Whether a context of the part is of the part; some drivers take the whole device for it. */
static uint32_t keeps_to_part(cl_device_id part)
{
    cl_int status;
    cl_device_id device = NULL;
    cl_context context = clCreateContext(NULL, 1, &part, NULL, NULL, &status);
    if (status != CL_SUCCESS)
        return 0;
    (void)clGetContextInfo(context, CL_CONTEXT_DEVICES, sizeof(device), &device,
                           NULL);    /* NULL then */
    (void)clReleaseContext(context); /* ours */
    return device == part;
}

void snapshot_write_part(cl_device_id parent, cl_device_id part, uint32_t index,
                         uint64_t quota_bytes, struct buf *answers)
{
    AUTO_FREE char *answer = malloc(ANSWER_MAX + 1);
    AUTO_BUF struct buf own = BUF_INIT;
    if (answer && buf_reserve(&own, 1) == 0)
        append_answers(&own, part, parent, answer);
    if (!answer || own.failed) {
        answers->failed = -ENOMEM;
        return;
    }
    executor_fit_snapshot((uint8_t *)own.data, own.length, quota_bytes);
    const struct wire_info info = {.of = WIRE_INFO_PART,
                                   .name = index,
                                   .length = (uint32_t)own.length,
                                   .keeps = keeps_to_part(part)};
    (void)buf_append(answers, &info, sizeof(info));
    (void)buf_append(answers, own.data, own.length); /* a multiple of 8 */
}

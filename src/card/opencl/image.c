/* Images and what they are asked: see image.h. */
#include "card/opencl/image.h"

#include "card/opencl/context.h"
#include "card/opencl/info.h"
#include "card/opencl/memory.h"
#include "card/opencl/process.h"
#include "card/opencl/queue.h"
#include "card/wire/image.h"
#include "opencl_api.h"

#define HOST_CONTENT (CL_MEM_USE_HOST_PTR | CL_MEM_COPY_HOST_PTR)
#define HOST_POINTER (HOST_CONTENT | CL_MEM_ALLOC_HOST_PTR)

/* All of the record: it begins as what was at its place in the lane before. */
static void put_description(struct wire_image_create *record, const cl_image_format *format,
                            const cl_image_desc *desc)
{
    *record = (struct wire_image_create){.channel_order = format->image_channel_order,
                                         .channel_type = format->image_channel_data_type,
                                         .image_type = desc->image_type,
                                         .width = desc->image_width,
                                         .height = desc->image_height,
                                         .depth = desc->image_depth,
                                         .array_size = desc->image_array_size};
}

cl_int image_send(cl_mem memory, uint32_t id)
{
    struct image *image = memory->image;
    struct wire_image_create *record = record_begin(sizeof(*record));
    if (!record)
        return CL_DEVICE_NOT_AVAILABLE;
    put_description(record, &image->format, &image->desc);
    record->id = id;
    record->context_id = memory->context->object.id;
    record->flags = memory->flags & ~(cl_mem_flags)HOST_POINTER;
    if (memory->parent) { /* else the driver lays out its pixels as it likes */
        record->memory_id = memory->parent->object.id;
        record->row_pitch = image->desc.image_row_pitch;
        record->slice_pitch = image->desc.image_slice_pitch;
    }
    image->status = record_wait(record, WIRE_IMAGE_CREATE, sizeof(*record), NULL, NULL);
    return CL_SUCCESS;
}

/* An image that cannot be: drivers differ in how they say it, so this one's is asked for. `code` is
 * what the specification would have it say. */
static cl_int refusal(cl_context context, const cl_image_format *format, const cl_image_desc *desc,
                      cl_int code)
{
    cl_int result = desc->buffer ? code : object_ensure(&context->object);
    if (result != CL_SUCCESS)
        return result;
    struct wire_image_create *record = record_begin(sizeof(*record));
    if (!record)
        return CL_DEVICE_NOT_AVAILABLE;
    put_description(record, format, desc);
    record->context_id = context->object.id;
    record->row_pitch = desc->image_row_pitch;
    record->slice_pitch = desc->image_slice_pitch;
    record->refusal = code;
    return record_wait(record, WIRE_IMAGE_CREATE, sizeof(*record), NULL, NULL);
}

/* Which measures a type of image has, and what the device's limits for them are called. */
struct image_type {
    cl_mem_object_type type;
    int has_height, has_depth, has_layers;
    cl_device_info limits[3]; /* of width, height and depth; 0: none */
};

static const struct image_type types[] = {
    {CL_MEM_OBJECT_IMAGE1D, 0, 0, 0, {CL_DEVICE_IMAGE2D_MAX_WIDTH}},
    {CL_MEM_OBJECT_IMAGE1D_BUFFER, 0, 0, 0, {CL_DEVICE_IMAGE_MAX_BUFFER_SIZE}},
    {CL_MEM_OBJECT_IMAGE1D_ARRAY, 0, 0, 1, {CL_DEVICE_IMAGE2D_MAX_WIDTH}},
    {CL_MEM_OBJECT_IMAGE2D, 1, 0, 0, {CL_DEVICE_IMAGE2D_MAX_WIDTH, CL_DEVICE_IMAGE2D_MAX_HEIGHT}},
    {CL_MEM_OBJECT_IMAGE2D_ARRAY,
     1,
     0,
     1,
     {CL_DEVICE_IMAGE2D_MAX_WIDTH, CL_DEVICE_IMAGE2D_MAX_HEIGHT}},
    {CL_MEM_OBJECT_IMAGE3D,
     1,
     1,
     0,
     {CL_DEVICE_IMAGE3D_MAX_WIDTH, CL_DEVICE_IMAGE3D_MAX_HEIGHT, CL_DEVICE_IMAGE3D_MAX_DEPTH}},
};

static const struct image_type *find_type(cl_mem_object_type type)
{
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
        if (types[i].type == type)
            return &types[i];
    return NULL;
}

static int is_more_than(uint64_t value, cl_device_info limit)
{
    return limit && value > snapshot_number(&process.snapshot, WIRE_INFO_DEVICE, limit);
}

static cl_int check_size(const struct image_type *type, const struct image *image)
{
    if (image->extents[0] == 0 || image->extents[1] == 0 || image->extents[2] == 0)
        return CL_INVALID_IMAGE_SIZE;
    if (is_more_than(image->width, type->limits[0]) ||
        is_more_than(image->height, type->limits[1]) ||
        is_more_than(image->depth, type->limits[2]) ||
        (type->has_layers && is_more_than(image->layers, CL_DEVICE_IMAGE_MAX_ARRAY_SIZE)))
        return CL_INVALID_IMAGE_SIZE;
    return CL_SUCCESS;
}

/* A given pitch must hold at least `least` bytes, in whole `units`; 0: none was given. */
static int pitch_fits(size_t given, size_t least, size_t unit)
{
    return given == 0 || (given >= least && given % unit == 0);
}

/* Pitches are given for bytes that are there already: the program's, or a buffer's. */
static cl_int describe_pitches(const struct image_type *type, struct image *image, int has_bytes)
{
    const size_t given_row = image->desc.image_row_pitch;
    const size_t given_slice = image->desc.image_slice_pitch;
    const size_t row = image->pixel_bytes * image->width;
    if (!has_bytes && (given_row || given_slice))
        return CL_INVALID_IMAGE_DESCRIPTOR;
    if (!pitch_fits(given_row, row, image->pixel_bytes))
        return CL_INVALID_IMAGE_DESCRIPTOR;
    image->row_pitch = given_row ? given_row : row;
    if (!type->has_depth && !type->has_layers)
        return CL_SUCCESS;
    const size_t slice = image->row_pitch * (type->has_height ? image->height : 1);
    if (!pitch_fits(given_slice, slice, image->row_pitch))
        return CL_INVALID_IMAGE_DESCRIPTOR;
    image->slice_pitch = given_slice ? given_slice : slice;
    return CL_SUCCESS;
}

/* Fill in what follows from a description; a code for what is wrong with it. */
static cl_int describe(struct image *image, const cl_image_format *format,
                       const cl_image_desc *desc, const void *host_ptr)
{
    const struct image_type *type = find_type(desc->image_type);
    const struct wire_image_size size = {desc->image_width, desc->image_height, desc->image_depth,
                                         desc->image_array_size};
    uint64_t extents[3];
    if (!type || wire_image_extents(desc->image_type, &size, extents) < 0 || desc->num_mip_levels ||
        desc->num_samples)
        return CL_INVALID_IMAGE_DESCRIPTOR;
    *image = (struct image){
        .format = *format,
        .width = desc->image_width,
        .height = type->has_height ? desc->image_height : 0,
        .depth = type->has_depth ? desc->image_depth : 0,
        .layers = type->has_layers ? desc->image_array_size : 0,
        .extents = {extents[0], extents[1], extents[2]},
        .pixel_bytes =
            wire_pixel_bytes(format->image_channel_order, format->image_channel_data_type),
        .desc = *desc,
    };
    if (image->pixel_bytes == 0)
        return CL_INVALID_IMAGE_FORMAT_DESCRIPTOR;
    cl_int result = check_size(type, image);
    return result == CL_SUCCESS ? describe_pitches(type, image, host_ptr || desc->buffer) : result;
}

/* What can be told without the driver. A view's flags become those that it has with its
 * parent's. */
static cl_int check_create(cl_context context, cl_mem_flags *flags, const cl_image_format *format,
                           const cl_image_desc *desc, const void *host_ptr)
{
    if (!snapshot_number(&process.snapshot, WIRE_INFO_DEVICE, CL_DEVICE_IMAGE_SUPPORT))
        return CL_INVALID_OPERATION;
    cl_int result = memory_check_flags(*flags);
    if (result != CL_SUCCESS)
        return result;
    if (!format)
        return CL_INVALID_IMAGE_FORMAT_DESCRIPTOR;
    if (!desc)
        return CL_INVALID_IMAGE_DESCRIPTOR;
    if (desc->buffer && !handle_is(desc->buffer, OBJECT_MEMORY))
        return CL_INVALID_MEM_OBJECT;
    if (desc->buffer && desc->buffer->context != context)
        return CL_INVALID_CONTEXT;
    if (desc->buffer)
        return host_ptr ? CL_INVALID_HOST_PTR : memory_merge_flags(desc->buffer->flags, flags);
    return !host_ptr != !(*flags & HOST_CONTENT) ? CL_INVALID_HOST_PTR : CL_SUCCESS;
}

static cl_int write_content(cl_mem memory, const void *content)
{
    const size_t origin[3] = {0, 0, 0};
    const struct image *image = memory->image;
    struct region region;
    cl_int result = image_region(&region, memory, origin, image->extents, image->row_pitch,
                                 image->slice_pitch, content);
    return result == CL_SUCCESS ? memory_write(memory, &region) : result;
}

/* An image's memory object; it takes over `image`. */
static cl_mem create(cl_context context, cl_mem_flags flags, struct image *image,
                     cl_mem_object_type type, cl_int *ret_code)
{
    const uint64_t extents[3] = {image->extents[0], image->extents[1], image->extents[2]};
    uint64_t bytes = wire_image_bytes((uint32_t)image->pixel_bytes, extents);
    cl_mem memory = image->desc.buffer ? memory_create_part(image->desc.buffer, ret_code)
                                       : memory_create(context, bytes, ret_code);
    if (!memory) {
        free(image);
        return NULL;
    }
    memory->image = image;
    memory->type = type;
    memory->flags = memory_flags(flags);
    memory->size = image->slice_pitch ? image->slice_pitch * (image->depth + image->layers)
                                      : image->row_pitch * image->extents[1];
    return memory;
}

cl_mem api_clCreateImage(cl_context context, cl_mem_flags flags,
                         const cl_image_format *image_format, const cl_image_desc *image_desc,
                         void *host_ptr, cl_int *errcode_ret)
{
    *errcode_ret = check_create(context, &flags, image_format, image_desc, host_ptr);
    if (*errcode_ret != CL_SUCCESS)
        return NULL;
    struct image *image = malloc(sizeof(*image));
    if (!image) {
        *errcode_ret = CL_OUT_OF_HOST_MEMORY;
        return NULL;
    }
    *errcode_ret = describe(image, image_format, image_desc, host_ptr);
    if (*errcode_ret != CL_SUCCESS) {
        free(image);
        *errcode_ret = refusal(context, image_format, image_desc, *errcode_ret);
        return NULL;
    }
    cl_mem memory = create(context, flags, image, image_desc->image_type, errcode_ret);
    if (!memory)
        return NULL;
    memory->host_ptr = flags & CL_MEM_USE_HOST_PTR ? host_ptr : NULL;
    *errcode_ret = object_ensure(&memory->object);
    if (*errcode_ret == CL_SUCCESS)
        *errcode_ret = image->status;
    if (*errcode_ret == CL_SUCCESS && host_ptr)
        *errcode_ret = write_content(memory, host_ptr);
    if (*errcode_ret == CL_SUCCESS)
        return memory;
    object_release(&memory->object);
    return NULL;
}

cl_mem api_clCreateImageWithProperties(cl_context context, const cl_mem_properties *properties,
                                       cl_mem_flags flags, const cl_image_format *image_format,
                                       const cl_image_desc *image_desc, void *host_ptr,
                                       cl_int *errcode_ret)
{
    if (properties && properties[0] != 0) {
        *errcode_ret = CL_INVALID_PROPERTY; /* OpenCL 3.0 defines none */
        return NULL;
    }
    cl_mem memory =
        api_clCreateImage(context, flags, image_format, image_desc, host_ptr, errcode_ret);
    if (memory && properties)
        memory_keep_no_properties(memory);
    return memory;
}

cl_mem api_clCreateImage2D(cl_context context, cl_mem_flags flags,
                           const cl_image_format *image_format, size_t image_width,
                           size_t image_height, size_t image_row_pitch, void *host_ptr,
                           cl_int *errcode_ret)
{
    const cl_image_desc desc = {.image_type = CL_MEM_OBJECT_IMAGE2D,
                                .image_width = image_width,
                                .image_height = image_height,
                                .image_row_pitch = image_row_pitch};
    return api_clCreateImage(context, flags, image_format, &desc, host_ptr, errcode_ret);
}

cl_mem api_clCreateImage3D(cl_context context, cl_mem_flags flags,
                           const cl_image_format *image_format, size_t image_width,
                           size_t image_height, size_t image_depth, size_t image_row_pitch,
                           size_t image_slice_pitch, void *host_ptr, cl_int *errcode_ret)
{
    const cl_image_desc desc = {.image_type = CL_MEM_OBJECT_IMAGE3D,
                                .image_width = image_width,
                                .image_height = image_height,
                                .image_depth = image_depth,
                                .image_row_pitch = image_row_pitch,
                                .image_slice_pitch = image_slice_pitch};
    return api_clCreateImage(context, flags, image_format, &desc, host_ptr, errcode_ret);
}

cl_int api_clGetImageInfo(cl_mem image, cl_image_info param_name, size_t param_value_size,
                          void *param_value, size_t *param_value_size_ret)
{
    static const struct info_field fields[] = {
        INFO_VALUE(CL_IMAGE_FORMAT, struct image, format),
        INFO_VALUE(CL_IMAGE_ELEMENT_SIZE, struct image, pixel_bytes),
        INFO_VALUE(CL_IMAGE_ROW_PITCH, struct image, row_pitch),
        INFO_VALUE(CL_IMAGE_SLICE_PITCH, struct image, slice_pitch),
        INFO_VALUE(CL_IMAGE_WIDTH, struct image, width),
        INFO_VALUE(CL_IMAGE_HEIGHT, struct image, height),
        INFO_VALUE(CL_IMAGE_DEPTH, struct image, depth),
        INFO_VALUE(CL_IMAGE_ARRAY_SIZE, struct image, layers),
        INFO_VALUE(CL_IMAGE_BUFFER, struct image, desc.buffer),
        INFO_VALUE(CL_IMAGE_NUM_MIP_LEVELS, struct image, desc.num_mip_levels),
        INFO_VALUE(CL_IMAGE_NUM_SAMPLES, struct image, desc.num_samples),
    };
    struct info_out out = {param_value_size, param_value, param_value_size_ret};
    if (!image->image)
        return CL_INVALID_MEM_OBJECT;
    return info_answer(&out, fields, sizeof(fields) / sizeof(fields[0]), image->image, param_name);
}

cl_int api_clGetSupportedImageFormats(cl_context context, cl_mem_flags flags,
                                      cl_mem_object_type image_type, cl_uint num_entries,
                                      cl_image_format *image_formats, cl_uint *num_image_formats)
{
    const cl_mem_flags access =
        CL_MEM_READ_WRITE | CL_MEM_WRITE_ONLY | CL_MEM_READ_ONLY | CL_MEM_KERNEL_READ_AND_WRITE;
    const cl_mem_flags of_creation = flags & ~(cl_mem_flags)CL_MEM_KERNEL_READ_AND_WRITE;
    if (memory_check_flags(of_creation) != CL_SUCCESS || !find_type(image_type) ||
        (image_formats && num_entries == 0))
        return CL_INVALID_VALUE;
    size_t length = 0;
    cl_mem_flags asked = flags & access ? flags & access : CL_MEM_READ_WRITE;
    const void *formats = snapshot_find(&process.snapshot, WIRE_INFO_IMAGE_FORMATS,
                                        (uint32_t)asked << 16 | image_type, &length);
    cl_uint count = formats ? (cl_uint)(length / sizeof(cl_image_format)) : 0;
    if (num_image_formats)
        *num_image_formats = count;
    if (image_formats && count > 0)
        memcpy(image_formats, formats,
               (num_entries < count ? num_entries : count) * sizeof(*image_formats));
    return CL_SUCCESS;
}

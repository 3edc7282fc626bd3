/* The commands of command buffers: each call that records one keeps its arguments, and beside it
 * stands the enqueue call that takes them. */
#include "card/opencl/command_buffer.h"
#include "card/opencl/kernel.h"
#include "card/opencl/memory.h"
#include "opencl_api.h"

/* What the calls that record have at both ends. */
#define RECORDING \
    { \
        command_buffer, command_queue, num_sync_points_in_wait_list, sync_point_wait_list, \
            sync_point, mutable_handle \
    }

static struct recorded_sizes keep_sizes(const size_t *sizes, cl_uint count)
{
    struct recorded_sizes kept = {.given = sizes != NULL};
    if (sizes && count <= 3) /* else the enqueue call refuses it */
        memcpy(kept.at, sizes, count * sizeof(*sizes));
    return kept;
}

static const size_t *sizes_of(const struct recorded_sizes *kept)
{
    return kept->given ? kept->at : NULL;
}

static void keep_pattern(struct recorded_arguments *arguments, const void *pattern, size_t bytes)
{
    arguments->has_pattern = pattern != NULL;
    if (pattern && bytes <= sizeof(arguments->pattern)) /* else the enqueue call refuses it */
        memcpy(arguments->pattern, pattern, bytes);
}

static const void *pattern_of(const struct recorded_arguments *arguments)
{
    return arguments->has_pattern ? arguments->pattern : NULL;
}

static cl_mem memory_of(const struct recorded *command, unsigned i)
{
    return (cl_mem)command->held[i];
}

/* A barrier that names nothing waits for all before it. */
static cl_int enqueue_barrier(const struct recorded *command, cl_command_queue queue,
                              const struct command_waits *waits)
{
    const int names = command->wait_count > 0;
    return api_clEnqueueBarrierWithWaitList(queue, names ? waits->count : 0,
                                            names ? waits->list : NULL, waits->ret_event);
}

cl_int api_clCommandBarrierWithWaitListKHR(cl_command_buffer_khr command_buffer,
                                           cl_command_queue command_queue,
                                           cl_uint num_sync_points_in_wait_list,
                                           const cl_sync_point_khr *sync_point_wait_list,
                                           cl_sync_point_khr *sync_point,
                                           cl_mutable_command_khr *mutable_handle)
{
    const struct recording recording = RECORDING;
    const struct recorded command = {.enqueue = enqueue_barrier};
    return recording_append(&recording, &command);
}

static cl_int enqueue_copy(const struct recorded *command, cl_command_queue queue,
                           const struct command_waits *waits)
{
    const size_t *numbers = command->arguments.numbers;
    return api_clEnqueueCopyBuffer(queue, memory_of(command, 0), memory_of(command, 1), numbers[0],
                                   numbers[1], numbers[2], waits->count, waits->list,
                                   waits->ret_event);
}

cl_int api_clCommandCopyBufferKHR(cl_command_buffer_khr command_buffer,
                                  cl_command_queue command_queue, cl_mem src_buffer,
                                  cl_mem dst_buffer, size_t src_offset, size_t dst_offset,
                                  size_t size, cl_uint num_sync_points_in_wait_list,
                                  const cl_sync_point_khr *sync_point_wait_list,
                                  cl_sync_point_khr *sync_point,
                                  cl_mutable_command_khr *mutable_handle)
{
    const struct recording recording = RECORDING;
    const struct recorded command = {
        .enqueue = enqueue_copy,
        .held = {&src_buffer->object, &dst_buffer->object},
        .arguments = {.numbers = {src_offset, dst_offset, size}},
    };
    return recording_append(&recording, &command);
}

static cl_int enqueue_copy_rect(const struct recorded *command, cl_command_queue queue,
                                const struct command_waits *waits)
{
    const struct recorded_arguments *kept = &command->arguments;
    return api_clEnqueueCopyBufferRect(
        queue, memory_of(command, 0), memory_of(command, 1), sizes_of(&kept->from),
        sizes_of(&kept->to), sizes_of(&kept->region), kept->numbers[0], kept->numbers[1],
        kept->numbers[2], kept->numbers[3], waits->count, waits->list, waits->ret_event);
}

cl_int api_clCommandCopyBufferRectKHR(
    cl_command_buffer_khr command_buffer, cl_command_queue command_queue, cl_mem src_buffer,
    cl_mem dst_buffer, const size_t *src_origin, const size_t *dst_origin, const size_t *region,
    size_t src_row_pitch, size_t src_slice_pitch, size_t dst_row_pitch, size_t dst_slice_pitch,
    cl_uint num_sync_points_in_wait_list, const cl_sync_point_khr *sync_point_wait_list,
    cl_sync_point_khr *sync_point, cl_mutable_command_khr *mutable_handle)
{
    const struct recording recording = RECORDING;
    const struct recorded command = {
        .enqueue = enqueue_copy_rect,
        .held = {&src_buffer->object, &dst_buffer->object},
        .arguments = {.from = keep_sizes(src_origin, 3),
                      .to = keep_sizes(dst_origin, 3),
                      .region = keep_sizes(region, 3),
                      .numbers = {src_row_pitch, src_slice_pitch, dst_row_pitch, dst_slice_pitch}},
    };
    return recording_append(&recording, &command);
}

static cl_int enqueue_buffer_to_image(const struct recorded *command, cl_command_queue queue,
                                      const struct command_waits *waits)
{
    const struct recorded_arguments *kept = &command->arguments;
    return api_clEnqueueCopyBufferToImage(
        queue, memory_of(command, 0), memory_of(command, 1), kept->numbers[0], sizes_of(&kept->to),
        sizes_of(&kept->region), waits->count, waits->list, waits->ret_event);
}

cl_int api_clCommandCopyBufferToImageKHR(
    cl_command_buffer_khr command_buffer, cl_command_queue command_queue, cl_mem src_buffer,
    cl_mem dst_image, size_t src_offset, const size_t *dst_origin, const size_t *region,
    cl_uint num_sync_points_in_wait_list, const cl_sync_point_khr *sync_point_wait_list,
    cl_sync_point_khr *sync_point, cl_mutable_command_khr *mutable_handle)
{
    const struct recording recording = RECORDING;
    const struct recorded command = {
        .enqueue = enqueue_buffer_to_image,
        .held = {&src_buffer->object, &dst_image->object},
        .arguments = {.to = keep_sizes(dst_origin, 3),
                      .region = keep_sizes(region, 3),
                      .numbers = {src_offset}},
    };
    return recording_append(&recording, &command);
}

static cl_int enqueue_images(const struct recorded *command, cl_command_queue queue,
                             const struct command_waits *waits)
{
    const struct recorded_arguments *kept = &command->arguments;
    return api_clEnqueueCopyImage(
        queue, memory_of(command, 0), memory_of(command, 1), sizes_of(&kept->from),
        sizes_of(&kept->to), sizes_of(&kept->region), waits->count, waits->list, waits->ret_event);
}

cl_int api_clCommandCopyImageKHR(cl_command_buffer_khr command_buffer,
                                 cl_command_queue command_queue, cl_mem src_image, cl_mem dst_image,
                                 const size_t *src_origin, const size_t *dst_origin,
                                 const size_t *region, cl_uint num_sync_points_in_wait_list,
                                 const cl_sync_point_khr *sync_point_wait_list,
                                 cl_sync_point_khr *sync_point,
                                 cl_mutable_command_khr *mutable_handle)
{
    const struct recording recording = RECORDING;
    const struct recorded command = {
        .enqueue = enqueue_images,
        .held = {&src_image->object, &dst_image->object},
        .arguments = {.from = keep_sizes(src_origin, 3),
                      .to = keep_sizes(dst_origin, 3),
                      .region = keep_sizes(region, 3)},
    };
    return recording_append(&recording, &command);
}

static cl_int enqueue_image_to_buffer(const struct recorded *command, cl_command_queue queue,
                                      const struct command_waits *waits)
{
    const struct recorded_arguments *kept = &command->arguments;
    return api_clEnqueueCopyImageToBuffer(
        queue, memory_of(command, 0), memory_of(command, 1), sizes_of(&kept->from),
        sizes_of(&kept->region), kept->numbers[0], waits->count, waits->list, waits->ret_event);
}

cl_int api_clCommandCopyImageToBufferKHR(
    cl_command_buffer_khr command_buffer, cl_command_queue command_queue, cl_mem src_image,
    cl_mem dst_buffer, const size_t *src_origin, const size_t *region, size_t dst_offset,
    cl_uint num_sync_points_in_wait_list, const cl_sync_point_khr *sync_point_wait_list,
    cl_sync_point_khr *sync_point, cl_mutable_command_khr *mutable_handle)
{
    const struct recording recording = RECORDING;
    const struct recorded command = {
        .enqueue = enqueue_image_to_buffer,
        .held = {&src_image->object, &dst_buffer->object},
        .arguments = {.from = keep_sizes(src_origin, 3),
                      .region = keep_sizes(region, 3),
                      .numbers = {dst_offset}},
    };
    return recording_append(&recording, &command);
}

static cl_int enqueue_fill(const struct recorded *command, cl_command_queue queue,
                           const struct command_waits *waits)
{
    const struct recorded_arguments *kept = &command->arguments;
    return api_clEnqueueFillBuffer(queue, memory_of(command, 0), pattern_of(kept), kept->numbers[0],
                                   kept->numbers[1], kept->numbers[2], waits->count, waits->list,
                                   waits->ret_event);
}

cl_int api_clCommandFillBufferKHR(cl_command_buffer_khr command_buffer,
                                  cl_command_queue command_queue, cl_mem buffer,
                                  const void *pattern, size_t pattern_size, size_t offset,
                                  size_t size, cl_uint num_sync_points_in_wait_list,
                                  const cl_sync_point_khr *sync_point_wait_list,
                                  cl_sync_point_khr *sync_point,
                                  cl_mutable_command_khr *mutable_handle)
{
    const struct recording recording = RECORDING;
    struct recorded command = {
        .enqueue = enqueue_fill,
        .held = {&buffer->object},
        .arguments = {.numbers = {pattern_size, offset, size}},
    };
    keep_pattern(&command.arguments, pattern, pattern_size);
    return recording_append(&recording, &command);
}

static cl_int enqueue_fill_image(const struct recorded *command, cl_command_queue queue,
                                 const struct command_waits *waits)
{
    const struct recorded_arguments *kept = &command->arguments;
    return api_clEnqueueFillImage(queue, memory_of(command, 0), pattern_of(kept),
                                  sizes_of(&kept->to), sizes_of(&kept->region), waits->count,
                                  waits->list, waits->ret_event);
}

cl_int api_clCommandFillImageKHR(cl_command_buffer_khr command_buffer,
                                 cl_command_queue command_queue, cl_mem image,
                                 const void *fill_color, const size_t *origin, const size_t *region,
                                 cl_uint num_sync_points_in_wait_list,
                                 const cl_sync_point_khr *sync_point_wait_list,
                                 cl_sync_point_khr *sync_point,
                                 cl_mutable_command_khr *mutable_handle)
{
    const struct recording recording = RECORDING;
    struct recorded command = {
        .enqueue = enqueue_fill_image,
        .held = {&image->object},
        .arguments = {.to = keep_sizes(origin, 3), .region = keep_sizes(region, 3)},
    };
    keep_pattern(&command.arguments, fill_color, sizeof(cl_float4));
    return recording_append(&recording, &command);
}

static cl_int enqueue_launch(const struct recorded *command, cl_command_queue queue,
                             const struct command_waits *waits)
{
    const struct recorded_arguments *kept = &command->arguments;
    return api_clEnqueueNDRangeKernel(
        queue, (cl_kernel)command->held[0], kept->dims, sizes_of(&kept->from), sizes_of(&kept->to),
        sizes_of(&kept->region), waits->count, waits->list, waits->ret_event);
}

cl_int
api_clCommandNDRangeKernelKHR(cl_command_buffer_khr command_buffer, cl_command_queue command_queue,
                              const cl_properties *properties, cl_kernel kernel, cl_uint work_dim,
                              const size_t *global_work_offset, const size_t *global_work_size,
                              const size_t *local_work_size, cl_uint num_sync_points_in_wait_list,
                              const cl_sync_point_khr *sync_point_wait_list,
                              cl_sync_point_khr *sync_point, cl_mutable_command_khr *mutable_handle)
{
    const struct recording recording = RECORDING;
    cl_int result = recording_check(&recording);
    if (result == CL_SUCCESS && properties && *properties != 0)
        result = CL_INVALID_VALUE; /* this version has none */
    cl_kernel copy = result == CL_SUCCESS ? kernel_copy(kernel, &result) : NULL;
    if (!copy)
        return result;
    const struct recorded command = {
        .enqueue = enqueue_launch,
        .held = {&copy->object},
        .arguments = {.from = keep_sizes(global_work_offset, work_dim),
                      .to = keep_sizes(global_work_size, work_dim),
                      .region = keep_sizes(local_work_size, work_dim),
                      .dims = work_dim},
    };
    result = recording_append(&recording, &command);
    object_release(&copy->object); /* a recorded command has a reference of its own */
    return result;
}

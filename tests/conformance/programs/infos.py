"""pyopencl: everything that objects of each kind tell of themselves, by every name that pyopencl knows; values that are
the driver's own choice (names, addresses, amounts of memory, times) are left to their type."""
import numpy
import pyopencl as cl

LEFT_TO_TYPE = ("NAME", "VENDOR", "VERSION", "EXTENSIONS", "MEM_SIZE", "MAX_MEM_ALLOC", "REFERENCE_COUNT", "BINAR", "TIMER",
                "PROFILE_", "HOST_PTR", "COMMAND_", "BOARD", "TOPOLOGY", "ICD", "UUID", "MAX_CONSTANT_BUFFER", "EXT_MEM",
                "IMAGE_MAX_BUFFER", "CACHE_SIZE", "BUILD_LOG", "SOURCE")


def show(value):
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(show(one) for one in value)}]"
    return repr(value) if isinstance(value, (int, str, bool, type(None))) else type(value).__name__


def tell(title, infos, ask):
    for name in sorted(name for name in dir(infos) if name.isupper()):
        try:
            value = ask(getattr(infos, name))
            value = type(value).__name__ if title == "profile" or any(part in name for part in LEFT_TO_TYPE) else show(value)
        except cl.Error as error:
            value = error.code
        except (TypeError, ValueError) as error:
            value = type(error).__name__
        print(title, name, value)


device = cl.get_platforms()[0].get_devices()[0]
context = cl.Context([device])
queue = cl.CommandQueue(context, properties=cl.command_queue_properties.PROFILING_ENABLE)
program = cl.Program(context, "kernel void twice(global float *a, float b, local int *c, read_only image2d_t d) "
                              "{ a[get_global_id(0)] *= b; }").build(["-cl-kernel-arg-info"])
kernel = program.twice
buffer = cl.Buffer(context, cl.mem_flags.READ_WRITE, 4096)
part = buffer.get_sub_region(1024, 512, cl.mem_flags.READ_ONLY)
image = cl.Image(context, cl.mem_flags.READ_ONLY, cl.ImageFormat(cl.channel_order.RGBA, cl.channel_type.FLOAT), (32, 16))
sampler = cl.Sampler(context, False, cl.addressing_mode.CLAMP, cl.filter_mode.NEAREST)
kernel.set_args(buffer, numpy.float32(2), cl.LocalMemory(64), image)
event = cl.enqueue_nd_range_kernel(queue, kernel, (64,), (16,))
event.wait()
user = cl.UserEvent(context)
user.set_status(cl.command_execution_status.COMPLETE)
tell("device", cl.device_info, device.get_info)
tell("context", cl.context_info, context.get_info)
tell("queue", cl.command_queue_info, queue.get_info)
tell("program", cl.program_info, program.get_info)
tell("build", cl.program_build_info, lambda info: program.get_build_info(device, info))
tell("kernel", cl.kernel_info, kernel.get_info)
tell("group", cl.kernel_work_group_info, lambda info: kernel.get_work_group_info(info, device))
for number in range(4):
    tell(f"argument {number}", cl.kernel_arg_info, lambda info, number=number: kernel.get_arg_info(number, info))
tell("buffer", cl.mem_info, buffer.get_info)
tell("part", cl.mem_info, part.get_info)
tell("image as memory", cl.mem_info, image.get_info)
tell("image", cl.image_info, image.get_image_info)
tell("sampler", cl.sampler_info, sampler.get_info)
tell("event", cl.event_info, event.get_info)
tell("profile", cl.profiling_info, event.get_profiling_info)
tell("user's event", cl.event_info, user.get_info)
tell("user's profile", cl.profiling_info, user.get_profiling_info)
for flags in (cl.mem_flags.READ_ONLY, cl.mem_flags.WRITE_ONLY, cl.mem_flags.READ_WRITE):
    for kind in ("IMAGE1D", "IMAGE1D_ARRAY", "IMAGE1D_BUFFER", "IMAGE2D", "IMAGE2D_ARRAY", "IMAGE3D"):
        formats = cl.get_supported_image_formats(context, flags, getattr(cl.mem_object_type, kind))
        print(flags, kind, sorted((one.channel_order, one.channel_data_type) for one in formats))

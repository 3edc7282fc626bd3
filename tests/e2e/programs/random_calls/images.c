/* Images of all kinds, where the device has them. */
#include "world.h"

#include <string.h>

/* The kinds of images: which sides they have beside the width. */
static const struct {
    cl_mem_object_type type;
    bool height, depth, layers;
} kinds[] = {
    {CL_MEM_OBJECT_IMAGE2D, true, false, false},
    {CL_MEM_OBJECT_IMAGE2D, true, false, false},
    {CL_MEM_OBJECT_IMAGE2D, true, false, false},
    {CL_MEM_OBJECT_IMAGE1D, false, false, false},
    {CL_MEM_OBJECT_IMAGE1D_ARRAY, false, false, true},
    {CL_MEM_OBJECT_IMAGE2D_ARRAY, true, false, true},
    {CL_MEM_OBJECT_IMAGE3D, true, true, false},
};

static bool any_format(struct world *w, cl_mem_flags flags, cl_mem_object_type type,
                       cl_image_format *ret_format)
{
    cl_image_format formats[128];
    cl_uint count = 0;
    if (!told(w, "formats",
              clGetSupportedImageFormats(w->context, flags, type, COUNT_OF(formats), formats,
                                         &count)))
        return false;
    say(w, " %u", count);
    if (count > COUNT_OF(formats))
        count = COUNT_OF(formats);
    if (count)
        *ret_format = formats[dice(w, count)];
    return count;
}

static void spoil_image(struct world *w, cl_context *context, cl_mem_flags *flags,
                        cl_image_desc *desc, void **host)
{
    switch (wrong(w, 6)) {
    case 1:
        *context = NULL;
        break;
    case 2:
        desc->image_width = 0;
        break;
    case 3:
        desc->image_type = 0x1111;
        break;
    case 4:
        *host = NULL;
        break;
    case 5:
        *flags |= CL_MEM_READ_ONLY | CL_MEM_WRITE_ONLY;
        break;
    case 6:
        desc->image_width = (size_t)1 << 30;
        break;
    default:
        break;
    }
}

static void make_image(struct world *w)
{
    struct memory **slot = memory_place(w), *image = keep(w, sizeof(*image));
    unsigned kind = dice(w, COUNT_OF(kinds));
    cl_mem_flags flags = any_flags(w);
    cl_image_desc desc = {.image_type = kinds[kind].type, .image_width = 1 + dice(w, 40)};
    cl_int code = 1;
    cl_context context = w->context;
    if (!(flags & CL_MEM_USE_HOST_PTR))
        flags |= CL_MEM_COPY_HOST_PTR;
    if (kinds[kind].height)
        desc.image_height = 1 + dice(w, 20);
    if (kinds[kind].depth)
        desc.image_depth = 1 + dice(w, 5);
    if (kinds[kind].layers)
        desc.image_array_size = 1 + dice(w, 5);
    *image = (struct memory){
        .flags = flags, .is_image = true, .desc = desc, .contents = contents_new(w)};
    if (!any_format(w, flags & (CL_MEM_READ_ONLY | CL_MEM_WRITE_ONLY | CL_MEM_READ_WRITE),
                    desc.image_type, &image->format))
        return;
    void *host = host_bytes(w, 41 * 21 * 6 * (size_t)16);
    void *given = host;
    spoil_image(w, &context, &flags, &desc, &given);
    image->handle = clCreateImage(context, flags, &image->format, &desc, given, &code);
    say(w, " type %x %zux%zux%zux%zu format %x %x flags %x", desc.image_type, desc.image_width,
        desc.image_height, desc.image_depth, desc.image_array_size,
        image->format.image_channel_order, image->format.image_channel_data_type, (unsigned)flags);
    if (!told(w, "image", code))
        return;
    (void)told(w, "ask",
               clGetImageInfo(image->handle, CL_IMAGE_ELEMENT_SIZE, sizeof(image->pixel),
                              &image->pixel, NULL));
    image->region[0] = desc.image_width;
    image->region[1] = kinds[kind].height   ? desc.image_height
                       : kinds[kind].layers ? desc.image_array_size
                                            : 1;
    image->region[2] = kinds[kind].depth                          ? desc.image_depth
                       : kinds[kind].height && kinds[kind].layers ? desc.image_array_size
                                                                  : 1;
    image->bytes = image->region[0] * image->region[1] * image->region[2] * image->pixel;
    image->host = flags & CL_MEM_USE_HOST_PTR ? host : NULL;
    image->number = w->made++;
    *slot = image;
}

/* A box inside the image. */
static void any_box(struct world *w, const struct memory *image, size_t origin[3], size_t region[3])
{
    for (unsigned i = 0; i < 3; i++) {
        origin[i] = chance(w, 40) ? 0 : dice(w, (unsigned)image->region[i]);
        region[i] = chance(w, 40) ? image->region[i] - origin[i]
                                  : 1 + dice(w, (unsigned)(image->region[i] - origin[i]));
    }
}

static void say_box(struct world *w, const struct memory *image, const size_t origin[3],
                    const size_t region[3])
{
    say(w, " of %u (%zu %zu %zu)+(%zu %zu %zu)", image->number, origin[0], origin[1], origin[2],
        region[0], region[1], region[2]);
}

static void image_transfer(struct world *w)
{
    bool writes = chance(w, 50);
    struct memory *image = memory_among(w, true, writes);
    struct command command = command_on(w, any_queue(w));
    size_t origin[3], region[3], row = 0, slice = 0;
    if (!image)
        return;
    heed_access(w, image);
    command.blocks = chance(w, 40);
    command_uses(&command, image->contents);
    command_begin(w, &command);
    any_box(w, image, origin, region);
    if (chance(w, 30))
        row = (region[0] + dice(w, 4)) * image->pixel;
    if (row && region[2] > 1 && chance(w, 50))
        slice = row * (region[1] + dice(w, 3));
    const size_t bytes = 44 * 23 * 6 * (size_t)16;
    unsigned char *host = host_bytes(w, bytes);
    const struct memory *other = w->other->memories[0];
    cl_mem handle = image->handle;
    unsigned flaw = wrong(w, 3);
    if (flaw == 1)
        handle = NULL;
    say_box(w, image, origin, region);
    say(w, " pitch %zu %zu %u", row, slice, other->number);
    cl_int code = writes ? clEnqueueWriteImage(command.handle, handle, command.blocks, origin,
                                               region, row, slice, flaw == 2 ? NULL : host,
                                               command.count, command.waits, command.ret_event)
                         : clEnqueueReadImage(command.handle, handle, command.blocks, origin,
                                              region, row, slice, flaw == 2 ? NULL : host,
                                              command.count, command.waits, command.ret_event);
    if (command_end(w, &command, writes ? "write image" : "read image", code) && !writes)
        expect_data(w, &command, host, bytes);
}

static void fill_image(struct world *w)
{
    struct memory *image = memory_among(w, true, true);
    struct command command = command_on(w, any_queue(w));
    size_t origin[3], region[3];
    static const cl_float colours[][4] = {
        {0.25f, 0.5f, 1.0f, 0.75f}, {0, 1, 0, 1}, {-1.0f, 0.125f, 2.0f, 0}};
    union {
        cl_float f[4];
        cl_uint u[4];
    } colour;
    if (!image)
        return;
    command_uses(&command, image->contents);
    command_begin(w, &command);
    any_box(w, image, origin, region);
    memcpy(colour.f, ANY_OF(w, colours), sizeof(colour));
    switch (image->format.image_channel_data_type) {
    case CL_SIGNED_INT8:
    case CL_SIGNED_INT16:
    case CL_SIGNED_INT32:
    case CL_UNSIGNED_INT8:
    case CL_UNSIGNED_INT16:
    case CL_UNSIGNED_INT32:
        for (unsigned i = 0; i < 4; i++)
            colour.u[i] = dice(w, 120);
        break;
    default:
        break;
    }
    unsigned flaw = wrong(w, 2);
    say_box(w, image, origin, region);
    (void)command_end(w, &command, "fill image",
                      clEnqueueFillImage(command.handle, flaw == 1 ? NULL : image->handle,
                                         flaw == 2 ? NULL : &colour, origin, region, command.count,
                                         command.waits, command.ret_event));
}

static void smaller(size_t region[3], const size_t other[3])
{
    for (unsigned i = 0; i < 3; i++)
        region[i] = region[i] < other[i] ? region[i] : other[i];
}

static void copy_image(struct world *w)
{
    struct memory *from = memory_among(w, true, false), *to = memory_among(w, true, true);
    struct command command = command_on(w, any_queue(w));
    size_t here[3], there[3], region[3], most[3];
    if (!from || !to || from == to)
        return;
    command_uses(&command, from->contents);
    command_uses(&command, to->contents);
    command_begin(w, &command);
    any_box(w, from, here, region);
    any_box(w, to, there, most);
    smaller(region, most);
    unsigned flaw = wrong(w, 4);
    say_box(w, from, here, region);
    say_box(w, to, there, region);
    (void)command_end(w, &command, "copy image",
                      clEnqueueCopyImage(command.handle, flaw == 1 ? NULL : from->handle,
                                         flaw == 2 ? NULL : to->handle, here, there, region,
                                         command.count, command.waits, command.ret_event));
}

static void copy_between(struct world *w)
{
    bool to_image = chance(w, 50);
    struct memory *image = memory_among(w, true, to_image),
                  *buffer = memory_among(w, false, !to_image);
    struct command command = command_on(w, any_queue(w));
    size_t origin[3], region[3];
    if (!image || !buffer)
        return;
    command_uses(&command, image->contents);
    command_uses(&command, buffer->contents);
    command_begin(w, &command);
    any_box(w, image, origin, region);
    const size_t bytes = region[0] * region[1] * region[2] * image->pixel;
    size_t offset = bytes < buffer->bytes ? dice(w, (unsigned)(buffer->bytes - bytes)) : 0;
    unsigned flaw = wrong(w, 1 + 2 * to_image);
    if (buffer->is_part || (!to_image && bytes > buffer->bytes))
        return; /* PoCL crashes, and writes behind the end */
    cl_mem from = flaw == 1  ? NULL
                  : to_image ? buffer->handle
                             : image->handle,
           to = flaw == 2  ? NULL
                : to_image ? image->handle
                           : buffer->handle;
    if (flaw == 3)
        offset = buffer->bytes;
    say_box(w, image, origin, region);
    say(w, " of %u/%zu %zu+%zu", buffer->number, buffer->bytes, offset, bytes);
    cl_int code = to_image
                      ? clEnqueueCopyBufferToImage(command.handle, from, to, offset, origin, region,
                                                   command.count, command.waits, command.ret_event)
                      : clEnqueueCopyImageToBuffer(command.handle, from, to, origin, region, offset,
                                                   command.count, command.waits, command.ret_event);
    (void)command_end(w, &command, to_image ? "buffer to image" : "image to buffer", code);
}

static void map_image(struct world *w)
{
    cl_map_flags flags = ANY_OF(w, map_kinds);
    struct memory *image = memory_among(w, true, flags != CL_MAP_READ);
    struct command command = command_on(w, any_queue(w));
    size_t origin[3], region[3];
    struct map map = {0};
    cl_int code = 1;
    if (!image ||
        image->flags & (CL_MEM_HOST_READ_ONLY | CL_MEM_HOST_WRITE_ONLY | CL_MEM_HOST_NO_ACCESS))
        return; /* PoCL maps what it must not */
    command.blocks = chance(w, 50);
    command_uses(&command, image->contents);
    command_begin(w, &command);
    any_box(w, image, origin, region);
    unsigned flaw = wrong(w, 2);
    map.pointer =
        clEnqueueMapImage(command.handle, flaw == 1 ? NULL : image->handle, command.blocks, flags,
                          origin, region, flaw == 2 ? NULL : &map.row, &map.slice, command.count,
                          command.waits, command.ret_event, &code);
    say_box(w, image, origin, region);
    say(w, " flags %x as %x", (unsigned)image->flags, (unsigned)flags);
    if (!command_end(w, &command, "map image", code))
        return;
    say(w, " pitch %zu %zu", map.row, map.slice);
    if (image->desc.image_type == CL_MEM_OBJECT_IMAGE1D_ARRAY)
        map.row = map.slice;
    memcpy(map.region, region, sizeof(region));
    map.region[0] *= image->pixel;
    note_map(w, image, map, flags);
}

const struct act image_acts[] = {
    {make_image, 10},  {image_transfer, 12}, {fill_image, 5}, {copy_image, 6},
    {copy_between, 6}, {map_image, 6},       {NULL, 0},
};

/* A remote card: modules, and what their functions are. All that is known of a function comes with
 * its module, so that looking one up and asking about it are answered here. */
#include <elf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "card/cuda/remote_module.h"
#include "cuda_api.h"

#define FATBIN_MAGIC 0xba55ed50u         /* of what holds code for several devices */
#define FATBIN_WRAPPER_MAGIC 0x466243b1u /* of what points at one */
#define IMAGE_MAX WIRE_SLAB_USUAL_BYTES
#define REPLY_ROOM (256u << 10) /* for most modules; others are asked again */

struct fatbin_header {
    uint32_t magic;
    uint16_t version, header_bytes;
    uint64_t bytes; /* behind the header */
};

struct fatbin_wrapper {
    uint32_t magic, version;
    const void *image;
    const void *unused;
};

struct CUmod_st {
    struct remote_object object;
    unsigned count;
    struct CUfunc_st *functions;
    uint8_t *reply; /* where names and parameters lie */
};

/* ---- how large an image is, where at most `limit` bytes may be read; 0: larger than that ---- */

/* Its sections, or its table of sections, end last. */
static size_t elf_bytes(const uint8_t *image, size_t limit)
{
    Elf64_Ehdr header;
    size_t end;
    if (limit < sizeof(header))
        return 0;
    memcpy(&header, image, sizeof(header));
    if (__builtin_add_overflow(header.e_shoff, (size_t)header.e_shnum * header.e_shentsize, &end) ||
        end > limit)
        return 0;
    for (unsigned i = 0; i < header.e_shnum && header.e_shentsize >= sizeof(Elf64_Shdr); i++) {
        Elf64_Shdr section;
        size_t section_end;
        memcpy(&section, image + header.e_shoff + (size_t)i * header.e_shentsize, sizeof(section));
        if (section.sh_type == SHT_NOBITS)
            continue;
        if (__builtin_add_overflow(section.sh_offset, section.sh_size, &section_end) ||
            section_end > limit)
            return 0;
        end = section_end > end ? section_end : end;
    }
    return end;
}

static size_t fatbin_bytes(const void *image, size_t limit)
{
    struct fatbin_header header;
    size_t end;
    if (limit < sizeof(header))
        return 0;
    memcpy(&header, image, sizeof(header));
    return __builtin_add_overflow(header.header_bytes, header.bytes, &end) || end > limit ? 0 : end;
}

/* Text ends with a NUL, which counts. */
static size_t image_bytes(const void *image, size_t limit)
{
    uint32_t magic = 0;
    memcpy(&magic, image, limit < sizeof(magic) ? limit : sizeof(magic));
    if (magic == FATBIN_MAGIC)
        return fatbin_bytes(image, limit);
    if (memcmp(&magic, ELFMAG, SELFMAG) == 0)
        return elf_bytes(image, limit);
    size_t length = strnlen(image, limit);
    return length < limit ? length + 1 : 0;
}

/* What stands for an image in a program's own memory. */
static const void *unwrapped(const void *image)
{
    struct fatbin_wrapper wrapper;
    uint32_t magic;
    memcpy(&magic, image, sizeof(magic));
    if (magic != FATBIN_WRAPPER_MAGIC)
        return image;
    memcpy(&wrapper, image, sizeof(wrapper));
    return wrapper.image;
}

/* ---- what the reply says ---- */

/* The executor is trusted, its reply may be cut short all the same. Returns the offset behind the
 * function, 0 when it is not all there. */
static uint64_t read_function(CUmodule module, uint64_t at, uint64_t length, CUfunction function)
{
    struct wire_cuda_function head;
    if (length - at < sizeof(head))
        return 0;
    memcpy(&head, module->reply + at, sizeof(head));
    at += sizeof(head);
    uint64_t name = wire_pad8(head.name_length);
    uint64_t all = name + (uint64_t)head.parameter_count * sizeof(struct wire_cuda_parameter);
    if (head.name_length == 0 || all > length - at || module->reply[at + head.name_length - 1])
        return 0;
    *function = (struct CUfunc_st){.object = {.stamp = function->object.stamp},
                                   .module = module,
                                   .name = (const char *)module->reply + at,
                                   .parameter_count = head.parameter_count,
                                   .parameters = (const void *)(module->reply + at + name)};
    memcpy(function->attributes, head.attributes, sizeof(head.attributes));
    for (uint32_t i = 0; i < head.parameter_count; i++) {
        uint64_t end = (uint64_t)function->parameters[i].offset + function->parameters[i].bytes;
        if (end > PARAMETERS_MAX)
            return 0;
        function->block_bytes = end > function->block_bytes ? (uint32_t)end : function->block_bytes;
    }
    return at + all;
}

static CUresult read_functions(CUmodule module, uint64_t length)
{
    unsigned room = 0;
    for (uint64_t at = 0; at < length;) {
        if (module->count == room) {
            room = room ? room * 2 : 8;
            struct CUfunc_st *more = realloc(module->functions, room * sizeof(*more));
            if (!more)
                return CUDA_ERROR_OUT_OF_MEMORY;
            module->functions = more;
        }
        struct CUfunc_st *function = &module->functions[module->count];
        *function = (struct CUfunc_st){.index = module->count};
        at = read_function(module, at, length, function);
        if (at == 0)
            return CUDA_ERROR_UNKNOWN;
        function->index = module->count++;
        function->object.stamp = remote_stamp(REMOTE_FUNCTION);
    }
    return CUDA_SUCCESS;
}

/* ---- loading ---- */

static void module_free(CUmodule module)
{
    free(module->functions);
    free(module->reply);
    remote_destroy(module);
}

static CUresult unload(CUmodule module)
{
    const struct remote_call call = {.call = WIRE_CUDA_MODULE_UNLOAD, .object = module->object.id};
    CUresult result = remote_tell(&call);
    module_free(module);
    return result;
}

static CUresult keep_reply(CUmodule module, uint64_t offset, uint64_t length)
{
    module->reply = malloc(length + 1);
    if (!module->reply)
        return CUDA_ERROR_OUT_OF_MEMORY;
    memcpy(module->reply, remote_room_at(offset), length);
    return read_functions(module, length);
}

/* Ask again, with enough room. */
static CUresult ask_functions(CUmodule module, uint64_t bytes)
{
    uint64_t offset, length = 0;
    CUresult result = remote_room(bytes, &offset);
    if (result != CUDA_SUCCESS)
        return result;
    struct wire_cuda_module_functions *record = remote_begin(sizeof(*record));
    if (!record)
        return CUDA_ERROR_SYSTEM_NOT_READY;
    record->id = module->object.id;
    record->reply_offset = offset;
    record->reply_room = bytes;
    result = remote_wait(record, WIRE_CUDA_MODULE_FUNCTIONS, sizeof(*record), NULL, &length);
    if (result == CUDA_SUCCESS)
        result = keep_reply(module, offset, length);
    remote_room_give(offset, bytes);
    return result;
}

/* With the image at `offset` and room for the reply behind it. */
static CUresult load(CUmodule module, uint64_t offset, uint64_t bytes)
{
    uint64_t whole = 0, length = 0, reply_at = offset + wire_pad8(bytes);
    struct wire_cuda_module_load *record = remote_begin(sizeof(*record));
    if (!record)
        return CUDA_ERROR_SYSTEM_NOT_READY;
    record->id = module->object.id;
    record->context_id = remote_context_id();
    record->slab_offset = offset;
    record->length = bytes;
    record->reply_offset = reply_at;
    record->reply_room = REPLY_ROOM;
    CUresult result = remote_wait(record, WIRE_CUDA_MODULE_LOAD, sizeof(*record), &whole, &length);
    if (result != CUDA_SUCCESS) {
        module_free(module);
        return result;
    }
    result = whole > length ? ask_functions(module, whole) : keep_reply(module, reply_at, length);
    if (result != CUDA_SUCCESS)
        (void)unload(module); /* the first failure is told */
    return result;
}

static CUresult load_image(CUmodule *ret_module, const void *image, size_t limit)
{
    uint64_t offset;
    if (!remote_context())
        return CUDA_ERROR_INVALID_CONTEXT;
    size_t bytes = image_bytes(image, limit), room = wire_pad8(bytes) + REPLY_ROOM;
    if (bytes == 0)
        return CUDA_ERROR_INVALID_IMAGE;
    if (bytes > IMAGE_MAX - REPLY_ROOM)
        return CUDA_ERROR_OUT_OF_MEMORY;
    CUmodule module = remote_create(REMOTE_MODULE, sizeof(*module));
    if (!module)
        return CUDA_ERROR_OUT_OF_MEMORY;
    CUresult result = remote_room(room, &offset);
    if (result != CUDA_SUCCESS) {
        module_free(module);
        return result;
    }
    memcpy(remote_room_at(offset), image, bytes);
    result = load(module, offset, bytes);
    remote_room_give(offset, room);
    if (result == CUDA_SUCCESS)
        *ret_module = module;
    return result;
}

/* The driver's interface does not say how much there is; the image does. */
CUresult remote_cuModuleLoadData(CUmodule *module, const void *image)
{
    return module && image ? load_image(module, unwrapped(image), SIZE_MAX)
                           : CUDA_ERROR_INVALID_VALUE;
}

CUresult remote_cuModuleLoadFatBinary(CUmodule *module, const void *image)
{
    return remote_cuModuleLoadData(module, image);
}

/* Options tune the compiler and ask for its log: code is the same without them. */
CUresult remote_cuModuleLoadDataEx(CUmodule *module, const void *image, unsigned count,
                                   int *options, void **values)
{
    return remote_cuModuleLoadData(module, image);
}

/* The file, with a NUL behind it; owned. NULL: it cannot be read, or is too large for any image. */
static char *read_image(FILE *file, size_t *ret_bytes)
{
    char *image = NULL;
    long bytes;
    if (fseek(file, 0, SEEK_END) < 0 || (bytes = ftell(file)) < 0 || bytes >= (long)IMAGE_MAX ||
        fseek(file, 0, SEEK_SET) < 0 || !(image = malloc((size_t)bytes + 1)))
        return NULL;
    if (fread(image, 1, (size_t)bytes, file) != (size_t)bytes) {
        free(image);
        return NULL;
    }
    image[bytes] = '\0';
    *ret_bytes = (size_t)bytes + 1;
    return image;
}

CUresult remote_cuModuleLoad(CUmodule *module, const char *path)
{
    size_t bytes = 0;
    if (!module || !path)
        return CUDA_ERROR_INVALID_VALUE;
    FILE *file = fopen(path, "re");
    char *image = file ? read_image(file, &bytes) : NULL;
    CUresult result = image ? load_image(module, image, bytes) : CUDA_ERROR_FILE_NOT_FOUND;
    free(image);
    if (file)
        (void)fclose(file); /* was only read */
    return result;
}

CUresult remote_cuModuleUnload(CUmodule module)
{
    return remote_is(module, REMOTE_MODULE) ? unload(module) : CUDA_ERROR_INVALID_HANDLE;
}

CUresult remote_cuModuleGetLoadingMode(int *mode)
{
    const int eager = 1; /* CU_MODULE_EAGER_LOADING */
    if (!mode)
        return CUDA_ERROR_INVALID_VALUE;
    *mode = eager;
    return CUDA_SUCCESS;
}

/* ---- what is in a module ---- */

CUresult remote_cuModuleGetFunction(CUfunction *ret_function, CUmodule module, const char *name)
{
    if (!ret_function || !name)
        return CUDA_ERROR_INVALID_VALUE;
    if (!remote_is(module, REMOTE_MODULE))
        return CUDA_ERROR_INVALID_HANDLE;
    for (unsigned i = 0; i < module->count; i++) {
        if (strcmp(module->functions[i].name, name) != 0)
            continue;
        *ret_function = &module->functions[i];
        return CUDA_SUCCESS;
    }
    return CUDA_ERROR_NOT_FOUND;
}

CUresult remote_cuModuleGetFunctionCount(unsigned *count, CUmodule module)
{
    if (!count)
        return CUDA_ERROR_INVALID_VALUE;
    if (!remote_is(module, REMOTE_MODULE))
        return CUDA_ERROR_INVALID_HANDLE;
    *count = module->count;
    return CUDA_SUCCESS;
}

CUresult remote_cuModuleGetGlobal_v2(CUdeviceptr *pointer, size_t *bytes, CUmodule module,
                                     const char *name)
{
    uint64_t offset, answer[2];
    size_t length = name ? strlen(name) : 0;
    if (!length || length > NAME_MAX_BYTES)
        return CUDA_ERROR_INVALID_VALUE;
    if (!remote_is(module, REMOTE_MODULE))
        return CUDA_ERROR_INVALID_HANDLE;
    CUresult result = remote_room(sizeof(answer), &offset);
    if (result != CUDA_SUCCESS)
        return result;
    struct wire_cuda_module_global *record = remote_begin(sizeof(*record) + wire_pad8(length));
    if (!record)
        return CUDA_ERROR_SYSTEM_NOT_READY;
    record->id = module->object.id;
    record->reply_offset = offset;
    record->reply_room = sizeof(answer);
    record->name_length = (uint32_t)length;
    memcpy(wire_cuda_module_global_name(record), name, length);
    result = remote_wait(record, WIRE_CUDA_MODULE_GLOBAL, sizeof(*record) + wire_pad8(length), NULL,
                         NULL);
    memcpy(answer, remote_room_at(offset), sizeof(answer));
    remote_room_give(offset, sizeof(answer));
    if (result == CUDA_SUCCESS && pointer)
        *pointer = answer[0];
    if (result == CUDA_SUCCESS && bytes)
        *bytes = answer[1];
    return result;
}

/* ---- what a function is ---- */

CUresult remote_cuFuncGetAttribute(int *value, int attribute, CUfunction function)
{
    if (!value || attribute < 0 || attribute >= WIRE_CUDA_FUNCTION_ATTRIBUTES)
        return CUDA_ERROR_INVALID_VALUE;
    if (!remote_is(function, REMOTE_FUNCTION))
        return CUDA_ERROR_INVALID_HANDLE;
    *value = function->attributes[attribute];
    return CUDA_SUCCESS;
}

CUresult remote_cuFuncSetAttribute(CUfunction function, int attribute, int value)
{
    if (!remote_is(function, REMOTE_FUNCTION))
        return CUDA_ERROR_INVALID_HANDLE;
    const struct remote_call call = {.call = WIRE_CUDA_FUNCTION_SET,
                                     .object = function->module->object.id,
                                     .other = function->index,
                                     .first = (uint64_t)attribute,
                                     .second = (uint64_t)value};
    CUresult result = remote_ask(&call, NULL);
    if (result == CUDA_SUCCESS && attribute >= 0 && attribute < WIRE_CUDA_FUNCTION_ATTRIBUTES)
        function->attributes[attribute] = value;
    return result;
}

CUresult remote_cuFuncGetModule(CUmodule *module, CUfunction function)
{
    if (!module)
        return CUDA_ERROR_INVALID_VALUE;
    if (!remote_is(function, REMOTE_FUNCTION))
        return CUDA_ERROR_INVALID_HANDLE;
    *module = function->module;
    return CUDA_SUCCESS;
}

CUresult remote_cuFuncGetName(const char **name, CUfunction function)
{
    if (!name)
        return CUDA_ERROR_INVALID_VALUE;
    if (!remote_is(function, REMOTE_FUNCTION))
        return CUDA_ERROR_INVALID_HANDLE;
    *name = function->name;
    return CUDA_SUCCESS;
}

CUresult remote_cuFuncGetParamInfo(CUfunction function, size_t index, size_t *offset, size_t *bytes)
{
    if (!remote_is(function, REMOTE_FUNCTION))
        return CUDA_ERROR_INVALID_HANDLE;
    if (index >= function->parameter_count || !offset)
        return CUDA_ERROR_INVALID_VALUE;
    *offset = function->parameters[index].offset;
    if (bytes)
        *bytes = function->parameters[index].bytes;
    return CUDA_SUCCESS;
}

CUresult remote_cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(
    int *blocks, CUfunction function, int block_size, size_t shared_bytes, unsigned flags)
{
    uint64_t answer = 0;
    if (!blocks || flags)
        return flags ? CUDA_ERROR_NOT_SUPPORTED : CUDA_ERROR_INVALID_VALUE;
    if (!remote_is(function, REMOTE_FUNCTION))
        return CUDA_ERROR_INVALID_HANDLE;
    const struct remote_call call = {.call = WIRE_CUDA_FUNCTION_OCCUPANCY,
                                     .object = function->module->object.id,
                                     .other = function->index,
                                     .first = (uint64_t)block_size,
                                     .second = shared_bytes};
    CUresult result = remote_ask(&call, &answer);
    if (result == CUDA_SUCCESS)
        *blocks = (int)answer;
    return result;
}

CUresult remote_cuOccupancyMaxActiveBlocksPerMultiprocessor(int *blocks, CUfunction function,
                                                            int block_size, size_t shared_bytes)
{
    return remote_cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(blocks, function, block_size,
                                                                       shared_bytes, 0);
}

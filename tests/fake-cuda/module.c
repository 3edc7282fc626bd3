/* The fake driver: modules, whose functions are the built-in ones whatever the image says, and
 * launches. */
#include <elf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fake-cuda/device.h"
#include "fake-cuda/driver.h"

#define BLOCKS 16 /* of a multiprocessor */

struct CUmod_st {
    char image; /* its first byte */
};

static CUresult spin_us(CUstream stream, const void *const *parameters)
{
    fake_enqueue(stream, (uint64_t) * (const uint32_t *)parameters[0] * 1000);
    return CUDA_SUCCESS;
}

static CUresult add_one(CUstream stream, const void *const *parameters)
{
    uint32_t *numbers = (void *)(uintptr_t) * (const CUdeviceptr *)parameters[0];
    for (uint32_t i = 0; i < *(const uint32_t *)parameters[1]; i++)
        numbers[i]++;
    fake_enqueue(stream, 1000);
    return CUDA_SUCCESS;
}

/* spin_us(uint32_t): busy for that long. add_one(uint32_t *, uint32_t n): 1 us. */
static const struct {
    struct CUfunc_st function;
    CUresult (*run)(CUstream stream, const void *const *parameters);
    unsigned count;
    struct {
        size_t offset, bytes;
    } parameters[2];
} functions[] = {
    {{"spin_us"}, spin_us, 1, {{0, 4}}},
    {{"add_one"}, add_one, 2, {{0, 8}, {8, 4}}},
};
#define FUNCTIONS (sizeof(functions) / sizeof(functions[0]))

static size_t index_of(CUfunction function)
{
    size_t i = 0;
    while (i < FUNCTIONS && &functions[i].function != function)
        i++;
    return i;
}

API CUresult cuModuleLoadData(CUmodule *module, const void *image)
{
    if (fake_fails("cuModuleLoadData"))
        return CUDA_ERROR_INVALID_IMAGE;
    *module = calloc(1, sizeof(**module));
    (*module)->image = *(const char *)image;
    return CUDA_SUCCESS;
}

/* An ELF image is there to its table of sections, or it is none. */
API CUresult cuModuleLoad(CUmodule *module, const char *path)
{
    FILE *file = fopen(path, "re");
    Elf64_Ehdr header = {0};
    if (!file)
        return CUDA_ERROR_FILE_NOT_FOUND;
    size_t got = fread(&header, 1, sizeof(header), file);
    (void)fseek(file, 0, SEEK_END);
    uint64_t bytes = (uint64_t)ftell(file);
    (void)fclose(file);
    if (got >= SELFMAG && memcmp(header.e_ident, ELFMAG, SELFMAG) == 0 &&
        (got < sizeof(header) || header.e_shoff > bytes))
        return CUDA_ERROR_INVALID_IMAGE;
    return cuModuleLoadData(module, &header);
}

API CUresult cuModuleUnload(CUmodule module)
{
    free(module);
    return CUDA_SUCCESS;
}

API CUresult cuModuleGetFunctionCount(unsigned *count, CUmodule module)
{
    *count = FUNCTIONS;
    return CUDA_SUCCESS;
}

API CUresult cuModuleEnumerateFunctions(CUfunction *list, unsigned count, CUmodule module)
{
    for (size_t i = 0; i < count && i < FUNCTIONS; i++)
        list[i] = (CUfunction)&functions[i].function;
    return CUDA_SUCCESS;
}

API CUresult cuModuleGetFunction(CUfunction *function, CUmodule module, const char *name)
{
    for (size_t i = 0; i < FUNCTIONS; i++) {
        if (strcmp(functions[i].function.name, name) != 0)
            continue;
        *function = (CUfunction)&functions[i].function;
        return CUDA_SUCCESS;
    }
    return CUDA_ERROR_NOT_FOUND;
}

API CUresult cuModuleGetGlobal_v2(CUdeviceptr *pointer, size_t *bytes, CUmodule module,
                                  const char *name)
{
    static uint64_t counter;
    if (strcmp(name, "counter") != 0)
        return CUDA_ERROR_NOT_FOUND;
    *pointer = (uintptr_t)&counter;
    *bytes = sizeof(counter);
    return CUDA_SUCCESS;
}

API CUresult cuFuncGetName(const char **name, CUfunction function)
{
    *name = function->name;
    return CUDA_SUCCESS;
}

API CUresult cuFuncGetParamInfo(CUfunction function, size_t index, size_t *offset, size_t *bytes)
{
    size_t i = index_of(function);
    if (i == FUNCTIONS || index >= functions[i].count)
        return CUDA_ERROR_INVALID_VALUE;
    *offset = functions[i].parameters[index].offset;
    if (bytes)
        *bytes = functions[i].parameters[index].bytes;
    return CUDA_SUCCESS;
}

API CUresult cuFuncGetAttribute(int *value, int attribute, CUfunction function)
{
    *value = attribute == 0 ? 1024 : 0; /* threads of a block */
    return CUDA_SUCCESS;
}

API CUresult cuFuncSetAttribute(CUfunction function, int attribute, int value)
{
    return CUDA_SUCCESS;
}

API CUresult cuOccupancyMaxActiveBlocksPerMultiprocessor(int *blocks, CUfunction function,
                                                         int block_size, size_t shared_bytes)
{
    *blocks = block_size > 0 ? BLOCKS : 0;
    return CUDA_SUCCESS;
}

/* ---- launches ---- */

/* Parameters given as one block. */
static void *block_of(void **extra)
{
    while (extra && *extra != CUDA_LAUNCH_END && *extra != CUDA_LAUNCH_BLOCK)
        extra += 2;
    return extra && *extra == CUDA_LAUNCH_BLOCK ? extra[1] : NULL;
}

static CUresult execute(CUfunction function, CUstream stream, void **each, void **extra)
{
    const void *parameters[2];
    size_t i = index_of(function);
    const char *block = block_of(extra);
    if (fake_fails("cuLaunchKernel"))
        return CUDA_ERROR_LAUNCH_FAILED;
    if (i == FUNCTIONS || (!each && !block))
        return CUDA_ERROR_INVALID_VALUE;
    for (unsigned p = 0; p < functions[i].count; p++)
        parameters[p] = each ? each[p] : block + functions[i].parameters[p].offset;
    return functions[i].run(stream, parameters);
}

CUresult fake_pack(CUfunction function, void **each, void **extra, void *block)
{
    size_t i = index_of(function);
    const char *from = block_of(extra);
    if (i == FUNCTIONS || (!each && !from))
        return CUDA_ERROR_INVALID_VALUE;
    for (unsigned p = 0; p < functions[i].count; p++)
        memcpy((char *)block + functions[i].parameters[p].offset,
               each ? each[p] : from + functions[i].parameters[p].offset,
               functions[i].parameters[p].bytes);
    return CUDA_SUCCESS;
}

CUresult fake_launch(CUfunction function, CUstream stream, const void *block)
{
    void *extra[] = {CUDA_LAUNCH_BLOCK, (void *)(uintptr_t)block, CUDA_LAUNCH_END};
    return execute(function, stream, NULL, extra);
}

API CUresult cuLaunchKernel(CUfunction function, unsigned gx, unsigned gy, unsigned gz, unsigned bx,
                            unsigned by, unsigned bz, unsigned shared, CUstream stream,
                            void **parameters, void **extra)
{
    return execute(function, stream, parameters, extra);
}
TWIN(cuLaunchKernel, _ptsz);

API CUresult cuLaunchCooperativeKernel(CUfunction function, unsigned gx, unsigned gy, unsigned gz,
                                       unsigned bx, unsigned by, unsigned bz, unsigned shared,
                                       CUstream stream, void **parameters)
{
    return execute(function, stream, parameters, NULL);
}

API CUresult cuLaunchKernelEx(const struct cuda_launch *launch, CUfunction function,
                              void **parameters, void **extra)
{
    return execute(function, launch->stream, parameters, extra);
}

/* What the programs of Debian's pocl-tests expect of PoCL's own helper library, which is not
 * packaged: the same names, written anew on the OpenCL API alone. */
#ifndef LEAT_TEST_POCLU_H
#define LEAT_TEST_POCLU_H

#include "pocl_opencl.h"

#include <stdio.h>
#include <stdlib.h>

#ifdef __cplusplus
extern "C" {
#endif

cl_context poclu_create_any_context(void);
cl_int poclu_get_any_device(cl_context *context, cl_device_id *device, cl_command_queue *queue);
cl_int poclu_get_any_device2(cl_context *context, cl_device_id *device, cl_command_queue *queue,
                             cl_platform_id *platform);
cl_int poclu_get_multiple_devices(cl_platform_id *platform, cl_context *context, cl_uint *count,
                                  cl_device_id **devices, cl_command_queue **queues);
char *poclu_read_file(const char *path);
char *poclu_read_binfile(const char *path, size_t *bytes);
int poclu_write_file(const char *path, char *content, size_t bytes);
int poclu_load_program(cl_context context, cl_device_id device, const char *name, int spir,
                       int spirv, int poclbin, const char *binary, const char *options,
                       cl_program *program);
int poclu_load_program_multidev(cl_context context, cl_device_id *devices, cl_uint count,
                                const char *name, int spir, int spirv, int poclbin,
                                const char *binary, const char *options, cl_program *program);
cl_int poclu_show_program_build_log(cl_program program);
cl_int poclu_bswap_cl_int(cl_device_id device, cl_int value);
cl_float poclu_bswap_cl_float(cl_device_id device, cl_float value);
void poclu_bswap_cl_int_array(cl_device_id device, cl_int *values, size_t count);
void poclu_bswap_cl_float_array(cl_device_id device, cl_float *values, size_t count);
int check_cl_error(cl_int code, int line, const char *where);

#ifdef __cplusplus
}
#endif

#define POCLU_FAIL_IF(code, where) \
    do { \
        if (check_cl_error(code, __LINE__, where)) \
            return EXIT_FAILURE; \
    } while (0)
#define CHECK_CL_ERROR(code) POCLU_FAIL_IF(code, __func__)
#define CHECK_OPENCL_ERROR_IN(where) POCLU_FAIL_IF(err, where)
#define CHECK_CL_ERROR2(code) \
    if (check_cl_error(code, __LINE__, __func__)) \
    goto ERROR
#define TEST_ASSERT(truth) \
    do { \
        if (!(truth)) { \
            fprintf(stderr, "line %d: not so: %s\n", __LINE__, #truth); \
            return EXIT_FAILURE; \
        } \
    } while (0)

#endif

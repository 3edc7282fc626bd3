/* Compiling and linking as two steps. Headers are put into the source here; the executor compiles
 * one text. */
#include "card/opencl/context.h"
#include "card/opencl/include.h"
#include "card/opencl/process.h"
#include "card/opencl/program.h"
#include "opencl_api.h"

/* Headers are programs whose source is the text. */
static cl_int check_headers(cl_uint count, const cl_program *headers, const char **names)
{
    if (count == 0)
        return headers || names ? CL_INVALID_VALUE : CL_SUCCESS;
    if (!headers || !names)
        return CL_INVALID_VALUE;
    for (cl_uint i = 0; i < count; i++) {
        if (!handle_is(headers[i], OBJECT_PROGRAM))
            return CL_INVALID_PROGRAM;
        if (!names[i])
            return CL_INVALID_VALUE;
        if (!headers[i]->source)
            return CL_INVALID_OPERATION;
    }
    return CL_SUCCESS;
}

static cl_int compile(cl_program program, const char *options, cl_uint count,
                      const cl_program *headers, const char **names)
{
    const char **texts = calloc(count + 1u, sizeof(*texts));
    if (!texts)
        return CL_OUT_OF_HOST_MEMORY;
    for (cl_uint i = 0; i < count; i++)
        texts[i] = headers[i]->source;
    const struct include_headers given = {count, names, texts};
    const struct program_task task = {
        .stage = WIRE_BUILD_COMPILE, .options = options, .headers = &given};
    cl_int result = program_work(program, &task);
    free(texts);
    return result;
}

cl_int api_clCompileProgram(cl_program program, cl_uint num_devices,
                            const cl_device_id *device_list, const char *options,
                            cl_uint num_input_headers, const cl_program *input_headers,
                            const char **header_include_names,
                            void(CL_CALLBACK *pfn_notify)(cl_program program, void *user_data),
                            void *user_data)
{
    if (!pfn_notify && user_data)
        return CL_INVALID_VALUE;
    cl_int result = program_check(program, num_devices, device_list);
    if (result == CL_SUCCESS)
        result = check_headers(num_input_headers, input_headers, header_include_names);
    if (result == CL_SUCCESS && !program->source)
        result = CL_INVALID_OPERATION;
    if (result != CL_SUCCESS)
        return result;
    result = compile(program, options, num_input_headers, input_headers, header_include_names);
    if (pfn_notify)
        pfn_notify(program, user_data);
    return result;
}

/* An input is compiled, or a binary, of which the driver knows what it is. */
static cl_int check_inputs(cl_uint count, const cl_program *inputs)
{
    if (count == 0 || !inputs)
        return CL_INVALID_VALUE;
    for (cl_uint i = 0; i < count; i++) {
        if (!handle_is(inputs[i], OBJECT_PROGRAM))
            return CL_INVALID_PROGRAM;
        if (inputs[i]->status != CL_BUILD_SUCCESS && !inputs[i]->from_binary)
            return CL_INVALID_OPERATION;
    }
    return CL_SUCCESS;
}

static cl_int check_link(cl_context context, cl_uint num_devices, const cl_device_id *device_list)
{
    if (!device_list != !num_devices)
        return CL_INVALID_VALUE;
    for (cl_uint i = 0; i < num_devices; i++)
        if (device_list[i] != context->device)
            return CL_INVALID_DEVICE;
    return CL_SUCCESS;
}

cl_program api_clLinkProgram(cl_context context, cl_uint num_devices,
                             const cl_device_id *device_list, const char *options,
                             cl_uint num_input_programs, const cl_program *input_programs,
                             void(CL_CALLBACK *pfn_notify)(cl_program program, void *user_data),
                             void *user_data, cl_int *errcode_ret)
{
    const struct program_task task = {.stage = WIRE_BUILD_LINK,
                                      .options = options,
                                      .inputs = input_programs,
                                      .input_count = num_input_programs};
    cl_int result =
        !pfn_notify && user_data ? CL_INVALID_VALUE : check_link(context, num_devices, device_list);
    if (result == CL_SUCCESS)
        result = check_inputs(num_input_programs, input_programs);
    cl_program program = result == CL_SUCCESS ? program_create(context) : NULL;
    *errcode_ret = result == CL_SUCCESS && !program ? CL_OUT_OF_HOST_MEMORY : result;
    if (!program)
        return NULL;
    program->from_link = 1;
    *errcode_ret = program_work(program, &task);
    if (*errcode_ret != CL_SUCCESS && !program->build) {
        object_release(&program->object); /* there is not even a log */
        return NULL;
    }
    if (pfn_notify)
        pfn_notify(program, user_data);
    return program;
}

/* Compiling and linking as two steps. Headers are put into the source here; the executor compiles
 * one text. */
#include "card/opencl/context.h"
#include "card/opencl/include.h"
#include "card/opencl/process.h"
#include "card/opencl/program.h"
#include "card/opencl/subdevice.h"
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

static cl_int compile(cl_program program, const struct device_choice *devices, const char *options,
                      cl_uint count, const cl_program *headers, const char **names)
{
    const char **texts = calloc(count + 1u, sizeof(*texts));
    if (!texts)
        return CL_OUT_OF_HOST_MEMORY;
    for (cl_uint i = 0; i < count; i++)
        texts[i] = headers[i]->source;
    const struct include_headers given = {count, names, texts};
    const struct program_task task = {
        .stage = WIRE_BUILD_COMPILE, .devices = devices, .options = options, .headers = &given};
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
    struct device_choice devices;
    cl_int result = program_check(program, num_devices, device_list, &devices);
    if (result != CL_SUCCESS)
        return result;
    result = check_headers(num_input_headers, input_headers, header_include_names);
    if (result == CL_SUCCESS && !program->source)
        result = CL_INVALID_OPERATION;
    int valid = result == CL_SUCCESS;
    if (valid)
        result = compile(program, &devices, options, num_input_headers, input_headers,
                         header_include_names);
    device_choice_finish(&devices);
    if (valid && pfn_notify)
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
        if (!program_built(inputs[i]) && !inputs[i]->from_binary)
            return CL_INVALID_OPERATION;
    }
    return CL_SUCCESS;
}

/* Whoever asked is called back when the link has failed, too, with a program that is gone after. */
static cl_program link_inputs(cl_context context, const struct program_task *task,
                              void(CL_CALLBACK *notify)(cl_program program, void *user_data),
                              void *user_data, cl_int *ret_code)
{
    cl_program program = program_create(context, task->devices);
    *ret_code = CL_OUT_OF_HOST_MEMORY;
    if (!program)
        return NULL;
    program->from_link = 1;
    *ret_code = program_work(program, task);
    for (cl_uint i = 0; *ret_code != CL_SUCCESS && i < task->devices->count; i++)
        if (!program->parts[i].build)
            program->parts[i].status = CL_BUILD_ERROR;
    if (notify)
        notify(program, user_data);
    if (*ret_code == CL_SUCCESS || program->parts[0].build)
        return program;
    object_release(&program->object); /* there is not even a log */
    return NULL;
}

cl_program api_clLinkProgram(cl_context context, cl_uint num_devices,
                             const cl_device_id *device_list, const char *options,
                             cl_uint num_input_programs, const cl_program *input_programs,
                             void(CL_CALLBACK *pfn_notify)(cl_program program, void *user_data),
                             void *user_data, cl_int *errcode_ret)
{
    struct device_choice devices = {0};
    const struct program_task task = {.stage = WIRE_BUILD_LINK,
                                      .devices = &devices,
                                      .options = options,
                                      .inputs = input_programs,
                                      .input_count = num_input_programs};
    cl_program program = NULL;
    *errcode_ret = !pfn_notify && user_data
                       ? CL_INVALID_VALUE
                       : devices_choose(context->devices, context->device_count, device_list,
                                        num_devices, &devices);
    if (*errcode_ret == CL_SUCCESS)
        *errcode_ret = check_inputs(num_input_programs, input_programs);
    if (*errcode_ret == CL_SUCCESS)
        program = link_inputs(context, &task, pfn_notify, user_data, errcode_ret);
    device_choice_finish(&devices);
    return program;
}

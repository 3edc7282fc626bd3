/* The driver's habit of telling of arguments: see arg_info.h. */
#include "card/executor/arg_info.h"

#include <string.h>

#include "card/executor/build_cache.h"
#include "card/executor/session.h"
#include "card/meter/meter.h"

static const char probe[] = "kernel void probe(int argument) {}";

/* What the driver does with a program that was built with `options`. */
static enum arg_info_habit ask_driver(cl_context context, const char *options)
{
    const char *text = probe;
    char name[sizeof("argument")];
    enum arg_info_habit habit = ARG_INFO_WHEN_ASKED;
    cl_int status;
    cl_program program = clCreateProgramWithSource(context, 1, &text, NULL, &status);
    if (status != CL_SUCCESS)
        return ARG_INFO_UNKNOWN;
    if (clBuildProgram(program, 0, NULL, options, NULL, NULL) == CL_SUCCESS) {
        cl_kernel kernel = clCreateKernel(program, "probe", &status);
        if (status == CL_SUCCESS) {
            if (clGetKernelArgInfo(kernel, 0, CL_KERNEL_ARG_NAME, sizeof(name), name, NULL) ==
                CL_SUCCESS)
                habit = ARG_INFO_ALWAYS;
            (void)clReleaseKernel(kernel); /* ours */
        }
    }
    (void)clReleaseProgram(program); /* ours */
    return habit;
}

static enum arg_info_habit find_habit(const struct session *session, cl_context context,
                                      const char *options)
{
    const struct build_key key = {.device = session->device_text,
                                  .options = options ? options : "none",
                                  .kind = "argument info",
                                  .text = probe,
                                  .text_length = sizeof(probe)};
    struct build_result kept = {0};
    char habit = ARG_INFO_UNKNOWN;
    if (session->builds_fd >= 0 && build_cache_load(session->builds_fd, &key, &kept) == 0) {
        if (kept.reply_length == sizeof(habit))
            habit = kept.reply[0];
        buf_finish(&kept.file);
    }
    if (habit == ARG_INFO_WHEN_ASKED || habit == ARG_INFO_ALWAYS)
        return (enum arg_info_habit)habit;
    meter_work_begin(session->meter);
    habit = (char)ask_driver(context, options);
    meter_work_end(session->meter);
    kept = (struct build_result){.reply = &habit, .reply_length = sizeof(habit)};
    if (session->builds_fd >= 0 && habit != ARG_INFO_UNKNOWN)
        (void)build_cache_store(session->builds_fd, &key, &kept,
                                BUILD_CACHE_MAX_BYTES); /* else it is asked again */
    return (enum arg_info_habit)habit;
}

int arg_info_is_told(struct session *session, cl_program program, const char *asked)
{
    enum arg_info_habit *habit = &session->arg_info_habits[asked == NULL];
    cl_context context;
    if (asked && strstr(asked, ARG_INFO_OPTION))
        return 1;
    if (*habit == ARG_INFO_UNKNOWN && clGetProgramInfo(program, CL_PROGRAM_CONTEXT, sizeof(context),
                                                       &context, NULL) == CL_SUCCESS)
        *habit = find_habit(session, context, asked ? "" : NULL);
    return *habit == ARG_INFO_ALWAYS;
}

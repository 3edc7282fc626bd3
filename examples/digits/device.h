/* The OpenCL device: first one found, one in-order queue, one program. Any error ends the program
 * with a message: a trainer cannot go on without its device. */
#ifndef DIGITS_DEVICE_H
#define DIGITS_DEVICE_H

#define CL_TARGET_OPENCL_VERSION 120
#include <CL/cl.h>
#include <stddef.h>

struct device {
    cl_device_id id;
    cl_context context;
    cl_command_queue queue;
    cl_program program;
};

/* One argument of a kernel: launch(..., (struct argument[]){ARGUMENT(x), ARGUMENT(count)}, 2). */
struct argument {
    size_t bytes;
    const void *value;
};
#define ARGUMENT(variable) \
    { \
        sizeof(variable), &(variable) \
    }

struct work_size {
    size_t x, y;
};

void device_open(struct device *device, const char *source);
void device_close(struct device *device);

cl_kernel device_kernel(const struct device *device, const char *name);
cl_mem device_buffer(const struct device *device, size_t bytes, const char *what);
/* Both copy `bytes` from the start of the buffer and return when the copy is done. */
void device_write(const struct device *device, cl_mem buffer, const void *data, size_t bytes);
void device_read(const struct device *device, cl_mem buffer, void *data, size_t bytes);
void device_finish(const struct device *device);

/* Set all arguments and enqueue: no waiting. */
void device_launch(const struct device *device, cl_kernel kernel, struct work_size global,
                   struct work_size local, const struct argument *arguments, cl_uint count);

/* Print "digits: MESSAGE" and exit with status 1. */
void fail(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

#endif

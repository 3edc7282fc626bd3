/* What the programs of the end-to-end tests have in common. Each is one file that includes this
 * once; a call that must not fail ends the program with status 2 and its name. */
#ifndef LEAT_TEST_PROGRAM_H
#define LEAT_TEST_PROGRAM_H

#include <CL/cl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

static inline void must(cl_int code, const char *what)
{
    if (code == CL_SUCCESS)
        return;
    (void)fprintf(stderr, "%s: %d\n", what, (int)code);
    exit(2);
}

#define MUST(call) must(call, #call)
/* `target` = a call that tells its code through the caller's `code`. */
#define MAKE(target, call) ((target) = (call), must(code, #call))

/* Outcomes for a comparison: a code, and one that a call tells through the caller's `code`. */
#define REPORT(name, call) (void)printf("%s %d\n", name, (int)(call))
#define REPORT_CODE(name, call) (code = 1, (void)(call), REPORT(name, code))

/* The first platform's first device, and a context of it. */
static inline cl_context open_device(cl_device_id *ret_device)
{
    cl_platform_id platform;
    cl_context context;
    cl_int code;
    MUST(clGetPlatformIDs(1, &platform, NULL));
    MUST(clGetDeviceIDs(platform, CL_DEVICE_TYPE_ALL, 1, ret_device, NULL));
    MAKE(context, clCreateContext(NULL, 1, ret_device, NULL, NULL, &code));
    return context;
}

/* FNV-1a. */
static inline uint64_t hash(const void *data, size_t length)
{
    const unsigned char *bytes = data;
    uint64_t state = 14695981039346656037u;
    for (size_t i = 0; i < length; i++)
        state = (state ^ bytes[i]) * 1099511628211u;
    return state;
}

/* Tell that this is the moment, until the other side has done what it does then. */
static inline void await_line(void)
{
    char line[64];
    (void)fputs("ready\n", stdout); /* printf becomes puts, which may write the end by itself */
    (void)fflush(stdout);
    if (!fgets(line, sizeof(line), stdin))
        exit(3);
}

static inline void show(const char *name, const void *data, size_t length)
{
    (void)printf("%s %016llx\n", name, (unsigned long long)hash(data, length));
}

#endif

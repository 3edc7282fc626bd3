/* What test drivers that stand in front of another one, PoCL, have in common: it is loaded, and
 * they put their own functions into its dispatch table. Each is one file that includes this once
 * and defines `intercept`; for tests in one thread. */
#ifndef LEAT_TEST_ICD_FRONT_H
#define LEAT_TEST_ICD_FRONT_H

#include <CL/cl.h>
#include <CL/cl_icd.h>
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))

static struct _cl_icd_dispatch driver; /* PoCL's own functions */

/* Put functions into the table, once `driver` has what was there. */
static void intercept(struct _cl_icd_dispatch *table);

/* The function of the driver that PoCL's own file in the loader's folder names. */
static void *driver_function(const char *name)
{
    static void *library;
    char path[4096] = "";
    if (!library) {
        FILE *file = fopen("/etc/OpenCL/vendors/pocl.icd", "re");
        if (!file || !fgets(path, sizeof(path), file))
            path[0] = '\0';
        if (file)
            (void)fclose(file);
        path[strcspn(path, "\n")] = '\0';
        library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    }
    void *(*address_of)(const char *) = NULL;
    if (library)
        *(void **)&address_of = dlsym(library, "clGetExtensionFunctionAddress");
    return address_of ? address_of(name) : NULL;
}

EXPORT cl_int CL_API_CALL clIcdGetPlatformIDsKHR(cl_uint room, cl_platform_id *platforms,
                                                 cl_uint *count)
{
    clIcdGetPlatformIDsKHR_fn get = NULL;
    cl_platform_id platform;
    *(void **)&get = driver_function("clIcdGetPlatformIDsKHR");
    if (!get || get(1, &platform, NULL) != CL_SUCCESS)
        return CL_PLATFORM_NOT_FOUND_KHR;
    if (!driver.clCreateContext) {
        struct _cl_icd_dispatch *table = *(struct _cl_icd_dispatch **)(void *)platform;
        driver = *table;
        intercept(table);
    }
    return get(room, platforms, count);
}

EXPORT void *CL_API_CALL clGetExtensionFunctionAddress(const char *name)
{
    return strcmp(name, "clIcdGetPlatformIDsKHR") == 0 ? (void *)clIcdGetPlatformIDsKHR
                                                       : driver_function(name);
}

#endif

#include "card/opencl/sibling.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "card/opencl/process.h"

int sibling_token(const char *tokens, unsigned number, char *token, size_t room)
{
    for (; number > 0; number--) {
        const char *comma = strchr(tokens, ',');
        if (!comma)
            return -1;
        tokens = comma + 1;
    }
    size_t length = strcspn(tokens, ",");
    if (length == 0 || length >= room)
        return -1;
    memcpy(token, tokens, length);
    token[length] = '\0';
    return 0;
}

cl_platform_id sibling_be(unsigned number)
{
    process.card_number = number;
    return process_connect() == CL_SUCCESS ? &process.platform : NULL;
}

/* The bytes of this library in a file of their own, for the loader takes one file for one library:
 * a descriptor, or -1. */
static int copy_library(void)
{
    Dl_info self;
    struct stat file;
    if (!dladdr((const void *)siblings_open, &self))
        return -1;
    int from = open(self.dli_fname, O_RDONLY | O_CLOEXEC);
    int copy = from < 0 ? -1 : memfd_create("libleat-opencl", MFD_CLOEXEC);
    ssize_t left = copy >= 0 && fstat(from, &file) == 0 ? (ssize_t)file.st_size : -1;
    while (left > 0) {
        ssize_t sent = sendfile(copy, from, NULL, (size_t)left);
        left = sent > 0 ? left - sent : -1;
    }
    if (from >= 0)
        (void)close(from);
    if (left == 0)
        return copy;
    if (copy >= 0)
        (void)close(copy);
    return -1;
}

/* Load the copy; NULL when it cannot be. */
static sibling_function *load(int fd)
{
    char path[32];
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    void *(*address_of)(const char *name) = NULL;
    sibling_function *platform_of = NULL;
    if (library) /* data and function pointers are alike wherever there is a dlsym */
        *(void **)&address_of = dlsym(library, "clGetExtensionFunctionAddress");
    if (address_of)
        *(void **)&platform_of = address_of(SIBLING_FUNCTION);
    return platform_of;
}

void siblings_open(struct siblings *siblings, const char *tokens)
{
    int copies[CARDS_MAX];
    unsigned count = 0;
    siblings->sought = 1;
    for (; (tokens = strchr(tokens, ',')) && count + 1 < CARDS_MAX; tokens++) {
        copies[count] = copy_library();
        if (copies[count] < 0)
            break;
        siblings->platform_of[count] = load(copies[count]);
        if (!siblings->platform_of[count++])
            break;
        siblings->count = count;
    }
    /* Not before: the loader takes a path that it has had for the library that was there. */
    while (count > 0)
        (void)close(copies[--count]);
}

cl_uint siblings_platforms(const struct siblings *siblings, cl_uint room, cl_platform_id *platforms)
{
    cl_uint count = 0;
    for (unsigned i = 0; i < siblings->count; i++) {
        cl_platform_id platform = siblings->platform_of[i](i + 1);
        if (platform && count < room)
            platforms[count] = platform;
        count += platform != NULL;
    }
    return count;
}

/* Mapping the drivers' libraries ahead of the sessions: see executor.h. */
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "base/path.h"
#include "card/executor/executor.h"

#define VENDORS_DEFAULT "/etc/OpenCL/vendors"
#define ICD_SUFFIX ".icd"
#define ICD_MAX_BYTES 4096
#define OWN_LIBRARY "libleat-opencl"

/* An .icd file holds the name of a library. It stays open for good. */
static void library_open(const char *folder, const char *file)
{
    char path[PATH_MAX];
    AUTO_BUF struct buf name = BUF_INIT;
    const char *suffix = strrchr(file, '.');
    if (!suffix || strcmp(suffix, ICD_SUFFIX) != 0 || path_join(folder, file, path, NULL) < 0 ||
        file_read(AT_FDCWD, path, ICD_MAX_BYTES, &name, NULL) < 0 || !name.data)
        return;
    name.data[strcspn(name.data, "\r\n")] = '\0';
    if (name.data[0] && !strstr(name.data, OWN_LIBRARY))
        (void)dlopen(name.data, RTLD_NOW | RTLD_LOCAL); /* else the loader says so later */
}

static int has_one_thread(void)
{
    unsigned threads = 0;
    DIR *tasks = opendir("/proc/self/task");
    for (const struct dirent *task; tasks && (task = readdir(tasks));)
        threads += task->d_name[0] != '.';
    if (tasks)
        (void)closedir(tasks);
    return threads == 1;
}

int executor_preload(void)
{
    const char *given = getenv("LEAT_DEVICE_ICD_VENDORS");
    const char *folder = given ? given : VENDORS_DEFAULT;
    DIR *vendors = opendir(folder);
    for (const struct dirent *entry; vendors && (entry = readdir(vendors));)
        library_open(folder, entry->d_name);
    if (vendors)
        (void)closedir(vendors);
    return has_one_thread() ? 0 : -EBUSY;
}

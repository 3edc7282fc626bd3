/* leat device scan: what of accelerators this host shows, and how: a table of probes, each of which
 * says what it found or why it found nothing. Nothing is asked of any daemon. Interfaces of
 * libraries are declared from their public documentation. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/json.h"
#include "cli/ask.h"
#include "cli/verb.h"
#include "cli/verbs.h"
#include "cli/view.h"

#define DEVICES_MAX 64
#define NAME_MAX_BYTES 128
#define FILE_MAX_BYTES 65536

/* What a probe found; `why` is for people. */
struct finding {
    unsigned count;
    struct buf names;
    char why[256];
};

struct probe {
    const char *name;    /* of the interface */
    const char *library; /* that its programs need; NULL: none is named */
    /* A device for each file, when it is there and, with `line`, has a line that begins so and
     * ends otherwise than in " 0". The root of the file system goes in front. */
    const char *pattern, *line;
    const char *driver;                                  /* what makes those files */
    void (*ask)(void *library, struct finding *finding); /* NULL: files are counted */
};

static void name_add(struct finding *finding, const char *name)
{
    finding->count++;
    (void)buf_printf(&finding->names, "%s%s", finding->names.length ? ", " : "",
                     name); /* without memory the list is shorter */
}

/* -- by libraries -- */

#define CL_ALL_DEVICES 0xffffffffull
#define CL_NAME_OF_DEVICE 0x102b

static void ask_opencl(void *library, struct finding *finding)
{
    int (*platforms_get)(uint32_t, void **, uint32_t *);
    int (*devices_get)(void *, uint64_t, uint32_t, void **, uint32_t *);
    int (*device_get)(void *, uint32_t, size_t, void *, size_t *);
    void *platforms[DEVICES_MAX], *devices[DEVICES_MAX];
    uint32_t platform_count = 0;
    *(void **)&platforms_get = dlsym(library, "clGetPlatformIDs");
    *(void **)&devices_get = dlsym(library, "clGetDeviceIDs");
    *(void **)&device_get = dlsym(library, "clGetDeviceInfo");
    if (!platforms_get || !devices_get || !device_get ||
        platforms_get(DEVICES_MAX, platforms, &platform_count) != 0)
        platform_count = 0;
    for (uint32_t i = 0; i < platform_count && i < DEVICES_MAX; i++) {
        uint32_t device_count = 0;
        if (devices_get(platforms[i], CL_ALL_DEVICES, DEVICES_MAX, devices, &device_count) != 0)
            continue;
        for (uint32_t k = 0; k < device_count && k < DEVICES_MAX; k++) {
            char name[NAME_MAX_BYTES] = "";
            (void)device_get(devices[k], CL_NAME_OF_DEVICE, sizeof(name) - 1, name,
                             NULL); /* or it has none */
            name_add(finding, name);
        }
    }
    (void)snprintf(finding->why, sizeof(finding->why), "%s",
                   finding->count ? "cards through OpenCL"
                                  : "the loader is there, and no driver that it knows has a "
                                    "device (/etc/OpenCL/vendors)");
}

static void ask_nvml(void *library, struct finding *finding)
{
    int (*init)(void), (*count_get)(unsigned *), (*device_get)(unsigned, void **);
    int (*name_get)(void *, char *, unsigned);
    unsigned count = 0;
    void *device;
    *(void **)&init = dlsym(library, "nvmlInit_v2");
    *(void **)&count_get = dlsym(library, "nvmlDeviceGetCount_v2");
    *(void **)&device_get = dlsym(library, "nvmlDeviceGetHandleByIndex_v2");
    *(void **)&name_get = dlsym(library, "nvmlDeviceGetName");
    bool good =
        init && count_get && device_get && name_get && init() == 0 && count_get(&count) == 0;
    for (unsigned i = 0; good && i < count; i++) {
        char name[NAME_MAX_BYTES] = "";
        if (device_get(i, &device) == 0 && name_get(device, name, sizeof(name)) == 0)
            name_add(finding, name);
    }
    (void)snprintf(finding->why, sizeof(finding->why), "%s",
                   finding->count ? "cards of kind cuda"
                   : good         ? "the driver has no device"
                          : "the library is there, and the kernel's driver does not answer");
}

static void library_probe(const struct probe *probe, struct finding *finding)
{
    void *library = dlopen(probe->library, RTLD_NOW | RTLD_LOCAL);
    if (library)
        probe->ask(library, finding); /* it stays loaded: some cannot be closed */
    else
        (void)snprintf(finding->why, sizeof(finding->why), "no library: %s", dlerror());
}

/* -- by files -- */

static bool line_is_set(const char *text, const char *line)
{
    for (const char *at = text; at; at = strchr(at, '\n')) {
        at += *at == '\n';
        if (strncmp(at, line, strlen(line)) == 0)
            return strncmp(at + strlen(line), " 0\n", 3) != 0;
    }
    return false;
}

/* Does the file stand for a device? Its name goes into the list, without that of the root. */
static void file_take(const struct probe *probe, const char *path, size_t root_length,
                      struct finding *finding)
{
    AUTO_BUF struct buf text = BUF_INIT;
    if (probe->line && (file_read(AT_FDCWD, path, FILE_MAX_BYTES, &text, NULL) < 0 || !text.data ||
                        !line_is_set(text.data, probe->line)))
        return;
    name_add(finding, path + root_length);
}

static void files_probe(const struct probe *probe, const char *root, struct finding *finding)
{
    char pattern[PATH_MAX];
    glob_t found = {0};
    if (snprintf(pattern, sizeof(pattern), "%s%s", root, probe->pattern) >= (int)sizeof(pattern))
        return;
    int r = glob(pattern, 0, NULL, &found);
    for (size_t i = 0; r == 0 && i < found.gl_pathc && i < DEVICES_MAX; i++)
        file_take(probe, found.gl_pathv[i], strlen(root), finding);
    globfree(&found);
    void *library = finding->count ? dlopen(probe->library, RTLD_NOW | RTLD_LOCAL) : NULL;
    if (finding->count == 0)
        (void)snprintf(finding->why, sizeof(finding->why), "no device in %.120s: %s", pattern,
                       probe->driver);
    else
        (void)snprintf(finding->why, sizeof(finding->why),
                       library ? "%s is there; cards through its OpenCL driver, if it has one"
                               : "%s is missing: install the vendor's run time",
                       probe->library);
}

static const struct probe probes[] = {
    {"OpenCL", "libOpenCL.so.1", NULL, NULL, NULL, ask_opencl},
    {"NVML", "libnvidia-ml.so.1", NULL, NULL, NULL, ask_nvml},
    {"ROCm", "libamdhip64.so", "/sys/class/kfd/kfd/topology/nodes/*/properties", "simd_count",
     "AMD's compute driver (amdgpu with kfd) is not loaded or has none", NULL},
    {"Level Zero", "libze_loader.so.1", "/sys/class/drm/renderD*/device/vendor", "0x8086",
     "no Intel GPU with a driver (i915, xe)", NULL},
    {"Gaudi", "libSynapse.so", "/sys/class/accel/accel*/device/vendor", "0x1da3",
     "no Intel Gaudi with its driver (habanalabs)", NULL},
    {"Ascend", "libascendcl.so", "/dev/davinci[0-9]*", NULL, "no Huawei NPU with its driver", NULL},
};

static int row_add(json_t *rows, const struct probe *probe, const char *root, struct error *err)
{
    struct finding finding = {.names = BUF_INIT};
    if (probe->ask)
        library_probe(probe, &finding);
    else
        files_probe(probe, root, &finding);
    json_t *row =
        json_pack("{s:s, s:s, s:i, s:s, s:s}", "probe", probe->name, "result",
                  finding.count ? "found" : "not there", "devices", (int)finding.count, "names",
                  finding.names.data ? finding.names.data : "", "why", finding.why);
    buf_finish(&finding.names);
    if (json_array_append_new(rows, row) == 0)
        return 0;
    return error_set(err, -ENOMEM, "out-of-memory", "making the table");
}

static const struct view_column scan_columns[] = {
    {"PROBE", "probe", VIEW_TEXT},      {"RESULT", "result", VIEW_TEXT},
    {"DEVICES", "devices", VIEW_COUNT}, {"WHY", "why", VIEW_TEXT},
    {"NAMES", "names", VIEW_TEXT},      {0},
};

static int device_scan(struct cli *cli, const struct args *args, struct error *err)
{
    const char *given = args_text(args, "root"), *root = given ? given : "";
    AUTO_JSON json_t *rows = json_array();
    int r = rows ? 0 : error_set(err, -ENOMEM, "out-of-memory", "making the table");
    for (size_t i = 0; r == 0 && i < sizeof(probes) / sizeof(probes[0]); i++)
        r = row_add(rows, &probes[i], root, err);
    if (r < 0)
        return r;
    if (cli->json) {
        AUTO_JSON json_t *answer = json_pack("{s:O}", "probes", rows);
        ask_print(answer);
        return 0;
    }
    AUTO_BUF struct buf out = BUF_INIT;
    view_list(&out, rows, scan_columns);
    view_flush(&out);
    return 0;
}

static const struct option_spec scan_options[] = {
    {"root", 0, "DIR", "look for files of the system below this folder, not below /"},
    {0},
};

const struct verb verb_device_scan = {
    .group = "device",
    .name = "scan",
    .summary = "Say which accelerators this host shows, and what is missing for the others",
    .details = "Looks for OpenCL, NVIDIA's NVML, AMD's ROCm, Intel's GPUs and Gaudi, and Huawei's "
               "Ascend, by their libraries and by the files of their drivers.",
    .example = "leat device scan",
    .options = scan_options,
    .run = device_scan,
};

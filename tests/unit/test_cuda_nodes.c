/* Which nodes a container is shown, on a made-up machine with two devices whose nodes are counted
 * the other way round; the second is divided. */
#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "base/fd.h"
#include "core/cuda_list.h"
#include "core/cuda_nodes.h"

static char root[] = "/tmp/leat-nodes-XXXXXX";

static void put(const char *path, const char *text)
{
    char whole[PATH_MAX];
    (void)snprintf(whole, sizeof(whole), "%s%s", root, path);
    for (char *slash = strchr(whole + strlen(root) + 1, '/'); slash;
         slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        (void)mkdir(whole, 0700); /* it may be there */
        *slash = '/';
    }
    FILE *file = fopen(whole, "we");
    assert_non_null(file);
    (void)fputs(text, file);
    assert_int_equal(fclose(file), 0);
}

static int set_up(void **unused)
{
    assert_non_null(mkdtemp(root));
    put("/proc/driver/nvidia/gpus/0000:01:00.0/information", "Model: \t A\nDevice Minor: \t 1\n");
    put("/proc/driver/nvidia/gpus/0000:02:00.0/information", "Model: \t A\nDevice Minor: \t 0\n");
    put("/proc/driver/nvidia/capabilities/gpu0/mig/gi2/access",
        "DeviceFileMinor: 21\nDeviceFileMode: 292\n");
    put("/proc/driver/nvidia/capabilities/gpu0/mig/gi2/ci0/access", "DeviceFileMinor: 22\n");
    static const char *const nodes[] = {
        "/dev/nvidia0",    "/dev/nvidia1",
        "/dev/nvidiactl",  "/dev/nvidia-caps/nvidia-cap21",
        "/dev/nvidia-uvm", "/dev/nvidia-caps/nvidia-cap22",
    };
    for (size_t i = 0; i < sizeof(nodes) / sizeof(nodes[0]); i++)
        put(nodes[i], "");
    return 0;
}

static int tear_down(void **unused)
{
    return dir_remove_tree(AT_FDCWD, root, NULL);
}

static void expect(unsigned index, const char *part, const char *wanted)
{
    struct cuda_nodes nodes;
    char got[CUDA_NODES_MAX * CUDA_NODE_PATH_MAX] = "";
    cuda_nodes_find(root, index, part, &nodes);
    for (unsigned i = 0; i < nodes.count; i++) {
        (void)strncat(got, nodes.paths[i] + strlen("/dev/"), sizeof(got) - strlen(got) - 1);
        (void)strncat(got, " ", sizeof(got) - strlen(got) - 1);
    }
    assert_string_equal(got, wanted);
}

static void test_whole(void **unused)
{
    expect(0, NULL, "nvidia1 nvidiactl nvidia-uvm ");
    expect(1, NULL, "nvidia0 nvidiactl nvidia-uvm ");
    expect(7, NULL, "nvidiactl nvidia-uvm ");
}

static void test_part(void **unused)
{
    expect(1, "2/0",
           "nvidia0 nvidiactl nvidia-uvm nvidia-caps/nvidia-cap21 nvidia-caps/nvidia-cap22 ");
    expect(1, "2/1", "nvidia0 nvidiactl nvidia-uvm nvidia-caps/nvidia-cap21 ");
    expect(1, "nonsense", "nvidia0 nvidiactl nvidia-uvm ");
}

/* As nvidia-container-cli prints it: nodes, programs, libraries with the driver's version. */
static void test_listing(void **unused)
{
    static const char listing[] = "/dev/nvidiactl\n/usr/bin/nvidia-smi\n"
                                  "/usr/lib/libcudadebugger.so.570.1\n/opt/gpu/libcuda.so.570.1\n"
                                  "/other/libcuda.so.570.1\nlibnvidia-ml.so.570.1\n"
                                  "/opt/gpu/libnvidia-nvvm.so.4.0.0\n/opt/gpu/libnvidia-ml.so.1x";
    static const struct {
        const char *library, *path;
    } cases[] = {
        {"libcuda.so.1", "/opt/gpu/libcuda.so.570.1"},
        {"libcudadebugger.so.1", "/usr/lib/libcudadebugger.so.570.1"},
        {"libnvidia-nvvm.so.4", "/opt/gpu/libnvidia-nvvm.so.4.0.0"},
        {"libnvidia-ml.so.1", "/opt/gpu/libnvidia-ml.so.1x"}, /* no path is none */
        {"libnvidia-gpucomp.so", NULL},
        {"libcud.so", NULL},
    };
    char path[PATH_MAX];
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(cuda_list_find(listing, cases[i].library, path), cases[i].path != NULL);
        if (cases[i].path)
            assert_string_equal(path, cases[i].path);
    }
    assert_false(cuda_list_find(NULL, "libcuda.so.1", path));
    assert_false(cuda_list_find("", "libcuda.so.1", path));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whole),
        cmocka_unit_test(test_part),
        cmocka_unit_test(test_listing),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}

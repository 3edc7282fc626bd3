/* Devices: reading the probe's list, and never granting more than there is. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/error.h"
#include "base/json.h"
#include "card/cardd/device.h"

#define DEVICE(kind) \
    "{\"platform_index\":0,\"device_index\":1,\"platform\":\"P\",\"name\":\"N\",\"vendor\":\"V\"," \
    "\"version\":\"OpenCL 3.0\",\"driver\":\"3.1\",\"kind\":\"" kind "\",\"memory_bytes\":1000," \
    "\"max_alloc_bytes\":500,\"compute_units\":2,\"uuid\":\"\"}"

static void devices_are_numbered_by_kind(void **state)
{
    static const char list[] = "[" DEVICE("cpu") "," DEVICE("gpu") "," DEVICE("cpu") "]";
    struct devices devices;
    struct error error;
    assert_int_equal(devices_decode(list, strlen(list), &devices, &error), 0);
    assert_int_equal(devices.count, 3);
    assert_string_equal(devices.items[0].id, "cpu-0");
    assert_string_equal(devices.items[1].id, "gpu-0");
    assert_string_equal(devices.items[2].id, "cpu-1");
    assert_ptr_equal(devices_find(&devices, NULL, NULL), &devices.items[0]);
    assert_ptr_equal(devices_find(&devices, "gpu-0", NULL), &devices.items[1]);
    assert_null(devices_find(&devices, "gpu-1", &error));
    assert_string_equal(error.code, "unknown-device");
    json_t *shown = devices_json(&devices);
    assert_int_equal(json_array_size(shown), 3);
    json_decref(shown);
    devices_finish(&devices);
    assert_null(devices_find(&devices, NULL, &error));
    assert_string_equal(error.code, "no-device");
}

static void cpus_have_the_memory_of_the_machine(void **state)
{
    static const char list[] = "[" DEVICE("cpu") "," DEVICE("gpu") "]";
    struct devices devices;
    assert_int_equal(devices_decode(list, strlen(list), &devices, NULL), 0);
    devices_set_machine(&devices, 1200);
    assert_int_equal(devices.items[0].memory_bytes, 1000);
    devices_set_machine(&devices, 4000);
    assert_int_equal(devices.items[0].memory_bytes, 3000);
    assert_int_equal(devices.items[1].memory_bytes, 1000);
    devices_finish(&devices);
}

static void broken_lists_are_refused(void **state)
{
    static const char *const lists[] = {"", "{}", "[{}]", "[" DEVICE("cpu") ",1]", "[1]"};
    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
        struct devices devices;
        struct error error = {0};
        assert_true(devices_decode(lists[i], strlen(lists[i]), &devices, &error) < 0);
        assert_true(error.errnum < 0);
    }
}

static void grants_end_at_the_whole(void **state)
{
    struct device device = {.id = "cpu-0", .memory_bytes = 1000};
    struct error error;
    assert_int_equal(device_grant(&device, 600, 300, &error), 0);
    assert_int_equal(device_grant(&device, 401, 100, &error), -ENOMEM);
    assert_string_equal(error.code, "memory-exceeds-device");
    assert_non_null(strstr(error.text, "401 B"));
    assert_non_null(strstr(error.text, "400 B"));
    assert_int_equal(device_grant(&device, UINT64_MAX, 100, &error), -ENOMEM);
    assert_int_equal(device_grant(&device, 400, 701, &error), -EBUSY);
    assert_string_equal(error.code, "share-exceeds-device");
    assert_int_equal(device_grant(&device, 400, 700, &error), 0);
    assert_int_equal(device.cards, 2);
    assert_int_equal(device.granted_bytes, 1000);
    assert_int_equal(device.granted_permille, 1000);
    device_take_back(&device, 600, 300);
    assert_int_equal(device_grant(&device, 600, 300, &error), 0);
}

/* What an idle card gives up can be granted to another, and is then not there when it wakes. */
static void released_share_is_free(void **state)
{
    struct device device = {.id = "cpu-0", .memory_bytes = 1000};
    assert_int_equal(device_grant(&device, 1, 600, NULL), 0);
    const struct device_part whole = {1, 600}, half = {1, 500}, released = {1, 0};
    assert_int_equal(device_regrant(&device, &whole, &released, NULL), 0);
    assert_int_equal(device_grant(&device, 1, 500, NULL), 0);
    assert_int_equal(device_regrant(&device, &released, &whole, NULL), -EBUSY);
    assert_int_equal(device.granted_permille, 500);
    assert_int_equal(device_regrant(&device, &released, &half, NULL), 0);
    assert_int_equal(device.granted_permille, 1000);
}

static void a_refused_change_leaves_the_books_alone(void **state)
{
    struct device device = {.id = "cpu-0", .memory_bytes = 1000};
    const struct device_part from = {600, 500}, larger = {701, 500}, to = {700, 200};
    struct error error;
    assert_int_equal(device_grant(&device, 600, 500, NULL), 0);
    assert_int_equal(device_grant(&device, 300, 500, NULL), 0);
    assert_int_equal(device_regrant(&device, &from, &larger, &error), -ENOMEM);
    assert_string_equal(error.code, "memory-exceeds-device");
    assert_int_equal(device.granted_bytes, 900);
    assert_int_equal(device_regrant(&device, &from, &to, &error), 0);
    assert_int_equal(device.granted_bytes, 1000);
    assert_int_equal(device.granted_permille, 700);
    assert_int_equal(device.cards, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(devices_are_numbered_by_kind),
        cmocka_unit_test(cpus_have_the_memory_of_the_machine),
        cmocka_unit_test(broken_lists_are_refused),
        cmocka_unit_test(grants_end_at_the_whole),
        cmocka_unit_test(released_share_is_free),
        cmocka_unit_test(a_refused_change_leaves_the_books_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

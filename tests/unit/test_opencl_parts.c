/* The parts of the OpenCL library that need no session. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <CL/cl.h>
#include <CL/cl_icd.h>
#include <stdlib.h>
#include <string.h>

#include "card/opencl/build.h"
#include "card/opencl/info.h"
#include "card/opencl/process.h"
#include "card/opencl/region.h"
#include "card/wire/slots.h"

/* The loader calls any entry it likes. */
static void test_no_null_entry(void **state)
{
    const void *const *entries = (const void *const *)&opencl_dispatch;
    for (size_t i = 0; i < sizeof(opencl_dispatch) / sizeof(*entries); i++)
        assert_non_null(entries[i]);
}

static void test_wrong_handles(void **state)
{
    const struct _cl_icd_dispatch *cl = &opencl_dispatch;
    struct object stranger = {.dispatch = &opencl_dispatch};
    cl_int code = 0;
    assert_int_equal(cl->clFinish(NULL), CL_INVALID_COMMAND_QUEUE);
    assert_int_equal(cl->clFinish((cl_command_queue)&stranger), CL_INVALID_COMMAND_QUEUE);
    assert_int_equal(cl->clRetainKernel((cl_kernel)&stranger), CL_INVALID_KERNEL);
    assert_int_equal(cl->clReleaseEvent((cl_event)&process.devices[0]), CL_INVALID_EVENT);
    assert_null(cl->clCreateBuffer((cl_context)&stranger, 0, 1, NULL, &code));
    assert_int_equal(code, CL_INVALID_CONTEXT);
    assert_null(cl->clCreateImage(NULL, 0, NULL, NULL, NULL, &code));
    assert_int_equal(code, CL_INVALID_CONTEXT);
    assert_null(cl->clCreateFromGLTexture(NULL, 0, 0, 0, 0, &code));
    assert_int_equal(code, CL_INVALID_CONTEXT);
    assert_int_equal(cl->clEnqueueAcquireGLObjects(NULL, 0, NULL, 0, NULL, NULL),
                     CL_INVALID_COMMAND_QUEUE);
    assert_int_equal(cl->clGetGLContextInfoKHR(NULL, 0, 0, NULL, NULL), CL_INVALID_OPERATION);
}

struct sample {
    cl_uint number;
    const char *text;
};

static void test_info(void **state)
{
    static const struct info_field fields[] = {INFO_VALUE(1, struct sample, number),
                                               INFO_TEXT(2, struct sample, text)};
    const struct sample sample = {42, "four"};
    struct {
        cl_uint name;
        size_t room;
        int wants_value;
        cl_int code;
        size_t size;
    } const cases[] = {
        {1, 4, 1, CL_SUCCESS, 4}, {1, 0, 0, CL_SUCCESS, 4},        {1, 3, 1, CL_INVALID_VALUE, 99},
        {2, 5, 1, CL_SUCCESS, 5}, {2, 4, 1, CL_INVALID_VALUE, 99}, {3, 8, 1, CL_INVALID_VALUE, 99},
        {2, 2, 0, CL_SUCCESS, 5},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char value[8] = {0};
        size_t size = 99;
        struct info_out out = {cases[i].room, cases[i].wants_value ? value : NULL, &size};
        assert_int_equal(info_answer(&out, fields, 2, &sample, cases[i].name), cases[i].code);
        assert_int_equal(size, cases[i].size);
        out.ret_size = NULL;
        assert_int_equal(info_answer(&out, fields, 2, &sample, cases[i].name), cases[i].code);
        if (cases[i].name == 2 && cases[i].wants_value && cases[i].code == CL_SUCCESS)
            assert_string_equal(value, "four");
    }
}

/* Every byte of a region is in exactly one piece, no piece is too large, and packing is undone by
 * unpacking. */
static void check_region(const size_t size[3], size_t most)
{
    static char host[64 * 32 * 16], back[sizeof(host)], slab[sizeof(host)];
    const size_t row = 60, slice = 60 * 31;
    for (size_t i = 0; i < sizeof(host); i++)
        host[i] = (char)(i * 31 % 251);
    memset(back, 0, sizeof(back));
    struct region region = {.size = {size[0], size[1], size[2]},
                            .host = host,
                            .host_row_pitch = row,
                            .host_slice_pitch = slice};
    struct region target = region;
    target.host = back;
    struct piece piece = {0};
    size_t total = 0;
    while (region_next(&region, most, &piece)) {
        assert_in_range(piece_bytes(&piece), 1, most);
        total += piece_bytes(&piece);
        region_pack(&region, &piece, slab, PACK_INTO_SLAB);
        region_pack(&target, &piece, slab, PACK_OUT_OF_SLAB);
    }
    assert_int_equal(total, size[0] * size[1] * size[2]);
    for (size_t z = 0; z < size[2]; z++)
        for (size_t y = 0; y < size[1]; y++)
            assert_memory_equal(host + z * slice + y * row, back + z * slice + y * row, size[0]);
}

static void test_regions(void **state)
{
    const size_t sizes[][3] = {{1, 1, 1},  {60, 1, 1},  {60, 31, 1},
                               {7, 13, 5}, {59, 30, 9}, {1, 31, 16}};
    const size_t limits[] = {1, 3, 16, 60, 61, 500, 2000, 1 << 20};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
        for (size_t j = 0; j < sizeof(limits) / sizeof(limits[0]); j++)
            check_region(sizes[i], limits[j]);
}

static int has_ended(uint32_t slot, uint64_t posted)
{
    return posted != 1;
}

static void test_slots(void **state)
{
    struct slots slots;
    slots_init(&slots, 4, has_ended);
    assert_int_equal(slots_take(&slots), 1);
    assert_int_equal(slots_take(&slots), 2);
    slots_give(&slots, 1, 0);
    assert_int_equal(slots_take(&slots), 1);
    slots_give(&slots, 1, 1); /* its command has not ended */
    assert_int_equal(slots_take(&slots), 3);
    assert_int_equal(slots_take(&slots), 0);
    slots.leaving[0].posted = 2; /* now it has */
    assert_int_equal(slots_take(&slots), 1);
    slots_finish(&slots);
}

static size_t put(char *reply, size_t at, const void *data, size_t length)
{
    memcpy(reply + at, data, length);
    return at + (size_t)wire_pad8(length);
}

static size_t make_reply(char *reply)
{
    const struct wire_build_reply head = {
        .build_status = CL_BUILD_SUCCESS, .kernel_count = 1, .log_length = 4};
    const struct wire_kernel_info kernel = {
        .arg_count = 2, .name_length = 4, .attributes_length = 1, .has_arg_info = 1};
    const struct wire_arg_info args[] = {
        {.kind = WIRE_ARG_MEMORY, .size_bytes = 8, .type_name_length = 5, .name_length = 2},
        {.kind = WIRE_ARG_VALUE, .size_bytes = 12, .type_name_length = 5, .name_length = 2}};
    size_t at = put(reply, 0, &head, sizeof(head));
    at = put(reply, at, "log", 4);
    at = put(reply, at, "-w", 3);
    at = put(reply, at, &kernel, sizeof(kernel));
    at = put(reply, at, "add", 4);
    at = put(reply, at, "", 1);
    for (int i = 0; i < 2; i++) {
        at = put(reply, at, &args[i], sizeof(args[i]));
        at = put(reply, at, i ? "int3" : "int*", 5);
        at = put(reply, at, i ? "n" : "x", 2);
    }
    return at;
}

static void test_tokens(void **state)
{
    char token[5];
    assert_int_equal(sibling_token("one", 0, token, sizeof(token)), 0);
    assert_string_equal(token, "one");
    assert_int_equal(sibling_token("one,four", 1, token, sizeof(token)), 0);
    assert_string_equal(token, "four");
    assert_int_equal(sibling_token("one,four", 2, token, sizeof(token)), -1);
    assert_int_equal(sibling_token("one,", 1, token, sizeof(token)), -1);
    assert_int_equal(sibling_token(",two", 0, token, sizeof(token)), -1);
    assert_int_equal(sibling_token("fifth", 0, token, sizeof(token)), -1);
}

static void test_build_reply(void **state)
{
    _Alignas(8) char reply[1024] = {0};
    size_t length = make_reply(reply);
    size_t used;
    /* Another one may follow. */
    struct build *build = build_create(reply, sizeof(reply), &used);
    assert_non_null(build);
    assert_int_equal(used, length);
    assert_string_equal(build->log, "log");
    assert_null(build_find(build, "ad"));
    const struct build_kernel *kernel = build_find(build, "add");
    assert_non_null(kernel);
    assert_string_equal(kernel->args[1].type_name, "int3");
    assert_string_equal(kernel->args[1].name, "n");
    assert_int_equal(kernel->args[1].value_offset, 8);
    assert_int_equal(kernel->value_bytes, 8 + 16);
    assert_int_equal(kernel->tail_bytes, 2 * sizeof(struct wire_arg) + 8 + 16);
    build_destroy(build);
    /* Cut off anywhere it is no reply; the copy ends where the text ends, for the sanitizer to
     * see. */
    for (size_t cut = 0; cut < length - 7; cut++) {
        char *copy = malloc(cut + 1);
        memcpy(copy, reply, cut);
        assert_null(build_create(copy, cut, &used));
        free(copy);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_null_entry), cmocka_unit_test(test_wrong_handles),
        cmocka_unit_test(test_info),          cmocka_unit_test(test_regions),
        cmocka_unit_test(test_slots),         cmocka_unit_test(test_tokens),
        cmocka_unit_test(test_build_reply),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

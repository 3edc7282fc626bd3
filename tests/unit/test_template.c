/* Job-description templates: what ships is sound, what is wrong is refused with its name, and a
 * request's values end up where they belong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>

#include "base/error.h"
#include "base/json.h"
#include "model/template.h"
#include "model/template_impl.h"

#define GOOD_DEFAULTS \
    "{command: ['${program}', '${args}'], memory: 1GiB, share: 25%, cpus: '1', ram: 1GiB," \
    " idle_after: 10m, grace: 10s, network: none, env: {A: '1', B: '2'}}"

static struct template_set *shipped(void)
{
    struct error err = {0};
    struct template_set *set = template_set_create();
    if (template_set_load(set, TEMPLATES_FOLDER, &err) < 0)
        fail_msg("%s", err.text);
    return set;
}

static json_t *fill(const struct template_set *set, const char *request_text, struct error *err)
{
    AUTO_JSON json_t *request = json_parse(request_text, strlen(request_text), 1 << 16, err);
    assert_non_null(request);
    const struct template *template =
        template_find(set, json_string_value(json_object_get(request, "library")),
                      json_string_value(json_object_get(request, "type")), err);
    return template ? template_fill(set, template, request, NULL, err) : NULL;
}

static void assert_filled(const struct template_set *set, const char *request, const char *member,
                          const char *expected)
{
    struct error err = {0};
    AUTO_JSON json_t *filled = fill(set, request, &err);
    if (!filled)
        fail_msg("%s", err.text);
    const json_t *value = json_object_get(filled, member);
    char *text = value ? json_text(value) : strdup("absent");
    assert_string_equal(text, expected);
    free(text);
}

static void test_every_shipped_pair_fills(void **state)
{
    (void)state;
    struct template_set *set = shipped();
    AUTO_JSON json_t *list = template_set_json(set);
    json_t *templates = json_object_get(list, "templates");
    assert_true(json_array_size(templates) >= 18);
    for (size_t i = 0; i < json_array_size(templates); i++) {
        json_t *entry = json_array_get(templates, i);
        char request[256];
        (void)snprintf(request, sizeof(request),
                       "{\"library\":\"%s\",\"type\":\"%s\",\"program\":\"/srv/x\"}",
                       json_string_value(json_object_get(entry, "library")),
                       json_string_value(json_object_get(entry, "type")));
        struct error err = {0};
        AUTO_JSON json_t *filled = fill(set, request, &err);
        if (!filled)
            fail_msg("%s: %s", request, err.text);
        assert_true(json_array_size(json_object_get(filled, "command")) > 0);
        assert_true(json_string_length(json_object_get(entry, "text")) > 0);
    }
    template_set_destroy(set);
}

static void test_request_wins_over_template(void **state)
{
    (void)state;
    static const char request[] =
        "{\"library\":\"opencl-c\",\"type\":\"training\",\"program\":\"/srv/a/train\","
        "\"args\":[\"--steps\",\"10\"],\"memory\":\"256MiB\",\"name\":\"mine\",\"env\":{\"X\":"
        "\"1\"}}";
    struct template_set *set = shipped();
    assert_filled(set, request, "memory", "\"256MiB\"");
    assert_filled(set, request, "share", "\"50%\"");
    assert_filled(set, request, "name", "\"mine\"");
    assert_filled(set, request, "command", "[\"/src/train\",\"--steps\",\"10\"]");
    assert_filled(set, request, "env", "{\"X\":\"1\"}");
    assert_filled(set, request, "src", "\"/srv/a\"");
    assert_filled(set, "{\"program\":\"/srv/a/train\",\"src\":\"/srv/\"}", "command",
                  "[\"/src/a/train\"]");
    assert_filled(set, "{\"program\":\"/train\"}", "src", "\"/\"");
    assert_filled(set, request, "args", "absent"); /* they are in the command */
    assert_filled(set, "{\"program\":\"/x\"}", "library", "\"generic\"");
    assert_filled(set, "{\"program\":\"/x\"}", "type", "\"batch\"");
    assert_filled(set, "{\"command\":[\"sh\",\"-c\",\"echo ${HOME}\"]}", "command",
                  "[\"sh\",\"-c\",\"echo ${HOME}\"]");
    assert_filled(set, "{\"library\":\"pyopencl\",\"type\":\"notebook\",\"env\":{\"X\":\"1\"}}",
                  "env",
                  "{\"PYTHONUNBUFFERED\":\"1\",\"PYTHONDONTWRITEBYTECODE\":\"1\",\"X\":\"1\"}");
    template_set_destroy(set);
}

static bool only_pyopencl(void *context, const char *image)
{
    (void)context;
    return strcmp(image, "pyopencl") == 0;
}

static void test_image_falls_back_when_it_is_not_there(void **state)
{
    (void)state;
    static const struct {
        const char *library, *type, *asked, *expected;
    } cases[] = {
        {"pyopencl", "batch", NULL, "pyopencl"},
        {"pyopencl", "notebook", NULL, "host"}, /* its own image, which is not there */
        {"opencl-c", "batch", NULL, "host"},
        {"opencl-c", "batch", "mine", "mine"}, /* named by the request: never changed */
    };
    struct template_set *set = shipped();
    struct template_place place = {only_pyopencl, NULL};
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct error err = {0};
        AUTO_JSON json_t *request =
            json_pack("{s:s, s:s*}", "program", "/srv/x", "image", cases[i].asked);
        const struct template *template = template_find(set, cases[i].library, cases[i].type, &err);
        AUTO_JSON json_t *filled = template_fill(set, template, request, &place, &err);
        assert_string_equal(json_string_value(json_object_get(filled, "image")), cases[i].expected);
    }
    template_set_destroy(set);
}

static void test_refused_requests(void **state)
{
    (void)state;
    static const struct {
        const char *request, *code, *part;
    } cases[] = {
        {"{\"library\":\"fortran\"}", "unknown-library", "generic, jax, opencl-c, pyopencl"},
        {"{\"library\":\"opencl-c\",\"type\":\"notebook\"}", "unknown-job-type",
         "batch, inference, training"},
        {"{\"library\":\"../x\"}", "unknown-library", "'../x'"},
        {"{\"program\":\"x\"}", "bad-path", "absolute"},
        {"{\"program\":\"/srv/x\",\"src\":\"/srv/a\"}", "bad-program", "not below"},
        {"{\"program\":\"/srv/\"}", "bad-program", "file"},
        {"{}", "missing-program", "name one"},
        {"{\"program\":\"/x\",\"colour\":1}", "unknown-field", "colour"},
        {"{\"program\":\"/x\",\"memory\":\"lots\"}", NULL, "memory"},
        {"{\"program\":\"/x\",\"args\":[1]}", "bad-field", "args"},
        {"{\"program\":\"/x\",\"env\":{\"A\":1}}", "bad-env", "'A'"},
        {"{\"program\":\"/x\",\"cpus\":\"many\"}", "bad-cpus", "cpus"},
        {"{\"program\":\"/x\",\"network\":\"public\"}", "bad-network", "outbound"},
        {"{\"command\":[]}", "bad-field", "command"},
    };
    struct template_set *set = shipped();
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct error err = {0};
        assert_null(fill(set, cases[i].request, &err));
        if (cases[i].code)
            assert_string_equal(err.code, cases[i].code);
        if (!strstr(err.text, cases[i].part))
            fail_msg("%s: '%s' does not say '%s'", cases[i].request, err.text, cases[i].part);
    }
    template_set_destroy(set);
}

static void test_refused_templates(void **state)
{
    (void)state;
    static const struct {
        const char *file, *text, *part;
    } cases[] = {
        {"a.yaml", "types: {batch: {}}", "library"},
        {"a.yaml", "{library: a, types: {}}", "at least one"},
        {"a.yaml", "{library: a, types: {batch: {}}}", "a/batch: 'command' is missing"},
        {"a.yaml", "{library: a, types: {batch: 3}}", "type 'batch'"},
        {"a.yaml", "{library: 'A B', defaults: " GOOD_DEFAULTS ", types: {batch: }}", "no name"},
        {"a.yaml", "{library: a, defaults: " GOOD_DEFAULTS ", types: {batch: {memory: lots}}}",
         "memory"},
        {"a.yaml",
         "{library: a, defaults: " GOOD_DEFAULTS ", types: {batch: {command: ['${prog}']}}}",
         "unknown placeholder ${prog}; the known are ${program}"},
        {"a.yaml",
         "{library: a, defaults: " GOOD_DEFAULTS ", types: {batch: {command: ['${src']}}}",
         "unknown placeholder"},
        {"a.yaml",
         "{library: a, defaults: " GOOD_DEFAULTS ", types: {batch: {command: ['x${args}']}}}",
         "element of its own"},
        {"a.yaml", "{library: a, defaults: " GOOD_DEFAULTS ", types: {batch: {program: /bin/sh}}}",
         "program"},
        {"a.yaml", "library: [", "line"},
        {"images.yaml", "images: {a: 3}", "'a'"},
        {"images.yaml", "fallback: host", "images"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct error err = {0};
        struct template_set *set = template_set_create();
        int r = template_set_add(set, cases[i].file, cases[i].text, strlen(cases[i].text), &err);
        assert_int_equal(r, -EINVAL);
        assert_string_equal(err.code, "bad-template");
        assert_ptr_equal(strstr(err.text, cases[i].file), err.text);
        if (!strstr(err.text, cases[i].part))
            fail_msg("%s: '%s' does not say '%s'", cases[i].text, err.text, cases[i].part);
        template_set_destroy(set);
    }
}

static void test_type_wins_over_defaults(void **state)
{
    (void)state;
    static const char text[] = "{library: a, defaults: " GOOD_DEFAULTS
                               ", types: {batch: , big: {memory: 8GiB, env: {B: '3', C: '4'}}}}";
    struct error err = {0};
    struct template_set *set = template_set_create();
    assert_int_equal(template_set_add(set, "a.yaml", text, strlen(text), &err), 0);
    assert_filled(set, "{\"library\":\"a\",\"program\":\"/p\"}", "memory", "\"1GiB\"");
    assert_filled(set, "{\"library\":\"a\",\"type\":\"big\",\"program\":\"/p\"}", "memory",
                  "\"8GiB\"");
    assert_filled(set, "{\"library\":\"a\",\"type\":\"big\",\"program\":\"/p\"}", "env",
                  "{\"A\":\"1\",\"B\":\"3\",\"C\":\"4\"}");
    template_set_destroy(set);
}

static void test_missing_folder_changes_nothing(void **state)
{
    (void)state;
    struct error err = {0};
    struct template_set *set = shipped();
    assert_int_equal(template_set_load(set, "/nonexistent/templates", &err), -ENOENT);
    assert_non_null(template_find(set, "opencl-c", "training", &err));
    assert_int_equal(template_set_load(set, TEMPLATES_FOLDER, &err), 0); /* again: replaced */
    template_set_destroy(set);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_shipped_pair_fills),
        cmocka_unit_test(test_request_wins_over_template),
        cmocka_unit_test(test_image_falls_back_when_it_is_not_there),
        cmocka_unit_test(test_refused_requests),
        cmocka_unit_test(test_refused_templates),
        cmocka_unit_test(test_type_wins_over_defaults),
        cmocka_unit_test(test_missing_folder_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* docs/openapi.yaml and the table of routes say the same: every route is described, everything that
 * is described is a route, with the same parameters, body and status; every reference resolves. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

#include <cmocka.h>

#include "api/route.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/yaml.h"

static int read_page(void **state)
{
    struct error err = {0};
    AUTO_BUF struct buf text = BUF_INIT;
    if (file_read(AT_FDCWD, OPENAPI_FILE, JSON_TEXT_LIMIT_BYTES, &text, &err) == 0)
        *state = yaml_parse(text.data, text.length, text.length, &err);
    if (!*state)
        print_error("%s: %s\n", OPENAPI_FILE, err.text);
    return *state ? 0 : -1;
}

static int drop_page(void **state)
{
    json_decref(*state);
    return 0;
}

/* What "#/a/b" points at; NULL: nothing. */
static const json_t *resolve(const json_t *page, const char *reference)
{
    char name[64];
    if (strncmp(reference, "#/", 2) != 0)
        return NULL;
    for (const char *part = reference + 2; page && *part; part += strspn(part, "/")) {
        size_t length = strcspn(part, "/");
        assert_true(length < sizeof(name));
        memcpy(name, part, length);
        name[length] = '\0';
        page = json_object_get(page, name);
        part += length;
    }
    return page;
}

static const json_t *follow(const json_t *page, const json_t *value)
{
    const char *reference = json_string_value(json_object_get(value, "$ref"));
    return reference ? resolve(page, reference) : value;
}

static const char *lower(const char *method, char text[16])
{
    size_t i = 0;
    for (; method[i] && i < 15; i++)
        text[i] = (char)(method[i] | 0x20);
    text[i] = '\0';
    return text;
}

static unsigned count_words(const char *text)
{
    unsigned count = 0;
    for (; *text; text += strspn(text, " ")) {
        text += strcspn(text, " ");
        count++;
    }
    return count;
}

static void check_parameters(const json_t *page, const json_t *operation, const struct route *route)
{
    const json_t *parameters = json_object_get(operation, "parameters");
    unsigned found = 0;
    for (size_t i = 0; i < json_array_size(parameters); i++) {
        const json_t *one = follow(page, json_array_get(parameters, i));
        const char *name = json_string_value(json_object_get(one, "name"));
        assert_non_null(name);
        if (strcmp(json_string_value(json_object_get(one, "in")), "query") != 0)
            continue;
        found++;
        assert_true(route_takes(route, name));
    }
    assert_int_equal(found, count_words(route->query));
}

static void check_operation(const json_t *page, const json_t *operation, const struct route *route)
{
    char status[8];
    (void)snprintf(status, sizeof(status), "%u", route->status);
    const json_t *responses = json_object_get(operation, "responses");
    assert_non_null(json_object_get(responses, status));
    assert_non_null(json_object_get(responses, "default"));
    assert_non_null(json_object_get(operation, "operationId"));
    const json_t *body = json_object_get(operation, "requestBody");
    assert_true((body != NULL) == (route->body != ROUTE_BODY_NONE));
    assert_true(json_is_true(json_object_get(body, "required")) ==
                (route->body == ROUTE_BODY_REQUIRED));
    check_parameters(page, operation, route);
}

static void test_every_route_is_described(void **state)
{
    const json_t *paths = json_object_get(*state, "paths");
    char method[16];
    for (const struct route *route = route_table(); route->method; route++) {
        print_message("%s %s\n", route->method, route->pattern);
        const json_t *path = json_object_get(paths, route->pattern);
        const json_t *operation = json_object_get(path, lower(route->method, method));
        assert_non_null(operation);
        check_operation(*state, operation, route);
    }
}

static const struct route *route_of(const char *pattern, const char *method)
{
    char text[16];
    for (const struct route *route = route_table(); route->method; route++) {
        if (strcmp(route->pattern, pattern) == 0 && strcmp(lower(route->method, text), method) == 0)
            return route;
    }
    return NULL;
}

static void test_everything_described_is_a_route(void **state)
{
    const char *pattern, *method;
    json_t *path, *operation;
    json_object_foreach (json_object_get(*state, "paths"), pattern, path) {
        json_object_foreach (path, method, operation) {
            if (strcmp(method, "parameters") == 0)
                continue;
            print_message("%s %s\n", method, pattern);
            assert_non_null(route_of(pattern, method));
        }
    }
}

/* As many path parameters as the pattern names, each of them. */
static void test_path_parameters(void **state)
{
    const char *pattern;
    json_t *path;
    json_object_foreach (json_object_get(*state, "paths"), pattern, path) {
        const json_t *parameters = json_object_get(path, "parameters");
        size_t named = 0;
        for (const char *c = pattern; *c; c++)
            named += *c == '{';
        assert_int_equal(json_array_size(parameters), named);
        for (size_t i = 0; i < named; i++) {
            char word[40];
            const json_t *one = follow(*state, json_array_get(parameters, i));
            (void)snprintf(word, sizeof(word), "{%s}",
                           json_string_value(json_object_get(one, "name")));
            assert_non_null(strstr(pattern, word));
        }
    }
}

static unsigned check_references(const json_t *page, const json_t *value)
{
    unsigned count = 0;
    const char *key;
    json_t *member;
    for (size_t i = 0; i < json_array_size(value); i++)
        count += check_references(page, json_array_get(value, i));
    json_object_foreach ((json_t *)(uintptr_t)value, key, member) {
        if (strcmp(key, "$ref") == 0) {
            print_message("%s\n", json_string_value(member));
            assert_non_null(resolve(page, json_string_value(member)));
            count++;
        } else {
            count += check_references(page, member);
        }
    }
    return count;
}

static void test_references_resolve(void **state)
{
    assert_true(check_references(*state, *state) > 50);
}

static void test_version_is_ours(void **state)
{
    const json_t *info = json_object_get(*state, "info");
    assert_string_equal(json_string_value(json_object_get(info, "version")), LEAT_VERSION);
    assert_string_equal(json_string_value(json_object_get(*state, "openapi")), "3.1.0");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_route_is_described),
        cmocka_unit_test(test_everything_described_is_a_route),
        cmocka_unit_test(test_path_parameters),
        cmocka_unit_test(test_references_resolve),
        cmocka_unit_test(test_version_is_ours),
    };
    return cmocka_run_group_tests(tests, read_page, drop_page);
}

/* The table of routes and how a path finds its row. */
#include "api/route.h"

#include <stdbool.h>
#include <string.h>

#include "api/api.h"
#include "api/handlers.h"

/* clang-format off */
static const struct route routes[] = {
    {"GET",    "/v1/version",                    "",                   ROUTE_BODY_NONE,     200, handle_version},
    {"GET",    "/v1/health",                     "",                   ROUTE_BODY_NONE,     200, handle_health},
    {"GET",    "/metrics",                       "",                   ROUTE_BODY_NONE,     200, handle_metrics},
    {"GET",    "/v1/jobs",                       "state limit cursor", ROUTE_BODY_NONE,     200, handle_job_list},
    {"POST",   "/v1/jobs",                       "dry_run",            ROUTE_BODY_REQUIRED, 202, handle_job_submit},
    {"GET",    "/v1/jobs/{job}",                 "",                   ROUTE_BODY_NONE,     200, handle_job_get},
    {"DELETE", "/v1/jobs/{job}",                 "",                   ROUTE_BODY_NONE,     204, handle_job_remove},
    {"POST",   "/v1/jobs/{job}/stop",            "",                   ROUTE_BODY_OPTIONAL, 202, handle_job_stop},
    {"POST",   "/v1/jobs/{job}/checkpoint",      "",                   ROUTE_BODY_NONE,     204, handle_job_checkpointed},
    {"GET",    "/v1/jobs/{job}/logs",            "follow offset",      ROUTE_BODY_NONE,     200, handle_job_logs},
    {"GET",    "/v1/jobs/{job}/wait",            "timeout",            ROUTE_BODY_NONE,     200, handle_job_wait},
    {"GET",    "/v1/jobs/{job}/explain",         "",                   ROUTE_BODY_NONE,     200, handle_job_explain},
    {"GET",    "/v1/events",                     "since limit",        ROUTE_BODY_NONE,     200, handle_events},
    {"GET",    "/v1/devices",                    "",                   ROUTE_BODY_NONE,     200, handle_device_list},
    {"GET",    "/v1/devices/{device}",           "",                   ROUTE_BODY_NONE,     200, handle_device_get},
    {"PUT",    "/v1/devices/{device}",           "",                   ROUTE_BODY_REQUIRED, 200, handle_device_set},
    {"GET",    "/v1/cards",                      "",                   ROUTE_BODY_NONE,     200, handle_card_list},
    {"GET",    "/v1/cards/{card}",               "",                   ROUTE_BODY_NONE,     200, handle_card_get},
    {"POST",   "/v1/cards/{card}/suspend",       "",                   ROUTE_BODY_NONE,     200, handle_card_suspend},
    {"POST",   "/v1/cards/{card}/resume",        "",                   ROUTE_BODY_OPTIONAL, 200, handle_card_resume},
    {"POST",   "/v1/cards/{card}/move",          "",                   ROUTE_BODY_REQUIRED, 200, handle_card_move},
    {"POST",   "/v1/cards/{card}/resize",        "",                   ROUTE_BODY_REQUIRED, 200, handle_card_resize},
    {"POST",   "/v1/cards/{card}/trace",         "",                   ROUTE_BODY_REQUIRED, 200, handle_card_trace},
    {"GET",    "/v1/templates",                  "",                   ROUTE_BODY_NONE,     200, handle_template_list},
    {"GET",    "/v1/templates/{library}/{type}", "",                   ROUTE_BODY_NONE,     200, handle_template_get},
    {"POST",   "/v1/estimates",                  "",                   ROUTE_BODY_REQUIRED, 200, handle_estimate},
    {"GET",    "/v1/models",                     "",                   ROUTE_BODY_NONE,     200, handle_model_list},
    {"GET",    "/v1/models/{model}",             "",                   ROUTE_BODY_NONE,     200, handle_model_get},
    {"PUT",    "/v1/models/{model}",             "",                   ROUTE_BODY_REQUIRED, 200, handle_model_set},
    {"DELETE", "/v1/models/{model}",             "",                   ROUTE_BODY_NONE,     204, handle_model_remove},
    {"POST",   "/v1/knowledge",                  "",                   ROUTE_BODY_REQUIRED, 200, handle_knowledge_put},
    {"POST",   "/v1/knowledge/search",           "",                   ROUTE_BODY_REQUIRED, 200, handle_knowledge_search},
    {"POST",   "/v1/knowledge/similar",          "",                   ROUTE_BODY_REQUIRED, 200, handle_knowledge_similar},
    {"POST",   "/v1/knowledge/suggest",          "",                   ROUTE_BODY_REQUIRED, 200, handle_knowledge_suggest},
    {"GET",    "/v1/knowledge/{entry}",          "",                   ROUTE_BODY_NONE,     200, handle_knowledge_get},
    {"DELETE", "/v1/knowledge/{entry}",          "",                   ROUTE_BODY_NONE,     204, handle_knowledge_remove},
    {"GET",    "/v1/tenants",                    "",                   ROUTE_BODY_NONE,     200, handle_tenant_list},
    {"GET",    "/v1/tenants/{tenant}",           "",                   ROUTE_BODY_NONE,     200, handle_tenant_get},
    {"PUT",    "/v1/tenants/{tenant}",           "",                   ROUTE_BODY_REQUIRED, 200, handle_tenant_set},
    {"DELETE", "/v1/tenants/{tenant}",           "",                   ROUTE_BODY_NONE,     204, handle_tenant_remove},
    {"GET",    "/v1/loans",                      "",                   ROUTE_BODY_NONE,     200, handle_loan_list},
    {"GET",    "/v1/queue",                      "",                   ROUTE_BODY_NONE,     200, handle_queue},
    {"GET",    "/v1/images",                     "",                   ROUTE_BODY_NONE,     200, handle_image_list},
    {"POST",   "/v1/images",                     "",                   ROUTE_BODY_REQUIRED, 202, handle_image_import},
    {"GET",    "/v1/images/{image}",             "",                   ROUTE_BODY_NONE,     200, handle_image_get},
    {"DELETE", "/v1/images/{image}",             "",                   ROUTE_BODY_NONE,     204, handle_image_remove},
    {"POST",   "/v1/images/{image}/build",       "",                   ROUTE_BODY_NONE,     202, handle_image_build},
    {0},
};
/* clang-format on */

const struct route *route_table(void)
{
    return routes;
}

/* A parameter is a name: no control characters, and nothing that leads elsewhere as a file name. */
static bool param_take(const char *segment, size_t length, char ret_param[ROUTE_PARAM_MAX + 1])
{
    if (length == 0 || length > ROUTE_PARAM_MAX || segment[0] == '.')
        return false;
    for (size_t i = 0; i < length; i++) {
        if ((unsigned char)segment[i] < 0x20 || segment[i] == 0x7f)
            return false;
    }
    memcpy(ret_param, segment, length);
    ret_param[length] = '\0';
    return true;
}

static bool path_matches(const char *pattern, const char *path,
                         char params[ROUTE_PARAMS_MAX][ROUTE_PARAM_MAX + 1])
{
    unsigned param = 0;
    while (*pattern == '/' && *path == '/') {
        size_t wanted = strcspn(++pattern, "/"), given = strcspn(++path, "/");
        bool same = *pattern == '{' ? param_take(path, given, params[param++])
                                    : wanted == given && memcmp(pattern, path, given) == 0;
        if (!same)
            return false;
        pattern += wanted;
        path += given;
    }
    return !*pattern && !*path;
}

void route_find(const char *method, const char *path, struct route_match *ret_match)
{
    *ret_match = (struct route_match){0};
    if (strcmp(method, "HEAD") == 0)
        method = "GET";
    for (const struct route *route = routes; route->method; route++) {
        if (!path_matches(route->pattern, path, ret_match->params))
            continue;
        size_t used = strlen(ret_match->allow);
        (void)snprintf(ret_match->allow + used, sizeof(ret_match->allow) - used, "%s%s",
                       used ? ", " : "", route->method); /* room for all five methods */
        if (strcmp(route->method, method) == 0) {
            ret_match->route = route;
            return;
        }
    }
}

int route_takes(const struct route *route, const char *name)
{
    size_t length = strlen(name);
    for (const char *word = route->query; *word; word += strspn(word, " ")) {
        size_t here = strcspn(word, " ");
        if (here == length && memcmp(word, name, length) == 0)
            return 1;
        word += here;
    }
    return 0;
}

void api_print_routes(FILE *out)
{
    for (const struct route *route = routes; route->method; route++)
        (void)fprintf(out, "%s\t%s\t%s\n", route->method, route->pattern, route->query);
}

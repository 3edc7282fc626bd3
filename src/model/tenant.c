/* Tenants from and to JSON: see tenant.h. */
#include "model/tenant.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/json.h"

struct body {
    char *parent;
    uint32_t reserved_milli, limit_milli, weight;
};

static const struct json_field body_fields[] = {
    {"parent", JSON_KIND_TEXT, offsetof(struct body, parent), JSON_OPTIONAL},
    {"reserved_milli", JSON_KIND_U32, offsetof(struct body, reserved_milli), JSON_OPTIONAL},
    {"limit_milli", JSON_KIND_U32, offsetof(struct body, limit_milli), JSON_OPTIONAL},
    {"weight", JSON_KIND_U32, offsetof(struct body, weight), JSON_OPTIONAL},
    {NULL, JSON_KIND_INVALID, 0, JSON_OPTIONAL},
};

int tenant_decode(const char *name, const json_t *body, struct tenant *ret_tenant,
                  struct error *err)
{
    struct body given = {.weight = TENANT_WEIGHT_DEFAULT};
    struct tenant tenant;
    int r = json_decode(body, body_fields, &given, err);
    AUTO_FREE char *parent = given.parent;
    if (r < 0)
        return r;
    if (snprintf(tenant.name, sizeof(tenant.name), "%s", name) >= (int)sizeof(tenant.name) ||
        snprintf(tenant.parent, sizeof(tenant.parent), "%s", parent ? parent : "") >=
            (int)sizeof(tenant.parent))
        return error_set(err, -EINVAL, "bad-tenant", "a tenant's name has at most %d bytes",
                         TENANT_NAME_MAX);
    tenant.reserved_milli = given.reserved_milli;
    tenant.limit_milli = given.limit_milli;
    tenant.weight = given.weight;
    *ret_tenant = tenant;
    return 0;
}

json_t *tenant_encode(const struct tenant *tenant)
{
    return json_pack("{s:s, s:s, s:I, s:I, s:I}", "name", tenant->name, "parent", tenant->parent,
                     "reserved_milli", (json_int_t)tenant->reserved_milli, "limit_milli",
                     (json_int_t)tenant->limit_milli, "weight", (json_int_t)tenant->weight);
}

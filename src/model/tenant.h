/* A tenant: who reserves a part of a centre's compute. Plain data; the book that is kept of tenants
 * is in sched/tenant.h. */
#ifndef LEAT_MODEL_TENANT_H
#define LEAT_MODEL_TENANT_H

#include <stdint.h>

struct error;
struct json_t;

#define TENANT_NAME_MAX 63 /* bytes */
#define TENANT_WEIGHT_DEFAULT 100

struct tenant {
    char name[TENANT_NAME_MAX + 1];
    char parent[TENANT_NAME_MAX + 1]; /* empty: the centre */
    uint32_t reserved_milli;          /* thousandths of a device, with that of its children */
    uint32_t limit_milli;             /* of the whole family; 0: none */
    uint32_t weight;                  /* among its siblings; from 1 up */
};

/* From a REST body, any of whose members may be left out. -EINVAL with "bad-tenant" or what the
 * body's decoding says. */
int tenant_decode(const char *name, const struct json_t *body, struct tenant *ret_tenant,
                  struct error *err);
/* As REST shows it; NULL: out of memory. */
struct json_t *tenant_encode(const struct tenant *tenant);

#endif

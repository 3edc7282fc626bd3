/* What tenant.c (the book) and reclaim.c (who stops for whom) share. */
#ifndef LEAT_SCHED_TENANT_IMPL_H
#define LEAT_SCHED_TENANT_IMPL_H

#include "sched/tenant.h"

struct tenant_node {
    struct tenant tenant;
    struct tenant_node *parent; /* NULL: the centre */
    uint64_t own;               /* reserved and not handed down */
    uint64_t paid;              /* of own, in use by whomever */
    uint64_t lent;              /* of paid, to others than its family */
    uint64_t called;            /* of lent, coming back */
    uint64_t claimed;           /* of own, kept for jobs that wait */
    uint64_t borrowed;          /* by its own jobs */
    uint64_t used;              /* by the jobs of its family */
    double history;
    uint64_t history_at_us;
};

struct tenant_part {
    struct tenant_node *from;
    uint32_t milli;
    uint64_t loan; /* 0: from the tenant's own family */
};

enum tenant_charge_kind { TENANT_CHARGE_INVALID, TENANT_CHARGE_PAID, TENANT_CHARGE_CLAIM };

struct tenant_charge {
    enum tenant_charge_kind kind;
    struct tenant_job job; /* its tenant is the text below */
    char tenant[TENANT_NAME_MAX + 1];
    struct tenant_node *node; /* the centre while there is no such tenant */
    uint64_t since_us;
    uint64_t due_us; /* called; 0: not */
    struct tenant_part *parts;
    size_t part_count, part_room;
};

struct tenants {
    struct tenant_terms terms;
    tenant_loan_fn *on_loan;
    void *arg;
    struct tenant_node centre;
    struct tenant_node **nodes;
    size_t node_count, node_room;
    struct tenant_charge **charges; /* oldest first */
    size_t charge_count, charge_room;
    uint64_t next_loan;
};

struct tenant_node *tenant_node_find(struct tenants *tenants, const char *name);
struct tenant_charge *tenant_charge_find(const struct tenants *tenants, uint64_t job);
bool tenant_is_family(const struct tenant_node *ancestor, const struct tenant_node *node);
double tenant_history(const struct tenants *tenants, const struct tenant_node *node,
                      uint64_t now_us);

static inline uint64_t tenant_free(const struct tenant_node *node)
{
    return node->own > node->paid ? node->own - node->paid : 0;
}

#endif

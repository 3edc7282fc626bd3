/* The book of tenants: the tree, who pays for what, loans. See tenant.h; reclaim.c chooses who
 * stops. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "sched/tenant_impl.h"

struct tenants *tenants_create(const struct tenant_terms *terms, tenant_loan_fn *on_loan, void *arg)
{
    struct tenants *tenants = calloc(1, sizeof(*tenants));
    if (!tenants)
        return NULL;
    tenants->terms = *terms;
    tenants->on_loan = on_loan;
    tenants->arg = arg;
    tenants->centre.tenant.weight = TENANT_WEIGHT_DEFAULT;
    tenants->next_loan = 1;
    return tenants;
}

static void charge_destroy(struct tenant_charge *charge)
{
    if (charge)
        free(charge->parts);
    free(charge);
}

void tenants_destroy(struct tenants *tenants)
{
    if (!tenants)
        return;
    for (size_t i = 0; i < tenants->charge_count; i++)
        charge_destroy(tenants->charges[i]);
    for (size_t i = 0; i < tenants->node_count; i++)
        free(tenants->nodes[i]);
    free(tenants->charges);
    free(tenants->nodes);
    free(tenants);
}

uint64_t tenants_bound_us(const struct tenants *tenants)
{
    const struct tenant_terms *terms = &tenants->terms;
    return terms->minimum_us + terms->notice_us + terms->grace_us;
}

/* -- finding -- */

int tenants_find(const struct tenants *tenants, const char *name)
{
    for (size_t i = 0; i < tenants->node_count; i++) {
        if (strcmp(tenants->nodes[i]->tenant.name, name) == 0)
            return (int)i;
    }
    return -ENOENT;
}

struct tenant_node *tenant_node_find(struct tenants *tenants, const char *name)
{
    int index = name && name[0] ? tenants_find(tenants, name) : -ENOENT;
    return index < 0 ? &tenants->centre : tenants->nodes[index];
}

static size_t charge_index(const struct tenants *tenants, uint64_t job)
{
    size_t i = 0;
    while (i < tenants->charge_count && tenants->charges[i]->job.id != job)
        i++;
    return i;
}

struct tenant_charge *tenant_charge_find(const struct tenants *tenants, uint64_t job)
{
    size_t index = charge_index(tenants, job);
    return index < tenants->charge_count ? tenants->charges[index] : NULL;
}

bool tenant_is_family(const struct tenant_node *ancestor, const struct tenant_node *node)
{
    while (node && node != ancestor)
        node = node->parent;
    return node;
}

/* -- history -- */

double tenant_history(const struct tenants *tenants, const struct tenant_node *node,
                      uint64_t now_us)
{
    uint64_t past_us = now_us > node->history_at_us ? now_us - node->history_at_us : 0;
    double half_life_s =
        (double)(tenants->terms.half_life_us ? tenants->terms.half_life_us : 1) / 1e6;
    double kept = exp2(-((double)past_us / 1e6) / half_life_s);
    return node->history * kept + (double)node->used / 1000 * (half_life_s / M_LN2) * (1 - kept);
}

static void use_change(struct tenants *tenants, struct tenant_node *node, int64_t change,
                       uint64_t now_us)
{
    for (; node; node = node->parent) {
        node->history = tenant_history(tenants, node, now_us);
        node->history_at_us = now_us > node->history_at_us ? now_us : node->history_at_us;
        node->used = (uint64_t)((int64_t)node->used + change);
    }
}

/* -- parts: where a job's amount comes from -- */

static int part_reserve(struct tenant_charge *charge)
{
    if (charge->part_count < charge->part_room)
        return 0;
    size_t room = charge->part_room ? 2 * charge->part_room : 4;
    struct tenant_part *parts = realloc(charge->parts, room * sizeof(*parts));
    if (!parts)
        return -ENOMEM;
    charge->parts = parts;
    charge->part_room = room;
    return 0;
}

static void loan_tell(struct tenants *tenants, const struct tenant_charge *charge,
                      const struct tenant_part *part, uint32_t milli, enum tenant_loan_event event)
{
    const struct tenant_loan loan = {
        .id = part->loan,
        .job = charge->job.id,
        .lender = part->from->tenant.name,
        .borrower = charge->node->tenant.name,
        .milli = milli,
        .since_us = charge->since_us,
        .due_us = charge->due_us,
    };
    if (part->loan && tenants->on_loan)
        tenants->on_loan(tenants->arg, &loan, event);
}

/* Take `milli` of `from` for the charge. */
static int part_add(struct tenants *tenants, struct tenant_charge *charge, struct tenant_node *from,
                    uint64_t milli)
{
    if (milli == 0)
        return 0;
    if (part_reserve(charge) < 0)
        return -ENOMEM;
    struct tenant_part *part = &charge->parts[charge->part_count++];
    bool claim = charge->kind == TENANT_CHARGE_CLAIM;
    *part = (struct tenant_part){.from = from, .milli = (uint32_t)milli};
    if (claim) {
        from->claimed += milli;
        return 0;
    }
    from->paid += milli;
    if (tenant_is_family(from, charge->node))
        return 0;
    part->loan = tenants->next_loan++;
    from->lent += milli;
    from->called += charge->due_us ? milli : 0;
    charge->node->borrowed += milli;
    loan_tell(tenants, charge, part, part->milli, TENANT_LOAN_MADE);
    return 0;
}

/* Give `milli` of the part back to where it came from. */
static void part_return(struct tenants *tenants, struct tenant_charge *charge,
                        struct tenant_part *part, uint32_t milli)
{
    struct tenant_node *from = part->from;
    part->milli -= milli;
    if (charge->kind == TENANT_CHARGE_CLAIM) {
        from->claimed -= milli;
        return;
    }
    from->paid -= milli;
    if (!part->loan)
        return;
    from->lent -= milli;
    from->called -= charge->due_us ? milli : 0;
    charge->node->borrowed -= milli;
    loan_tell(tenants, charge, part, milli, TENANT_LOAN_RETURNED);
}

static void parts_return(struct tenants *tenants, struct tenant_charge *charge)
{
    for (size_t i = 0; i < charge->part_count; i++)
        part_return(tenants, charge, &charge->parts[i], charge->parts[i].milli);
    charge->part_count = 0;
}

/* -- paying -- */

static uint64_t part_of(const struct tenant_charge *charge, const struct tenant_node *from)
{
    uint64_t milli = 0;
    for (size_t i = 0; charge && i < charge->part_count; i++)
        milli += charge->parts[i].from == from ? charge->parts[i].milli : 0;
    return milli;
}

/* What is free and not kept for others; `claim` (may be NULL) is the asker's own, and `more` would
 * be free as well. */
static uint64_t spare(const struct tenant_node *node, const struct tenant_charge *claim,
                      uint64_t more)
{
    uint64_t kept = node->claimed - part_of(claim, node);
    uint64_t paid = node->paid - more, there = node->own > paid ? node->own - paid : 0;
    return there > kept ? there - kept : 0;
}

/* The same with what is lent counted as there. */
static uint64_t due(const struct tenant_node *node, const struct tenant_charge *claim)
{
    uint64_t kept = node->claimed - part_of(claim, node), there = tenant_free(node) + node->lent;
    return there > kept ? there - kept : 0;
}

static unsigned common_depth(const struct tenant_node *a, const struct tenant_node *b)
{
    unsigned depth = 0;
    while (a && !tenant_is_family(a, b))
        a = a->parent;
    for (; a; a = a->parent)
        depth++;
    return depth;
}

/* The nearest relative with something to lend; of equals the one with the most. */
static struct tenant_node *lender_find(const struct tenants *tenants,
                                       const struct tenant_node *borrower)
{
    struct tenant_node *best = NULL;
    unsigned best_depth = 0;
    for (size_t i = 0; i < tenants->node_count; i++) {
        struct tenant_node *node = tenants->nodes[i];
        if (spare(node, NULL, 0) == 0 || tenant_is_family(node, borrower))
            continue;
        unsigned depth = common_depth(node, borrower);
        if (!best || depth > best_depth ||
            (depth == best_depth && spare(node, NULL, 0) > spare(best, NULL, 0))) {
            best = node;
            best_depth = depth;
        }
    }
    return best;
}

static uint64_t smaller(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* From the family first, then by loans. Returns what is still missing, or -ENOMEM. */
static int64_t pay(struct tenants *tenants, struct tenant_charge *charge)
{
    uint64_t missing = charge->job.milli;
    for (struct tenant_node *node = charge->node; node && missing; node = node->parent) {
        uint64_t milli = smaller(spare(node, NULL, 0), missing);
        if (part_add(tenants, charge, node, milli) < 0)
            return -ENOMEM;
        missing -= milli;
    }
    struct tenant_node *lender;
    while (missing && (lender = lender_find(tenants, charge->node))) {
        uint64_t milli = smaller(spare(lender, NULL, 0), missing);
        if (part_add(tenants, charge, lender, milli) < 0)
            return -ENOMEM;
        missing -= milli;
    }
    return (int64_t)missing;
}

/* Replace what this part takes by what is nearer to its tenant. */
static bool part_settle(struct tenants *tenants, struct tenant_charge *charge, size_t index)
{
    for (struct tenant_node *node = charge->node; node && node != charge->parts[index].from;
         node = node->parent) {
        struct tenant_part *part = &charge->parts[index];
        uint64_t milli = smaller(spare(node, NULL, 0), part->milli);
        if (milli == 0 || part_add(tenants, charge, node, milli) < 0)
            continue;
        part_return(tenants, charge, &charge->parts[index], (uint32_t)milli);
        return true;
    }
    return false;
}

static void parts_sweep(struct tenant_charge *charge)
{
    size_t kept = 0;
    for (size_t i = 0; i < charge->part_count; i++) {
        if (charge->parts[i].milli)
            charge->parts[kept++] = charge->parts[i];
    }
    charge->part_count = kept;
}

/* Each move brings a payment nearer to its tenant, so this ends. */
static void settle(struct tenants *tenants)
{
    bool moved = tenants->node_count > 0;
    while (moved) {
        moved = false;
        for (size_t i = 0; i < tenants->charge_count; i++) {
            struct tenant_charge *charge = tenants->charges[i];
            for (size_t part = 0; charge->kind == TENANT_CHARGE_PAID && part < charge->part_count;
                 part++)
                moved = part_settle(tenants, charge, part) || moved;
            parts_sweep(charge);
        }
    }
}

/* -- the tree -- */

static void own_count(struct tenants *tenants)
{
    tenants->centre.own = tenants->centre.tenant.reserved_milli;
    for (size_t i = 0; i < tenants->node_count; i++)
        tenants->nodes[i]->own = tenants->nodes[i]->tenant.reserved_milli;
    for (size_t i = 0; i < tenants->node_count; i++) {
        struct tenant_node *parent = tenants->nodes[i]->parent;
        parent->own -= smaller(parent->own, tenants->nodes[i]->tenant.reserved_milli);
    }
}

static void claims_drop(struct tenants *tenants)
{
    size_t kept = 0;
    for (size_t i = 0; i < tenants->charge_count; i++) {
        struct tenant_charge *charge = tenants->charges[i];
        if (charge->kind == TENANT_CHARGE_CLAIM)
            charge_destroy(charge);
        else
            tenants->charges[kept++] = charge;
    }
    tenants->charge_count = kept;
}

static void use_shift(struct tenant_node *node, int64_t change)
{
    for (; node; node = node->parent)
        node->used = (uint64_t)((int64_t)node->used + change);
}

/* Its tenant was made after it began. */
static void charge_move(struct tenants *tenants, struct tenant_charge *charge)
{
    use_shift(charge->node, -(int64_t)charge->job.milli);
    charge->node = tenant_node_find(tenants, charge->tenant);
    use_shift(charge->node, charge->job.milli);
}

/* Reservations changed: pay for everything anew, in order of age. What nobody can pay for stays on
 * the centre's account. Claims are to be made again. */
static void rebook(struct tenants *tenants)
{
    for (size_t i = 0; i < tenants->charge_count; i++)
        parts_return(tenants, tenants->charges[i]);
    claims_drop(tenants);
    own_count(tenants);
    for (size_t i = 0; i < tenants->charge_count; i++) {
        struct tenant_charge *charge = tenants->charges[i];
        charge_move(tenants, charge);
        int64_t missing = pay(tenants, charge);
        if (missing > 0)
            (void)part_add(tenants, charge, &tenants->centre,
                           (uint64_t)missing); /* without memory it is not counted */
    }
}

void tenants_capacity_set(struct tenants *tenants, uint32_t capacity_milli)
{
    if (tenants->centre.tenant.reserved_milli == capacity_milli)
        return;
    tenants->centre.tenant.reserved_milli = capacity_milli;
    rebook(tenants);
}

static uint64_t handed_down(const struct tenants *tenants, const struct tenant_node *parent,
                            const struct tenant_node *except)
{
    uint64_t milli = 0;
    for (size_t i = 0; i < tenants->node_count; i++) {
        const struct tenant_node *node = tenants->nodes[i];
        milli += node->parent == parent && node != except ? node->tenant.reserved_milli : 0;
    }
    return milli;
}

static bool name_is_good(const char *name)
{
    size_t length = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                 "0123456789-_.");
    return length > 0 && length <= TENANT_NAME_MAX && !name[length] && name[0] != '.';
}

static unsigned depth_below(const struct tenants *tenants, const struct tenant_node *node)
{
    unsigned deepest = 0;
    for (size_t i = 0; node && i < tenants->node_count; i++) {
        if (!tenant_is_family(node, tenants->nodes[i]))
            continue;
        unsigned depth =
            common_depth(tenants->nodes[i], tenants->nodes[i]) - common_depth(node, node);
        deepest = depth > deepest ? depth : deepest;
    }
    return deepest;
}

static int place_check(struct tenants *tenants, const struct tenant *tenant,
                       const struct tenant_node *node, const struct tenant_node *parent,
                       struct error *err)
{
    if (tenant->parent[0] && parent == &tenants->centre)
        return error_set(err, -EINVAL, "unknown-parent", "there is no tenant '%s'; make it first",
                         tenant->parent);
    if (node && tenant_is_family(node, parent))
        return error_set(err, -EINVAL, "tenant-circle", "'%s' cannot be under itself",
                         tenant->name);
    if (common_depth(parent, parent) + depth_below(tenants, node) > TENANT_DEPTH_MAX)
        return error_set(err, -EINVAL, "bad-tenant", "tenants are at most %d levels deep",
                         TENANT_DEPTH_MAX);
    return 0;
}

static int tenant_check(struct tenants *tenants, const struct tenant *tenant,
                        const struct tenant_node *node, const struct tenant_node *parent,
                        struct error *err)
{
    if (!name_is_good(tenant->name) || tenant->weight == 0)
        return error_set(err, -EINVAL, "bad-tenant",
                         "a tenant has a name of 1 to %d letters, digits, '-', '_' and '.', and a "
                         "weight from 1 up",
                         TENANT_NAME_MAX);
    if (tenant->limit_milli && tenant->limit_milli < tenant->reserved_milli)
        return error_set(err, -EINVAL, "bad-tenant", "the limit is below the reservation");
    int r = place_check(tenants, tenant, node, parent, err);
    if (r < 0)
        return r;
    uint64_t there = parent->tenant.reserved_milli, others = handed_down(tenants, parent, node);
    if (others + tenant->reserved_milli > there)
        return error_set(err, -ENOSPC, "reservation-exceeds",
                         "asks for %u thousandths of a device; %s has %llu not yet reserved",
                         tenant->reserved_milli,
                         parent->parent ? parent->tenant.name : "the centre",
                         (unsigned long long)(there > others ? there - others : 0));
    if (node && handed_down(tenants, node, NULL) > tenant->reserved_milli)
        return error_set(err, -ENOSPC, "reservation-exceeds",
                         "the tenants under '%s' have reserved more", tenant->name);
    return 0;
}

static struct tenant_node *node_add(struct tenants *tenants)
{
    if (tenants->node_count == tenants->node_room) {
        size_t room = tenants->node_room ? 2 * tenants->node_room : 8;
        struct tenant_node **nodes = realloc(tenants->nodes, room * sizeof(*nodes));
        if (!nodes)
            return NULL;
        tenants->nodes = nodes;
        tenants->node_room = room;
    }
    struct tenant_node *node = calloc(1, sizeof(*node));
    if (node)
        tenants->nodes[tenants->node_count++] = node;
    return node;
}

int tenants_set(struct tenants *tenants, const struct tenant *tenant, struct error *err)
{
    int index = tenants_find(tenants, tenant->name);
    struct tenant_node *node = index < 0 ? NULL : tenants->nodes[index];
    struct tenant_node *parent = tenant_node_find(tenants, tenant->parent);
    int r = tenant_check(tenants, tenant, node, parent, err);
    if (r < 0)
        return r;
    if (!node && tenants->node_count == TENANTS_MAX)
        return error_set(err, -ENOSPC, "too-many-tenants", "there are %d already", TENANTS_MAX);
    if (!node && !(node = node_add(tenants)))
        return error_set(err, -ENOMEM, "out-of-memory", "making a tenant");
    /* The family that it leaves no longer uses what it uses. */
    use_shift(node->parent, -(int64_t)node->used);
    node->tenant = *tenant;
    node->parent = parent;
    use_shift(parent, (int64_t)node->used);
    rebook(tenants);
    return 0;
}

int tenants_remove(struct tenants *tenants, const char *name, struct error *err)
{
    int index = tenants_find(tenants, name);
    if (index < 0)
        return error_set(err, -ENOENT, "unknown-tenant", "there is no tenant '%.64s'", name);
    struct tenant_node *node = tenants->nodes[index];
    bool busy = false;
    for (size_t i = 0; i < tenants->charge_count; i++)
        busy = busy || tenants->charges[i]->node == node;
    for (size_t i = 0; i < tenants->node_count; i++)
        busy = busy || tenants->nodes[i]->parent == node;
    if (busy)
        return error_set(err, -EBUSY, "tenant-in-use",
                         "'%s' has jobs or tenants under it; end and remove those first", name);
    node->tenant.reserved_milli = 0;
    rebook(tenants);
    tenants->nodes[index] = tenants->nodes[--tenants->node_count];
    free(node);
    return 0;
}

size_t tenants_count(const struct tenants *tenants)
{
    return tenants->node_count;
}

void tenants_view(const struct tenants *tenants, size_t index, uint64_t now_us,
                  struct tenant_view *ret_view)
{
    const struct tenant_node *node = tenants->nodes[index];
    *ret_view = (struct tenant_view){
        .tenant = &node->tenant,
        .used_milli = node->used,
        .borrowed_milli = node->borrowed,
        .lent_milli = node->lent,
        .claimed_milli = node->claimed,
        .history = tenant_history(tenants, node, now_us) / node->tenant.weight,
    };
}

/* -- jobs -- */

struct jobs {
    const uint64_t *ids;
    size_t count;
};

/* What these jobs have of the node's own. */
static uint64_t given_up(const struct tenants *tenants, const struct tenant_node *node,
                         const struct jobs *without)
{
    uint64_t milli = 0;
    for (size_t i = 0; i < without->count; i++) {
        const struct tenant_charge *charge = tenant_charge_find(tenants, without->ids[i]);
        if (charge && charge->kind == TENANT_CHARGE_PAID)
            milli += part_of(charge, node);
    }
    return milli;
}

/* What these jobs use of all that the node's family does. */
static uint64_t given_back(const struct tenants *tenants, const struct tenant_node *node,
                           const struct jobs *without)
{
    uint64_t milli = 0;
    for (size_t i = 0; i < without->count; i++) {
        const struct tenant_charge *charge = tenant_charge_find(tenants, without->ids[i]);
        if (charge && charge->kind == TENANT_CHARGE_PAID && tenant_is_family(node, charge->node))
            milli += charge->job.milli;
    }
    return milli;
}

enum tenant_verdict tenants_ask(const struct tenants *tenants, const struct tenant_job *job)
{
    return tenants_ask_without(tenants, job, NULL, 0);
}

enum tenant_verdict tenants_ask_without(const struct tenants *tenants, const struct tenant_job *job,
                                        const uint64_t *ids, size_t count)
{
    const struct jobs without = {ids, count};
    const struct tenant_charge *known = tenant_charge_find(tenants, job->id);
    const struct tenant_charge *claim = known && known->kind == TENANT_CHARGE_CLAIM ? known : NULL;
    const struct tenant_node *own =
        tenant_node_find((struct tenants *)(uintptr_t)tenants, job->tenant);
    uint64_t family = 0, entitled = 0, others = 0;
    for (const struct tenant_node *node = own; node; node = node->parent) {
        uint64_t used = node->used - given_back(tenants, node, &without);
        if (node->tenant.limit_milli && used + job->milli > node->tenant.limit_milli)
            return TENANT_LIMITED;
        family += spare(node, claim, given_up(tenants, node, &without));
        entitled += due(node, claim);
    }
    if (family >= job->milli)
        return TENANT_OWN;
    for (size_t i = 0; i < tenants->node_count; i++) {
        const struct tenant_node *node = tenants->nodes[i];
        others +=
            tenant_is_family(node, own) ? 0 : spare(node, NULL, given_up(tenants, node, &without));
    }
    /* Who has called loans in does not borrow on top. */
    if (!claim && family + others >= job->milli)
        return TENANT_BORROWS;
    return entitled >= job->milli ? TENANT_CLAIMS : TENANT_SHORT;
}

static struct tenant_charge *charge_add(struct tenants *tenants, const struct tenant_job *job,
                                        enum tenant_charge_kind kind)
{
    if (tenants->charge_count == tenants->charge_room) {
        size_t room = tenants->charge_room ? 2 * tenants->charge_room : 64;
        struct tenant_charge **charges = realloc(tenants->charges, room * sizeof(*charges));
        if (!charges)
            return NULL;
        tenants->charges = charges;
        tenants->charge_room = room;
    }
    struct tenant_charge *charge = calloc(1, sizeof(*charge));
    if (!charge)
        return NULL;
    charge->kind = kind;
    charge->job = *job;
    (void)snprintf(charge->tenant, sizeof(charge->tenant), "%s", job->tenant ? job->tenant : "");
    charge->job.tenant = charge->tenant;
    charge->node = tenant_node_find(tenants, charge->tenant);
    tenants->charges[tenants->charge_count++] = charge;
    return charge;
}

static void charge_remove(struct tenants *tenants, size_t index, uint64_t now_us)
{
    struct tenant_charge *charge = tenants->charges[index];
    parts_return(tenants, charge);
    if (charge->kind == TENANT_CHARGE_PAID)
        use_change(tenants, charge->node, -(int64_t)charge->job.milli, now_us);
    memmove(&tenants->charges[index], &tenants->charges[index + 1],
            (--tenants->charge_count - index) * sizeof(*tenants->charges));
    charge_destroy(charge);
}

int tenants_charge(struct tenants *tenants, const struct tenant_job *job, uint64_t now_us)
{
    enum tenant_verdict verdict = tenants_ask(tenants, job);
    if (verdict != TENANT_OWN && verdict != TENANT_BORROWS)
        return -EDQUOT;
    size_t known = charge_index(tenants, job->id);
    if (known < tenants->charge_count)
        charge_remove(tenants, known, now_us);
    struct tenant_charge *charge = charge_add(tenants, job, TENANT_CHARGE_PAID);
    if (!charge)
        return -ENOMEM;
    charge->since_us = job->since_us ? job->since_us : now_us;
    charge->due_us = job->due_us;
    use_change(tenants, charge->node, charge->job.milli, now_us);
    if (pay(tenants, charge) < 0) {
        charge_remove(tenants, tenants->charge_count - 1, now_us);
        return -ENOMEM;
    }
    return 0;
}

void tenants_release(struct tenants *tenants, uint64_t job, uint64_t now_us)
{
    size_t index = charge_index(tenants, job);
    if (index == tenants->charge_count)
        return;
    charge_remove(tenants, index, now_us);
    settle(tenants);
}

void tenants_note(struct tenants *tenants, const struct tenant_job *job)
{
    struct tenant_charge *charge = tenant_charge_find(tenants, job->id);
    if (!charge)
        return;
    charge->job.device = job->device;
    charge->job.idle = job->idle;
    charge->job.suspended = job->suspended;
    charge->job.stops = job->stops;
    charge->job.lost_us = job->lost_us;
}

int tenants_claim(struct tenants *tenants, const struct tenant_job *job)
{
    if (tenant_charge_find(tenants, job->id))
        return 0;
    if (tenants_ask(tenants, job) != TENANT_CLAIMS)
        return -EDQUOT;
    struct tenant_charge *charge = charge_add(tenants, job, TENANT_CHARGE_CLAIM);
    if (!charge)
        return -ENOMEM;
    uint64_t missing = job->milli;
    for (struct tenant_node *node = charge->node; node && missing; node = node->parent) {
        uint64_t milli = smaller(due(node, NULL), missing);
        if (part_add(tenants, charge, node, milli) < 0) {
            charge_remove(tenants, tenants->charge_count - 1, 0);
            return -ENOMEM;
        }
        missing -= milli;
    }
    return 0;
}

/* -- looking -- */

void tenants_loans(const struct tenants *tenants,
                   void (*visit)(void *arg, const struct tenant_loan *loan), void *arg)
{
    for (size_t i = 0; i < tenants->charge_count; i++) {
        const struct tenant_charge *charge = tenants->charges[i];
        for (size_t k = 0; k < charge->part_count; k++) {
            const struct tenant_part *part = &charge->parts[k];
            const struct tenant_loan loan = {
                part->loan,  charge->job.id,   part->from->tenant.name, charge->node->tenant.name,
                part->milli, charge->since_us, charge->due_us,
            };
            if (part->loan)
                visit(arg, &loan);
        }
    }
}

uint64_t tenants_debt(const struct tenants *tenants)
{
    uint64_t milli = 0;
    for (size_t i = 0; i < tenants->node_count; i++)
        milli += tenants->nodes[i]->lent;
    return milli;
}

uint64_t tenants_claimed(const struct tenants *tenants)
{
    uint64_t milli = tenants->centre.claimed;
    for (size_t i = 0; i < tenants->node_count; i++)
        milli += tenants->nodes[i]->claimed;
    return milli;
}

/* Add to `sums` what one charge means for the node. */
static void charge_sum(const struct tenant_charge *charge, const struct tenant_node *node,
                       struct tenant_node *sums)
{
    bool claim = charge->kind == TENANT_CHARGE_CLAIM;
    if (!claim && tenant_is_family(node, charge->node))
        sums->used += charge->job.milli;
    for (size_t i = 0; i < charge->part_count; i++) {
        const struct tenant_part *part = &charge->parts[i];
        if (part->from == node) {
            *(claim ? &sums->claimed : &sums->paid) += part->milli;
            sums->lent += part->loan ? part->milli : 0;
        }
        if (charge->node == node && part->loan)
            sums->borrowed += part->milli;
    }
}

static bool node_consistent(const struct tenants *tenants, const struct tenant_node *node)
{
    struct tenant_node sums = {.used = 0};
    for (size_t i = 0; i < tenants->charge_count; i++)
        charge_sum(tenants->charges[i], node, &sums);
    return sums.paid == node->paid && sums.lent == node->lent && sums.claimed == node->claimed &&
           sums.borrowed == node->borrowed && sums.used == node->used;
}

bool tenants_consistent(const struct tenants *tenants)
{
    bool good = node_consistent(tenants, &tenants->centre);
    for (size_t i = 0; i < tenants->node_count; i++)
        good = good && node_consistent(tenants, tenants->nodes[i]);
    return good;
}

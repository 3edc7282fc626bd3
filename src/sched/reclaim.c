/* Who stops for whom, and who comes first: see tenant.h. */
#include <stdlib.h>

#include "sched/tenant_impl.h"

/* What a claim still lacks after all that is free or coming back. */
static uint64_t lack(const struct tenant_node *from)
{
    uint64_t coming = tenant_free(from) + from->called;
    return from->claimed > coming ? from->claimed - coming : 0;
}

static uint64_t lent_to(const struct tenant_charge *borrower, const struct tenant_node *from)
{
    uint64_t milli = 0;
    for (size_t i = 0; i < borrower->part_count; i++) {
        const struct tenant_part *part = &borrower->parts[i];
        milli += part->loan && part->from == from ? part->milli : 0;
    }
    return milli;
}

static bool owes(const struct tenant_charge *charge, const struct tenant_charge *claim)
{
    for (size_t i = 0; i < claim->part_count; i++) {
        if (lent_to(charge, claim->parts[i].from))
            return true;
    }
    return false;
}

/* The cheapest to stop first. */
static int by_cost(const void *left, const void *right)
{
    const struct tenant_charge *a = *(struct tenant_charge *const *)left;
    const struct tenant_charge *b = *(struct tenant_charge *const *)right;
    if (a->job.idle != b->job.idle)
        return a->job.idle ? -1 : 1;
    if (a->job.suspended != b->job.suspended)
        return a->job.suspended ? -1 : 1;
    if (a->job.stops != b->job.stops)
        return a->job.stops ? 1 : -1;
    if (a->job.lost_us != b->job.lost_us)
        return a->job.lost_us < b->job.lost_us ? -1 : 1;
    if (a->since_us != b->since_us)
        return a->since_us > b->since_us ? -1 : 1;
    return (a->job.id < b->job.id) - (a->job.id > b->job.id);
}

/* Would these, without the one at `except`, set enough free? */
static bool covers(struct tenant_charge *const *victims, size_t count, size_t except,
                   const struct tenant_charge *claim, uint64_t device_milli)
{
    uint64_t physical = 0;
    for (size_t v = 0; v < count; v++)
        physical += v == except || !victims[v] ? 0 : victims[v]->job.milli;
    if (physical < device_milli)
        return false;
    for (size_t i = 0; i < claim->part_count; i++) {
        const struct tenant_node *from = claim->parts[i].from;
        uint64_t back = 0;
        for (size_t v = 0; v < count; v++)
            back += v == except || !victims[v] ? 0 : lent_to(victims[v], from);
        if (back < lack(from))
            return false;
    }
    return true;
}

/* Borrowers on the device, the cheapest first; `ret_coming` is what is called there already. */
static size_t candidates(const struct tenants *tenants, const struct tenant_charge *claim,
                         uint32_t device, struct tenant_charge **victims, uint64_t *ret_coming)
{
    size_t count = 0;
    *ret_coming = 0;
    for (size_t i = 0; i < tenants->charge_count; i++) {
        struct tenant_charge *charge = tenants->charges[i];
        if (charge->kind != TENANT_CHARGE_PAID ||
            (device != TENANT_ANY_DEVICE && charge->job.device != device))
            continue;
        if (charge->due_us)
            *ret_coming += charge->job.milli;
        else if (owes(charge, claim))
            victims[count++] = charge;
    }
    if (count)
        qsort(victims, count, sizeof(struct tenant_charge *), by_cost);
    return count;
}

static uint64_t due_at(const struct tenants *tenants, const struct tenant_charge *charge,
                       uint64_t now_us)
{
    uint64_t free_at_us = charge->since_us + tenants->terms.minimum_us;
    return (free_at_us > now_us ? free_at_us : now_us) + tenants->terms.notice_us;
}

size_t tenants_plan(struct tenants *tenants, uint64_t job, uint32_t device, uint32_t milli,
                    uint64_t now_us, struct tenant_call *calls, size_t room)
{
    const struct tenant_charge *claim = tenant_charge_find(tenants, job);
    struct tenant_charge **victims = calloc(tenants->charge_count + 1, sizeof(*victims));
    uint64_t coming;
    size_t planned = 0;
    if (!victims || !claim || claim->kind != TENANT_CHARGE_CLAIM) {
        free(victims);
        return 0;
    }
    size_t count = candidates(tenants, claim, device, victims, &coming), taken = 0;
    uint64_t missing = milli > coming ? milli - coming : 0;
    while (taken < count && !covers(victims, taken, taken, claim, missing))
        taken++;
    bool enough = covers(victims, taken, taken, claim, missing);
    /* A cheap one that a dearer one makes needless is let go; the dearest are tried first. */
    for (size_t v = taken; enough && v-- > 0;) {
        if (covers(victims, taken, v, claim, missing))
            victims[v] = NULL;
    }
    for (size_t v = 0; enough && v < taken && planned < room; v++) {
        if (victims[v])
            calls[planned++] = (struct tenant_call){victims[v]->job.id, victims[v]->job.milli,
                                                    due_at(tenants, victims[v], now_us)};
    }
    free(victims);
    return planned;
}

void tenants_call(struct tenants *tenants, const struct tenant_call *call)
{
    struct tenant_charge *charge = tenant_charge_find(tenants, call->job);
    if (!charge || charge->due_us || charge->kind != TENANT_CHARGE_PAID)
        return;
    charge->due_us = call->due_us;
    for (size_t i = 0; i < charge->part_count; i++) {
        if (charge->parts[i].loan)
            charge->parts[i].from->called += charge->parts[i].milli;
    }
}

static void call_end(struct tenant_charge *charge)
{
    charge->due_us = 0;
    for (size_t i = 0; i < charge->part_count; i++) {
        if (charge->parts[i].loan)
            charge->parts[i].from->called -= charge->parts[i].milli;
    }
}

bool tenants_called(struct tenants *tenants, uint64_t job)
{
    struct tenant_charge *charge = tenant_charge_find(tenants, job);
    if (!charge || !charge->due_us)
        return false;
    for (size_t i = 0; i < charge->part_count; i++) {
        const struct tenant_node *from = charge->parts[i].from;
        uint64_t others = tenant_free(from) + from->called - lent_to(charge, from);
        if (charge->parts[i].loan && from->claimed > others)
            return true;
    }
    call_end(charge);
    return false;
}

bool tenants_may_preempt(const struct tenants *tenants, const struct tenant_job *job,
                         const struct tenant_job *victim)
{
    struct tenants *book = (struct tenants *)(uintptr_t)tenants;
    const struct tenant_charge *charge = tenant_charge_find(tenants, victim->id);
    bool borrowed = charge && charge->kind == TENANT_CHARGE_PAID && charge->part_count;
    for (size_t i = 0; borrowed && i < charge->part_count; i++)
        borrowed = charge->parts[i].loan;
    return borrowed ||
           tenant_node_find(book, victim->tenant) == tenant_node_find(book, job->tenant);
}

static unsigned level(const struct tenant_node *node)
{
    unsigned steps = 0;
    for (; node->parent; node = node->parent)
        steps++;
    return steps;
}

int tenants_order(const struct tenants *tenants, const char *a, const char *b, uint64_t now_us)
{
    struct tenants *book = (struct tenants *)(uintptr_t)tenants;
    const struct tenant_node *left = tenant_node_find(book, a), *right = tenant_node_find(book, b);
    while (level(left) > level(right))
        left = left->parent;
    while (level(right) > level(left))
        right = right->parent;
    while (left->parent != right->parent) {
        left = left->parent;
        right = right->parent;
    }
    double mine = tenant_history(tenants, left, now_us) / left->tenant.weight;
    double theirs = tenant_history(tenants, right, now_us) / right->tenant.weight;
    return (mine > theirs) - (mine < theirs);
}

/* Tenants: what each may use, who lends to whom, and how what was lent comes back. The book is
 * sched/tenant.h; here it follows the jobs, and what it decides is done. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/json.h"
#include "base/log.h"
#include "base/units.h"
#include "core/core_impl.h"
#include "core/evict.h"
#include "core/quota.h"
#include "sched/tenant.h"

#define MINIMUM_DEFAULT_MS 60000
#define NOTICE_DEFAULT_MS 30000
#define GRACE_MS 5000                         /* two polls of the cards and their answers */
#define HALF_LIFE_US (24ull * 3600 * 1000000) /* of what was used, in the order of borrowers */
#define CALLS_MAX 64                          /* borrowers stopped for one job */

/* -- the book -- */

static json_t *loan_encode(const struct tenant_loan *loan)
{
    char id[JOB_ID_TEXT_MAX], since[TIME_TEXT_MAX], due[TIME_TEXT_MAX];
    return json_pack("{s:I, s:s, s:s, s:s, s:I, s:s, s:o, s:n}", "loan", (json_int_t)loan->id,
                     "job", job_id_text(loan->job, id), "lender", loan->lender, "borrower",
                     loan->borrower, "milli", (json_int_t)loan->milli, "since",
                     time_text(loan->since_us, since), "due",
                     loan->due_us ? json_string(time_text(loan->due_us, due)) : json_null(), "for");
}

static void note(struct core *core, const char *kind, uint64_t job, json_t *data)
{
    struct store_event event = commit_event(core, kind, job);
    AUTO_JSON json_t *taken = data;
    event.data = taken;
    commit_note(core, &event);
}

static void on_loan(void *arg, const struct tenant_loan *loan, enum tenant_loan_event event)
{
    struct core *core = arg;
    if (core->recounting)
        return;
    note(core, event == TENANT_LOAN_MADE ? "loan.made" : "loan.returned", loan->job,
         loan_encode(loan));
}

int quota_create(struct core *core, const struct core_options *options)
{
    const struct tenant_terms terms = {
        .minimum_us =
            (options->loan_minimum_ms ? options->loan_minimum_ms : MINIMUM_DEFAULT_MS) * 1000ull,
        .notice_us =
            (options->loan_notice_ms ? options->loan_notice_ms : NOTICE_DEFAULT_MS) * 1000ull,
        .grace_us = GRACE_MS * 1000ull,
        .half_life_us = HALF_LIFE_US,
    };
    core->tenants = tenants_create(&terms, on_loan, core);
    return core->tenants ? 0 : -ENOMEM;
}

struct stored {
    struct tenant *tenants;
    size_t count, room;
};

static int stored_add(void *arg, const struct tenant *tenant)
{
    struct stored *stored = arg;
    if (stored->count == stored->room) {
        size_t room = stored->room ? 2 * stored->room : 16;
        struct tenant *tenants = realloc(stored->tenants, room * sizeof(*tenants));
        if (!tenants)
            return -ENOMEM;
        stored->tenants = tenants;
        stored->room = room;
    }
    stored->tenants[stored->count++] = *tenant;
    return 0;
}

/* Parents before their children: one level is added in each round. */
static void stored_set(struct core *core, const struct stored *stored)
{
    for (unsigned level = 0; level < TENANT_DEPTH_MAX; level++) {
        for (size_t i = 0; i < stored->count; i++) {
            if (tenants_find(core->tenants, stored->tenants[i].name) < 0)
                (void)tenants_set(core->tenants, &stored->tenants[i],
                                  NULL); /* its parent comes in this round */
        }
    }
}

int quota_load(struct core *core, struct error *err)
{
    struct stored stored = {0};
    int r = store_tenants(core->store, stored_add, &stored, err);
    /* How much there is, is known when leat-cardd has told its devices. */
    tenants_capacity_set(core->tenants, UINT32_MAX);
    if (r == 0)
        stored_set(core, &stored);
    free(stored.tenants);
    return r;
}

void quota_devices_changed(struct core *core)
{
    /* The first count after a start finds the loans that there were: nothing to tell. */
    core->recounting = !core->counted;
    tenants_capacity_set(core->tenants, (uint32_t)core->device_count * SHARE_WHOLE_PERMILLE);
    core->recounting = false;
    core->counted = true;
}

/* -- following the jobs -- */

static uint32_t device_index(const struct core *core, const char *id)
{
    for (size_t i = 0; id && i < core->device_count; i++) {
        if (strcmp(core->devices[i].id, id) == 0)
            return (uint32_t)i;
    }
    return TENANT_ANY_DEVICE;
}

static struct tenant_job tenant_job(const struct core *core, const struct live_job *live)
{
    const struct job *job = &live->job;
    return (struct tenant_job){
        .id = job->id,
        .tenant = job->request.tenant,
        .milli = job->request.share_permille,
        .device = device_index(core, job->device),
        .stops = evict_applies(live),
        .lost_us = job_lost_us(job, clock_realtime_us()),
        .since_us = job->paid_since_us,
        .due_us = job->loan_due_us,
    };
}

static bool holds_share(const struct live_job *live)
{
    enum job_state state = live->job.state;
    return live->job.device && !live->released &&
           (state == JOB_STARTING || state == JOB_RUNNING || state == JOB_STOPPING);
}

void quota_take(struct core *core, struct live_job *live)
{
    struct tenant_job job = tenant_job(core, live);
    if (live->paid) {
        tenants_note(core->tenants, &job); /* it may have been paid before it had its device */
        return;
    }
    uint64_t now_us = clock_realtime_us();
    int r = tenants_charge(core->tenants, &job, now_us);
    live->paid = r == 0;
    if (live->paid && !live->job.paid_since_us)
        live->job.paid_since_us = now_us;
    live->claims = live->claims && r < 0;
    if (r < 0)
        log_event(LOG_WARN, "tenant.charge", "job=%llu errno=%d", (unsigned long long)job.id, -r);
}

void quota_drop(struct core *core, struct live_job *live)
{
    if (!live->paid && !live->claims)
        return;
    tenants_release(core->tenants, live->job.id, clock_realtime_us());
    live->paid = live->claims = false;
    live->job.loan_due_us = live->job.paid_since_us = 0;
}

void quota_follow(struct core *core, struct live_job *live)
{
    enum job_state state = live->job.state;
    bool waits = state == JOB_QUEUED || (state == JOB_IDLE && !list_empty(&live->waking));
    if (holds_share(live))
        quota_take(core, live);
    else if (live->paid || !waits)
        quota_drop(core, live);
}

/* -- what is lent comes back -- */

static void call(struct core *core, const struct tenant_call *call, const struct live_job *owner)
{
    struct live_job *live = core_find(core, call->job);
    char due[TIME_TEXT_MAX], text[224], id[JOB_ID_TEXT_MAX];
    if (!live)
        return;
    tenants_call(core->tenants, call);
    live->job.loan_due_us = call->due_us;
    notice_begin(live);
    (void)time_text(call->due_us, due);
    (void)snprintf(text, sizeof(text),
                   "its program runs on borrowed compute, which goes back to tenant %.60s at %s",
                   owner->job.request.tenant, due);
    (void)job_reason_set(&live->job, "loan-called", text); /* without memory the old one stays */
    struct store_event event = commit_event(core, "loan.called", call->job);
    AUTO_JSON json_t *data =
        json_pack("{s:s, s:s, s:I, s:s}", "for", job_id_text(owner->job.id, id), "owner",
                  owner->job.request.tenant, "milli", (json_int_t)call->milli, "due", due);
    event.data = data;
    commit_job(core, live, &event); /* the notice survives a restart */
}

/* The memory of what is called in comes free with it: those cards leave their device, unless they
 * cannot. */
static bool memory_suffices(const struct core *core, uint64_t wanted, uint64_t there,
                            const struct tenant_call *calls, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct live_job *live = core_find(core, calls[i].job);
        bool stays = live && evict_stays(live) && !evict_applies(live);
        there += live && !stays ? live->job.request.memory_bytes : 0;
    }
    return there >= wanted;
}

/* Call in what lets the job onto one device; the first where that is possible. */
static void call_for(struct core *core, const struct live_job *live)
{
    struct tenant_call calls[CALLS_MAX];
    struct sched_state state;
    const struct job_request *request = &live->job.request;
    const char *wanted = live->job.device ? live->job.device : request->device;
    bool has_memory = live->job.device && !live->away;
    uint64_t memory = has_memory ? 0 : request->memory_bytes;
    size_t count = 0;
    if (place_state_make(core, NULL, 0, &state) < 0)
        return;
    for (size_t i = 0; count == 0 && i < state.device_count; i++) {
        const struct sched_device *device = &state.devices[i];
        uint32_t there = device->share_free_permille, asked = request->share_permille;
        if (wanted && strcmp(wanted, device->id) != 0)
            continue;
        count =
            tenants_plan(core->tenants, live->job.id, (uint32_t)i,
                         asked > there ? asked - there : 0, clock_realtime_us(), calls, CALLS_MAX);
        if (!memory_suffices(core, memory, device->memory_free_bytes, calls, count))
            count = 0;
    }
    place_state_finish(&state);
    for (size_t i = 0; i < count; i++)
        call(core, &calls[i], live);
}

enum sched_permit quota_ask(struct core *core, struct live_job *live, uint64_t milli)
{
    struct tenant_job job = tenant_job(core, live);
    job.milli = (uint32_t)milli;
    if (tenants_count(core->tenants) == 0)
        return SCHED_PERMITTED; /* nobody reserves anything */
    switch (tenants_ask(core->tenants, &job)) {
    case TENANT_OWN:
    case TENANT_BORROWS:
        return SCHED_PERMITTED;
    case TENANT_CLAIMS:
        live->claims = tenants_claim(core->tenants, &job) == 0;
        call_for(core, live);
        return SCHED_CALLED;
    case TENANT_LIMITED:
        quota_drop(core, live); /* a claim from before the limit was reached */
        return SCHED_LIMITED;
    case TENANT_SHORT:
    case TENANT_INVALID:
        break;
    }
    return SCHED_KEPT;
}

int quota_may_grow(const struct core *core, const struct live_job *live, uint32_t share_permille,
                   struct error *err)
{
    struct tenant_job more = tenant_job(core, live);
    if (!live->paid || share_permille <= more.milli)
        return 0;
    more.milli = share_permille - more.milli;
    enum tenant_verdict verdict = tenants_ask(core->tenants, &more);
    if (verdict == TENANT_OWN || verdict == TENANT_BORROWS)
        return 0;
    char asked[UNITS_TEXT_MAX];
    bool limited = verdict == TENANT_LIMITED;
    return error_set(err, -EBUSY, limited ? "quota-reached" : "share-kept",
                     "asked for %s more of a device for tenant '%.60s': %s",
                     share_text(more.milli, asked), live->job.request.tenant,
                     limited ? "its limit is reached" : "it is reserved by others");
}

bool quota_permits_without(const struct core *core, const struct live_job *live, uint64_t milli,
                           const uint64_t *jobs, size_t count)
{
    struct tenant_job job = tenant_job(core, live);
    job.milli = (uint32_t)milli;
    if (tenants_count(core->tenants) == 0)
        return true;
    enum tenant_verdict verdict = tenants_ask_without(core->tenants, &job, jobs, count);
    return verdict == TENANT_OWN || verdict == TENANT_BORROWS;
}

bool quota_may_preempt(const struct core *core, const struct live_job *live,
                       const struct live_job *victim)
{
    struct tenant_job job = tenant_job(core, live), other = tenant_job(core, victim);
    return tenants_may_preempt(core->tenants, &job, &other);
}

bool quota_defers(const struct core *core, const struct live_job *live)
{
    struct tenant_job job = tenant_job(core, live);
    if (live->claims || tenants_claimed(core->tenants) == 0)
        return false;
    enum tenant_verdict verdict = tenants_ask(core->tenants, &job);
    return verdict != TENANT_OWN && verdict != TENANT_BORROWS;
}

static void take(struct core *core, struct live_job *live)
{
    if (!tenants_called(core->tenants, live->job.id)) {
        live->job.loan_due_us = 0;
        (void)job_reason_set(&live->job, "running", "its program runs"); /* as before */
    } else if (evict_applies(live)) {
        evict_take(core, live, IDLE_RECLAIMED);
    } else {
        idle_take(core, live, IDLE_RECLAIMED);
    }
}

void quota_poll(struct core *core)
{
    uint64_t now_us = clock_realtime_us();
    if (tenants_count(core->tenants) == 0)
        return;
    LIST_EACH_SAFE (link, after, &core->placed) {
        struct live_job *live = LIST_ENTRY(link, struct live_job, placed);
        struct tenant_job job = tenant_job(core, live);
        tenants_note(core->tenants, &job);
        if (live->job.loan_due_us && live->job.state == JOB_RUNNING &&
            notice_is_over(core, live, live->job.loan_due_us, now_us))
            take(core, live);
    }
}

/* -- the order among tenants -- */

#define TURNS_MAX 32 /* tenants told apart in one decision */

bool quota_turns(struct core *core, struct sched_state *state)
{
    const char *names[TURNS_MAX];
    uint64_t now_us = clock_realtime_us();
    size_t count = 0;
    if (tenants_count(core->tenants) == 0)
        return false;
    for (size_t i = 0; i < state->job_count; i++) {
        const char *name = core_find(core, state->jobs[i].id)->job.request.tenant;
        size_t at = 0;
        while (at < count && strcmp(names[at], name) != 0)
            at++;
        if (at == count && count < TURNS_MAX)
            names[count++] = name;
    }
    for (size_t i = 0; i < state->job_count; i++) {
        const char *name = core_find(core, state->jobs[i].id)->job.request.tenant;
        for (size_t k = 0; k < count; k++)
            state->jobs[i].turn += tenants_order(core->tenants, names[k], name, now_us) < 0;
    }
    return true;
}

/* -- what REST asks -- */

static json_t *view_encode(const struct core *core, size_t index)
{
    struct tenant_view view;
    tenants_view(core->tenants, index, clock_realtime_us(), &view);
    AUTO_JSON json_t *object = tenant_encode(view.tenant);
    AUTO_JSON json_t *figures = json_pack(
        "{s:I, s:I, s:I, s:I, s:f, s:I}", "used_milli", (json_int_t)view.used_milli,
        "borrowed_milli", (json_int_t)view.borrowed_milli, "lent_milli",
        (json_int_t)view.lent_milli, "claimed_milli", (json_int_t)view.claimed_milli, "history",
        view.history, "bound_ms", (json_int_t)(tenants_bound_us(core->tenants) / 1000));
    if (!object || !figures || json_object_update(object, figures) < 0)
        return NULL;
    return json_incref(object);
}

void core_tenants(struct core *core, const char *name, core_reply_fn *reply, void *arg)
{
    struct error err;
    int index = name ? tenants_find(core->tenants, name) : 0;
    if (index < 0) {
        (void)error_set(&err, -ENOENT, "unknown-tenant", "there is no tenant '%.64s'", name);
        reply(arg, NULL, &err);
        return;
    }
    if (name) {
        core_reply_value(reply, arg, view_encode(core, (size_t)index));
        return;
    }
    AUTO_JSON json_t *list = json_array();
    bool good = list;
    for (size_t i = 0; good && i < tenants_count(core->tenants); i++)
        good = json_array_append_new(list, view_encode(core, i)) == 0;
    core_reply_value(reply, arg, good ? json_pack("{s:O}", "tenants", list) : NULL);
}

void core_tenant_set(struct core *core, const char *name, const json_t *request,
                     core_reply_fn *reply, void *arg)
{
    struct tenant tenant;
    struct error err = {0};
    int r = core->cards_known ? 0
                              : error_set(&err, -EAGAIN, "card-daemon-away",
                                          "how much there is to reserve is not known until "
                                          "leat-cardd answers; ask again");
    if (r == 0)
        r = tenant_decode(name, request, &tenant, &err);
    if (r == 0)
        r = tenants_set(core->tenants, &tenant, &err);
    if (r == 0 && store_batch_tenant(commit_batch(core), &tenant) < 0)
        r = error_set(&err, -ENOMEM, "out-of-memory", "writing a tenant");
    if (r < 0) {
        reply(arg, NULL, &err);
        return;
    }
    note(core, "tenant.set", 0, tenant_encode(&tenant));
    commit_reply(core, view_encode(core, (size_t)tenants_find(core->tenants, name)), reply, arg);
}

void core_tenant_remove(struct core *core, const char *name, core_reply_fn *reply, void *arg)
{
    struct error err = {0};
    int r = tenants_remove(core->tenants, name, &err);
    if (r == 0 && store_batch_tenant_remove(commit_batch(core), name) < 0)
        r = error_set(&err, -ENOMEM, "out-of-memory", "removing a tenant");
    if (r < 0) {
        reply(arg, NULL, &err);
        return;
    }
    note(core, "tenant.removed", 0, json_pack("{s:s}", "name", name));
    commit_reply(core, NULL, reply, arg);
}

struct loan_list {
    const struct core *core;
    json_t *list;
};

static void loan_collect(void *arg, const struct tenant_loan *loan)
{
    const struct loan_list *loans = arg;
    const struct live_job *live = core_find(loans->core, loan->job);
    json_t *object = loan_encode(loan);
    (void)json_object_set_new(object, "notice", live ? notice_encode(&live->job) : json_null());
    (void)json_array_append_new(loans->list, object); /* a list without memory is shorter */
}

void core_loans(struct core *core, core_reply_fn *reply, void *arg)
{
    json_t *list = json_array();
    struct loan_list loans = {core, list};
    if (list) {
        tenants_loans(core->tenants, loan_collect, &loans);
        preempt_list(core, list);
    }
    core_reply_value(reply, arg, list ? json_pack("{s:o}", "loans", list) : NULL);
}

#define QUEUE_SHOWN_MAX 1000 /* jobs in one answer */

static json_t *waiting_encode(const struct core *core, struct live_job *live, size_t position)
{
    char id[JOB_ID_TEXT_MAX], since[TIME_TEXT_MAX];
    const struct job *job = &live->job;
    explain_tell(core, live);
    return json_pack(
        "{s:I, s:s, s:s, s:s, s:i, s:I, s:I, s:s, s:s, s:s, s:s}", "position", (json_int_t)position,
        "job", job_id_text(job->id, id), "name", job->request.name, "tenant", job->request.tenant,
        "priority", (int)job->request.priority, "share_permille",
        (json_int_t)job->request.share_permille, "memory_bytes",
        (json_int_t)job->request.memory_bytes, "since", time_text(job->created_us, since), "code",
        job->code, "text", job->text, "unblocks", explain_unblocks(core, live));
}

void core_queue(struct core *core, core_reply_fn *reply, void *arg)
{
    AUTO_JSON json_t *list = json_array();
    size_t position = 0;
    bool good = list;
    LIST_EACH (link, &core->queue) {
        struct live_job *live = LIST_ENTRY(link, struct live_job, queued);
        if (position++ < QUEUE_SHOWN_MAX)
            good = good && json_array_append_new(list, waiting_encode(core, live, position)) == 0;
    }
    core_reply_value(
        reply, arg,
        good ? json_pack("{s:O, s:I}", "queue", list, "waiting", (json_int_t)core->queue_count)
             : NULL);
}

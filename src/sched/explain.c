/* Why a job waits, in words: one table from obstacle to code, sentence and remedy. */
#include <inttypes.h>
#include <stdio.h>

#include "base/units.h"
#include "sched/sched_impl.h"

enum resource { RESOURCE_NONE, RESOURCE_MEMORY, RESOURCE_SHARE, RESOURCE_CPUS, RESOURCE_RAM };

static const char *const nouns[] = {
    [RESOURCE_NONE] = "",
    [RESOURCE_MEMORY] = " of device memory",
    [RESOURCE_SHARE] = " of compute",
    [RESOURCE_CPUS] = " processors",
    [RESOURCE_RAM] = " of main memory",
};

static const struct {
    const char *code;
    enum resource resource; /* which the sentence compares */
    const char *text;       /* the whole sentence where no resource is short */
    const char *unblocks;
} words[] = {
    [OBSTACLE_NO_DEVICE] = {"no-device", RESOURCE_NONE, "no device is known",
                            "leat-cardd runs and finds an OpenCL device (`clinfo -l` lists them)"},
    [OBSTACLE_OTHER_DEVICE] = {"unknown-device", RESOURCE_NONE,
                               "the device it asks for is not there",
                               "ask for one that `leat device` lists, or for none"},
    [OBSTACLE_OTHER_VENDOR] = {"unknown-vendor", RESOURCE_NONE,
                               "there is no device of the vendor it asks for",
                               "ask for another vendor, or for none"},
    [OBSTACLE_OTHER_SCENARIO] = {"wrong-scenario", RESOURCE_NONE,
                                 "no device's pool takes jobs of this kind",
                                 "open a device for this scenario"},
    [OBSTACLE_MEMORY_NEVER] = {"memory-exceeds-device", RESOURCE_MEMORY, NULL,
                               "ask for less memory"},
    [OBSTACLE_SHARE_NEVER] = {"share-exceeds-device", RESOURCE_SHARE, NULL,
                              "ask for a smaller share"},
    [OBSTACLE_CPUS_NEVER] = {"cpus-exceed-node", RESOURCE_CPUS, NULL, "ask for fewer processors"},
    [OBSTACLE_RAM_NEVER] = {"ram-exceeds-node", RESOURCE_RAM, NULL, "ask for less main memory"},
    [OBSTACLE_LIMIT] = {"quota-reached", RESOURCE_NONE, "its tenant has reached its limit",
                        "a job of its tenant ends or falls idle, or the limit is raised "
                        "(`leat tenant set`)"},
    [OBSTACLE_CALLED] = {"loan-called", RESOURCE_NONE,
                         "what its tenant reserved is lent; the borrower has been given notice",
                         "the loan comes back (`leat loan` says when)"},
    [OBSTACLE_KEPT] = {"share-kept", RESOURCE_NONE,
                       "what is free is kept for tenants that reserved it",
                       "its own tenant gets a larger reservation, or a running job ends"},
    [OBSTACLE_HELD] = {"held-for-earlier", RESOURCE_NONE,
                       "the device is kept for a job that has waited longer",
                       "the earlier job starts"},
    [OBSTACLE_RAM] = {"ram-busy", RESOURCE_RAM, NULL, "a running job ends, or ask for less"},
    [OBSTACLE_CPUS] = {"cpus-busy", RESOURCE_CPUS, NULL, "a running job ends, or ask for fewer"},
    [OBSTACLE_MEMORY] = {"memory-busy", RESOURCE_MEMORY, NULL,
                         "a running job ends (an idle one keeps its memory), or ask for less"},
    [OBSTACLE_SHARE] = {"share-busy", RESOURCE_SHARE, NULL,
                        "a running job ends or falls idle, or ask for less"},
    [OBSTACLE_NONE] = {"placed", RESOURCE_SHARE, NULL, ""},
};

static struct sched_amounts available(const struct sched_state *state,
                                      const struct sched_device *device, bool ever)
{
    if (!device)
        return (struct sched_amounts){0};
    const struct sched_node *node = &state->nodes[device->node];
    return (struct sched_amounts){
        .memory_bytes = ever ? device->memory_bytes : device->memory_free_bytes,
        .share_permille = ever ? device->share_permille : device->share_free_permille,
        .cpus_milli = ever ? node->cpus_milli : node->cpus_free_milli,
        .ram_bytes = ever ? node->ram_bytes : node->ram_free_bytes,
    };
}

static const char *amount_text(enum resource resource, const struct sched_amounts *amounts,
                               char text[UNITS_TEXT_MAX])
{
    switch (resource) {
    case RESOURCE_MEMORY:
        return bytes_text(amounts->memory_bytes, text);
    case RESOURCE_RAM:
        return bytes_text(amounts->ram_bytes, text);
    case RESOURCE_SHARE:
        return share_text(amounts->share_permille, text);
    case RESOURCE_CPUS:
        (void)snprintf(text, UNITS_TEXT_MAX, "%u.%03u", amounts->cpus_milli / 1000,
                       amounts->cpus_milli % 1000);
        return text;
    case RESOURCE_NONE:
        break;
    }
    return "";
}

void sched_reason_fill(const struct sched_state *state, const struct sched_job *job,
                       const struct sched_device *device, enum obstacle obstacle,
                       struct sched_reason *ret_reason)
{
    struct sched_reason *reason = ret_reason;
    char asked[UNITS_TEXT_MAX], there[UNITS_TEXT_MAX];
    enum resource resource = words[obstacle].resource;
    bool of_node = resource == RESOURCE_CPUS || resource == RESOURCE_RAM;
    *reason = (struct sched_reason){
        /* Devices may still appear; what they are does not change. */
        .never = obstacle != OBSTACLE_NO_DEVICE && obstacle <= OBSTACLE_NEVER_LAST,
        .asked = {job->memory_bytes, job->ram_bytes, job->share_permille, job->cpus_milli},
    };
    reason->available = available(state, device, reason->never);
    (void)snprintf(reason->code, sizeof(reason->code), "%s", words[obstacle].code);
    (void)snprintf(reason->unblocks, sizeof(reason->unblocks), "%s", words[obstacle].unblocks);
    if (resource == RESOURCE_NONE)
        (void)snprintf(reason->text, sizeof(reason->text), "%s", words[obstacle].text);
    else
        (void)snprintf(reason->text, sizeof(reason->text), "asks for %s%s; %s%s has %s%s",
                       amount_text(resource, &reason->asked, asked), nouns[resource],
                       of_node ? "the machine of " : "", device->id,
                       amount_text(resource, &reason->available, there),
                       reason->never ? "" : " free");
}

/* What keeps a job waiting, and the words for it: one table from finding to code, sentence and
 * remedy. */
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/units.h"
#include "sched/sched_impl.h"

/* -- findings -- */

/* Has `name` the word, in capitals or not? */
static bool has_word(const char *name, const char *word, size_t length)
{
    for (; length && strlen(name) >= length; name++) {
        if (strncasecmp(name, word, length) == 0)
            return true;
    }
    return false;
}

#define UNLISTED UINT32_MAX

/* In which of the groups between the commas of `list` a word between the bars is one that `name`
 * has; no list: in the first. */
static uint32_t group_of(const char *list, const char *name)
{
    static const char amd[] = "amd", amd_name[] = "Advanced Micro Devices"; /* as OpenCL has it */
    uint32_t group = 0;
    for (const char *at = list; at;) {
        size_t length = strcspn(at, "|,");
        bool is_amd = length == strlen(amd) && strncasecmp(at, amd, length) == 0;
        if (has_word(name, at, length) || (is_amd && has_word(name, amd_name, strlen(amd_name))))
            return group;
        group += at[length] == ',';
        at = at[length] ? at + length + 1 : NULL;
    }
    return list ? UNLISTED : 0;
}

#define GROUPS_MAX 256 /* no list has as many: see JOB_NAME_MAX */

uint64_t sched_preference(const struct sched_device *device, const struct sched_job *job)
{
    uint64_t vendor = group_of(job->vendor, device->vendor);
    uint64_t model = group_of(job->model, device->name ? device->name : "");
    return (vendor * GROUPS_MAX + model) << 32 | device->weight;
}

enum sched_why sched_obstacle(const struct sched_state *state, const struct sched_device *device,
                              const struct sched_job *job)
{
    const struct sched_node *node = &state->nodes[device->node];
    const struct {
        bool met;
        enum sched_why why;
    } conditions[] = {
        {!job->device || strcmp(job->device, device->id) == 0, SCHED_WHY_OTHER_DEVICE},
        {job->memory_bytes <= device->memory_bytes, SCHED_WHY_MEMORY_NEVER},
        {job->share_permille <= device->share_permille, SCHED_WHY_SHARE_NEVER},
        {job->cpus_milli <= node->cpus_milli, SCHED_WHY_CPUS_NEVER},
        {job->ram_bytes <= node->ram_bytes, SCHED_WHY_RAM_NEVER},
        {job->cuda == device->cuda, SCHED_WHY_OTHER_INTERFACE},
        {group_of(job->vendor, device->vendor) != UNLISTED, SCHED_WHY_OTHER_VENDOR},
        {group_of(job->model, device->name ? device->name : "") != UNLISTED, SCHED_WHY_OTHER_MODEL},
        {job->scenario == SCHED_ANY || device->scenario == SCHED_ANY ||
             job->scenario == device->scenario,
         SCHED_WHY_OTHER_SCENARIO},
        {!device->unhealthy, SCHED_WHY_UNHEALTHY},
        {job->ram_bytes <= node->ram_free_bytes, SCHED_WHY_RAM},
        {job->cpus_milli <= node->cpus_free_milli, SCHED_WHY_CPUS},
        {job->memory_bytes <= device->memory_free_bytes, SCHED_WHY_MEMORY},
        {!job->share_permille || device->share_free_permille, SCHED_WHY_FULL},
        {job->share_permille <= device->share_free_permille, SCHED_WHY_SHARE},
    };
    for (size_t i = 0; i < sizeof(conditions) / sizeof(conditions[0]); i++) {
        if (!conditions[i].met)
            return conditions[i].why;
    }
    return SCHED_WHY_NONE;
}

enum sched_why sched_nearest(const struct sched_state *state, const struct sched_job *job,
                             size_t *ret_device)
{
    enum sched_why nearest = SCHED_WHY_NO_DEVICE;
    *ret_device = SIZE_MAX;
    for (size_t i = 0; i < state->device_count; i++) {
        enum sched_why why = sched_obstacle(state, &state->devices[i], job);
        if (*ret_device == SIZE_MAX || why > nearest) {
            *ret_device = i;
            nearest = why;
        }
    }
    return nearest;
}

static bool is_never(enum sched_why why)
{
    /* Devices may still appear; what they are does not change. */
    return why != SCHED_WHY_NO_DEVICE && why <= SCHED_WHY_NEVER_LAST;
}

struct sched_amounts sched_available(const struct sched_state *state, size_t index,
                                     enum sched_why why)
{
    if (index == SIZE_MAX)
        return (struct sched_amounts){0};
    const struct sched_device *device = &state->devices[index];
    const struct sched_node *node = &state->nodes[device->node];
    bool ever = is_never(why);
    return (struct sched_amounts){
        .memory_bytes = ever ? device->memory_bytes : device->memory_free_bytes,
        .share_permille = ever ? device->share_permille : device->share_free_permille,
        .cpus_milli = ever ? node->cpus_milli : node->cpus_free_milli,
        .ram_bytes = ever ? node->ram_bytes : node->ram_free_bytes,
    };
}

/* -- words -- */

enum resource { RESOURCE_NONE, RESOURCE_MEMORY, RESOURCE_SHARE, RESOURCE_CPUS, RESOURCE_RAM };

static const char *const nouns[] = {
    [RESOURCE_NONE] = "",
    [RESOURCE_MEMORY] = " of device memory",
    [RESOURCE_SHARE] = " of compute",
    [RESOURCE_CPUS] = " processors",
    [RESOURCE_RAM] = " of main memory",
};

static const char *const names[] = {
    [RESOURCE_NONE] = "",     [RESOURCE_MEMORY] = "memory", [RESOURCE_SHARE] = "compute",
    [RESOURCE_CPUS] = "cpus", [RESOURCE_RAM] = "ram",
};

static const struct {
    const char *code;
    enum resource resource; /* which the sentence compares */
    const char *text;       /* the whole sentence where no resource is short */
    const char *unblocks;
    bool of_other; /* the sentence ends with the number of another job */
} words[] = {
    [SCHED_WHY_NO_DEVICE] = {"no-device", RESOURCE_NONE, "no device is known",
                             "leat-cardd runs and finds an OpenCL device (`clinfo -l` lists them)"},
    [SCHED_WHY_OTHER_DEVICE] = {"unknown-device", RESOURCE_NONE,
                                "the device it asks for is not there",
                                "ask for one that `leat device` lists, or for none"},
    [SCHED_WHY_OTHER_INTERFACE] = {"unknown-interface", RESOURCE_NONE,
                                   "no device serves programs of its interface",
                                   "`leat device` lists the kinds of devices: cuda ones are for "
                                   "jobs with --cuda, all others for those without"},
    [SCHED_WHY_OTHER_VENDOR] = {"unknown-vendor", RESOURCE_NONE,
                                "there is no device of the vendor it asks for",
                                "ask for another vendor, or for none"},
    [SCHED_WHY_OTHER_MODEL] = {"unknown-device-model", RESOURCE_NONE,
                               "no device's name has a word that it asks for",
                               "`leat device` lists the names; ask for another, or for none"},
    [SCHED_WHY_OTHER_SCENARIO] = {"wrong-scenario", RESOURCE_NONE,
                                  "no device's pool takes jobs of this kind",
                                  "open a device for this scenario"},
    [SCHED_WHY_MEMORY_NEVER] = {"memory-exceeds-device", RESOURCE_MEMORY, NULL,
                                "ask for less memory"},
    [SCHED_WHY_SHARE_NEVER] = {"share-exceeds-device", RESOURCE_SHARE, NULL,
                               "ask for a smaller share"},
    [SCHED_WHY_CPUS_NEVER] = {"cpus-exceed-node", RESOURCE_CPUS, NULL, "ask for fewer processors"},
    [SCHED_WHY_RAM_NEVER] = {"ram-exceeds-node", RESOURCE_RAM, NULL, "ask for less main memory"},
    [SCHED_WHY_LIMIT] = {"quota-reached", RESOURCE_NONE, "its tenant has reached its limit",
                         "a job of its tenant ends or falls idle, or the limit is raised "
                         "(`leat tenant set`)"},
    [SCHED_WHY_CALLED] = {"loan-called", RESOURCE_NONE,
                          "what its tenant reserved is lent; the borrower has been given notice",
                          "the loan comes back (`leat loan` says when)"},
    [SCHED_WHY_KEPT] = {"share-kept", RESOURCE_NONE,
                        "what is free is kept for tenants that reserved it",
                        "its own tenant gets a larger reservation, or a running job ends"},
    [SCHED_WHY_UNHEALTHY] = {"device-unhealthy", RESOURCE_NONE,
                             "the device that would do takes no jobs: it is set aside as unhealthy",
                             "the device is mended and opened again (`leat device set`)"},
    [SCHED_WHY_GANG] = {"gang-incomplete", RESOURCE_NONE,
                        "its gang starts together, and there is no room yet for job",
                        "a running job ends, so that all of the gang find room", true},
    [SCHED_WHY_MEMBERS] = {"gang-waits-for-members", RESOURCE_NONE,
                           "its gang starts together, and not all of it has been submitted",
                           "the missing members of the gang are submitted"},
    [SCHED_WHY_IMAGE] = {"image-not-ready", RESOURCE_NONE, "its image is not ready",
                         "the image is ready (`leat image` shows it)"},
    [SCHED_WHY_PREEMPTS] = {"preempting", RESOURCE_NONE,
                            "jobs of lower priority have been given notice to make room for it",
                            "they give way (`leat loan` says when)"},
    [SCHED_WHY_PRIORITY] = {"behind-priority", RESOURCE_NONE,
                            "the place is kept for a job of higher priority: job",
                            "that job starts, or this one gets a higher priority", true},
    [SCHED_WHY_HELD] = {"held-for-earlier", RESOURCE_NONE,
                        "the place is kept for one that has waited longer: job",
                        "the earlier job starts", true},
    [SCHED_WHY_FULL] = {"centre-full", RESOURCE_SHARE, NULL,
                        "a running job ends or falls idle: all compute is granted"},
    [SCHED_WHY_RAM] = {"ram-busy", RESOURCE_RAM, NULL, "a running job ends, or ask for less"},
    [SCHED_WHY_CPUS] = {"cpus-busy", RESOURCE_CPUS, NULL, "a running job ends, or ask for fewer"},
    [SCHED_WHY_MEMORY] = {"memory-busy", RESOURCE_MEMORY, NULL,
                          "a running job ends (an idle one keeps its memory), or ask for less"},
    [SCHED_WHY_SHARE] = {"share-busy", RESOURCE_SHARE, NULL,
                         "a running job ends or falls idle, or ask for less"},
    [SCHED_WHY_NONE] = {"placed", RESOURCE_SHARE, NULL, ""},
};

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

void sched_reason_fill(const struct sched_job *job, const struct sched_finding *finding,
                       const char *device, struct sched_reason *ret_reason)
{
    struct sched_reason *reason = ret_reason;
    char asked[UNITS_TEXT_MAX], there[UNITS_TEXT_MAX];
    enum resource resource = words[finding->why].resource;
    bool of_node = resource == RESOURCE_CPUS || resource == RESOURCE_RAM;
    *reason = (struct sched_reason){
        .unblocks = words[finding->why].unblocks,
        .resource = finding->why == SCHED_WHY_NONE ? "" : names[resource],
        .asked = {job->memory_bytes, job->ram_bytes, job->share_permille, job->cpus_milli},
        .available = finding->available,
        .never = is_never(finding->why),
    };
    (void)snprintf(reason->code, sizeof(reason->code), "%s", words[finding->why].code);
    if (words[finding->why].of_other)
        (void)snprintf(reason->text, sizeof(reason->text), "%s %" PRIu64, words[finding->why].text,
                       finding->other);
    else if (words[finding->why].text)
        (void)snprintf(reason->text, sizeof(reason->text), "%s", words[finding->why].text);
    else
        (void)snprintf(reason->text, sizeof(reason->text), "asks for %s%s; %s%s has %s%s",
                       amount_text(resource, &reason->asked, asked), nouns[resource],
                       of_node ? "the machine of " : "", device ? device : "?",
                       amount_text(resource, &reason->available, there),
                       reason->never ? "" : " free");
}

const char *sched_why_code(enum sched_why why)
{
    return words[why].code;
}

void sched_explain(const struct sched_state *state, const struct sched_job *job,
                   struct sched_reason *ret_reason)
{
    size_t device;
    struct sched_finding finding = {.start_us = SCHED_FAR};
    finding.why = sched_nearest(state, job, &device);
    finding.available = sched_available(state, device, finding.why);
    sched_reason_fill(job, &finding, device == SIZE_MAX ? NULL : state->devices[device].id,
                      ret_reason);
}

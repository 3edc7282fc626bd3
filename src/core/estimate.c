/* Estimates of memory: the profiles of frameworks, and the devices of this centre to hold the
 * cards. */
#include <errno.h>
#include <fcntl.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/path.h"
#include "core/core_impl.h"
#include "core/estimate_impl.h"
#include "estimate/advice.h"
#include "estimate/memory.h"
#include "estimate/profile.h"
#include "model/device.h"

#define PROFILES_LIMIT_BYTES (1u << 20)

int estimate_load(struct core *core, struct error *err)
{
    char path[PATH_MAX];
    AUTO_BUF struct buf text = BUF_INIT;
    int r = path_join(core->data_dir, "estimate/profiles.yaml", path, err);
    if (r == 0)
        r = file_read(AT_FDCWD, path, PROFILES_LIMIT_BYTES, &text, err);
    if (r < 0)
        return r;
    core->profiles = profiles_parse(text.data, text.length, err);
    return core->profiles ? 0 : error_context(err, "%s", path);
}

void estimate_unload(struct core *core)
{
    profiles_destroy(core->profiles);
    core->profiles = NULL;
}

/* A new reference, or NULL: then no card is suggested. */
static json_t *devices_name(const struct core *core)
{
    json_t *list = json_array();
    for (size_t i = 0; list && i < core->device_count; i++) {
        const struct device *device = &core->devices[i];
        json_t *one = json_pack("{s:s, s:I}", "name", device->name ? device->name : "device",
                                "memory_bytes", (json_int_t)device->memory_bytes);
        if (json_array_append_new(list, one) < 0) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

void core_estimate(struct core *core, const struct json_t *request, core_reply_fn *reply, void *arg)
{
    struct error err = {0};
    struct memory_request wanted;
    json_t *answer = NULL;
    memory_request_init(&wanted);
    if (!core->profiles)
        error_set(&err, -EIO, "no-profiles", "no profile was read from %s/estimate/profiles.yaml",
                  core->data_dir);
    else if (memory_request_decode(request, &wanted, &err) == 0) {
        AUTO_JSON json_t *devices = devices_name(core);
        answer = memory_advise(&wanted, core->profiles, devices, &err);
    }
    memory_request_finish(&wanted);
    reply(arg, answer, answer ? NULL : &err);
}

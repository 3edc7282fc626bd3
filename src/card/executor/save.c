/* Contents of a session to a checkpoint and back: see save.h. */
#include "card/executor/save.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "card/executor/checkpoint.h"
#include "card/executor/session.h"
#include "card/executor/spill.h"

/* Where what an away object holds lies; NULL: it holds nothing that was ever on the device. */
static uint8_t *contents_of(const struct object *object)
{
    int is_memory = object->kind == OBJECT_MEMORY || object->kind == OBJECT_CUDA_MEMORY;
    if (!is_memory || !object->is_buffer || !object->away || object->error)
        return NULL;
    return object->range.host ? object->range.host : object->extra;
}

/* What lies in the session's own file comes to memory first. */
static int bring(struct session *session, struct object *object, struct error *err)
{
    int r = spill_in(session, object);
    return r < 0 ? error_set(err, r, "checkpoint-failed", "what was suspended cannot be read again")
                 : 0;
}

static int object_save(struct session *session, struct object *object, int fd, uint64_t *parts,
                       struct error *err)
{
    int r = bring(session, object, err);
    const uint8_t *contents = contents_of(object);
    struct checkpoint_part part = {.serial = object->serial, .object_bytes = object->size_bytes};
    memcpy(part.session, session->client.id, sizeof(part.session));
    while (contents && r == 0 && part.offset_bytes < part.object_bytes) {
        uint64_t left = part.object_bytes - part.offset_bytes;
        part.bytes = left < CHECKPOINT_PART_MAX ? left : CHECKPOINT_PART_MAX;
        r = checkpoint_append(fd, &part, contents + part.offset_bytes, err);
        part.offset_bytes += part.bytes;
        ++*parts;
    }
    return r;
}

int session_save(struct session *session, int fd, uint64_t *ret_parts, struct error *err)
{
    uint64_t parts = 0;
    int r = 0;
    for (uint32_t id = 1; id < WIRE_OBJECTS && r == 0; id++)
        r = object_save(session, &session->objects[id], fd, &parts, err);
    if (r == 0 && fdatasync(fd) < 0 && errno != EINVAL) /* not a file system of disks */
        r = error_errno(err, -errno, "checkpoint-failed", "cannot write the checkpoint");
    if (r == 0)
        *ret_parts = parts;
    return r;
}

struct loading {
    struct session *session;
    uint64_t parts;
};

static void part_load(void *arg, const struct checkpoint_part *part, const void *contents)
{
    struct loading *loading = arg;
    struct session *session = loading->session;
    if (memcmp(part->session, session->client.id, sizeof(part->session)) != 0)
        return;
    for (uint32_t id = 1; id < WIRE_OBJECTS; id++) {
        const struct object *object = &session->objects[id];
        uint8_t *to = object->serial == part->serial ? contents_of(object) : NULL;
        if (!to || object->size_bytes != part->object_bytes)
            continue;
        memcpy(to + part->offset_bytes, contents, part->bytes);
        loading->parts++;
    }
}

int session_load(struct session *session, int fd, uint64_t *ret_parts, struct error *err)
{
    struct loading loading = {.session = session};
    int r = 0;
    for (uint32_t id = 1; id < WIRE_OBJECTS && r == 0; id++)
        r = bring(session, &session->objects[id], err);
    if (r == 0)
        r = checkpoint_read(fd, part_load, &loading, err);
    if (r == 0)
        *ret_parts = loading.parts;
    return r;
}

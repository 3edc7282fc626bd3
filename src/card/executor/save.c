/* Contents of a session to a checkpoint and back: see save.h. */
#include "card/executor/save.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "card/executor/checkpoint.h"
#include "card/executor/session.h"
#include "card/executor/spill.h"
#include "card/executor/state.h"

#define STATE_SERIAL 0 /* no object has it */
#define STATE_MOST_BYTES (256u << 20)

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

static int bytes_save(const struct session *session, const struct checkpoint_part *whole,
                      const uint8_t *bytes, int fd, uint64_t *parts, struct error *err)
{
    struct checkpoint_part part = *whole;
    int r = 0;
    memcpy(part.session, session->client.id, sizeof(part.session));
    while (r == 0 && part.offset_bytes < part.object_bytes) {
        uint64_t left = part.object_bytes - part.offset_bytes;
        part.bytes = left < CHECKPOINT_PART_MAX ? left : CHECKPOINT_PART_MAX;
        r = checkpoint_append(fd, &part, bytes + part.offset_bytes, err);
        part.offset_bytes += part.bytes;
        ++*parts;
    }
    return r;
}

static int object_save(struct session *session, struct object *object, int fd, uint64_t *parts,
                       struct error *err)
{
    int r = bring(session, object, err);
    const uint8_t *contents = contents_of(object);
    const struct checkpoint_part part = {.serial = object->serial,
                                         .object_bytes = object->size_bytes};
    return r < 0 || !contents ? r : bytes_save(session, &part, contents, fd, parts, err);
}

/* Without it the programs that run now have all that they need, but no other process could go on
 * for this one. */
static int state_save(const struct session *session, int fd, uint64_t *parts, struct error *err)
{
    AUTO_BUF struct buf state = BUF_INIT;
    if (state_write(session, &state) < 0)
        return 0;
    const struct checkpoint_part part = {.serial = STATE_SERIAL, .object_bytes = state.length};
    return bytes_save(session, &part, (const uint8_t *)state.data, fd, parts, err);
}

int session_save(struct session *session, int fd, uint64_t *ret_parts, struct error *err)
{
    uint64_t parts = 0;
    int r = state_save(session, fd, &parts, err);
    for (uint32_t id = 1; id < WIRE_OBJECTS && r == 0; id++)
        r = object_save(session, &session->objects[id], fd, &parts, err);
    if (r == 0 && fdatasync(fd) < 0 && errno != EINVAL) /* not a file system of disks */
        r = error_errno(err, -errno, "checkpoint-failed", "cannot write the checkpoint");
    if (r == 0)
        *ret_parts = parts;
    return r;
}

int session_send(struct session *session, int fd, struct error *err)
{
    uint64_t parts;
    int r = checkpoint_begin(fd, err);
    if (r == 0)
        r = session_save(session, fd, &parts, err);
    return r == 0 ? checkpoint_end(fd, parts, err) : r;
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
    loading->parts += part->serial == STATE_SERIAL; /* all there is of a program without buffers */
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

struct rebuilding {
    struct loading loading;
    struct buf state; /* as far as it has come */
    int has_state, status;
    struct error *err; /* of the status */
};

static int no_state(struct error *err)
{
    return error_set(err, -ENOENT, "checkpoint-of-others",
                     "the checkpoint holds no state of the session");
}

/* The parts of the state, one after another as they were written. */
static int state_collect(struct rebuilding *rebuilding, const struct checkpoint_part *part,
                         const void *contents)
{
    struct buf *state = &rebuilding->state;
    if (part->object_bytes > STATE_MOST_BYTES)
        return error_set(rebuilding->err, -EFBIG, "checkpoint-too-large",
                         "the state of a session has at most %u MiB", STATE_MOST_BYTES >> 20);
    if (rebuilding->has_state || part->offset_bytes != state->length)
        return no_state(rebuilding->err);
    if (buf_append(state, contents, part->bytes) < 0)
        return error_set(rebuilding->err, -ENOMEM, "out-of-memory", "making a session again");
    if (state->length < part->object_bytes)
        return 0;
    rebuilding->has_state = 1;
    int r = state_read(rebuilding->loading.session, state->data, state->length, rebuilding->err);
    buf_finish(state);
    return r;
}

/* What lies in the arena has stayed there, with all that the client wrote since; but not while it
 * was another host's. */
static void private_load(struct loading *loading, const struct checkpoint_part *part,
                         const void *contents)
{
    for (uint32_t id = 1; id < loading->session->objects_end; id++) {
        const struct object *object = &loading->session->objects[id];
        if (object->serial == part->serial && (!object->range.host || loading->session->was_away)) {
            part_load(loading, part, contents);
            return;
        }
    }
}

static void part_rebuild(void *arg, const struct checkpoint_part *part, const void *contents)
{
    struct rebuilding *rebuilding = arg;
    const struct session *session = rebuilding->loading.session;
    if (rebuilding->status < 0 ||
        memcmp(part->session, session->client.id, sizeof(part->session)) != 0)
        return;
    if (part->serial == STATE_SERIAL)
        rebuilding->status = state_collect(rebuilding, part, contents);
    else if (rebuilding->has_state)
        private_load(&rebuilding->loading, part, contents);
    else
        rebuilding->status = no_state(rebuilding->err);
}

static int rebuild_end(struct rebuilding *rebuilding, int r)
{
    buf_finish(&rebuilding->state);
    if (rebuilding->status < 0)
        return rebuilding->status; /* it came first */
    return r == 0 && !rebuilding->has_state ? no_state(rebuilding->err) : r;
}

int session_rebuild(struct session *session, int fd, struct error *err)
{
    struct rebuilding rebuilding = {.loading.session = session, .err = err};
    return rebuild_end(&rebuilding, checkpoint_read(fd, part_rebuild, &rebuilding, err));
}

int session_rebuild_from(struct session *session, checkpoint_pull *pull, void *arg,
                         struct error *err)
{
    struct rebuilding rebuilding = {.loading.session = session, .err = err};
    return rebuild_end(&rebuilding, checkpoint_follow(pull, arg, part_rebuild, &rebuilding, err));
}

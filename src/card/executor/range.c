/* Ranges of the arena: see range.h. */
#include "card/executor/range.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "base/error.h"
#include "card/executor/session.h"

#define POPULATE_MAX_BYTES (256ull << 20)

int range_find(const struct session *session, const struct wire_buffer_create *record,
               struct range *ret_range, struct error *err)
{
    uint64_t end;
    *ret_range = (struct range){0};
    if (record->range == 0)
        return 0;
    if (!session->arena || record->range >= WIRE_RANGES ||
        record->arena_offset % WIRE_RANGE_ALIGN ||
        __builtin_add_overflow(record->arena_offset, record->size_bytes, &end) ||
        end > session->arena_bytes)
        return BAD_RECORD(err, "a buffer is not inside the arena");
    *ret_range =
        (struct range){session->arena + record->arena_offset, record->size_bytes, record->range};
    return 0;
}

/* The whole pages that lie inside the range; the others may have neighbours. */
static uint64_t whole_pages(const struct range *range, uint8_t **ret_start)
{
    const uintptr_t page = 4096, first = (uintptr_t)range->host;
    uintptr_t start = (first + page - 1) & ~(page - 1), end = (first + range->bytes) & ~(page - 1);
    *ret_start = range->host + (start - first);
    return end > start ? end - start : 0;
}

/* So the pages are charged to the card's control group, not to that of the client which touches
 * them next. Of a very large buffer a program may never touch the most. */
void range_populate(const struct range *range)
{
    uint8_t *start;
    uint64_t bytes = range->host ? whole_pages(range, &start) : 0;
    if (bytes && bytes <= POPULATE_MAX_BYTES)
        (void)madvise(start, bytes, MADV_POPULATE_WRITE); /* an old kernel: as they are touched */
}

void range_leave(struct session *session, const struct range *range)
{
    uint8_t *start;
    if (!range->host)
        return;
    uint64_t bytes = whole_pages(range, &start);
    if (bytes)
        (void)madvise(start, bytes, MADV_REMOVE); /* else it goes with the session */
    __atomic_store_n(&session->ranges[range->number], 0, __ATOMIC_RELEASE);
}

int places_keep(struct session *session)
{
    const uint32_t end = session->objects_end;
    session->places = calloc(end + 1u, sizeof(*session->places));
    if (!session->places)
        return -ENOMEM;
    for (uint32_t id = 1; id < end; id++) {
        const struct object *object = &session->objects[id];
        if (object->range.host)
            session->places[id] = (struct place){object->serial, object->range};
    }
    session->places_end = end;
    return 0;
}

const struct range *place_of(const struct session *session, const struct object *object)
{
    const uint64_t id = (uint64_t)(object - session->objects);
    if (!session->comes_inside || id >= session->places_end || !object->serial)
        return NULL;
    const struct place *place = &session->places[id];
    return place->serial == object->serial ? &place->range : NULL;
}

void places_end(struct session *session)
{
    for (uint32_t id = 1; id < session->places_end; id++) {
        const struct place *place = &session->places[id];
        if (place->serial && session->objects[id].range.host != place->range.host)
            range_leave(session, &place->range);
    }
    free(session->places);
    session->places = NULL;
    session->places_end = 0;
}

/* Addresses of which nothing is in use. */
static int take_addresses(void *wanted, uint64_t bytes, int protection)
{
    void *place = mmap(wanted, bytes, protection,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
    if (place == wanted)
        return 0;
    if (place != MAP_FAILED)
        (void)munmap(place, bytes); /* a kernel without the flag */
    return -EEXIST;
}

int arena_place(struct session *session, uint64_t address, uint64_t apart_bytes)
{
    void *wanted = (void *)(uintptr_t)address;
    const uint64_t bytes = apart_bytes ? apart_bytes : session->arena_bytes;
    if (bytes == 0 || address == 0 || address % 4096)
        return -EINVAL;
    if (session->svm)
        (void)munmap(session->svm, session->svm_bytes);
    session->svm = NULL;
    int r = take_addresses(wanted, bytes, apart_bytes ? PROT_READ | PROT_WRITE : PROT_NONE);
    if (r < 0)
        return r;
    if (apart_bytes) {
        (void)madvise(wanted, bytes, MADV_DONTDUMP); /* as large as it is empty */
    } else if (mremap(session->arena, 0, bytes, MREMAP_MAYMOVE | MREMAP_FIXED, wanted) ==
               MAP_FAILED) {
        (void)munmap(wanted, bytes);
        return -ENOMEM;
    }
    session->svm = wanted;
    session->svm_bytes = bytes;
    session->svm_apart = apart_bytes != 0;
    return 0;
}

int handle_svm_place(struct session *session, const struct wire_header *header, struct reply *reply,
                     struct error *err)
{
    const struct wire_svm_place *record = (const void *)header;
    if (session->svm)
        return BAD_RECORD(err, "the arena has its second place");
    if (arena_place(session, record->address, 0) < 0)
        reply->status = CL_OUT_OF_RESOURCES;
    return 0;
}

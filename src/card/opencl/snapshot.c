/* The index of the answers taken at connect: see snapshot.h. */
#include "card/opencl/snapshot.h"

#include <errno.h>

#include "card/wire/wire.h"

static int compare(const struct wire_info *info, uint32_t of, uint32_t name)
{
    if (info->of != of)
        return info->of < of ? -1 : 1;
    if (info->name != name)
        return info->name < name ? -1 : 1;
    return 0;
}

static int compare_entries(const void *a, const void *b)
{
    const struct wire_info *const *left = a, *const *right = b;
    return compare(*left, (*right)->of, (*right)->name);
}

/* The run of answers, one after the other; calls for each one that lies wholly inside. */
static size_t walk(const char *start, uint64_t length, const struct wire_info **ret_infos)
{
    uint64_t offset = 0;
    size_t count = 0;
    while (offset + sizeof(struct wire_info) <= length) {
        const struct wire_info *info = (const void *)(start + offset);
        offset += sizeof(*info) + wire_pad8(info->length);
        if (offset > length)
            break;
        if (ret_infos)
            ret_infos[count] = info;
        count++;
    }
    return count;
}

int snapshot_init(struct snapshot *snapshot, const void *start, uint64_t length)
{
    snapshot->count = walk(start, length, NULL);
    snapshot->infos = calloc(snapshot->count + 1, sizeof(*snapshot->infos));
    if (!snapshot->infos)
        return -ENOMEM;
    (void)walk(start, length, snapshot->infos);
    qsort(snapshot->infos, snapshot->count, sizeof(*snapshot->infos), compare_entries);
    return 0;
}

void snapshot_finish(struct snapshot *snapshot)
{
    free(snapshot->infos);
    *snapshot = (struct snapshot){0};
}

const void *snapshot_find(const struct snapshot *snapshot, uint32_t of, uint32_t name,
                          size_t *ret_length)
{
    size_t low = 0, high = snapshot->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct wire_info *info = snapshot->infos[middle];
        int order = compare(info, of, name);
        if (order == 0) {
            *ret_length = info->length;
            return info + 1;
        }
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

uint64_t snapshot_number(const struct snapshot *snapshot, uint32_t of, uint32_t name)
{
    size_t length;
    const void *data = snapshot_find(snapshot, of, name, &length);
    uint64_t number = 0;
    if (data && length <= sizeof(number))
        memcpy(&number, data, length); /* little-endian, as every host of ours */
    return number;
}

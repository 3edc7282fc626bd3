/* Any bytes as a checkpoint: of a file nothing is visited unless all of it is sound, and never more
 * bytes than there are. */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/error.h"
#include "card/executor/checkpoint.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void see(void *arg, const struct checkpoint_part *part, const void *contents)
{
    uint64_t *bytes = arg;
    const volatile uint8_t *last = contents;
    if (part->bytes == 0 || part->offset_bytes + part->bytes > part->object_bytes)
        abort();
    (void)last[part->bytes - 1];
    *bytes += part->bytes;
}

struct source {
    const uint8_t *at;
    size_t left;
};

static int pull(void *arg, void *data, size_t length)
{
    struct source *source = arg;
    if (length > source->left)
        return -ECONNRESET;
    memcpy(data, source->at, length);
    source->at += length;
    source->left -= length;
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static int fd = -1;
    struct error err = {0};
    uint64_t bytes = 0;
    if (fd < 0)
        fd = memfd_create("checkpoint", MFD_CLOEXEC);
    if (fd < 0 || ftruncate(fd, 0) < 0 || pwrite(fd, data, size, 0) != (ssize_t)size)
        return 0;
    int r = checkpoint_read(fd, see, &bytes, &err);
    if ((r < 0 && (bytes || !err.code[0])) || bytes > size)
        abort();
    struct source source = {data, size};
    uint64_t followed = 0;
    int followed_r = checkpoint_follow(pull, &source, see, &followed, &err);
    if (followed > size || (r == 0 && (followed_r < 0 || followed != bytes)))
        abort();
    return 0;
}

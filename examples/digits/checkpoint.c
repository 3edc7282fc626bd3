/* Checkpoints: see checkpoint.h. */
#include "checkpoint.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "device.h"

#define MAGIC "digits\r\n" /* a copy in text mode breaks it */
#define VERSION 1

struct header {
    char magic[8];
    uint32_t version;
    uint32_t reserved; /* 0 */
    struct progress progress;
    uint64_t state_bytes;
    uint64_t checksum; /* over the header with 0 here, then the state */
};

/* FNV-1a, 64 bit: finds damage, not malice. */
static uint64_t hash(uint64_t h, const void *data, size_t bytes)
{
    const unsigned char *byte = data;
    for (size_t i = 0; i < bytes; i++)
        h = (h ^ byte[i]) * 1099511628211u;
    return h;
}

static uint64_t checksum(struct header header, const void *state, size_t bytes)
{
    header.checksum = 0;
    return hash(hash(14695981039346656037u, &header, sizeof(header)), state, bytes);
}

static void write_all(int fd, const void *data, size_t bytes, const char *path)
{
    for (const char *at = data; bytes > 0;) {
        ssize_t n = write(fd, at, bytes);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            fail("writing %s: %s", path, strerror(errno));
        at += n;
        bytes -= (size_t)n;
    }
}

/* A rename is only sure to survive a power cut when the folder is on the disk, too. */
static void folder_sync(const char *path)
{
    char copy[PATH_MAX];
    snprintf(copy, sizeof(copy), "%s", path);
    int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fsync(fd) < 0)
        fail("writing %s: %s", path, strerror(errno));
    close(fd);
}

void checkpoint_write(const char *path, const struct progress *progress, const void *state,
                      size_t bytes)
{
    char beside[PATH_MAX];
    if (snprintf(beside, sizeof(beside), "%s.new", path) >= (int)sizeof(beside))
        fail("the name of the checkpoint is too long");
    struct header header = {
        .magic = MAGIC, .version = VERSION, .progress = *progress, .state_bytes = bytes};
    header.checksum = checksum(header, state, bytes);
    int fd = open(beside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0)
        fail("opening %s: %s", beside, strerror(errno));
    write_all(fd, &header, sizeof(header), beside);
    write_all(fd, state, bytes, beside);
    if (fsync(fd) < 0 || close(fd) < 0 || rename(beside, path) < 0)
        fail("writing %s: %s", path, strerror(errno));
    folder_sync(path);
}

int checkpoint_read(const char *path, struct progress *ret_progress, void *ret_state, size_t bytes)
{
    struct header header;
    FILE *file = fopen(path, "rb");
    if (!file && errno == ENOENT)
        return -1;
    if (!file)
        fail("opening %s: %s", path, strerror(errno));
    if (fread(&header, sizeof(header), 1, file) != 1 || memcmp(header.magic, MAGIC, 8) != 0)
        fail("%s is not a checkpoint of this program", path);
    if (header.version != VERSION)
        fail("%s has version %u; this program reads version %d", path, header.version, VERSION);
    if (header.state_bytes != bytes)
        fail("%s belongs to a net of another size", path);
    if (fread(ret_state, bytes, 1, file) != 1 ||
        header.checksum != checksum(header, ret_state, bytes))
        fail("%s is damaged", path);
    fclose(file);
    *ret_progress = header.progress;
    return 0;
}

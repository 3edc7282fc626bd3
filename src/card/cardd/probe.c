/* Listing the devices: see probe.h. */
#include "card/cardd/probe.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/fd.h"
#include "card/cardd/device.h"
#include "card/executor/executor.h"
#include "card/meter/meter.h"
#include "card/wire/wire.h"

#define MEMINFO_MAX_BYTES 65536

/* Read until the probe closes its end; -ETIMEDOUT after PROBE_MS. */
static int probe_read(int fd, struct buf *text)
{
    uint64_t deadline_ns = clock_monotonic_ns() + PROBE_MS * NS_PER_MS;
    for (;;) {
        uint64_t now_ns = clock_monotonic_ns();
        struct pollfd ready = {.fd = fd, .events = POLLIN};
        int n = now_ns < deadline_ns
                    ? poll(&ready, 1, (int)((deadline_ns - now_ns) / NS_PER_MS) + 1)
                    : 0;
        if (n == 0)
            return -ETIMEDOUT;
        if (n < 0 && errno != EINTR)
            return -errno;
        if (buf_reserve(text, 4096) < 0)
            return -ENOMEM;
        ssize_t got = read(fd, text->data + text->length, 4096);
        if (got == 0)
            return 0;
        if (got > 0)
            text->length += (size_t)got;
        if (text->length > DEVICES_TEXT_MAX_BYTES)
            return -EFBIG;
    }
}

static int probe_run(struct buf *text, uint8_t *snapshots, int *ret_may_preload, struct error *err)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0)
        return error_errno(err, -errno, "probe-failed", "cannot make a pipe");
    pid_t child = fork();
    if (child == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* at worst the probe ends a little later */
        _exit(executor_probe(ends[1], snapshots));
    }
    (void)close(ends[1]);
    AUTO_FD int out = ends[0];
    if (child < 0)
        return error_errno(err, -errno, "probe-failed", "cannot fork");
    int r = probe_read(out, text), status = 0;
    if (r < 0)
        (void)kill(child, SIGKILL); /* our child, not yet waited for */
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    if (r < 0)
        return error_errno(err, r, "probe-failed", "the drivers did not list their devices");
    if (!WIFEXITED(status) || WEXITSTATUS(status) == PROBE_FAILED)
        return error_set(err, -EIO, "probe-failed",
                         "a driver failed while listing its devices (wait status %d)", status);
    *ret_may_preload = WEXITSTATUS(status) == PROBE_MAY_PRELOAD;
    return 0;
}

/* What the machine may have, also while a balloon holds some of it; 0 when it is not told. */
static uint64_t machine_bytes(void)
{
    AUTO_BUF struct buf text = BUF_INIT;
    unsigned long long total_kib = 0;
    if (file_read(AT_FDCWD, "/proc/meminfo", MEMINFO_MAX_BYTES, &text, NULL) < 0 || !text.data ||
        sscanf(text.data, "MemTotal: %llu kB", &total_kib) != 1)
        return 0;
    return (uint64_t)total_kib * 1024;
}

/* The page of a CUDA device has a descriptor, with a size that nobody can change. */
static int turn_create(struct device *device)
{
    const size_t bytes = sizeof(*device->turn);
    int flags = MAP_SHARED;
    if (device->cuda) {
        device->turn_fd = memfd_create("leat-turn", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        if (device->turn_fd < 0 || ftruncate(device->turn_fd, (off_t)bytes) < 0 ||
            fcntl(device->turn_fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
            return -errno;
    } else {
        flags |= MAP_ANONYMOUS;
    }
    void *page =
        mmap(NULL, bytes, PROT_READ | PROT_WRITE, flags, device->cuda ? device->turn_fd : -1, 0);
    if (page == MAP_FAILED)
        return -errno;
    device->turn = page;
    return 0;
}

/* Keep what the probe wrote about the device with number `number`. */
static int snapshot_keep(struct device *device, const uint8_t *snapshots, unsigned number)
{
    if (device->snapshot_bytes == 0 || device->snapshot_bytes > WIRE_SNAPSHOT_BYTES)
        return 0; /* sessions are refused, and told why */
    device->snapshot = malloc(device->snapshot_bytes);
    if (!device->snapshot)
        return -ENOMEM;
    memcpy(device->snapshot, snapshots + (size_t)number * WIRE_SNAPSHOT_BYTES,
           device->snapshot_bytes);
    return 0;
}

static int devices_complete(struct devices *devices, const uint8_t *snapshots)
{
    int r = 0;
    devices_set_machine(devices, machine_bytes());
    for (unsigned i = 0; r == 0 && i < devices->count; i++) {
        r = turn_create(&devices->items[i]);
        if (r == 0)
            r = snapshot_keep(&devices->items[i], snapshots, i);
    }
    return r;
}

static int probe(struct devices *ret_devices, uint8_t *snapshots, struct error *err)
{
    AUTO_BUF struct buf text = BUF_INIT;
    int may_preload = 0, r = probe_run(&text, snapshots, &may_preload, err);
    if (r < 0)
        return r;
    if (may_preload)
        (void)executor_preload(); /* what went well in the probe goes well here */
    struct devices found;
    r = devices_decode(text.data ? text.data : "", text.length, &found, err);
    if (r < 0)
        return error_context(err, "reading the list of devices");
    r = devices_complete(&found, snapshots);
    if (r < 0) {
        devices_finish(&found);
        return error_set(err, -ENOMEM, "out-of-memory", "no memory for what devices share");
    }
    *ret_devices = found;
    return 0;
}

int devices_probe(struct devices *ret_devices, struct error *err)
{
    const size_t bytes = (size_t)DEVICES_MAX * WIRE_SNAPSHOT_BYTES;
    uint8_t *snapshots =
        mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (snapshots == MAP_FAILED)
        return error_set(err, -ENOMEM, "out-of-memory", "no memory for the probe");
    int r = probe(ret_devices, snapshots, err);
    (void)munmap(snapshots, bytes); /* only fails on a wrong address */
    return r;
}

/* The file of a checkpoint: what was written comes back, and no damage passes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "card/executor/checkpoint.h"

#define PARTS 3

struct seen {
    unsigned count;
    uint64_t bytes;
};

static void see(void *arg, const struct checkpoint_part *part, const void *contents)
{
    struct seen *seen = arg;
    const uint8_t *bytes = contents;
    assert_int_equal(part->serial, ++seen->count);
    for (uint64_t i = 0; i < part->bytes; i++)
        assert_int_equal(bytes[i], (uint8_t)(part->serial + i));
    seen->bytes += part->bytes;
}

static int make(void)
{
    int fd = memfd_create("checkpoint", MFD_CLOEXEC);
    uint8_t contents[1000];
    assert_true(fd >= 0);
    assert_int_equal(checkpoint_begin(fd, NULL), 0);
    for (uint64_t serial = 1; serial <= PARTS; serial++) {
        const struct checkpoint_part part = {
            .serial = serial, .object_bytes = 2000, .offset_bytes = 1000, .bytes = 500 + serial};
        for (uint64_t i = 0; i < part.bytes; i++)
            contents[i] = (uint8_t)(serial + i);
        assert_int_equal(checkpoint_append(fd, &part, contents, NULL), 0);
    }
    assert_int_equal(checkpoint_end(fd, PARTS, NULL), 0);
    return fd;
}

static const char *refusal(int fd)
{
    static struct error err;
    struct seen seen = {0};
    err = (struct error){0};
    assert_true(checkpoint_read(fd, see, &seen, &err) < 0);
    assert_int_equal(seen.count, 0); /* nothing is used of a file that is not whole */
    return err.code;
}

static void test_it_comes_back(void **state)
{
    int fd = make();
    struct seen seen = {0};
    assert_int_equal(checkpoint_read(fd, see, &seen, NULL), 0);
    assert_int_equal(seen.count, PARTS);
    assert_int_equal(seen.bytes, 501 + 502 + 503);
    (void)close(fd);
}

static void test_every_cut_is_seen(void **state)
{
    int fd = make();
    struct stat status;
    assert_int_equal(fstat(fd, &status), 0);
    for (off_t length = status.st_size - 1; length >= 0; length--) {
        assert_int_equal(ftruncate(fd, length), 0);
        const char *code = refusal(fd);
        assert_true(strcmp(code, length < 24 ? "not-a-checkpoint" : "checkpoint-truncated") == 0 ||
                    strcmp(code, "checkpoint-corrupt") == 0);
    }
    (void)close(fd);
}

static void test_every_flipped_bit_is_seen(void **state)
{
    int fd = make();
    struct stat status;
    assert_int_equal(fstat(fd, &status), 0);
    for (off_t at = 0; at < status.st_size; at++) {
        uint8_t byte, other;
        assert_int_equal(pread(fd, &byte, 1, at), 1);
        other = byte ^ (uint8_t)(1u << (at % 8));
        assert_int_equal(pwrite(fd, &other, 1, at), 1);
        const char *code = refusal(fd);
        if (at < 8)
            assert_string_equal(code, "not-a-checkpoint");
        else if (at < 12)
            assert_string_equal(code, "checkpoint-version");
        assert_int_equal(pwrite(fd, &byte, 1, at), 1);
    }
    struct seen seen = {0};
    assert_int_equal(checkpoint_read(fd, see, &seen, NULL), 0);
    (void)close(fd);
}

static void test_other_files_are_refused(void **state)
{
    int fd = memfd_create("other", MFD_CLOEXEC);
    assert_string_equal(refusal(fd), "not-a-checkpoint");
    assert_int_equal(write(fd, "#!/bin/sh\nexec something that is longer than a head\n", 52), 52);
    assert_string_equal(refusal(fd), "not-a-checkpoint");
    (void)close(fd);
    fd = open("/", O_RDONLY | O_CLOEXEC);
    assert_string_equal(refusal(fd), "not-a-checkpoint");
    (void)close(fd);
}

/* What comes over a connection: up to its end and no further. */
struct source {
    int fd;
    size_t left;
};

static int pull(void *arg, void *data, size_t length)
{
    struct source *source = arg;
    if (length > source->left)
        return -ECONNRESET;
    source->left -= length;
    assert_int_equal(read(source->fd, data, length), length);
    return 0;
}

static size_t length_of(int fd)
{
    struct stat status;
    assert_int_equal(fstat(fd, &status), 0);
    return (size_t)status.st_size;
}

static void test_it_is_passed_on(void **state)
{
    int fd = make(), copy = memfd_create("copy", MFD_CLOEXEC), full = open("/dev/full", O_WRONLY);
    struct seen seen = {0};
    size_t length = length_of(fd);
    assert_int_equal(pwrite(fd, "more", 4, (off_t)length), 4);
    struct source whole = {fd, length + 4};
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    assert_int_equal(checkpoint_pass(copy, pull, &whole, NULL), 0);
    assert_int_equal(whole.left, 4);
    assert_int_equal(checkpoint_read(copy, see, &seen, NULL), 0);
    assert_int_equal(seen.count, PARTS);
    /* Nobody takes it: it comes all the same. */
    whole.left = length;
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    assert_int_equal(checkpoint_pass(full, pull, &whole, NULL), 0);
    assert_int_equal(whole.left, 0);
    for (size_t cut = 0; cut < length; cut += 7) {
        struct source part = {fd, cut};
        assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
        assert_int_equal(checkpoint_pass(copy, pull, &part, NULL), -ECONNRESET);
    }
    (void)close(fd);
    (void)close(copy);
    (void)close(full);
}

/* Each part is seen when it has come, and the first that is damaged is not. */
static void test_it_is_followed(void **state)
{
    int fd = make();
    size_t length = length_of(fd);
    for (size_t cut = 0; cut <= length; cut++) {
        struct source part = {fd, cut};
        struct seen seen = {0};
        struct error err = {0};
        assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
        int r = checkpoint_follow(pull, &part, see, &seen, &err);
        assert_int_equal(r, cut == length ? 0 : -EPROTO);
        if (r < 0)
            assert_string_equal(err.code, cut < 24 ? "not-a-checkpoint" : "checkpoint-truncated");
        assert_true(seen.count < PARTS || cut + 24 >= length);
    }
    const off_t last = (off_t)length - 24 - 1; /* a byte of the last part */
    struct source damaged = {fd, length};
    struct seen seen = {0};
    assert_int_equal(pwrite(fd, "\xff", 1, last), 1);
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    assert_int_equal(checkpoint_follow(pull, &damaged, see, &seen, NULL), -EPROTO);
    assert_int_equal(seen.count, PARTS - 1);
    (void)close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_it_comes_back),
        cmocka_unit_test(test_every_cut_is_seen),
        cmocka_unit_test(test_every_flipped_bit_is_seen),
        cmocka_unit_test(test_other_files_are_refused),
        cmocka_unit_test(test_it_is_passed_on),
        cmocka_unit_test(test_it_is_followed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Files and folders: limits, atomic replacement, trees that try to lead out of themselves. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"

struct place {
    char path[64];
    int fd;
};

static int place_make(void **state)
{
    struct place *place = calloc(1, sizeof(*place));
    (void)snprintf(place->path, sizeof(place->path), "/tmp/leat-fd-XXXXXX");
    if (!mkdtemp(place->path))
        return -1;
    place->fd = open(place->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    *state = place;
    return 0;
}

static int place_drop(void **state)
{
    struct place *place = *state;
    int r = dir_remove_tree(AT_FDCWD, place->path, NULL);
    (void)close(place->fd);
    free(place);
    return r;
}

static bool exists(int dir_fd, const char *path)
{
    struct stat status;
    return fstatat(dir_fd, path, &status, AT_SYMLINK_NOFOLLOW) == 0;
}

static void test_write_and_read(void **state)
{
    struct place *place = *state;
    AUTO_BUF struct buf data = BUF_INIT;
    assert_int_equal(file_write_atomic(place->fd, "f", "first", 5, 0600, NULL), 0);
    assert_int_equal(file_write_atomic(place->fd, "f", "second", 6, 0600, NULL), 0);
    assert_int_equal(file_read(place->fd, "f", 6, &data, NULL), 0);
    assert_string_equal(data.data, "second");
    struct stat status;
    assert_int_equal(fstatat(place->fd, "f", &status, 0), 0);
    assert_int_equal(status.st_mode & 0777, 0600);
}

static void test_refusals(void **state)
{
    struct place *place = *state;
    AUTO_BUF struct buf data = BUF_INIT;
    (void)buf_puts(&data, "kept");
    struct error err = {0};
    assert_int_equal(file_write_atomic(place->fd, "big", "12345", 5, 0600, NULL), 0);
    assert_int_equal(file_read(place->fd, "big", 4, &data, &err), -EFBIG);
    assert_string_equal(err.code, "too-large");
    assert_int_equal(file_read(place->fd, "absent", 4, &data, &err), -ENOENT);
    assert_string_equal(data.data, "kept");
    assert_int_equal(file_write_atomic(place->fd, "no/such/dir", "x", 1, 0600, &err), -ENOENT);
    char name[PATH_MAX + 8];
    memset(name, 'a', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    assert_int_equal(file_write_atomic(place->fd, name, "x", 1, 0600, &err), -ENAMETOOLONG);
    assert_int_equal(dir_make(name, 0700, &err), -EINVAL);
    assert_int_equal(dir_make("", 0700, &err), -EINVAL);
}

static void test_failed_write_leaves_nothing(void **state)
{
    struct place *place = *state;
    assert_int_equal(mkdirat(place->fd, "folder", 0700), 0);
    assert_true(file_write_atomic(place->fd, "folder", "x", 1, 0600, NULL) < 0);
    char beside[64];
    (void)snprintf(beside, sizeof(beside), "folder.new-%d", (int)getpid());
    assert_false(exists(place->fd, beside));
}

static void test_make_and_remove_tree(void **state)
{
    struct place *place = *state;
    char path[128];
    (void)snprintf(path, sizeof(path), "%s/a/b/c", place->path);
    assert_int_equal(dir_make(path, 0700, NULL), 0);
    assert_int_equal(dir_make(path, 0700, NULL), 0);
    assert_int_equal(file_write_atomic(place->fd, "a/b/f", "x", 1, 0600, NULL), 0);
    assert_int_equal(file_write_atomic(place->fd, "outside", "x", 1, 0600, NULL), 0);
    assert_int_equal(symlinkat("..", place->fd, "a/b/up"), 0);
    assert_int_equal(symlinkat("../../outside", place->fd, "a/b/out"), 0);
    assert_int_equal(symlinkat("nowhere", place->fd, "a/dangling"), 0);
    assert_int_equal(dir_remove_tree(place->fd, "a", NULL), 0);
    assert_false(exists(place->fd, "a"));
    assert_true(exists(place->fd, "outside"));
    assert_int_equal(dir_remove_tree(place->fd, "a", NULL), 0);
}

static void test_put(void **state)
{
    struct place *place = *state;
    assert_int_equal(file_put(place->fd, "absent", "x"), -ENOENT);
    assert_int_equal(file_write_atomic(place->fd, "knob", "", 0, 0600, NULL), 0);
    assert_int_equal(file_put(place->fd, "knob", "100"), 0);
    AUTO_BUF struct buf data = BUF_INIT;
    assert_int_equal(file_read(place->fd, "knob", 10, &data, NULL), 0);
    assert_string_equal(data.data, "100");
}

static void test_write_all(void **state)
{
    int ends[2];
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    char bytes[4] = "";
    assert_int_equal(fd_write_all(ends[1], "abc", 3), 0);
    assert_int_equal(read(ends[0], bytes, sizeof(bytes)), 3);
    assert_string_equal(bytes, "abc");
    (void)close(ends[0]);
    (void)close(ends[1]);
    assert_int_equal(fd_write_all(-1, "x", 1), -EBADF);
}

/* One that waits for an hour for its peer, when it is closed. */
static int lingering(int *ret_peer)
{
    const struct linger linger = {1, 3600};
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof(at);
    char bytes[65536] = {0};
    AUTO_FD int listener = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&at, length), 0);
    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&at, &length), 0);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&at, length), 0);
    *ret_peer = accept(listener, NULL, NULL);
    assert_true(*ret_peer >= 0);
    while (send(fd, bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
        continue;
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)), 0);
    return fd;
}

static void test_drop_does_not_wait(void **state)
{
    int none = -1, peer;
    fd_drop(&none);
    int fd = lingering(&peer);
    fd_drop(&fd);
    assert_int_equal(fcntl(fd, F_GETFD), -1);
    (void)close(peer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_write_and_read, place_make, place_drop),
        cmocka_unit_test_setup_teardown(test_refusals, place_make, place_drop),
        cmocka_unit_test_setup_teardown(test_failed_write_leaves_nothing, place_make, place_drop),
        cmocka_unit_test_setup_teardown(test_make_and_remove_tree, place_make, place_drop),
        cmocka_unit_test_setup_teardown(test_put, place_make, place_drop),
        cmocka_unit_test(test_write_all),
        cmocka_unit_test(test_drop_does_not_wait),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

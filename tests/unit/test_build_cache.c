/* Kept builds: found again, told apart, refused when damaged, removed when room is short. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "card/executor/build_cache.h"

struct folder {
    char path[64];
    int fd;
};

static int folder_open(void **state)
{
    static struct folder folder;
    (void)snprintf(folder.path, sizeof(folder.path), "/tmp/leat-test-XXXXXX");
    assert_non_null(mkdtemp(folder.path));
    folder.fd = open(folder.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(folder.fd >= 0);
    *state = &folder;
    return 0;
}

static int folder_close(void **state)
{
    struct folder *folder = *state;
    (void)close(folder->fd);
    return dir_remove_tree(AT_FDCWD, folder->path, NULL);
}

static struct build_key key_of(const char *options, const char *text)
{
    return (struct build_key){.device = "device 1.0",
                              .options = options,
                              .kind = "source",
                              .text = text,
                              .text_length = strlen(text)};
}

static void store(const struct folder *folder, struct build_key key, const char *reply,
                  uint64_t limit_bytes)
{
    const struct build_result result = {.reply = reply,
                                        .reply_length = strlen(reply),
                                        .binary = (const unsigned char *)"code",
                                        .binary_length = 4};
    assert_int_equal(build_cache_store(folder->fd, &key, &result, limit_bytes), 0);
}

static int load(const struct folder *folder, struct build_key key, const char *reply)
{
    struct build_result result = {0};
    int r = build_cache_load(folder->fd, &key, &result);
    if (r < 0)
        return r;
    assert_int_equal(result.reply_length, strlen(reply));
    assert_memory_equal(result.reply, reply, result.reply_length);
    assert_int_equal(result.binary_length, 4);
    assert_memory_equal(result.binary, "code", 4);
    buf_finish(&result.file);
    return 0;
}

static void test_keys(void **state)
{
    const struct folder *folder = *state;
    struct build_key base = key_of("-w", "kernel"), others[] = {base, base, base, base};
    others[0].device = "device 1.1";
    others[1].options = "-w -w";
    others[2].kind = "binary";
    others[3].text = "Kernel";
    assert_int_equal(load(folder, base, "reply"), -ENOENT);
    store(folder, base, "reply", BUILD_CACHE_MAX_BYTES);
    assert_int_equal(load(folder, base, "reply"), 0);
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        assert_int_equal(load(folder, others[i], "reply"), -ENOENT);
    store(folder, base, "another reply", BUILD_CACHE_MAX_BYTES);
    assert_int_equal(load(folder, base, "another reply"), 0);
}

static void test_included_files(void **state)
{
    static const struct {
        const char *text;
        int allowed;
    } cases[] = {
        {"", 1},
        {"#", 1},
        {"kernel void include() {} // #define", 1},
        {"#define include 1\n#if 0\n#endif", 1},
        {"#  include <x.h>\n", 0},
        {"int i;\n\t#include \"x.h\"", 0},
        {"# /* here */ \\\n include <x.h>", 0},
        {"#inc\\\nlude <x.h>", 0},
        {"%:include <x.h>", 0},
        {"#import <x.h>", 0},
        {"#if __has_include(<x.h>)", 0},
        {"# /* open", 1},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct build_key key = key_of("", cases[i].text);
        assert_int_equal(build_cache_allows(&key), cases[i].allowed);
        key.kind = "binary";
        assert_true(build_cache_allows(&key));
    }
}

/* The path of a folder's one file. */
static void only_file(const struct folder *folder, char path[320])
{
    DIR *list = opendir(folder->path);
    const struct dirent *entry;
    assert_non_null(list);
    while ((entry = readdir(list)) && entry->d_name[0] == '.')
        continue;
    assert_non_null(entry);
    (void)snprintf(path, 320, "%s/%s", folder->path, entry->d_name);
    (void)closedir(list);
}

static void test_damage(void **state)
{
    const struct folder *folder = *state;
    struct build_key key = key_of("", "kernel");
    char path[320];
    struct stat status;
    store(folder, key, "reply", BUILD_CACHE_MAX_BYTES);
    only_file(folder, path);
    assert_int_equal(stat(path, &status), 0);
    for (off_t at = 0; at < status.st_size; at++) {
        char byte;
        int fd = open(path, O_RDWR | O_CLOEXEC);
        assert_int_equal(pread(fd, &byte, 1, at), 1);
        byte ^= 0x20;
        assert_int_equal(pwrite(fd, &byte, 1, at), 1);
        assert_int_equal(load(folder, key, "reply"), -EBADMSG);
        byte ^= 0x20;
        assert_int_equal(pwrite(fd, &byte, 1, at), 1);
        (void)close(fd);
    }
    assert_int_equal(load(folder, key, "reply"), 0);
    for (off_t length = status.st_size - 1; length >= 0; length--) {
        assert_int_equal(truncate(path, length), 0);
        assert_int_equal(load(folder, key, "reply"), -EBADMSG);
    }
}

/* What was not used for longest goes first, and a hit counts as use. */
static void test_room(void **state)
{
    const struct folder *folder = *state;
    static const char *const texts[] = {"first", "second", "third"};
    char reply[1001];
    memset(reply, 'r', sizeof(reply) - 1);
    reply[sizeof(reply) - 1] = '\0';
    const struct timespec long_ago[] = {{1000, 0}, {1000, 0}};
    store(folder, key_of("", texts[0]), reply, 3000);
    char path[320];
    only_file(folder, path);
    assert_int_equal(utimensat(AT_FDCWD, path, long_ago, 0), 0);
    assert_int_equal(load(folder, key_of("", texts[0]), reply), 0);
    struct stat used;
    assert_int_equal(stat(path, &used), 0);
    assert_true(used.st_mtim.tv_sec > long_ago[0].tv_sec);
    assert_int_equal(utimensat(AT_FDCWD, path, long_ago, 0), 0);
    store(folder, key_of("", texts[1]), reply, 3000);
    store(folder, key_of("", texts[2]), reply, 3000);
    assert_int_equal(load(folder, key_of("", texts[0]), reply), -ENOENT);
    assert_int_equal(load(folder, key_of("", texts[1]), reply), 0);
    assert_int_equal(load(folder, key_of("", texts[2]), reply), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_keys, folder_open, folder_close),
        cmocka_unit_test(test_included_files),
        cmocka_unit_test_setup_teardown(test_damage, folder_open, folder_close),
        cmocka_unit_test_setup_teardown(test_room, folder_open, folder_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

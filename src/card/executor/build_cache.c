/* Results of builds on disk: see build_cache.h. */
#include "card/executor/build_cache.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fd.h"

#define FILE_MAGIC "LEATBLD4"
#define FILE_SUFFIX ".build"
#define FILES_MAX 65536 /* looked at when room is made */

struct file_head {
    char magic[8];
    uint64_t key_length, reply_length, binary_length; /* what follows, in this order */
    uint64_t checksum;                                /* of what follows */
};

/* Room for what a writer that was killed left behind, too: a suffix with its pid. */
struct file_name {
    char text[64];
};

/* FNV-1a; against accidents only, for who can write the folder may run any code as the tenant. */
static uint64_t hash_bytes(const void *data, size_t length)
{
    const uint8_t *bytes = data;
    uint64_t hash = 14695981039346656037u;
    for (size_t i = 0; i < length; i++)
        hash = (hash ^ bytes[i]) * 1099511628211u;
    return hash;
}

static void key_write(const struct build_key *key, struct buf *out)
{
    const char *const texts[] = {LEAT_VERSION, key->device, key->options, key->kind};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        (void)buf_append(out, texts[i], strlen(texts[i]) + 1); /* remembered in the buf */
    (void)buf_append(out, key->text, key->text_length);
}

static struct file_name name_of(const struct buf *key)
{
    struct file_name name;
    (void)snprintf(name.text, sizeof(name.text), "%016llx" FILE_SUFFIX,
                   (unsigned long long)hash_bytes(key->data, key->length));
    return name;
}

/* What may stand between the '#' of a directive and its name, and a name cut in two. */
static const char *skip_space(const char *at, const char *end)
{
    while (at < end) {
        const char *comment_end;
        if (*at == ' ' || *at == '\t' || *at == '\\' || *at == '\n' || *at == '\r') {
            at++;
        } else if (end - at >= 4 && memcmp(at, "/*", 2) == 0 &&
                   (comment_end = memmem(at + 2, (size_t)(end - at - 2), "*/", 2))) {
            at = comment_end + 2;
        } else {
            break;
        }
    }
    return at;
}

static int has(const char *at, const char *end, const char *word)
{
    size_t length = strlen(word);
    return (size_t)(end - at) >= length && memcmp(at, word, length) == 0;
}

/* True when a directive may start here that brings a file in. Names cut in two by a '\\' count. */
static int includes_at(const char *at, const char *end)
{
    static const char *const hashes[] = {"#", "%:", "?\?="}, *const names[] = {"include", "import"};
    for (size_t i = 0; i < sizeof(hashes) / sizeof(hashes[0]); i++) {
        if (!has(at, end, hashes[i]))
            continue;
        const char *name = skip_space(at + strlen(hashes[i]), end);
        const char *cut = name;
        while (cut < end && *cut >= 'a' && *cut <= 'z')
            cut++;
        if (has(name, end, names[0]) || has(name, end, names[1]) || (cut < end && *cut == '\\'))
            return 1;
    }
    return has(at, end, "__has_include");
}

int build_cache_allows(const struct build_key *key)
{
    const char *text = key->text, *end = text + key->text_length;
    if (strcmp(key->kind, "source") != 0)
        return 1;
    for (const char *at = text; at < end; at++) {
        if ((*at == '#' || *at == '%' || *at == '?' || *at == '_') && includes_at(at, end))
            return 0;
    }
    return 1;
}

/* True when the file is whole and holds this very key. */
static int file_fits(const struct buf *file, const struct buf *key, struct file_head *ret_head)
{
    if (file->length < sizeof(*ret_head))
        return 0;
    memcpy(ret_head, file->data, sizeof(*ret_head));
    const char *body = file->data + sizeof(*ret_head);
    size_t length = file->length - sizeof(*ret_head);
    return memcmp(ret_head->magic, FILE_MAGIC, sizeof(ret_head->magic)) == 0 &&
           ret_head->key_length == key->length && key->length <= length &&
           ret_head->reply_length <= length - key->length &&
           ret_head->binary_length == length - key->length - ret_head->reply_length &&
           memcmp(body, key->data, key->length) == 0 &&
           ret_head->checksum == hash_bytes(body, length);
}

int build_cache_load(int folder_fd, const struct build_key *key, struct build_result *ret_result)
{
    AUTO_BUF struct buf wanted = BUF_INIT, file = BUF_INIT;
    struct file_head head;
    key_write(key, &wanted);
    if (wanted.failed)
        return wanted.failed;
    struct file_name name = name_of(&wanted);
    int r = file_read(folder_fd, name.text, BUILD_CACHE_FILE_MAX_BYTES, &file, NULL);
    if (r < 0)
        return r;
    if (!file_fits(&file, &wanted, &head))
        return -EBADMSG;
    (void)utimensat(folder_fd, name.text, NULL, 0); /* else it is only removed earlier */
    const char *reply = file.data + sizeof(head) + head.key_length;
    *ret_result = (struct build_result){
        .file = file,
        .reply = reply,
        .reply_length = head.reply_length,
        .binary = (const unsigned char *)reply + head.reply_length,
        .binary_length = head.binary_length,
    };
    file = (struct buf)BUF_INIT; /* the caller's now */
    return 0;
}

struct kept_file {
    struct file_name name;
    uint64_t bytes;
    struct timespec used;
};

static int compare_used(const void *a, const void *b)
{
    const struct timespec *left = &((const struct kept_file *)a)->used;
    const struct timespec *right = &((const struct kept_file *)b)->used;
    if (left->tv_sec != right->tv_sec)
        return left->tv_sec < right->tv_sec ? -1 : 1;
    return (left->tv_nsec > right->tv_nsec) - (left->tv_nsec < right->tv_nsec);
}

/* The files of the folder, oldest use first, owned by the caller; NULL when there are none. */
static struct kept_file *files_list(int folder_fd, size_t *ret_count, uint64_t *ret_bytes)
{
    int fd = openat(folder_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *folder = fd < 0 ? NULL : fdopendir(fd);
    AUTO_BUF struct buf files = BUF_INIT;
    uint64_t bytes = 0;
    size_t count = 0;
    if (!folder) {
        cleanup_fd(&fd);
        return NULL;
    }
    for (const struct dirent *entry; count < FILES_MAX && (entry = readdir(folder));) {
        struct kept_file file = {0};
        struct stat status;
        if (strlen(entry->d_name) >= sizeof(file.name.text) ||
            fstatat(folder_fd, entry->d_name, &status, AT_SYMLINK_NOFOLLOW) < 0 ||
            !S_ISREG(status.st_mode))
            continue;
        memcpy(file.name.text, entry->d_name, strlen(entry->d_name));
        file.bytes = (uint64_t)status.st_size;
        file.used = status.st_mtim;
        bytes += file.bytes;
        count++;
        (void)buf_append(&files, &file, sizeof(file)); /* remembered in the buf */
    }
    (void)closedir(folder);
    if (files.failed || count == 0)
        return NULL;
    qsort(files.data, count, sizeof(struct kept_file), compare_used);
    *ret_count = count;
    *ret_bytes = bytes;
    return (struct kept_file *)(void *)buf_take(&files);
}

static void room_make(int folder_fd, uint64_t limit_bytes)
{
    size_t count = 0;
    uint64_t bytes = 0;
    AUTO_FREE struct kept_file *files = files_list(folder_fd, &count, &bytes);
    for (size_t i = 0; files && i < count && bytes > limit_bytes; i++) {
        if (unlinkat(folder_fd, files[i].name.text, 0) == 0 || errno == ENOENT)
            bytes -= files[i].bytes;
    }
}

int build_cache_store(int folder_fd, const struct build_key *key, const struct build_result *result,
                      uint64_t limit_bytes)
{
    AUTO_BUF struct buf body = BUF_INIT, file = BUF_INIT;
    key_write(key, &body);
    struct file_head head = {.magic = FILE_MAGIC,
                             .key_length = body.length,
                             .reply_length = result->reply_length,
                             .binary_length = result->binary_length};
    if (body.failed)
        return body.failed;
    struct file_name name = name_of(&body);
    (void)buf_append(&body, result->reply, result->reply_length); /* remembered in the buf */
    (void)buf_append(&body, result->binary, result->binary_length);
    if (!body.failed && body.length + sizeof(head) > BUILD_CACHE_FILE_MAX_BYTES)
        return -EFBIG;
    head.checksum = hash_bytes(body.data, body.length);
    (void)buf_append(&file, &head, sizeof(head));
    (void)buf_append(&file, body.data, body.length);
    if (body.failed || file.failed)
        return -ENOMEM;
    int r = file_write_atomic(folder_fd, name.text, file.data, file.length, 0600, NULL);
    room_make(folder_fd, limit_bytes);
    return r;
}

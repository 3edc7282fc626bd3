/* A model as it lies on disk: which reader takes which file. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/map.h"
#include "base/yaml.h"
#include "estimate/memory.h"
#include "estimate/reader.h"

#define INDEX_LIMIT_BYTES (32u << 20)
#define CONFIG_NAME "config.json"

/* Where a folder's weights are, the first that is there: all their shards, or one file. */
static const struct place {
    const char *name;
    bool is_index;
} places[] = {
    {"model.safetensors.index.json", true},
    {"model.safetensors", false},
    {"pytorch_model.bin.index.json", true},
    {"pytorch_model.bin", false},
};

DEFINE_CLEANUP(map, struct map, map_destroy)

static int file_read_at(void *arg, uint64_t offset, void *data, size_t length)
{
    const int *fd = arg;
    uint8_t *next = data;
    while (length > 0) {
        ssize_t taken = pread(*fd, next, length, (off_t)offset);
        if (taken < 0 && errno == EINTR)
            continue;
        if (taken <= 0)
            return taken < 0 ? -errno : -EIO;
        next += taken;
        offset += (uint64_t)taken;
        length -= (size_t)taken;
    }
    return 0;
}

static bool ends_with(const char *name, const char *end)
{
    size_t length = strlen(name), tail = strlen(end);
    return length >= tail && strcmp(name + length - tail, end) == 0;
}

static bool is_pytorch(const char *name)
{
    return ends_with(name, ".pt") || ends_with(name, ".pth") || ends_with(name, ".bin") ||
           ends_with(name, ".ckpt");
}

/* One file of weights, by the end of its name. */
static int weights_read(int folder, const char *name, struct tally *tally,
                        struct memory_request *request, struct error *err)
{
    AUTO_FD int fd = openat(folder, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat status;
    if (fd < 0 || fstat(fd, &status) < 0)
        return error_errno(err, -errno, "bad-model", "cannot open '%s'", name);
    if (!S_ISREG(status.st_mode))
        return error_set(err, -EINVAL, "bad-model", "'%s' is not a file", name);
    struct source source = {
        .read_at = file_read_at, .arg = &fd, .size_bytes = (uint64_t)status.st_size};
    int r;
    if (ends_with(name, ".gguf"))
        r = gguf_read(&source, tally, request, err);
    else if (ends_with(name, ".onnx"))
        r = onnx_read(&source, tally, request, err);
    else if (is_pytorch(name))
        r = pytorch_read(&source, tally, err);
    else
        r = safetensors_read(&source, tally, err);
    return r < 0 ? error_context(err, "%s", name) : 0;
}

static int config_read(int folder, const char *name, struct memory_request *request,
                       struct error *err)
{
    AUTO_BUF struct buf text = BUF_INIT;
    int r = file_read(folder, name, JSON_TEXT_LIMIT_BYTES, &text, err);
    if (r == 0)
        r = config_json_read(text.data, text.length, request, err);
    return r < 0 ? error_context(err, "%s", name) : 0;
}

/* Shapes and settings written by hand: a body of an estimate as YAML. */
static int description_read(const char *name, struct memory_request *request, struct error *err)
{
    AUTO_BUF struct buf text = BUF_INIT;
    int r = file_read(AT_FDCWD, name, JSON_TEXT_LIMIT_BYTES, &text, err);
    if (r < 0)
        return r;
    AUTO_JSON json_t *body =
        yaml_parse(text.data ? text.data : "", text.length, JSON_TEXT_LIMIT_BYTES, err);
    r = body ? memory_request_decode(body, request, err) : -EINVAL;
    return r < 0 ? error_context(err, "%s", name) : 0;
}

/* Every shard that the index names, once; all of them lie in the same folder. */
static int index_read(int folder, const char *name, struct tally *tally,
                      struct memory_request *request, struct error *err)
{
    AUTO_BUF struct buf text = BUF_INIT;
    CLEANUP(cleanup_map) struct map *seen = map_create();
    int r = file_read(folder, name, INDEX_LIMIT_BYTES, &text, err);
    if (r < 0)
        return r;
    AUTO_JSON json_t *index = json_parse(text.data, text.length, INDEX_LIMIT_BYTES, err);
    if (!index || !seen)
        return error_context(err, "%s", name);
    const char *tensor;
    json_t *value, *weight_map = json_object_get(index, "weight_map");
    json_object_foreach (weight_map, tensor, value) {
        const char *shard = json_string_value(value);
        if (!shard || strchr(shard, '/') || shard[0] == '.')
            return error_set(err, -EINVAL, "bad-model", "%s: '%.80s' names no file beside it", name,
                             shard ? shard : "");
        if (map_get(seen, shard))
            continue;
        r = map_put(seen, shard, seen, NULL);
        if (r == 0)
            r = weights_read(folder, shard, tally, request, err);
        if (r < 0)
            return r;
    }
    return map_count(seen) ? 0 : error_set(err, -EINVAL, "bad-model", "%s names no shard", name);
}

static int first_gguf(int folder, char ret_name[NAME_MAX + 1])
{
    int fd = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *entries = fd < 0 ? NULL : fdopendir(fd);
    ret_name[0] = '\0';
    if (!entries) {
        if (fd >= 0)
            (void)close(fd); /* nothing was written to it */
        return -errno;
    }
    for (struct dirent *entry; !ret_name[0] && (entry = readdir(entries));) {
        if (ends_with(entry->d_name, ".gguf"))
            memcpy(ret_name, entry->d_name, strlen(entry->d_name) + 1);
    }
    (void)closedir(entries); /* was only read */
    return ret_name[0] ? 0 : -ENOENT;
}

static int folder_read(int folder, struct tally *tally, struct memory_request *request,
                       struct error *err)
{
    char name[NAME_MAX + 1];
    bool config = faccessat(folder, CONFIG_NAME, F_OK, 0) == 0;
    int r = config ? config_read(folder, CONFIG_NAME, request, err) : 0;
    if (r < 0)
        return r;
    for (const struct place *place = places; place < places + sizeof(places) / sizeof(*places);
         place++) {
        if (faccessat(folder, place->name, F_OK, 0) == 0)
            return (place->is_index ? index_read : weights_read)(folder, place->name, tally,
                                                                 request, err);
    }
    if (first_gguf(folder, name) == 0)
        return weights_read(folder, name, tally, request, err);
    if (config)
        return 0;
    return error_set(err, -ENOENT, "bad-model",
                     "the folder holds none of " CONFIG_NAME
                     ", model.safetensors, pytorch_model.bin, an index of either and *.gguf");
}

int model_read(const char *path, struct tally *ret_tally, struct memory_request *request,
               struct error *err)
{
    struct tally tally = {0};
    AUTO_FD int folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int r;
    if (folder >= 0)
        r = folder_read(folder, &tally, request, err);
    else if (errno != ENOTDIR)
        return error_errno(err, -errno, "bad-model", "cannot open '%s'", path);
    else if (ends_with(path, ".index.json"))
        return error_set(err, -EINVAL, "bad-model", "give the folder of '%s' instead", path);
    else if (ends_with(path, ".json"))
        r = config_read(AT_FDCWD, path, request, err);
    else if (ends_with(path, ".yaml"))
        r = description_read(path, request, err);
    else if (ends_with(path, ".safetensors") || ends_with(path, ".gguf") ||
             ends_with(path, ".onnx") || is_pytorch(path))
        r = weights_read(AT_FDCWD, path, &tally, request, err);
    else
        return error_set(
            err, -EINVAL, "bad-model",
            "'%s' is none of *.safetensors, *.gguf, *.onnx, *.pt, *.pth, *.bin, *.yaml, "
            "config.json or a folder of them",
            path);
    if (r == 0 && tally.tensors)
        r = tally_apply(&tally, request, err);
    if (r == 0)
        *ret_tally = tally;
    return r < 0 && folder >= 0 ? error_context(err, "%s", path) : r;
}

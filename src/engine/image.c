/* The list of images and their records: see image.h. */
#include "engine/image.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/json.h"
#include "engine/image_impl.h"

#define RECORD_LIMIT_BYTES 4096
#define HOST "host"

/* -- the list -- */

static struct image *image_find(struct images *images, const char *name)
{
    LIST_EACH (link, &images->list) {
        struct image *image = LIST_ENTRY(link, struct image, link);
        if (strcmp(image->shown.name, name) == 0)
            return image;
    }
    return NULL;
}

/* Find or add, in the order of names. NULL: out of memory. */
static struct image *image_get(struct images *images, const char *name)
{
    struct image *image = image_find(images, name);
    if (image)
        return image;
    image = calloc(1, sizeof(*image));
    if (!image)
        return NULL;
    image->images = images;
    image->shown.state = ENGINE_IMAGE_ABSENT;
    (void)snprintf(image->shown.name, sizeof(image->shown.name), "%s", name);
    struct list *at = images->list.next;
    while (at != &images->list && strcmp(LIST_ENTRY(at, struct image, link)->shown.name, name) < 0)
        at = at->next;
    list_append(at, &image->link); /* before `at` */
    return image;
}

void image_show(struct image *image, enum engine_image_state state, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    image->shown.state = state;
    (void)vsnprintf(image->shown.text, sizeof(image->shown.text), format, args); /* cut is fine */
    va_end(args);
    image->images->changed(image->images->context, &image->shown);
}

int images_at(struct images *images, size_t index, struct engine_image *ret_image)
{
    LIST_EACH (link, &images->list) {
        if (index-- == 0) {
            *ret_image = LIST_ENTRY(link, struct image, link)->shown;
            return 0;
        }
    }
    return -ENOENT;
}

/* -- records -- */

static int record_path(const struct images *images, const char *name, struct buf *ret)
{
    return buf_printf(ret, "%s/names/%s.json", images->dir, name);
}

struct record {
    char *root, *text;
    uint64_t size_bytes, created_us;
};

static const struct json_field record_fields[] = {
    {"root", JSON_KIND_TEXT, offsetof(struct record, root), JSON_REQUIRED},
    {"text", JSON_KIND_TEXT, offsetof(struct record, text), JSON_OPTIONAL},
    {"size_bytes", JSON_KIND_U64, offsetof(struct record, size_bytes), JSON_REQUIRED},
    {"created_us", JSON_KIND_U64, offsetof(struct record, created_us), JSON_REQUIRED},
    {0},
};

/* The record of an image makes it READY; an unreadable one leaves it as if never built. */
static int record_read(struct images *images, const char *name)
{
    AUTO_BUF struct buf path = BUF_INIT, text = BUF_INIT;
    struct record record = {0};
    if (record_path(images, name, &path))
        return -ENOMEM;
    if (file_read(AT_FDCWD, path.data, RECORD_LIMIT_BYTES, &text, NULL))
        return 0;
    AUTO_JSON json_t *object = json_parse(text.data, text.length, RECORD_LIMIT_BYTES, NULL);
    if (object && json_decode(object, record_fields, &record, NULL) == 0) {
        struct image *image = image_get(images, name);
        if (image) {
            image->shown.state = ENGINE_IMAGE_READY;
            image->shown.size_bytes = record.size_bytes;
            image->shown.created_us = record.created_us;
            (void)snprintf(image->root, sizeof(image->root), "%s", record.root);
            (void)snprintf(image->shown.text, sizeof(image->shown.text), "%s",
                           record.text ? record.text : "");
        }
    }
    free(record.root);
    free(record.text);
    return 0;
}

static int record_write(const struct image *image, struct error *err)
{
    AUTO_BUF struct buf path = BUF_INIT;
    AUTO_JSON json_t *object = json_pack(
        "{s:s, s:s, s:I, s:I}", "root", image->root, "text", image->shown.text, "size_bytes",
        (json_int_t)image->shown.size_bytes, "created_us", (json_int_t)image->shown.created_us);
    AUTO_FREE char *text = object ? json_text(object) : NULL;
    if (!text || record_path(image->images, image->shown.name, &path))
        return error_set(err, -ENOMEM, "no-memory", "no memory for the image's record");
    return file_write_atomic(AT_FDCWD, path.data, text, strlen(text), 0600, err);
}

void image_built(struct image *image, const char *root, uint64_t size_bytes,
                 const struct error *err)
{
    struct error own = {0};
    image->images->busy = false;
    image_build_free(image->build);
    image->build = NULL;
    if (!err) {
        (void)snprintf(image->root, sizeof(image->root), "%s", root);
        image->shown.size_bytes = size_bytes;
        image->shown.created_us = clock_realtime_us();
        if (record_write(image, &own) == 0) {
            /* A root that this one replaced may go now. */
            (void)images_clean(image->images, NULL, NULL); /* or at the next start */
            image->shown.state = ENGINE_IMAGE_READY;
            image->images->changed(image->images->context, &image->shown);
            return;
        }
        err = &own;
    }
    if (image->root[0])
        image_show(image, ENGINE_IMAGE_READY,
                   "the last build failed and the image before it is "
                   "still in use: %s",
                   err->text);
    else
        image_show(image, ENGINE_IMAGE_FAILED, "%s", err->text);
}

/* -- roots -- */

int images_root(struct images *images, const char *name, char ret_path[PATH_MAX],
                char ret_root[NAME_MAX], struct error *err)
{
    const struct image *image = image_find(images, name);
    int length;
    if (!image)
        return error_set(err, -ENOENT, "unknown-image",
                         "there is no image '%s'; `leat image list` shows those that exist", name);
    if (image->shown.state == ENGINE_IMAGE_BUILT_IN) {
        (void)snprintf(ret_root, NAME_MAX, HOST);
        length = snprintf(ret_path, PATH_MAX, "%s/host/root", images->dir);
    } else if (image->root[0]) { /* READY, also while it is being built anew */
        (void)snprintf(ret_root, NAME_MAX, "%s", image->root);
        length = snprintf(ret_path, PATH_MAX, "%s/roots/%s/rootfs", images->dir, image->root);
    } else {
        return error_set(err, -ENOENT, "image-not-ready",
                         "the image '%s' is not there yet; make it with `leat image build %s`",
                         name, name);
    }
    return length >= PATH_MAX ? error_set(err, -ENAMETOOLONG, "path-too-long", "path too long") : 0;
}

const char *images_host_over(const struct images *images)
{
    return images->host_over;
}

/* A root with places to mount on, for the image "host": the host's folders are mounted into it. */
static int make_host(struct images *images, struct error *err)
{
    static const char *const folders[] = {
        "root/usr",     "root/etc",  "root/proc", "root/dev",          "root/sys",
        "root/tmp",     "root/run",  "root/mnt",  "root/work",         "root/src",
        "root/var/lib", "root/root", "root/home", "over/usr/lib/leat", "over/etc/OpenCL/vendors"};
    static const char *const files[] = {"over/usr/lib/leat/libleat-opencl.so",
                                        "over/etc/resolv.conf", "over/etc/hosts"};
    char path[PATH_MAX], target[PATH_MAX];
    int result = 0;
    for (size_t i = 0; !result && i < sizeof(folders) / sizeof(folders[0]); i++) {
        (void)snprintf(path, sizeof(path), "%s/host/%s", images->dir,
                       folders[i]); /* checked below */
        result = dir_make(path, 0755, err);
    }
    for (size_t i = 0; !result && i < sizeof(files) / sizeof(files[0]); i++) {
        (void)snprintf(path, sizeof(path), "%s/host/%s", images->dir, files[i]);
        AUTO_FD int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
        if (fd < 0)
            result = error_errno(err, -errno, "cannot-write", "cannot make '%s'", path);
    }
    for (size_t i = 0; !result && bundle_host_folders[i]; i++) {
        ssize_t length = readlink(bundle_host_folders[i], target, sizeof(target) - 1);
        struct stat info;
        (void)snprintf(path, sizeof(path), "%s/host/root%s", images->dir, bundle_host_folders[i]);
        target[length > 0 ? length : 0] = '\0';
        if (length > 0 && symlink(target, path) && errno != EEXIST)
            result = error_errno(err, -errno, "cannot-write", "cannot make '%s'", path);
        else if (length <= 0 && stat(bundle_host_folders[i], &info) == 0)
            result = dir_make(path, 0755, err);
    }
    return result;
}

/* -- looking -- */

/* Call `visit` with the name of each FILE in `folder` that ends with `suffix`, without it. */
static int each_name(struct images *images, const char *folder, const char *suffix,
                     int (*visit)(struct images *images, const char *name))
{
    DIR *dir = opendir(folder);
    int result = 0;
    if (!dir)
        return 0; /* none yet */
    for (struct dirent *entry; !result && (entry = readdir(dir));) {
        size_t length = strlen(entry->d_name), tail = strlen(suffix);
        char name[ENGINE_NAME_MAX];
        if (length <= tail || length - tail >= sizeof(name) ||
            strcmp(entry->d_name + length - tail, suffix) != 0)
            continue;
        (void)snprintf(name, sizeof(name), "%.*s", (int)(length - tail), entry->d_name);
        result = visit(images, name);
    }
    (void)closedir(dir); /* read only */
    return result;
}

static int visit_recipe(struct images *images, const char *name)
{
    struct image *image = image_get(images, name);
    if (!image)
        return -ENOMEM;
    image->has_recipe = true;
    (void)snprintf(image->shown.text, sizeof(image->shown.text),
                   "has a recipe; make it with `leat image build %s`", name);
    return 0;
}

static int look(struct images *images, struct error *err)
{
    AUTO_BUF struct buf recipes = BUF_INIT, names = BUF_INIT;
    struct image *host = image_get(images, HOST);
    int result = host && !buf_printf(&names, "%s/names", images->dir) &&
                         !buf_printf(&recipes, "%s/images",
                                     images->data_dir ? images->data_dir : images->dir)
                     ? 0
                     : -ENOMEM;
    if (!result && images->data_dir)
        result = each_name(images, recipes.data, ".yaml", visit_recipe);
    if (!result)
        result = each_name(images, names.data, ".json", record_read);
    if (result)
        return error_set(err, result, "no-memory", "no memory for the images");
    host->shown.state = ENGINE_IMAGE_BUILT_IN;
    (void)snprintf(host->shown.text, sizeof(host->shown.text),
                   "this host's /usr, /etc and /opt, read-only, with a private /tmp");
    return 0;
}

static int make_folders(struct images *images, struct error *err)
{
    static const char *const folders[] = {"", "/names", "/roots", "/host"};
    char path[PATH_MAX];
    int result = 0;
    /* Containers pass through to the roots; they cannot list what is there. */
    for (size_t i = 0; !result && i < sizeof(folders) / sizeof(folders[0]); i++) {
        if (snprintf(path, sizeof(path), "%s%s", images->dir, folders[i]) >= PATH_MAX - 128)
            return error_set(err, -ENAMETOOLONG, "path-too-long",
                             "the state folder's path is too "
                             "long");
        result = dir_make(path, 0711, err);
    }
    (void)snprintf(path, sizeof(path), "%s/build", images->dir); /* shorter than those above */
    if (!result)
        result = dir_remove_tree(AT_FDCWD, path, err); /* builds that were cut off */
    return result ? result : make_host(images, err);
}

int images_create(const char *state_dir, const char *data_dir, struct runner *runner,
                  const struct host_facts *facts,
                  void (*changed)(void *context, const struct engine_image *image), void *context,
                  struct images **ret_images, struct error *err)
{
    AUTO_BUF struct buf dir = BUF_INIT, over = BUF_INIT;
    struct images *images = calloc(1, sizeof(*images));
    if (!images || buf_printf(&dir, "%s/images", state_dir) ||
        buf_printf(&over, "%s/images/host/over", state_dir)) {
        free(images);
        return error_set(err, -ENOMEM, "no-memory", "no memory for the images");
    }
    images->dir = buf_take(&dir);
    images->host_over = buf_take(&over);
    images->data_dir = data_dir ? strdup(data_dir) : NULL;
    images->runner = runner;
    images->facts = facts;
    images->changed = changed;
    images->context = context;
    list_init(&images->list);
    list_init(&images->cleanings);
    int result = make_folders(images, err);
    if (!result)
        result = look(images, err);
    if (!result)
        result = images_clean(images, NULL, err);
    if (result)
        images_destroy(images);
    else
        *ret_images = images;
    return result;
}

void images_destroy(struct images *images)
{
    if (!images)
        return;
    LIST_EACH_SAFE (link, after, &images->list) {
        struct image *image = LIST_ENTRY(link, struct image, link);
        image_build_free(image->build);
        free(image);
    }
    images_cleanings_free(images);
    free(images->dir);
    free(images->host_over);
    free(images->data_dir);
    free(images);
}

/* -- verbs -- */

static int check_idle(const struct images *images, const struct image *image, struct error *err)
{
    if (image && image->shown.state == ENGINE_IMAGE_BUILT_IN)
        return error_set(err, -EPERM, "built-in-image", "the image '%s' is built in",
                         image->shown.name);
    if (images->busy)
        return error_set(err, -EBUSY, "image-store-busy",
                         "another image is being made; try again when it is ready");
    return 0;
}

static int begin(struct image *image, int result)
{
    if (!result) {
        image->images->busy = true;
        image->shown.state = ENGINE_IMAGE_BUILDING; /* its first step tells */
    }
    return result;
}

int images_build(struct images *images, const char *name, struct error *err)
{
    struct image *image = image_find(images, name);
    int result = check_idle(images, image, err);
    if (result)
        return result;
    if (!image || !image->has_recipe)
        return error_set(err, -ENOENT, "no-recipe",
                         "there is no recipe for an image '%s' (DATA/images/%s.yaml)", name, name);
    return begin(image, image_build_recipe(image, err));
}

int images_import(struct images *images, const char *name, const char *source, struct error *err)
{
    int result = check_idle(images, image_find(images, name), err);
    if (result)
        return result;
    if (access(source, R_OK))
        return error_errno(err, -errno, "no-such-path", "cannot read '%s'", source);
    struct image *image = image_get(images, name);
    if (!image)
        return error_set(err, -ENOMEM, "no-memory", "no memory for image '%s'", name);
    return begin(image, image_build_import(image, source, err));
}

int images_remove(struct images *images, const char *name, struct error *err)
{
    struct image *image = image_find(images, name);
    AUTO_BUF struct buf path = BUF_INIT;
    if (!image)
        return error_set(err, -ENOENT, "unknown-image", "there is no image '%s'", name);
    int result = check_idle(images, image, err);
    if (result)
        return result;
    if (record_path(images, name, &path))
        return error_set(err, -ENOMEM, "no-memory", "no memory to remove '%s'", name);
    if (unlink(path.data) && errno != ENOENT)
        return error_errno(err, -errno, "cannot-remove", "cannot remove image '%s'", name);
    image->root[0] = '\0';
    image->shown.size_bytes = image->shown.created_us = 0;
    image->shown.state = ENGINE_IMAGE_ABSENT;
    (void)snprintf(image->shown.text, sizeof(image->shown.text), "removed");
    struct engine_image gone = image->shown;
    if (!image->has_recipe) {
        list_remove(&image->link);
        free(image);
    }
    return images_clean(images, &gone, err);
}

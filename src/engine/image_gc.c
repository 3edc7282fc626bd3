/* Removing what no image and no task needs any more: unpacked roots, and tags and blobs of the
 * store. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/map.h"
#include "engine/image_impl.h"

#define SMALL_FILE_BYTES 4096

/* The cleaning after one image was removed or replaced; freed by its last step. */
struct cleaning {
    struct list link;
    struct images *images;
    struct engine_image gone; /* told about at the end when its name is not empty */
};

void images_cleanings_free(struct images *images)
{
    LIST_EACH_SAFE (link, after, &images->cleanings)
        free(LIST_ENTRY(link, struct cleaning, link));
}

static void cleaning_over(struct cleaning *cleaning)
{
    struct images *images = cleaning->images;
    struct engine_image gone = cleaning->gone;
    list_remove(&cleaning->link);
    free(cleaning);
    if (list_empty(&images->cleanings))
        image_build_resume(images);
    if (gone.name[0])
        images->changed(images->context, &gone);
}

/* -- roots, in the pool -- */

struct sweep {
    char *dir; /* STATE/images */
};

static void sweep_free(void *input)
{
    struct sweep *sweep = input;
    free(sweep->dir);
    free(sweep);
}

static void each(const char *folder, void (*visit)(void *context, int dir_fd, const char *name),
                 void *context)
{
    DIR *dir = opendir(folder);
    if (!dir)
        return; /* nothing there */
    for (struct dirent *entry; (entry = readdir(dir));)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            visit(context, dirfd(dir), entry->d_name);
    (void)closedir(dir); /* read only */
}

/* Keep: the map holds the names of roots that are in use. `failed` keeps all. */
struct keep {
    struct map *map;
    bool failed;
};

static void keep_root(struct keep *keep, const char *root)
{
    if (root && map_put(keep->map, root, keep, NULL))
        keep->failed = true;
}

static void keep_of_image(void *context, int dir_fd, const char *name)
{
    struct keep *keep = context;
    AUTO_BUF struct buf text = BUF_INIT;
    if (file_read(dir_fd, name, SMALL_FILE_BYTES, &text, NULL)) {
        keep->failed = true;
        return;
    }
    AUTO_JSON json_t *record = json_parse(text.data, text.length, SMALL_FILE_BYTES, NULL);
    keep_root(keep, json_string_value(json_object_get(record, "root")));
}

static void keep_of_task(void *context, int dir_fd, const char *name)
{
    struct keep *keep = context;
    AUTO_BUF struct buf path = BUF_INIT, text = BUF_INIT;
    int result = buf_printf(&path, "%s/bundle/root", name);
    if (!result)
        result = file_read(dir_fd, path.data, SMALL_FILE_BYTES, &text, NULL);
    if (!result)
        keep_root(keep, text.data);
    else if (result != -ENOENT && result != -ENOTDIR) /* removed tasks keep no root */
        keep->failed = true;
}

static void sweep_root(void *context, int dir_fd, const char *name)
{
    const struct keep *keep = context;
    if (!keep->failed && !map_get(keep->map, name))
        (void)dir_remove_tree(dir_fd, name, NULL); /* the next sweep tries again */
}

static void sweep_work(void *input)
{
    const struct sweep *sweep = input;
    struct keep keep = {.map = map_create()};
    AUTO_BUF struct buf names = BUF_INIT, jobs = BUF_INIT, roots = BUF_INIT;
    if (keep.map && !buf_printf(&names, "%s/names", sweep->dir) &&
        !buf_printf(&jobs, "%s/../jobs", sweep->dir) &&
        !buf_printf(&roots, "%s/roots", sweep->dir)) {
        each(names.data, keep_of_image, &keep);
        each(jobs.data, keep_of_task, &keep);
        each(roots.data, sweep_root, &keep);
    }
    map_destroy(keep.map);
}

static void on_swept(void *context, void *input)
{
    cleaning_over(context);
}

static void sweep_roots(struct cleaning *cleaning)
{
    struct sweep *sweep = calloc(1, sizeof(*sweep));
    if (sweep)
        sweep->dir = strdup(cleaning->images->dir);
    if (!sweep || !sweep->dir) {
        free(sweep);
        cleaning_over(cleaning);
    } else if (run_in_pool(cleaning->images->runner, sweep_work, on_swept, cleaning, sweep,
                           sweep_free, NULL)) {
        cleaning_over(cleaning);
    }
}

/* -- the store -- */

static void on_blobs_gone(void *context, int status)
{
    sweep_roots(context); /* a failure costs disk until the next cleaning */
}

static int run_umoci(struct cleaning *cleaning, const char *const *argv, run_done done)
{
    struct run_spec spec = {.file = "umoci",
                            .argv = argv,
                            .cwd = cleaning->images->dir,
                            .output_fd = -1,
                            .pass = {-1, -1}};
    return run_start(cleaning->images->runner, &spec, done, cleaning, NULL);
}

static void on_tag_gone(void *context, int status)
{
    static const char *const argv[] = {"umoci", "gc", "--layout", "store", NULL};
    struct cleaning *cleaning = context;
    if (run_umoci(cleaning, argv, on_blobs_gone))
        sweep_roots(cleaning);
}

int images_clean(struct images *images, const struct engine_image *gone, struct error *err)
{
    struct cleaning *cleaning = calloc(1, sizeof(*cleaning));
    AUTO_BUF struct buf tag = BUF_INIT;
    if (!cleaning || buf_printf(&tag, "store:%s", gone ? gone->name : "")) {
        free(cleaning);
        return error_set(err, -ENOMEM, "no-memory", "no memory to clean the image store");
    }
    cleaning->images = images;
    list_append(&images->cleanings, &cleaning->link);
    if (gone)
        cleaning->gone = *gone;
    const char *const argv[] = {"umoci", "rm", "--image", tag.data, NULL};
    if (!gone || run_umoci(cleaning, argv, on_tag_gone))
        on_tag_gone(cleaning, 0);
    return 0;
}

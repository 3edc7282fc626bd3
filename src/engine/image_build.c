/* Making images with the tools that Debian has for it: mmdebstrap, skopeo, umoci, tar. A build is a
 * list of steps, each one process in STATE/images/build; its last act is to rename the finished
 * root into place, so a build that is cut off leaves only that scratch folder. */
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/json.h"
#include "engine/image_impl.h"
#include "engine/local.h"
#include "engine/recipe.h"
#include "engine/rootfs.h"

#define ARGS_MAX 96
#define STEPS_MAX 8
/* An archive of images lists far less; a root may list more. */
#define LISTING_LIMIT_BYTES (1u << 20)
#define SMALL_FILE_BYTES (64u << 10)
#define PLAIN "cat" /* the unpacker of a tar that is not packed */

/* A command line that grows; a failure is remembered. */
struct args {
    char *list[ARGS_MAX + 1];
    size_t count;
    bool failed;
};

struct step {
    const char *what;
    void (*fill)(const struct build *build, struct args *args);
    const char *output; /* file for standard output, beside the log; NULL: the log */
    /* Instead of going on with the next step: look at the output and choose the further ones. */
    int (*decide)(struct build *build, struct error *err);
};

struct build {
    struct image *image;
    struct recipe recipe;
    char *source;         /* import only */
    const char *unpacker; /* program that turns the tar into a plain one */
    const struct step *steps[STEPS_MAX + 1];
    size_t next, count;
};

static void args_free(struct args *args)
{
    for (size_t i = 0; i < args->count; i++)
        free(args->list[i]);
}

static void __attribute__((format(printf, 2, 3))) add(struct args *args, const char *format, ...)
{
    va_list list;
    AUTO_BUF struct buf text = BUF_INIT;
    va_start(list, format);
    int result = buf_vprintf(&text, format, list);
    va_end(list);
    if (result || args->count == ARGS_MAX)
        args->failed = true;
    else
        args->list[args->count++] = buf_take(&text);
}

static void add_all(struct args *args, const char *const *texts)
{
    for (; *texts; texts++)
        add(args, "%s", *texts);
}

/* -- the steps -- */

/* A step that sets up mounts does it where nobody else sees them, and dies with the daemon. */
static const char *const contained[] = {
    "setpriv", "--pdeathsig",       "KILL",         "unshare", "--mount", "--pid",
    "--fork",  "--kill-child=KILL", "--mount-proc", NULL};

/* "bookworm" from the host's own description. */
static int host_suite(char ret_suite[64])
{
    AUTO_BUF struct buf text = BUF_INIT;
    if (file_read(AT_FDCWD, "/etc/os-release", SMALL_FILE_BYTES, &text, NULL))
        return -ENOENT;
    const char *line = strstr(text.data, "VERSION_CODENAME=");
    return line && sscanf(line, "VERSION_CODENAME=%63[a-z]", ret_suite) == 1 ? 0 : -ENOENT;
}

/* The host's own mirrors and keyrings, when the image is of the host's suite; else Debian's. */
static void add_mirrors(struct args *args, const char *suite)
{
    static const char *const patterns[] = {"/etc/apt/sources.list",
                                           "/etc/apt/sources.list.d/*.list",
                                           "/etc/apt/sources.list.d/*.sources"};
    char host[64] = "";
    glob_t found = {0};
    bool same = host_suite(host) == 0 && (!suite || strcmp(suite, host) == 0);
    add(args, "%s", suite ? suite : host[0] ? host : "stable");
    add(args, "root.tar");
    for (size_t i = 0; same && i < sizeof(patterns) / sizeof(patterns[0]); i++)
        (void)glob(patterns[i], i ? GLOB_APPEND : 0, NULL, &found); /* no match is fine */
    for (size_t i = 0; i < found.gl_pathc; i++)
        add(args, "%s", found.gl_pathv[i]);
    globfree(&found);
}

static void fill_debian(const struct build *build, struct args *args)
{
    static const char *const common[] = {
        "mmdebstrap",
        "--format=tar",
        "--dpkgopt=force-unsafe-io", /* a root that is cut off is thrown away */
        "--dpkgopt=path-exclude=/usr/share/man/*",
        "--dpkgopt=path-exclude=/usr/share/locale/*",
        "--dpkgopt=path-exclude=/usr/share/doc/*",
        "--dpkgopt=path-include=/usr/share/doc/*/copyright",
        NULL};
    const struct recipe *recipe = &build->recipe;
    AUTO_BUF struct buf packages = BUF_INIT;
    if (build->image->images->facts->privileged)
        add_all(args, contained);
    add_all(args, common);
    add(args, "--variant=%s", recipe->variant ? recipe->variant : "essential");
    for (char **package = recipe->packages; package && *package; package++)
        if (buf_printf(&packages, "%s%s", packages.length ? "," : "", *package))
            args->failed = true;
    if (packages.length)
        add(args, "--include=%s", packages.data);
    for (char **command = recipe->post; command && *command; command++)
        add(args, "--chrooted-customize-hook=%s", *command);
    add_mirrors(args, recipe->suite);
}

static void fill_list(const struct build *build, struct args *args)
{
    static const char *const argv[] = {"tar", "-tf", NULL};
    add_all(args, argv);
    add(args, "%s", build->source);
}

static void fill_pack(const struct build *build, struct args *args)
{
    static const char *const argv[] = {
        "tar",      "-c", "-f", "root.tar", "--numeric-owner", "--one-file-system",
        "--xattrs", "-C", NULL};
    add_all(args, argv);
    add(args, "%s", build->source);
    add(args, ".");
}

static void fill_unpack_tar(const struct build *build, struct args *args)
{
    add(args, "%s", build->unpacker);
    if (strcmp(build->unpacker, PLAIN) != 0)
        add(args, "-dc");
    add(args, "%s", build->source);
}

static void fill_init(const struct build *build, struct args *args)
{
    static const char *const argv[] = {"umoci", "init", "--layout", "layout", NULL};
    add_all(args, argv);
}

static void fill_new(const struct build *build, struct args *args)
{
    static const char *const argv[] = {"umoci", "new", "--image", "layout:new", NULL};
    add_all(args, argv);
}

static void fill_layer(const struct build *build, struct args *args)
{
    static const char *const argv[] = {"umoci", "raw", "add-layer", "--image", "layout:new", NULL};
    add_all(args, argv);
    add(args, "root.tar");
}

static void copy_from(const struct build *build, struct args *args, const char *transport)
{
    static const char *const argv[] = {"skopeo", "--insecure-policy", "copy", "-q", NULL};
    add_all(args, argv);
    add(args, "%s:%s", transport, build->source);
    add(args, "oci:layout:new");
}

static void fill_copy_layout(const struct build *build, struct args *args)
{
    copy_from(build, args, "oci");
}

static void fill_copy_docker(const struct build *build, struct args *args)
{
    copy_from(build, args, "docker-archive");
}

static void fill_copy_archive(const struct build *build, struct args *args)
{
    copy_from(build, args, "oci-archive");
}

/* The files of the image's root belong to the root of the containers. */
static void fill_unpack(const struct build *build, struct args *args)
{
    static const char *const argv[] = {"umoci", "unpack", "--image", "layout:new", NULL};
    const struct host_facts *facts = build->image->images->facts;
    add_all(args, argv);
    if (!facts->privileged) {
        add(args, "--rootless");
    } else if (facts->user_namespace) {
        add(args, "--uid-map=0:%u:%u", (unsigned)facts->uid_base, facts->ids_count);
        add(args, "--gid-map=0:%u:%u", (unsigned)facts->uid_base, facts->ids_count);
    }
    add(args, "bundle");
}

static void fill_store(const struct build *build, struct args *args)
{
    static const char *const argv[] = {"skopeo", "--insecure-policy", "copy",
                                       "-q",     "oci:layout:new",    NULL};
    add_all(args, argv);
    add(args, "oci:%s/store:%s", build->image->images->dir, build->image->shown.name);
}

static int decide_archive(struct build *build, struct error *err);

static const struct step step_debian = {"installing packages with mmdebstrap", fill_debian, NULL,
                                        NULL};
static const struct step step_list = {"looking into the archive", fill_list, "listing",
                                      decide_archive};
static const struct step step_pack = {"reading the folder", fill_pack, NULL, NULL};
static const struct step step_unpack_tar = {"unpacking the tar", fill_unpack_tar, "root.tar", NULL};
static const struct step step_init = {"making a layout", fill_init, NULL, NULL};
static const struct step step_new = {"making a layout", fill_new, NULL, NULL};
static const struct step step_layer = {"packing the root as a layer", fill_layer, NULL, NULL};
static const struct step step_copy_layout = {"copying the layout", fill_copy_layout, NULL, NULL};
static const struct step step_copy_docker = {"copying the archive", fill_copy_docker, NULL, NULL};
static const struct step step_copy_archive = {"copying the archive", fill_copy_archive, NULL, NULL};
static const struct step step_unpack = {"unpacking the root", fill_unpack, NULL, NULL};
static const struct step step_store = {"storing the image", fill_store, NULL, NULL};

static const struct step *const from_recipe[] = {&step_debian, &step_init,  &step_new, &step_layer,
                                                 &step_unpack, &step_store, NULL};
static const struct step *const from_folder[] = {&step_pack,   &step_init,  &step_new, &step_layer,
                                                 &step_unpack, &step_store, NULL};
static const struct step *const from_packed[] = {
    &step_unpack_tar, &step_init, &step_new, &step_layer, &step_unpack, &step_store, NULL};
static const struct step *const from_layout[] = {&step_copy_layout, &step_unpack, &step_store,
                                                 NULL};
static const struct step *const from_docker[] = {&step_copy_docker, &step_unpack, &step_store,
                                                 NULL};
static const struct step *const from_archive[] = {&step_copy_archive, &step_unpack, &step_store,
                                                  NULL};
static const struct step *const from_file[] = {&step_list, NULL};

static void choose(struct build *build, const struct step *const *steps)
{
    build->next = 0;
    for (build->count = 0; steps[build->count]; build->count++)
        build->steps[build->count] = steps[build->count];
}

/* -- kinds of archives -- */

/* A plain tar is copied, so that every kind goes the same way. */
static const char *unpacker_of(const char *path)
{
    static const struct {
        const char *magic, *program;
    } kinds[] = {{"\x1f\x8b", "gzip"},
                 {"\xfd"
                  "7zXZ",
                  "xz"},
                 {"\x28\xb5\x2f\xfd", "zstd"},
                 {"BZh", "bzip2"}};
    char head[8] = "";
    AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || read(fd, head, sizeof(head) - 1) <= 0)
        return PLAIN;
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
        if (memcmp(head, kinds[i].magic, strlen(kinds[i].magic)) == 0)
            return kinds[i].program;
    return PLAIN;
}

static bool lists(const struct buf *listing, const char *name)
{
    size_t length = strlen(name);
    for (const char *line = listing->data; line && *line;) {
        const char *start = strncmp(line, "./", 2) == 0 ? line + 2 : line;
        if (strncmp(start, name, length) == 0 && (start[length] == '\n' || !start[length]))
            return true;
        line = strchr(line, '\n');
        line = line ? line + 1 : NULL;
    }
    return false;
}

static int decide_archive(struct build *build, struct error *err)
{
    AUTO_BUF struct buf path = BUF_INIT, listing = BUF_INIT;
    if (buf_printf(&path, "%s/build/listing", build->image->images->dir))
        return error_set(err, -ENOMEM, "no-memory", "no memory to look into '%s'", build->source);
    int result = file_read(AT_FDCWD, path.data, LISTING_LIMIT_BYTES, &listing, err);
    if (result && result != -EFBIG)
        return result;
    if (!result && lists(&listing, "manifest.json"))
        choose(build, from_docker);
    else if (!result && lists(&listing, "oci-layout"))
        choose(build, from_archive);
    else {
        build->unpacker = unpacker_of(build->source);
        choose(build, from_packed);
    }
    return 0;
}

/* -- the last act, in the pool -- */

struct finish {
    char *dir; /* STATE/images */
    char root[72];
    uint64_t size_bytes;
    struct error err;
};

static void finish_free(void *input)
{
    struct finish *finish = input;
    free(finish->dir);
    free(finish);
}

/* The digest of the image's manifest names its root: equal images share one. */
static int digest_of(const char *dir, char *ret_root, size_t room, struct error *err)
{
    AUTO_BUF struct buf path = BUF_INIT, text = BUF_INIT;
    const char *digest = NULL;
    if (buf_printf(&path, "%s/build/layout/index.json", dir))
        return error_set(err, -ENOMEM, "no-memory", "no memory for an image");
    int result = file_read(AT_FDCWD, path.data, SMALL_FILE_BYTES, &text, err);
    AUTO_JSON json_t *index =
        result ? NULL : json_parse(text.data, text.length, SMALL_FILE_BYTES, err);
    json_t *manifest = json_array_get(json_object_get(index, "manifests"), 0);
    digest = json_string_value(json_object_get(manifest, "digest"));
    if (!digest || strncmp(digest, "sha256:", 7) != 0 || strlen(digest + 7) >= room ||
        strspn(digest + 7, "0123456789abcdef") != strlen(digest + 7))
        return error_set(err, -EINVAL, "bad-image", "the image's layout names no manifest");
    (void)snprintf(ret_root, room, "%s", digest + 7);
    return 0;
}

static void finish_work(void *input)
{
    struct finish *finish = input;
    struct error *err = &finish->err;
    AUTO_BUF struct buf bundle = BUF_INIT, rootfs = BUF_INIT, root = BUF_INIT;
    if (digest_of(finish->dir, finish->root, sizeof(finish->root), err))
        return;
    if (buf_printf(&bundle, "%s/build/bundle", finish->dir) ||
        buf_printf(&rootfs, "%s/build/bundle/rootfs", finish->dir) ||
        buf_printf(&root, "%s/roots/%s", finish->dir, finish->root)) {
        (void)error_set(err, -ENOMEM, "no-memory", "no memory for an image");
        return;
    }
    if (rootfs_finish(rootfs.data, &finish->size_bytes, err))
        return;
    if (chmod(bundle.data, 0711) ||
        (rename(bundle.data, root.data) && errno != EEXIST && errno != ENOTEMPTY))
        (void)error_errno(err, -errno, "cannot-write", "cannot put the new root in place");
}

static void on_finished(void *context, void *input)
{
    struct build *build = context;
    const struct finish *finish = input;
    if (build->recipe.description)
        (void)snprintf(build->image->shown.text, sizeof(build->image->shown.text), "%s",
                       build->recipe.description);
    else if (build->source)
        (void)snprintf(build->image->shown.text, sizeof(build->image->shown.text),
                       "imported from %.200s", build->source);
    image_built(build->image, finish->root, finish->size_bytes,
                finish->err.errnum ? &finish->err : NULL);
}

static void build_finish(struct build *build)
{
    struct finish *finish = calloc(1, sizeof(*finish));
    struct error err = {0};
    if (finish)
        finish->dir = strdup(build->image->images->dir);
    if (!finish || !finish->dir) {
        free(finish);
        (void)error_set(&err, -ENOMEM, "no-memory", "no memory for an image");
    } else if (run_in_pool(build->image->images->runner, finish_work, on_finished, build, finish,
                           finish_free, &err) == 0) {
        return;
    }
    image_built(build->image, NULL, 0, &err);
}

/* -- walking through the steps -- */

static void build_next(struct build *build);

static int log_path(const struct build *build, struct buf *ret)
{
    return buf_printf(ret, "%s/build/log", build->image->images->dir);
}

static void step_failed(struct build *build, const struct step *step, int status)
{
    AUTO_BUF struct buf path = BUF_INIT;
    char tail[160] = "";
    struct error err = {0};
    if (log_path(build, &path) == 0)
        local_tail(path.data, tail, sizeof(tail));
    (void)error_set(&err, -EIO, "build-failed", "%s failed (%s %d): %s", step->what,
                    status < 0 ? "signal" : "status", status < 0 ? -status : status, tail);
    image_built(build->image, NULL, 0, &err);
}

static void on_step_done(void *context, int status)
{
    struct build *build = context;
    const struct step *step = build->steps[build->next++];
    struct error err = {0};
    if (status)
        step_failed(build, step, status);
    else if (step->decide && step->decide(build, &err))
        image_built(build->image, NULL, 0, &err);
    else
        build_next(build);
}

static int open_output(const struct build *build, const char *name, struct error *err)
{
    AUTO_BUF struct buf path = BUF_INIT;
    if (buf_printf(&path, "%s/build/%s", build->image->images->dir, name))
        return error_set(err, -ENOMEM, "no-memory", "no memory for an image");
    int fd = open(path.data, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    return fd < 0 ? error_errno(err, -errno, "cannot-write", "cannot write '%s'", path.data) : fd;
}

static int run_step(struct build *build, const struct step *step, struct error *err)
{
    struct args args = {{0}};
    AUTO_BUF struct buf dir = BUF_INIT, scratch = BUF_INIT;
    AUTO_FD int log = open_output(build, "log", err);
    AUTO_FD int fd = log < 0 ? log : open_output(build, step->output ? step->output : "log", err);
    if (fd < 0)
        return fd;
    step->fill(build, &args);
    int result = args.failed || buf_printf(&dir, "%s/build", build->image->images->dir) ||
                         buf_printf(&scratch, "TMPDIR=%s", dir.data)
                     ? error_set(err, -E2BIG, "bad-recipe", "the recipe is too long")
                     : 0;
    struct run_spec spec = {.file = args.list[0],
                            .argv = (const char *const *)args.list,
                            .env = scratch.data,
                            .cwd = dir.data,
                            .output_fd = fd,
                            .error_fd = log,
                            .pass = {-1, -1}};
    if (!result)
        result = run_start(build->image->images->runner, &spec, on_step_done, build, err);
    args_free(&args);
    return result;
}

static void build_next(struct build *build)
{
    struct error err = {0};
    if (build->next == build->count) {
        build_finish(build);
        return;
    }
    const struct step *step = build->steps[build->next];
    if (step == &step_store && !list_empty(&build->image->images->cleanings)) {
        build->image->images->waiting = build;
        return;
    }
    image_show(build->image, ENGINE_IMAGE_BUILDING, "step %zu of %zu: %s", build->next + 1,
               build->count, step->what);
    if (run_step(build, step, &err))
        image_built(build->image, NULL, 0, &err);
}

void image_build_resume(struct images *images)
{
    struct build *build = images->waiting;
    images->waiting = NULL;
    if (build)
        build_next(build);
}

/* -- beginning -- */

void image_build_free(struct build *build)
{
    if (!build)
        return;
    recipe_finish(&build->recipe);
    free(build->source);
    free(build);
}

static void on_first_turn(void *context)
{
    build_next(context);
}

static int begin(struct image *image, struct build *build, struct error *err)
{
    AUTO_BUF struct buf dir = BUF_INIT;
    struct run_timer *timer;
    int result = buf_printf(&dir, "%s/build", image->images->dir);
    if (!result)
        result = dir_remove_tree(AT_FDCWD, dir.data, err);
    if (!result)
        result = dir_make(dir.data, 0700, err);
    build->image = image;
    if (!result)
        result = run_after(image->images->runner, 0, on_first_turn, build, &timer, err);
    if (result)
        image_build_free(build);
    else
        image->build = build;
    return result;
}

int image_build_recipe(struct image *image, struct error *err)
{
    AUTO_BUF struct buf path = BUF_INIT, text = BUF_INIT;
    struct build *build = calloc(1, sizeof(*build));
    if (!build ||
        buf_printf(&path, "%s/images/%s.yaml", image->images->data_dir, image->shown.name)) {
        free(build);
        return error_set(err, -ENOMEM, "no-memory", "no memory to build '%s'", image->shown.name);
    }
    int result = file_read(AT_FDCWD, path.data, RECIPE_LIMIT_BYTES, &text, err);
    if (!result)
        result = recipe_parse(text.data, text.length, &build->recipe, err);
    if (result) {
        free(build);
        return error_context(err, "recipe '%s'", path.data);
    }
    choose(build, from_recipe);
    return begin(image, build, err);
}

static bool is_layout(const char *folder)
{
    AUTO_BUF struct buf path = BUF_INIT;
    return buf_printf(&path, "%s/oci-layout", folder) == 0 && access(path.data, F_OK) == 0;
}

int image_build_import(struct image *image, const char *source, struct error *err)
{
    struct stat info;
    struct build *build = calloc(1, sizeof(*build));
    if (build)
        build->source = strdup(source);
    if (!build || !build->source) {
        free(build);
        return error_set(err, -ENOMEM, "no-memory", "no memory to import '%s'", source);
    }
    if (stat(source, &info)) {
        image_build_free(build);
        return error_errno(err, -errno, "no-such-path", "cannot read '%s'", source);
    }
    if (!S_ISDIR(info.st_mode))
        choose(build, from_file);
    else
        choose(build, is_layout(source) ? from_layout : from_folder);
    return begin(image, build, err);
}

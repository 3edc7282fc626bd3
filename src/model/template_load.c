/* Reading templates: a folder of YAML files becomes the entries of a set, all of them or none. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/yaml.h"
#include "model/template.h"
#include "model/template_impl.h"

#define IMAGES_FILE "images.yaml"
#define FILE_SUFFIX ".yaml"

static bool name_is_valid(const char *name)
{
    size_t length = strlen(name);
    return length > 0 && length <= TEMPLATE_NAME_MAX && name[0] != '.' && name[0] != '-' &&
           strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789.-") == length;
}

bool template_key(const char *library, const char *type, char ret_key[TEMPLATE_KEY_MAX])
{
    if (!name_is_valid(library) || !name_is_valid(type))
        return false;
    (void)snprintf(ret_key, TEMPLATE_KEY_MAX, "%s/%s", library, type);
    return true;
}

/* The library's defaults with the type's own members over them; env is merged name by name. */
static json_t *values_merge(const json_t *defaults, const json_t *own)
{
    AUTO_JSON json_t *values = json_object();
    AUTO_JSON json_t *env = json_object();
    const json_t *const layers[] = {defaults, own};
    for (size_t i = 0; i < 2; i++) {
        json_t *layer = (json_t *)(uintptr_t)layers[i];
        json_t *layer_env = json_object_get(layer, "env");
        if (layer && json_object_update(values, layer) < 0)
            return NULL;
        if (json_is_object(layer_env) && json_object_update(env, layer_env) < 0)
            return NULL;
    }
    /* Not yet checked: an env of another type must stay for the check to refuse. */
    json_t *merged = json_object_get(values, "env");
    if ((!merged || json_is_object(merged)) && json_object_set(values, "env", env) < 0)
        return NULL;
    return TAKE(values);
}

static int template_put(struct template_set *set, const char *key, const char *library,
                        const char *type, json_t *values)
{
    struct template *template = calloc(1, sizeof(*template));
    if (!template)
        return -ENOMEM;
    template->library = strdup(library);
    template->type = strdup(type);
    template->values = json_incref(values);
    if (!template->library || !template->type || map_put(set->templates, key, template, NULL) < 0) {
        template_destroy(template);
        return -ENOMEM;
    }
    return 0;
}

static int template_add(struct template_set *set, const char *library, const char *type,
                        const json_t *defaults, const json_t *own, struct error *err)
{
    char key[TEMPLATE_KEY_MAX];
    if (!template_key(library, type, key))
        return error_set(err, -EINVAL, "bad-template", "'%.64s/%.64s' is no name of a template",
                         library, type);
    if (map_get(set->templates, key))
        return error_set(err, -EINVAL, "bad-template", "%s is there twice", key);
    AUTO_JSON json_t *values = values_merge(defaults, own);
    if (!values)
        return error_set(err, -ENOMEM, "out-of-memory", "%s", key);
    if (template_check_values(values, err) < 0)
        return error_context(err, "%s", key);
    if (template_put(set, key, library, type, values) < 0)
        return error_set(err, -ENOMEM, "out-of-memory", "%s", key);
    return 0;
}

struct library_file {
    char *library;
    json_t *defaults, *types;
};

static const struct json_field library_fields[] = {
    {"library", JSON_KIND_TEXT, offsetof(struct library_file, library), JSON_REQUIRED},
    {"defaults", JSON_KIND_VALUE, offsetof(struct library_file, defaults), JSON_OPTIONAL},
    {"types", JSON_KIND_VALUE, offsetof(struct library_file, types), JSON_REQUIRED},
    {NULL, JSON_KIND_INVALID, 0, JSON_OPTIONAL},
};

static void library_file_finish(struct library_file *file)
{
    free(file->library);
    json_decref(file->defaults);
    json_decref(file->types);
}

static int library_add(struct template_set *set, const json_t *document, struct error *err)
{
    CLEANUP(library_file_finish) struct library_file file = {0};
    if (json_decode(document, library_fields, &file, err) < 0)
        return -EINVAL;
    if (!json_is_object(file.types) || json_object_size(file.types) == 0)
        return error_set(err, -EINVAL, "bad-template", "'types' must name at least one job type");
    if (file.defaults && template_check_defaults(file.defaults, err) < 0)
        return error_context(err, "defaults");
    const char *type;
    json_t *own;
    json_object_foreach (file.types, type, own) {
        if (!json_is_object(own) && !json_is_null(own))
            return error_set(err, -EINVAL, "bad-template", "type '%.64s' must have members", type);
        const json_t *members = json_is_object(own) ? own : NULL;
        if (template_add(set, file.library, type, file.defaults, members, err) < 0)
            return -EINVAL;
    }
    return 0;
}

struct images_file {
    char *fallback;
    json_t *images;
};

static const struct json_field images_fields[] = {
    {"fallback", JSON_KIND_TEXT, offsetof(struct images_file, fallback), JSON_OPTIONAL},
    {"images", JSON_KIND_VALUE, offsetof(struct images_file, images), JSON_REQUIRED},
    {NULL, JSON_KIND_INVALID, 0, JSON_OPTIONAL},
};

static void images_file_finish(struct images_file *file)
{
    free(file->fallback);
    json_decref(file->images);
}

static int images_add(struct template_set *set, const json_t *document, struct error *err)
{
    CLEANUP(images_file_finish) struct images_file file = {0};
    if (json_decode(document, images_fields, &file, err) < 0)
        return -EINVAL;
    if (!json_is_object(file.images))
        return error_set(err, -EINVAL, "bad-template",
                         "'images' must be libraries with image names");
    const char *library;
    json_t *image;
    json_object_foreach (file.images, library, image) {
        if (!json_is_string(image) || !name_is_valid(json_string_value(image)))
            return error_set(err, -EINVAL, "bad-template", "'%.64s' must have an image's name",
                             library);
    }
    if (json_object_update(set->images, file.images) < 0)
        return error_set(err, -ENOMEM, "out-of-memory", "the image map");
    if (file.fallback) {
        free(set->image_fallback);
        set->image_fallback = TAKE(file.fallback);
    }
    return 0;
}

int template_set_add(struct template_set *set, const char *file_name, const char *text,
                     size_t length, struct error *err)
{
    struct error why = {0};
    AUTO_JSON json_t *document = yaml_parse(text, length, TEMPLATE_FILE_LIMIT_BYTES, &why);
    int r = -EINVAL;
    if (document && strcmp(file_name, IMAGES_FILE) == 0)
        r = images_add(set, document, &why);
    else if (document)
        r = library_add(set, document, &why);
    return r == 0 ? 0
                  : error_set(err, -EINVAL, "bad-template", "%.64s: %.400s", file_name, why.text);
}

static int is_yaml(const struct dirent *entry)
{
    size_t length = strlen(entry->d_name), suffix = strlen(FILE_SUFFIX);
    return entry->d_name[0] != '.' && length > suffix &&
           strcmp(entry->d_name + length - suffix, FILE_SUFFIX) == 0;
}

static int file_add(struct template_set *set, int folder_fd, const char *name, struct error *err)
{
    AUTO_BUF struct buf text = BUF_INIT;
    int r = file_read(folder_fd, name, TEMPLATE_FILE_LIMIT_BYTES, &text, err);
    if (r < 0)
        return r;
    return template_set_add(set, name, text.data ? text.data : "", text.length, err);
}

static int folder_add(struct template_set *set, const char *folder, struct error *err)
{
    AUTO_FD int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return error_errno(err, -errno, "bad-template", "opening the template folder %.200s",
                           folder);
    struct dirent **entries = NULL;
    int count = scandirat(fd, ".", &entries, is_yaml, alphasort);
    if (count < 0)
        return error_errno(err, -errno, "bad-template", "reading the template folder %.200s",
                           folder);
    int r = 0;
    if (count > TEMPLATE_FILES_MAX)
        r = error_set(err, -E2BIG, "bad-template", "%.200s holds %d templates; the limit is %d",
                      folder, count, TEMPLATE_FILES_MAX);
    for (int i = 0; i < count && r == 0; i++)
        r = file_add(set, fd, entries[i]->d_name, err);
    for (int i = 0; i < count; i++)
        free(entries[i]);
    free(entries);
    return r;
}

/* Move what `from` holds over what `set` has. */
static int set_take(struct template_set *set, struct template_set *from)
{
    size_t cursor = 0;
    const char *key;
    const struct template *template;
    while ((template = map_next(from->templates, &cursor, &key))) {
        struct template *old = map_get(set->templates, key);
        if (template_put(set, key, template->library, template->type, template->values) < 0)
            return -ENOMEM;
        template_destroy(old);
    }
    if (from->image_fallback) {
        free(set->image_fallback);
        set->image_fallback = TAKE(from->image_fallback);
    }
    return json_object_update(set->images, from->images) < 0 ? -ENOMEM : 0;
}

DEFINE_CLEANUP(set, struct template_set, template_set_destroy)

int template_set_load(struct template_set *set, const char *folder, struct error *err)
{
    CLEANUP(cleanup_set) struct template_set *fresh = template_set_create();
    int r = fresh ? folder_add(fresh, folder, err) : -ENOMEM;
    if (r == 0)
        r = set_take(set, fresh);
    return r == -ENOMEM ? error_set(err, r, "out-of-memory", "loading templates") : r;
}

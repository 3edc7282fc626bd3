/* Job-description templates: see template.h. A set is kept as the JSON it was loaded from, merged
 * and checked at load time, so that filling is a merge of objects and one pass over the command. */
#include "model/template.h"

#include <errno.h>
#include <string.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/json.h"
#include "model/template_impl.h"

#define LIBRARY_DEFAULT "generic"
#define TYPE_DEFAULT "batch"
#define IMAGE_FALLBACK "host"
#define SRC_IN_JOB "/src"
#define WORK_IN_JOB "/work"

struct template_set *template_set_create(void)
{
    struct template_set *set = calloc(1, sizeof(*set));
    if (!set)
        return NULL;
    set->templates = map_create();
    set->images = json_object();
    if (!set->templates || !set->images) {
        template_set_destroy(set);
        return NULL;
    }
    return set;
}

void template_destroy(struct template *template)
{
    if (!template)
        return;
    free(template->library);
    free(template->type);
    json_decref(template->values);
    free(template);
}

void template_set_destroy(struct template_set *set)
{
    if (!set)
        return;
    if (set->templates) {
        size_t cursor = 0;
        struct template *template;
        while ((template = map_next(set->templates, &cursor, NULL)))
            template_destroy(template);
        map_destroy(set->templates);
    }
    json_decref(set->images);
    free(set->image_fallback);
    free(set);
}

static int by_name(const void *left, const void *right)
{
    const struct template *const *a = left, *const *b = right;
    int order = strcmp((*a)->library, (*b)->library);
    return order ? order : strcmp((*a)->type, (*b)->type);
}

/* All templates in order, an array the caller frees; NULL: none or out of memory. */
static const struct template **sorted(const struct template_set *set, size_t *ret_count)
{
    size_t count = map_count(set->templates), cursor = 0;
    const struct template **all = calloc(count + 1, sizeof(*all));
    *ret_count = all ? count : 0;
    for (size_t i = 0; i < *ret_count; i++)
        all[i] = map_next(set->templates, &cursor, NULL);
    if (all)
        qsort(all, count, sizeof(struct template *), by_name);
    return all;
}

/* A refusal that lists the libraries, or with `library` its job types. */
static void refuse_unknown(const struct template_set *set, const char *library, const char *asked,
                           struct error *err)
{
    size_t count;
    AUTO_FREE const struct template **all = sorted(set, &count);
    AUTO_BUF struct buf known = BUF_INIT;
    const char *last = "";
    for (size_t i = 0; i < count; i++) {
        const char *name = library ? all[i]->type : all[i]->library;
        if ((library && strcmp(all[i]->library, library) != 0) || strcmp(name, last) == 0)
            continue;
        (void)buf_printf(&known, "%s%s", known.length ? ", " : "", name);
        last = name;
    }
    const char *list = known.data ? known.data : "none";
    if (library)
        error_set(err, -ENOENT, "unknown-job-type",
                  "library '%.64s' has no job type '%.64s'; its types are: %s", library, asked,
                  list);
    else
        error_set(err, -ENOENT, "unknown-library",
                  "there is no template for library '%.64s'; the libraries are: %s", asked, list);
}

static bool library_exists(const struct template_set *set, const char *library)
{
    size_t cursor = 0;
    const struct template *template;
    while ((template = map_next(set->templates, &cursor, NULL))) {
        if (strcmp(template->library, library) == 0)
            return true;
    }
    return false;
}

const struct template *template_find(const struct template_set *set, const char *library,
                                     const char *type, struct error *err)
{
    library = library ? library : LIBRARY_DEFAULT;
    type = type ? type : TYPE_DEFAULT;
    char key[TEMPLATE_KEY_MAX];
    const struct template *template = NULL;
    if (template_key(library, type, key))
        template = map_get(set->templates, key);
    if (!template && library_exists(set, library))
        refuse_unknown(set, library, type, err);
    else if (!template)
        refuse_unknown(set, NULL, library, err);
    return template;
}

/* The image map names an image for "library/type", else for "library". */
static const char *image_mapped(const struct template_set *set, const struct template *template)
{
    char key[TEMPLATE_KEY_MAX];
    const json_t *image = NULL;
    if (template_key(template->library, template->type, key))
        image = json_object_get(set->images, key);
    if (!image)
        image = json_object_get(set->images, template->library);
    return json_string_value(image);
}

static const char *image_fallback(const struct template_set *set)
{
    return set->image_fallback ? set->image_fallback : IMAGE_FALLBACK;
}

static const char *image_choose(const struct template_set *set, const struct template *template,
                                const struct template_place *place)
{
    const char *image = image_mapped(set, template);
    bool ready =
        image && (!place || !place->image_is_ready || place->image_is_ready(place->context, image));
    return ready ? image : image_fallback(set);
}

json_t *template_json(const struct template *template)
{
    json_t *object = json_deep_copy(template->values);
    if (object && (json_object_set_new(object, "library", json_string(template->library)) < 0 ||
                   json_object_set_new(object, "type", json_string(template->type)) < 0)) {
        json_decref(object);
        return NULL;
    }
    return object;
}

json_t *template_set_json(const struct template_set *set)
{
    size_t count;
    AUTO_FREE const struct template **all = sorted(set, &count);
    AUTO_JSON json_t *list = json_array();
    for (size_t i = 0; i < count; i++) {
        const char *text = json_string_value(json_object_get(all[i]->values, "text"));
        const char *image = image_mapped(set, all[i]);
        json_t *entry =
            json_pack("{s:s, s:s, s:s, s:s}", "library", all[i]->library, "type", all[i]->type,
                      "image", image ? image : image_fallback(set), "text", text ? text : "");
        if (json_array_append_new(list, entry) < 0)
            return NULL;
    }
    return all && list ? json_pack("{s:O}", "templates", list) : NULL;
}

/* What the placeholders stand for in one request. */
struct meaning {
    const char *program; /* as the job sees it; NULL: none was named */
    const json_t *args;
};

/* Where the job sees the program. The host folder it sees as /src is the request's `src`, in which
 * the program must lie, or else the program's own folder. */
static int program_place(const char *program, json_t *description, struct buf *ret_inside,
                         struct error *err)
{
    const char *slash = strrchr(program, '/');
    if (program[0] != '/' || slash[1] == '\0')
        return error_set(err, -EINVAL, "bad-program",
                         "the program must be the absolute path of a file, not '%.200s'", program);
    const char *src = json_string_value(json_object_get(description, "src"));
    size_t folder = src ? strlen(src) : (size_t)(slash - program);
    while (src && folder > 0 && src[folder - 1] == '/')
        folder--;
    if (src && (strncmp(program, src, folder) != 0 || program[folder] != '/'))
        return error_set(err, -EINVAL, "bad-program", "the program %.200s is not below %.200s",
                         program, src);
    if (!src &&
        json_object_set_new(description, "src", json_stringn(program, folder ? folder : 1)) < 0)
        return error_set(err, -EINVAL, "bad-program", "the program's path is not UTF-8");
    return buf_printf(ret_inside, SRC_IN_JOB "%s", program + folder);
}

/* Append one element of a template's command with its placeholders replaced. The element was
 * checked at load: every ${...} in it is one of the four. */
static int element_fill(const char *element, const struct meaning *meaning, json_t *command,
                        struct error *err)
{
    if (strcmp(element, "${args}") == 0)
        return json_array_extend(command, (json_t *)(uintptr_t)meaning->args);
    AUTO_BUF struct buf text = BUF_INIT;
    for (const char *c = element; *c;) {
        size_t length = 0;
        switch (placeholder_parse(c, &length)) {
        case PLACEHOLDER_PROGRAM:
            if (!meaning->program)
                return error_set(err, -EINVAL, "missing-program",
                                 "this template runs a program: name one, or give a command");
            (void)buf_puts(&text, meaning->program);
            break;
        case PLACEHOLDER_SRC:
            (void)buf_puts(&text, SRC_IN_JOB);
            break;
        case PLACEHOLDER_WORK:
            (void)buf_puts(&text, WORK_IN_JOB);
            break;
        case PLACEHOLDER_NONE:
        case PLACEHOLDER_ARGS: /* refused inside a longer text when the template was loaded */
        case PLACEHOLDER_UNKNOWN:
            length = 1;
            (void)buf_append(&text, c, 1);
            break;
        }
        c += length;
    }
    return json_array_append_new(command, json_string(text.data ? text.data : ""));
}

static int command_fill(const struct template *template, const struct meaning *meaning,
                        json_t *description, struct error *err)
{
    AUTO_JSON json_t *command = json_array();
    const json_t *pattern = json_object_get(template->values, "command");
    for (size_t i = 0; i < json_array_size(pattern); i++) {
        const char *element = json_string_value(json_array_get(pattern, i));
        struct error why = {0};
        if (element_fill(element, meaning, command, &why) < 0)
            return why.errnum ? error_copy(err, &why)
                              : error_set(err, -ENOMEM, "out-of-memory", "filling the command");
    }
    if (json_object_set(description, "command", command) < 0)
        return error_set(err, -ENOMEM, "out-of-memory", "filling the command");
    return 0;
}

/* The members of the request win; env is merged name by name. */
static int members_merge(json_t *description, const json_t *request)
{
    const char *name;
    json_t *value;
    json_object_foreach ((json_t *)(uintptr_t)request, name, value) {
        if (json_is_null(value) || strcmp(name, "args") == 0)
            continue;
        int r = strcmp(name, "env") == 0
                    ? json_object_update(json_object_get(description, "env"), value)
                    : json_object_set(description, name, value);
        if (r < 0)
            return -ENOMEM;
    }
    return 0;
}

static json_t *description_start(const struct template_set *set, const struct template *template,
                                 const struct template_place *place, const json_t *request)
{
    AUTO_JSON json_t *description = template_json(template);
    if (!description)
        return NULL;
    (void)json_object_del(description, "text"); /* fails when there is none, which is as good */
    if (json_object_set_new(description, "image", json_string(image_choose(set, template, place))) <
        0)
        return NULL;
    if (members_merge(description, request) < 0)
        return NULL;
    /* The pair that was looked up stands, also when the request left it to the defaults. */
    if (json_object_set_new(description, "library", json_string(template->library)) < 0 ||
        json_object_set_new(description, "type", json_string(template->type)) < 0)
        return NULL;
    return TAKE(description);
}

json_t *template_fill(const struct template_set *set, const struct template *template,
                      const json_t *request, const struct template_place *place, struct error *err)
{
    if (template_check_request(request, err) < 0)
        return NULL;
    AUTO_JSON json_t *description = description_start(set, template, place, request);
    if (!description) {
        error_set(err, -ENOMEM, "out-of-memory", "filling a template");
        return NULL;
    }
    AUTO_BUF struct buf inside = BUF_INIT;
    const char *program = json_string_value(json_object_get(request, "program"));
    if (program && program_place(program, description, &inside, err) < 0)
        return NULL;
    if (!json_is_array(json_object_get(request, "command"))) {
        AUTO_JSON json_t *no_args = json_array();
        const json_t *args = json_object_get(request, "args");
        struct meaning meaning = {inside.data, json_is_array(args) ? args : no_args};
        if (command_fill(template, &meaning, description, err) < 0)
            return NULL;
    }
    return TAKE(description);
}

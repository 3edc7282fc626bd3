/* A template file of any content: it is refused, or everything in it can be listed and filled. */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/json.h"
#include "model/template.h"
#include "model/template_impl.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length);

static void fill_each(const struct template_set *set, const json_t *request)
{
    size_t cursor = 0;
    const struct template *template;
    while ((template = map_next(set->templates, &cursor, NULL))) {
        struct error err = {0};
        AUTO_JSON json_t *shown = template_json(template);
        AUTO_JSON json_t *filled = template_fill(set, template, request, NULL, &err);
        assert(shown && filled && json_is_array(json_object_get(filled, "command")));
        assert(template_find(set, template->library, template->type, &err) == template);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
    AUTO_JSON json_t *request = json_pack("{s:s, s:[s]}", "program", "/srv/train", "args", "-n");
    const char *const names[] = {"library.yaml", "images.yaml"};
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        struct error err = {0};
        struct template_set *set = template_set_create();
        int r = template_set_add(set, names[i], (const char *)data, length, &err);
        assert(r == 0 || err.text[0] != '\0');
        if (r == 0)
            fill_each(set, request);
        AUTO_JSON json_t *list = template_set_json(set);
        assert(list);
        template_set_destroy(set);
    }
    return 0;
}

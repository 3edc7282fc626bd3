/* Job-description templates: a (library type, job type) pair picks one; a request's values fill it.
 * A template is data (YAML under templates/), so that a new library needs no code. What comes out
 * is a description: one flat JSON object with the members of a job request, nothing left open.
 *
 * All calls are pure but for template_set_load, which reads files. Not thread-safe; a loaded set
 * may be read by any number of threads. */
#ifndef LEAT_MODEL_TEMPLATE_H
#define LEAT_MODEL_TEMPLATE_H

#include <stdbool.h>

struct error;
struct json_t;
struct template;
struct template_set;

#define TEMPLATE_FILE_LIMIT_BYTES (256u << 10)
#define TEMPLATE_FILES_MAX 256 /* in one folder */

/* What the filled description is told about the place it will run in. */
struct template_place {
    /* Whether an image can be started now. NULL: all can. When the image that the image map names
     * for the library cannot, the map's fallback is taken; an image named by the request never
     * changes. */
    bool (*image_is_ready)(void *context, const char *image);
    void *context;
};

struct template_set *template_set_create(void); /* NULL: out of memory */
void template_set_destroy(struct template_set *set);

/* Add every *.yaml of `folder` (one file a library) and its images.yaml. A pair that is already
 * there is replaced, so that a site's own folder is loaded after the one that ships. Nothing is
 * added when any file is refused. Errors: bad-template (which file, member and why; -ENOENT: no
 * folder). */
int template_set_load(struct template_set *set, const char *folder, struct error *err);

/* Borrowed from the set. NULL with err unknown-library or unknown-job-type, which list what is
 * there. `library` or `type` NULL: the set's defaults, "generic" and "batch". */
const struct template *template_find(const struct template_set *set, const char *library,
                                     const char *type, struct error *err);

/* A new reference: {"templates":[{library, type, image, text}...]}, sorted. NULL: out of memory. */
struct json_t *template_set_json(const struct template_set *set);
/* A new reference: the template itself, defaults of its library merged in. NULL: out of memory. */
struct json_t *template_json(const struct template *template);

/* Fill: the request's members win over the template's; `env` is merged name by name; ${program},
 * ${args}, ${src} and ${work} of the template's command are replaced (${args} by as many elements
 * as the request has; the job sees the program under /src, which is the host folder `src`). A
 * request's own `command` is taken as it stands, and then `program` is not needed.
 *
 * `request` is the body of POST /v1/jobs; the result has its members, less `args`, always with
 * library, type, image, command, env, memory, share, cpus, ram, network, idle_after and grace, and
 * with `src` (the program's own folder unless given) when there is a program; it is what
 * job_request_decode takes. Amounts stay as they were written. `place` may be NULL. Returns
 * a new reference, or NULL with err: unknown-field, bad-field, missing-program, bad-program and
 * those of job_request_decode. */
struct json_t *template_fill(const struct template_set *set, const struct template *template,
                             const struct json_t *request, const struct template_place *place,
                             struct error *err);

#endif

/* The images of the local engine: an OCI layout (STATE/images/store) with one tag an image, their
 * unpacked roots (STATE/images/roots/ROOT/rootfs) and one small record an image
 * (STATE/images/names/NAME.json), whose appearance makes an image exist. */
#ifndef LEAT_ENGINE_IMAGE_H
#define LEAT_ENGINE_IMAGE_H

#include <limits.h>

#include "engine/engine.h"

struct host_facts;
struct images;
struct runner;

/* `changed` is called from the loop when an image's state or text changed. `facts` is read when a
 * build begins. Leftovers of builds that were cut off are removed. */
int images_create(const char *state_dir, const char *data_dir, struct runner *runner,
                  const struct host_facts *facts,
                  void (*changed)(void *context, const struct engine_image *image), void *context,
                  struct images **ret_images, struct error *err);
void images_destroy(struct images *images); /* after its runner was closed; NULL is fine */

int images_at(struct images *images, size_t index, struct engine_image *ret_image);
int images_build(struct images *images, const char *name, struct error *err);
int images_import(struct images *images, const char *name, const char *source, struct error *err);
int images_remove(struct images *images, const char *name, struct error *err);

/* The root folder of a READY image and its name among the roots, which a task notes so that the
 * root stays while the task is there. The image "host" has the root "host". */
int images_root(struct images *images, const char *name, char ret_path[PATH_MAX],
                char ret_root[NAME_MAX], struct error *err);
/* The folder whose usr/ and etc/ hold the mount points that a host's may lack. */
const char *images_host_over(const struct images *images);

#endif

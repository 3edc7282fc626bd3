/* Inside of the image store: image.c keeps the list, image_build.c makes new roots. */
#ifndef LEAT_ENGINE_IMAGE_IMPL_H
#define LEAT_ENGINE_IMAGE_IMPL_H

#include "base/list.h"
#include "engine/bundle.h"
#include "engine/image.h"
#include "engine/run.h"

struct build;

struct image {
    struct list link;
    struct images *images;
    struct engine_image shown;
    char root[72]; /* name among the roots; "" unless READY */
    bool has_recipe;
    struct build *build; /* while BUILDING */
};

struct images {
    char *dir;       /* STATE/images */
    char *host_over; /* STATE/images/host/over */
    char *data_dir;  /* may be NULL */
    struct runner *runner;
    const struct host_facts *facts;
    void (*changed)(void *context, const struct engine_image *image);
    void *context;
    struct list list;      /* struct image, by name */
    bool busy;             /* one build at a time */
    struct build *waiting; /* for the cleanings to be over before it writes to the store */
    struct list cleanings;
};

/* image.c */
/* Show a new state; `format` becomes the image's text. */
void image_show(struct image *image, enum engine_image_state state, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* The build of `image` is over: its new root and size, or why it failed. */
void image_built(struct image *image, const char *root, uint64_t size_bytes,
                 const struct error *err);

/* image_gc.c: remove roots that nothing needs and, when `gone` is given, that image from the store;
 * then tell about `gone` (copied). */
int images_clean(struct images *images, const struct engine_image *gone, struct error *err);
void images_cleanings_free(struct images *images);

/* image_build.c */
int image_build_recipe(struct image *image, struct error *err);
int image_build_import(struct image *image, const char *source, struct error *err);
void image_build_resume(struct images *images); /* no cleaning runs any more */
void image_build_free(struct build *build);     /* NULL is fine */

#endif

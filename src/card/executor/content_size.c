/* cl_pocl_content_size: see content_size.h. */
#include "card/executor/content_size.h"

#include <errno.h>

#include "base/error.h"
#include "card/executor/session.h"

typedef cl_int(CL_API_CALL *content_size_call)(cl_mem buffer, cl_mem content_size_buffer);

/* NULL: the driver has none, and its platform did not say so. */
static content_size_call find_call(const struct session *session)
{
    cl_platform_id platform;
    content_size_call call = NULL;
    if (clGetDeviceInfo(session->device, CL_DEVICE_PLATFORM, sizeof(platform), &platform, NULL) ==
        CL_SUCCESS)
        *(void **)&call =
            clGetExtensionFunctionAddressForPlatform(platform, "clSetContentSizeBufferPoCL");
    return call;
}

/* A buffer that can be one of the two, and is not tied to a third one: that PoCL 3.1 does not
 * survive. */
static int may_be_tied(const struct object *object, uint32_t to)
{
    return object->kind == OBJECT_MEMORY && object->driver && !object->image && !object->svm &&
           (!object->content_of || object->content_of == to) &&
           (!object->content_size || object->content_size == to);
}

/* Whatever stands in the way is the client's doing, who checked it: then all of it is of use. */
static void tie(struct session *session, uint32_t id, uint32_t size_id)
{
    struct object *object = &session->objects[id], *size = &session->objects[size_id];
    content_size_call call = find_call(session);
    if (call && id != size_id && may_be_tied(object, size_id) && may_be_tied(size, id) &&
        !object->content_of && !size->content_size &&
        call(object->driver, size->driver) == CL_SUCCESS) {
        object->content_size = size_id;
        size->content_of = id;
    }
}

int handle_content_size(struct session *session, const struct wire_header *header,
                        struct reply *reply, struct error *err)
{
    const struct wire_content_size *record = (const void *)header;
    struct object *object, *size;
    if (object_get(session, record->id, OBJECT_MEMORY, &object, err) < 0 ||
        object_get(session, record->size_id, OBJECT_MEMORY, &size, err) < 0)
        return -EPROTO;
    tie(session, record->id, record->size_id);
    return 0;
}

void content_sizes_tie(struct session *session)
{
    for (uint32_t id = 1; id < session->objects_end; id++)
        session->objects[id].content_of = 0;
    for (uint32_t id = 1; id < session->objects_end; id++) {
        const uint32_t size_id = session->objects[id].content_size;
        session->objects[id].content_size = 0;
        if (size_id)
            tie(session, id, size_id);
    }
}

void content_size_untie(struct session *session, struct object *object)
{
    if (object->content_size)
        session->objects[object->content_size].content_of = 0;
    if (object->content_of)
        session->objects[object->content_of].content_size = 0;
}

/* Building a program: see build.h. */
#include "card/executor/build.h"

#include <fcntl.h>
#include <limits.h>
#include <stddef.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/path.h"
#include "card/executor/arg_info.h"
#include "card/executor/build_cache.h"
#include "card/executor/build_reply.h"
#include "card/executor/session.h"
#include "card/ledger/ledger.h"
#include "card/meter/meter.h"

#define IDENTITY_TEXT_MAX 512

static void identity_add(struct buf *identity, cl_int status, const char *text)
{
    (void)buf_printf(identity, "%s\n", status == CL_SUCCESS ? text : ""); /* remembered */
}

/* What compiled code depends on, beside its source and options. */
static char *identity_of(cl_platform_id platform, cl_device_id device)
{
    static const cl_platform_info of_platform[] = {CL_PLATFORM_NAME, CL_PLATFORM_VERSION};
    static const cl_device_info of_device[] = {CL_DEVICE_NAME, CL_DEVICE_VENDOR, CL_DEVICE_VERSION,
                                               CL_DRIVER_VERSION};
    AUTO_BUF struct buf identity = BUF_INIT;
    char text[IDENTITY_TEXT_MAX];
    for (size_t i = 0; i < sizeof(of_platform) / sizeof(of_platform[0]); i++)
        identity_add(&identity,
                     clGetPlatformInfo(platform, of_platform[i], sizeof(text), text, NULL), text);
    for (size_t i = 0; i < sizeof(of_device) / sizeof(of_device[0]); i++)
        identity_add(&identity, clGetDeviceInfo(device, of_device[i], sizeof(text), text, NULL),
                     text);
    return buf_take(&identity);
}

void build_open(struct session *session, cl_platform_id platform)
{
    char path[PATH_MAX];
    struct error err = {0};
    if (session->device_text) /* of the device before */
        cleanup_fd(&session->builds_fd);
    free(session->device_text);
    session->builds_fd = -1;
    session->device_text = identity_of(platform, session->device);
    int r = session->device_text ? path_join(session->params.cache_dir, "builds", path, &err) : -1;
    if (r == 0)
        r = dir_make(path, 0700, &err);
    if (r == 0)
        session->builds_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (session->builds_fd < 0)
        log_event(LOG_WARN, "session.keeps_no_builds", "card=\"%s\" text=\"%s\"",
                  session->params.card_name, err.text);
}

static void count(uint64_t *counter)
{
    (void)__atomic_add_fetch(counter, 1, __ATOMIC_RELAXED);
}

static int same_devices(const struct device_list *a, const struct device_list *b)
{
    return a->count == b->count && memcmp(a->ids, b->ids, a->count * sizeof(*a->ids)) == 0;
}

static void built_free(struct built *built)
{
    device_list_finish(&built->devices);
    free(built->options);
    free(built);
}

void build_remember(struct program *program, const struct device_list *devices, const char *options)
{
    struct built **link = &program->built;
    while (*link) {
        struct built *built = *link;
        if (same_devices(&built->devices, devices)) {
            *link = built->next;
            built_free(built);
        } else {
            link = &built->next;
        }
    }
    struct built *built = options ? calloc(1, sizeof(*built)) : NULL;
    if (!built)
        return; /* out of memory: it is not built when it comes back */
    built->options = strdup(options);
    if (!built->options || device_list_copy(devices, &built->devices) < 0)
        built_free(built);
    else
        *link = built;
}

void build_forget(struct program *program)
{
    while (program->built) {
        struct built *built = program->built;
        program->built = built->next;
        built_free(built);
    }
}

cl_int build_again(struct session *session, struct object *object)
{
    struct program *program = object->extra;
    struct built *left = TAKE(program->built);
    cl_int status = CL_SUCCESS;
    while (left && !status) {
        AUTO_BUF struct buf unused = BUF_INIT;
        const struct built *last = program->built;
        status = build_run(session, object, &left->devices, left->options, &unused);
        if (!status && program->built == last)
            status = CL_BUILD_PROGRAM_FAILURE;
        if (status)
            break;
        struct built *done = left;
        left = done->next;
        built_free(done);
    }
    struct built **link = &program->built;
    while (*link)
        link = &(*link)->next;
    *link = left; /* for the next try */
    return status;
}

/* A program made of a kept binary and ready to run; NULL when the driver does not want it. */
static cl_program load(const struct session *session, cl_program like,
                       const struct build_result *result, const char *options)
{
    cl_context context;
    cl_int loaded, status;
    if (clGetProgramInfo(like, CL_PROGRAM_CONTEXT, sizeof(context), &context, NULL) != CL_SUCCESS)
        return NULL;
    cl_program program = clCreateProgramWithBinary(
        context, 1, &session->device, &result->binary_length,
        (const unsigned char **)(uintptr_t)&result->binary, &loaded, &status);
    if (status != CL_SUCCESS)
        return NULL;
    if (clBuildProgram(program, 1, &session->device, options, NULL, NULL) == CL_SUCCESS)
        return program;
    (void)clReleaseProgram(program); /* ours */
    return NULL;
}

/* From now on the object is `program`, which is taken over, in place of what the client made. */
static void replace(struct object *object, cl_program program)
{
    struct program *extra = object->extra;
    if (extra->created)
        (void)clReleaseProgram(object->driver); /* of an earlier build */
    else
        extra->created = object->driver;
    object->driver = program;
}

/* Build anew what the client made. */
static void restore(struct object *object)
{
    struct program *extra = object->extra;
    if (!extra->created)
        return;
    (void)clReleaseProgram(object->driver); /* ours; its kernels live on by themselves */
    object->driver = extra->created;
    extra->created = NULL;
}

/* In the build reply that begins at `head`. */
static void set_hides(struct buf *reply, size_t head, int hides)
{
    const uint64_t value = (uint64_t)hides;
    const size_t at = head + offsetof(struct wire_build_reply, hides_arguments);
    if (!reply->failed && reply->length >= at + sizeof(value))
        memcpy(reply->data + at, &value, sizeof(value));
}

/* True when an earlier result did. */
static int build_kept(struct session *session, struct object *object, const struct build_key *key,
                      const char *options, struct buf *reply)
{
    struct build_result result = {0};
    const struct program *extra = object->extra;
    cl_program like = extra->created ? extra->created : object->driver;
    if (build_cache_load(session->builds_fd, key, &result) < 0)
        return 0;
    cl_program program = load(session, like, &result, options);
    if (program) {
        const size_t head = reply->length;
        (void)buf_append(reply, result.reply, result.reply_length); /* remembered in the buf */
        set_hides(reply, head, extra->hides_arguments);
        replace(object, program);
        count(&session->ledger->slots[session->client.slot].build_hits);
    }
    buf_finish(&result.file);
    return program != NULL;
}

/* Which of a program's devices a device is; the first when it is none of them. */
static size_t device_index(cl_program program, cl_device_id device, size_t count)
{
    AUTO_FREE cl_device_id *devices = calloc(count, sizeof(cl_device_id));
    if (!devices || clGetProgramInfo(program, CL_PROGRAM_DEVICES, count * sizeof(*devices), devices,
                                     NULL) != CL_SUCCESS)
        return 0;
    for (size_t i = 0; i < count; i++)
        if (devices[i] == device)
            return i;
    return 0;
}

/* The binaries for all devices, of which `index` is wanted: PoCL 3.1 does not pass over those of
 * several that are not. */
static cl_int take_binary(cl_program program, const size_t *lengths, size_t count, size_t index,
                          unsigned char **ret_binary)
{
    AUTO_FREE unsigned char **binaries = calloc(count, sizeof(unsigned char *));
    cl_int status = binaries ? CL_SUCCESS : CL_OUT_OF_HOST_MEMORY;
    for (size_t i = 0; i < count && !status; i++) {
        binaries[i] = malloc(lengths[i] + 1);
        status = binaries[i] ? CL_SUCCESS : CL_OUT_OF_HOST_MEMORY;
    }
    if (!status)
        status = clGetProgramInfo(program, CL_PROGRAM_BINARIES, count * sizeof(*binaries), binaries,
                                  NULL);
    for (size_t i = 0; i < count && binaries; i++) {
        if (i == index && !status)
            *ret_binary = binaries[i];
        else
            free(binaries[i]);
    }
    return status;
}

cl_int build_binary(cl_program program, cl_device_id device, unsigned char **ret_binary,
                    size_t *ret_length)
{
    size_t bytes = 0;
    *ret_binary = NULL;
    *ret_length = 0;
    cl_int status = clGetProgramInfo(program, CL_PROGRAM_BINARY_SIZES, 0, NULL, &bytes);
    size_t count = bytes / sizeof(size_t);
    if (status || count == 0)
        return status;
    AUTO_FREE size_t *lengths = malloc(bytes);
    if (!lengths)
        return CL_OUT_OF_HOST_MEMORY;
    status = clGetProgramInfo(program, CL_PROGRAM_BINARY_SIZES, bytes, lengths, NULL);
    size_t index = device_index(program, device, count);
    if (status || lengths[index] == 0)
        return status;
    status = take_binary(program, lengths, count, index, ret_binary);
    if (!status)
        *ret_length = lengths[index];
    return status;
}

static void keep(const struct session *session, cl_program program, const struct build_key *key,
                 const struct buf *reply)
{
    size_t length = 0;
    AUTO_FREE unsigned char *binary = NULL;
    if (build_binary(program, session->device, &binary, &length) || !binary ||
        length > BUILD_CACHE_FILE_MAX_BYTES)
        return;
    const struct build_result result = {.reply = reply->data,
                                        .reply_length = reply->length,
                                        .binary = binary,
                                        .binary_length = length};
    int r = build_cache_store(session->builds_fd, key, &result, BUILD_CACHE_MAX_BYTES);
    if (r < 0)
        log_event(LOG_DEBUG, "session.build_not_kept", "card=\"%s\" errno=%d",
                  session->params.card_name, -r);
}

/* The options with the one that makes the driver keep the arguments' names; NULL: out of memory. */
static char *options_for(const char *asked)
{
    AUTO_BUF struct buf options = BUF_INIT;
    (void)buf_puts(&options, asked); /* a failure comes out of buf_take */
    if (!strstr(asked, ARG_INFO_OPTION))
        (void)buf_puts(&options, " " ARG_INFO_OPTION);
    return buf_take(&options);
}

/* A reply for each device. */
static cl_int write_replies(cl_program program, const struct device_list *devices, cl_int built,
                            const char *options, int hides, struct buf *reply)
{
    cl_int status = CL_SUCCESS;
    for (cl_uint i = 0; i < device_list_length(devices) && !status; i++) {
        const size_t head = reply->length;
        status = build_reply_write(program, devices->drivers[i], built, options, reply);
        set_hides(reply, head, hides);
    }
    return status;
}

cl_int build_describe(struct object *object)
{
    struct program *program = object->extra;
    return write_replies(object->driver, &program->devices, CL_SUCCESS, "", 0, &program->build);
}

static void count_build(const struct session *session)
{
    count(&session->ledger->slots[session->client.slot].builds);
}

cl_int build_run(struct session *session, struct object *object, struct device_list *devices,
                 const char *asked, struct buf *reply)
{
    struct program *program = object->extra;
    AUTO_FREE char *options = options_for(asked);
    if (!options)
        return CL_OUT_OF_HOST_MEMORY;
    const struct build_key key = {.device = session->device_text,
                                  .options = asked,
                                  .kind = program->kind,
                                  .text = program->text,
                                  .text_length = program->text_length};
    int may_keep =
        session->builds_fd >= 0 && program->text && devices->count == 0 && build_cache_allows(&key);
    cl_int status = device_list_find(session, devices), built = status;
    meter_work_begin(session->meter);
    if (!status && (!may_keep || !build_kept(session, object, &key, options, reply))) {
        restore(object);
        built = clBuildProgram(object->driver, device_list_length(devices), devices->drivers,
                               options, NULL, NULL);
        count_build(session);
        status =
            write_replies(object->driver, devices, built, asked, program->hides_arguments, reply);
        if (may_keep && status == CL_SUCCESS && built == CL_SUCCESS)
            keep(session, object->driver, &key, reply);
    }
    meter_work_end(session->meter);
    build_remember(program, devices, status == CL_SUCCESS && built == CL_SUCCESS ? asked : NULL);
    return reply->failed ? CL_OUT_OF_HOST_MEMORY : status;
}

/* From now on the program is what came out: that is what it is made of when the card comes back to
 * a device. When it cannot be had, what it was made of before must do. */
static void become_binary(cl_program driver, const struct device_list *devices,
                          struct program *program)
{
    AUTO_BUF struct buf all = BUF_INIT;
    AUTO_DEVICES struct device_list of = {0};
    size_t *lengths = calloc(device_list_length(devices), sizeof(*lengths));
    int failed = !lengths || device_list_copy(devices, &of) < 0;
    for (cl_uint i = 0; i < device_list_length(devices) && !failed; i++) {
        AUTO_FREE unsigned char *binary = NULL;
        failed = build_binary(driver, devices->drivers[i], &binary, &lengths[i]) || !binary;
        if (!failed)
            (void)buf_append(&all, binary, lengths[i]); /* remembered in the buf */
    }
    const size_t length = all.length;
    char *text = failed ? NULL : buf_take(&all);
    if (!text) {
        free(lengths);
        return;
    }
    free(program->text);
    free(program->lengths);
    device_list_finish(&program->devices);
    program->text = text;
    program->text_length = length;
    program->lengths = lengths;
    program->devices = of;
    of = (struct device_list){0};
    program->kind = "binary";
}

cl_int build_compile(struct session *session, struct object *object, struct device_list *devices,
                     const char *asked, struct buf *reply)
{
    struct program *program = object->extra;
    AUTO_FREE char *options = options_for(asked);
    cl_int status = options ? device_list_find(session, devices) : CL_OUT_OF_HOST_MEMORY;
    if (status)
        return status;
    restore(object);
    meter_work_begin(session->meter);
    cl_int built = clCompileProgram(object->driver, device_list_length(devices), devices->drivers,
                                    options, 0, NULL, NULL, NULL, NULL);
    meter_work_end(session->meter);
    count_build(session);
    if (built == CL_SUCCESS)
        become_binary(object->driver, devices, program);
    build_forget(program); /* whole builds before */
    return write_replies(object->driver, devices, built, asked, 0, reply);
}

cl_int build_link(struct session *session, struct object *object, struct device_list *devices,
                  const struct build_inputs *inputs, const char *options, struct buf *reply)
{
    struct program *program = object->extra;
    cl_context context = session->objects[object->parent].driver;
    cl_int linked = device_list_find(session, devices);
    meter_work_begin(session->meter);
    if (!linked)
        object->driver =
            clLinkProgram(context, device_list_length(devices), devices->drivers, options,
                          inputs->count, inputs->programs, NULL, NULL, &linked);
    meter_work_end(session->meter);
    count_build(session);
    if (!object->driver) {
        object->error = linked;
        return linked;
    }
    /* A link that failed may have given a program, with its log. */
    cl_int status =
        write_replies(object->driver, devices, linked, options ? options : "", 0, reply);
    if (linked == CL_SUCCESS)
        become_binary(object->driver, devices, program);
    if (linked == CL_SUCCESS && !(options && strstr(options, "-create-library")))
        build_remember(program, devices, ""); /* an executable: built again from its binary */
    return status;
}

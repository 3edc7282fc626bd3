/* Building a program: see build.h. */
#include "card/executor/build.h"

#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/path.h"
#include "card/executor/build_cache.h"
#include "card/executor/build_reply.h"
#include "card/executor/session.h"
#include "card/ledger/ledger.h"
#include "card/meter/meter.h"

#define ARG_INFO_OPTION "-cl-kernel-arg-info"
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

/* True when an earlier result did. */
static int build_kept(struct session *session, struct object *object, const struct build_key *key,
                      struct buf *reply)
{
    struct build_result result = {0};
    const struct program *extra = object->extra;
    cl_program like = extra->created ? extra->created : object->driver;
    if (build_cache_load(session->builds_fd, key, &result) < 0)
        return 0;
    cl_program program = load(session, like, &result, key->options);
    if (program) {
        (void)buf_append(reply, result.reply, result.reply_length); /* remembered in the buf */
        replace(object, program);
        count(&session->ledger->slots[session->client.slot].build_hits);
    }
    buf_finish(&result.file);
    return program != NULL;
}

/* The driver's binary of a program, owned; NULL when it has none that is of use. */
static unsigned char *binary_of(cl_program program, size_t *ret_length)
{
    size_t length = 0;
    if (clGetProgramInfo(program, CL_PROGRAM_BINARY_SIZES, sizeof(length), &length, NULL) !=
            CL_SUCCESS ||
        length == 0 || length > BUILD_CACHE_FILE_MAX_BYTES)
        return NULL;
    unsigned char *binary = malloc(length);
    if (binary && clGetProgramInfo(program, CL_PROGRAM_BINARIES, sizeof(binary), &binary, NULL) !=
                      CL_SUCCESS) {
        free(binary);
        return NULL;
    }
    *ret_length = length;
    return binary;
}

static void keep(const struct session *session, cl_program program, const struct build_key *key,
                 const struct buf *reply)
{
    size_t length = 0;
    AUTO_FREE unsigned char *binary = binary_of(program, &length);
    if (!binary)
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

static cl_int build_driver(struct session *session, struct object *object, const char *asked,
                           const char *options, cl_int *ret_built, struct buf *reply)
{
    restore(object);
    *ret_built = clBuildProgram(object->driver, 1, &session->device, options, NULL, NULL);
    count(&session->ledger->slots[session->client.slot].builds);
    return build_reply_write(object->driver, session->device, *ret_built, asked, reply);
}

cl_int build_run(struct session *session, struct object *object, const char *asked,
                 struct buf *reply)
{
    struct program *program = object->extra;
    AUTO_FREE char *options = options_for(asked);
    if (!options)
        return CL_OUT_OF_HOST_MEMORY;
    const struct build_key key = {.device = session->device_text,
                                  .options = options,
                                  .kind = program->kind,
                                  .text = program->text,
                                  .text_length = program->text_length};
    int may_keep = session->builds_fd >= 0 && program->text && build_cache_allows(&key);
    cl_int status = CL_SUCCESS, built = CL_SUCCESS;
    meter_work_begin(session->meter);
    if (!may_keep || !build_kept(session, object, &key, reply)) {
        status = build_driver(session, object, asked, options, &built, reply);
        if (may_keep && status == CL_SUCCESS && built == CL_SUCCESS)
            keep(session, object->driver, &key, reply);
    }
    meter_work_end(session->meter);
    free(program->options);
    program->options = status == CL_SUCCESS && built == CL_SUCCESS ? strdup(asked) : NULL;
    return reply->failed ? CL_OUT_OF_HOST_MEMORY : status;
}

/* From now on the program is what came out: that is what it is made of when the card comes back to
 * a device. */
static void become_binary(cl_program driver, struct program *program)
{
    size_t length;
    unsigned char *binary = binary_of(driver, &length);
    if (!binary)
        return; /* what it was made of before must do */
    free(program->text);
    program->text = (char *)binary;
    program->text_length = length;
    program->kind = "binary";
}

cl_int build_compile(struct session *session, struct object *object, const char *asked,
                     struct buf *reply)
{
    struct program *program = object->extra;
    AUTO_FREE char *options = options_for(asked);
    if (!options)
        return CL_OUT_OF_HOST_MEMORY;
    restore(object);
    meter_work_begin(session->meter);
    cl_int built =
        clCompileProgram(object->driver, 1, &session->device, options, 0, NULL, NULL, NULL, NULL);
    meter_work_end(session->meter);
    count(&session->ledger->slots[session->client.slot].builds);
    if (built == CL_SUCCESS)
        become_binary(object->driver, program);
    free(TAKE(program->options)); /* of a whole build before */
    return build_reply_write(object->driver, session->device, built, asked, reply);
}

cl_int build_link(struct session *session, struct object *object, const cl_program *inputs,
                  cl_uint input_count, const char *options, struct buf *reply)
{
    struct program *program = object->extra;
    cl_context context = session->objects[object->parent].driver;
    cl_int linked;
    meter_work_begin(session->meter);
    object->driver = clLinkProgram(context, 1, &session->device, options, input_count, inputs, NULL,
                                   NULL, &linked);
    meter_work_end(session->meter);
    count(&session->ledger->slots[session->client.slot].builds);
    if (!object->driver) {
        object->error = linked;
        return linked;
    }
    /* A link that failed may have given a program, with its log. */
    cl_int status = build_reply_write(object->driver, session->device, linked, options, reply);
    if (linked == CL_SUCCESS)
        become_binary(object->driver, program);
    if (linked == CL_SUCCESS && strstr(options, "-create-library") == NULL)
        program->options = strdup(""); /* an executable: built again from its binary */
    return status;
}

/* Reading a build's reply into tables: see build.h. */
#include "card/opencl/build.h"

struct cursor {
    const char *at;
    size_t left;
    int failed; /* something was cut off; later takes give zeroes and "" */
};

static void take(struct cursor *cursor, void *target, size_t bytes)
{
    if (cursor->failed || cursor->left < bytes) {
        cursor->failed = 1;
        memset(target, 0, bytes);
        return;
    }
    memcpy(target, cursor->at, bytes);
    cursor->at += bytes;
    cursor->left -= bytes;
}

/* A text of `length` bytes with its NUL, padded. */
static const char *take_text(struct cursor *cursor, uint64_t length)
{
    const char *text = cursor->at;
    if (cursor->failed || length == 0 || wire_pad8(length) > cursor->left ||
        text[length - 1] != '\0') {
        cursor->failed |= length != 0;
        return "";
    }
    cursor->at += wire_pad8(length);
    cursor->left -= wire_pad8(length);
    return text;
}

static size_t value_bytes(const struct wire_arg_info *info)
{
    switch ((enum wire_arg_kind)info->kind) {
    case WIRE_ARG_VALUE:
        return info->size_bytes ? info->size_bytes : BUILD_VALUE_MAX_BYTES;
    case WIRE_ARG_MEMORY:
    case WIRE_ARG_SAMPLER:
        return sizeof(void *);
    case WIRE_ARG_LOCAL:
    case WIRE_ARG_SVM:
    case WIRE_ARG_INVALID:
    default:
        return 0;
    }
}

static int take_args(struct cursor *cursor, struct build_kernel *kernel)
{
    kernel->args = calloc(kernel->info.arg_count + 1u, sizeof(*kernel->args));
    if (!kernel->args)
        return -1;
    for (uint32_t i = 0; i < kernel->info.arg_count; i++) {
        struct build_arg *arg = &kernel->args[i];
        take(cursor, &arg->info, sizeof(arg->info));
        arg->type_name = take_text(cursor, arg->info.type_name_length);
        arg->name = take_text(cursor, arg->info.name_length);
        arg->value_offset = kernel->value_bytes;
        size_t bytes = (size_t)wire_pad8(value_bytes(&arg->info));
        kernel->value_bytes += bytes;
        kernel->tail_bytes += sizeof(struct wire_arg) + bytes;
    }
    return 0;
}

static int take_kernels(struct cursor *cursor, struct build *build)
{
    build->kernels = calloc(build->reply.kernel_count + 1u, sizeof(*build->kernels));
    if (!build->kernels)
        return -1;
    for (uint32_t i = 0; i < build->reply.kernel_count && !cursor->failed; i++) {
        struct build_kernel *kernel = &build->kernels[i];
        take(cursor, &kernel->info, sizeof(kernel->info));
        kernel->name = take_text(cursor, kernel->info.name_length);
        kernel->attributes = take_text(cursor, kernel->info.attributes_length);
        if (!cursor->failed && take_args(cursor, kernel) < 0)
            return -1;
    }
    return cursor->failed ? -1 : 0;
}

struct build *build_create(const void *reply, size_t length, size_t *ret_used)
{
    struct build *build = calloc(1, sizeof(*build));
    if (!build)
        return NULL;
    build->text = malloc(length + 1);
    if (!build->text) {
        build_destroy(build);
        return NULL;
    }
    memcpy(build->text, reply, length);
    build->text[length] = '\0';
    struct cursor cursor = {build->text, length, 0};
    take(&cursor, &build->reply, sizeof(build->reply));
    build->log = take_text(&cursor, build->reply.log_length);
    build->options = take_text(&cursor, strlen(cursor.at) + 1);
    if (take_kernels(&cursor, build) < 0) {
        build_destroy(build);
        return NULL;
    }
    for (uint32_t i = 0; build->reply.hides_arguments && i < build->reply.kernel_count; i++)
        build->kernels[i].info.has_arg_info = 0;
    *ret_used = length - cursor.left;
    return build;
}

void build_destroy(struct build *build)
{
    if (!build)
        return;
    for (uint32_t i = 0; build->kernels && i < build->reply.kernel_count; i++)
        free(build->kernels[i].args);
    free(build->kernels);
    free(build->text);
    free(build);
}

const struct build_kernel *build_find(const struct build *build, const char *name)
{
    for (uint32_t i = 0; i < build->reply.kernel_count; i++)
        if (strcmp(build->kernels[i].name, name) == 0)
            return &build->kernels[i];
    return NULL;
}

/* The rules for sizes and null pointers of queries: see info.h. */
#include "card/opencl/info.h"

cl_int info_put(const struct info_out *out, const void *data, size_t length)
{
    if (out->value) {
        if (out->room < length)
            return CL_INVALID_VALUE;
        if (length > 0)
            memcpy(out->value, data, length);
    }
    if (out->ret_size)
        *out->ret_size = length;
    return CL_SUCCESS;
}

cl_int info_answer(const struct info_out *out, const struct info_field *fields, size_t count,
                   const void *object, uint32_t name)
{
    for (size_t i = 0; i < count; i++) {
        if (fields[i].name != name)
            continue;
        const char *member = (const char *)object + fields[i].offset;
        if (!fields[i].text)
            return info_put(out, member, fields[i].bytes);
        const char *text;
        memcpy(&text, member, sizeof(text));
        return info_put(out, text ? text : "", text ? strlen(text) + 1 : 1);
    }
    return CL_INVALID_VALUE;
}

/* Samplers: three settings, sent when a kernel first uses them. */
#include "card/opencl/sampler.h"

#include "card/opencl/context.h"
#include "card/opencl/info.h"
#include "card/opencl/process.h"
#include "opencl_api.h"

static cl_int send_sampler(struct object *object, uint32_t id)
{
    cl_sampler sampler = (cl_sampler)object;
    struct wire_sampler_create *record = record_begin(sizeof(*record));
    if (!record)
        return CL_DEVICE_NOT_AVAILABLE;
    record->id = id;
    record->context_id = sampler->context->object.id;
    record->normalized = sampler->normalized;
    record->addressing = sampler->addressing;
    record->filter = sampler->filter;
    record_post(record, WIRE_SAMPLER_CREATE, sizeof(*record));
    return CL_SUCCESS;
}

static struct object *sampler_parent(struct object *object)
{
    return &((cl_sampler)object)->context->object;
}

static void destroy_sampler(struct object *object)
{
    struct object *parent = sampler_parent(object);
    free(((cl_sampler)object)->properties);
    object_free(object);
    object_release(parent);
}

const struct object_kind sampler_kind = {send_sampler, sampler_parent, NULL, destroy_sampler};

static cl_int check(cl_bool normalized, cl_addressing_mode addressing, cl_filter_mode filter)
{
    if (!snapshot_number(&process.snapshot, WIRE_INFO_DEVICE, CL_DEVICE_IMAGE_SUPPORT))
        return CL_INVALID_OPERATION;
    int repeats = addressing == CL_ADDRESS_REPEAT || addressing == CL_ADDRESS_MIRRORED_REPEAT;
    if (addressing < CL_ADDRESS_NONE || addressing > CL_ADDRESS_MIRRORED_REPEAT ||
        filter < CL_FILTER_NEAREST || filter > CL_FILTER_LINEAR || normalized > CL_TRUE ||
        (repeats && !normalized))
        return CL_INVALID_VALUE;
    return CL_SUCCESS;
}

cl_sampler api_clCreateSampler(cl_context context, cl_bool normalized_coords,
                               cl_addressing_mode addressing_mode, cl_filter_mode filter_mode,
                               cl_int *errcode_ret)
{
    *errcode_ret = check(normalized_coords, addressing_mode, filter_mode);
    if (*errcode_ret != CL_SUCCESS)
        return NULL;
    cl_sampler sampler = object_create(OBJECT_SAMPLER, sizeof(*sampler));
    if (!sampler) {
        *errcode_ret = CL_OUT_OF_HOST_MEMORY;
        return NULL;
    }
    sampler->context = context;
    sampler->normalized = normalized_coords;
    sampler->addressing = addressing_mode;
    sampler->filter = filter_mode;
    object_retain(&context->object);
    return sampler;
}

cl_sampler api_clCreateSamplerWithProperties(cl_context context,
                                             const cl_sampler_properties *sampler_properties,
                                             cl_int *errcode_ret)
{
    cl_sampler_properties values[3] = {CL_TRUE, CL_ADDRESS_CLAMP, CL_FILTER_NEAREST};
    size_t count = 0;
    unsigned given = 0; /* a bit for each */
    for (; sampler_properties && sampler_properties[count]; count += 2) {
        cl_sampler_properties which = sampler_properties[count] - CL_SAMPLER_NORMALIZED_COORDS;
        if (which >= sizeof(values) / sizeof(values[0]) || (given & 1u << which)) {
            *errcode_ret = CL_INVALID_VALUE;
            return NULL;
        }
        given |= 1u << which;
        values[which] = sampler_properties[count + 1];
    }
    cl_sampler sampler =
        api_clCreateSampler(context, (cl_bool)values[0], (cl_addressing_mode)values[1],
                            (cl_filter_mode)values[2], errcode_ret);
    if (!sampler || !sampler_properties)
        return sampler;
    size_t bytes = (count + 1) * sizeof(*sampler_properties);
    sampler->properties = malloc(bytes);
    sampler->properties_bytes = sampler->properties ? bytes : 0;
    if (sampler->properties)
        memcpy(sampler->properties, sampler_properties, bytes);
    return sampler;
}

cl_int api_clRetainSampler(cl_sampler sampler)
{
    object_retain(&sampler->object);
    return CL_SUCCESS;
}

cl_int api_clReleaseSampler(cl_sampler sampler)
{
    object_release(&sampler->object);
    return CL_SUCCESS;
}

cl_int api_clGetSamplerInfo(cl_sampler sampler, cl_sampler_info param_name, size_t param_value_size,
                            void *param_value, size_t *param_value_size_ret)
{
    static const struct info_field fields[] = {
        INFO_VALUE(CL_SAMPLER_REFERENCE_COUNT, struct _cl_sampler, object.references),
        INFO_VALUE(CL_SAMPLER_CONTEXT, struct _cl_sampler, context),
        INFO_VALUE(CL_SAMPLER_NORMALIZED_COORDS, struct _cl_sampler, normalized),
        INFO_VALUE(CL_SAMPLER_ADDRESSING_MODE, struct _cl_sampler, addressing),
        INFO_VALUE(CL_SAMPLER_FILTER_MODE, struct _cl_sampler, filter),
    };
    struct info_out out = {param_value_size, param_value, param_value_size_ret};
    if (param_name == CL_SAMPLER_PROPERTIES)
        return info_put(&out, sampler->properties, sampler->properties_bytes);
    return info_answer(&out, fields, sizeof(fields) / sizeof(fields[0]), sampler, param_name);
}

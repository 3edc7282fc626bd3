/* Samplers, as kernels take them for arguments. */
#ifndef LEAT_CARD_OPENCL_SAMPLER_H
#define LEAT_CARD_OPENCL_SAMPLER_H

#include "card/opencl/object.h"

struct _cl_sampler {
    struct object object;
    cl_context context;
    cl_bool normalized;
    cl_addressing_mode addressing;
    cl_filter_mode filter;
    cl_sampler_properties *properties; /* as given, with the closing 0; NULL when none were */
    size_t properties_bytes;
};

#endif

/* What tensors add up to: see reader.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "estimate/memory.h"
#include "estimate/reader.h"

static int format_add(struct tally *tally, const char *format, uint64_t params)
{
    size_t i = 0;
    while (i < tally->format_count && strcmp(tally->formats[i].name, format) != 0)
        i++;
    if (i == TALLY_FORMATS_MAX)
        return -ENOSPC;
    if (i == tally->format_count) {
        strncpy(tally->formats[i].name, format, sizeof(tally->formats[i].name) - 1);
        tally->format_count++;
    }
    tally->formats[i].params += params; /* at most the sum over all, which was checked */
    return 0;
}

int tally_add(struct tally *tally, const char *name, const char *format, uint64_t params,
              uint64_t stored_bytes)
{
    if (__builtin_add_overflow(tally->params, params, &tally->params) ||
        __builtin_add_overflow(tally->stored_bytes, stored_bytes, &tally->stored_bytes))
        return -EOVERFLOW;
    tally->tensors++;
    if (params > tally->largest_params)
        tally->largest_params = params;
    tally->has_gate |= strstr(name, "gate_proj") || strstr(name, "ffn_gate") ||
                       strstr(name, "gate_up_proj") || strstr(name, ".w3.");
    tally->has_head |=
        strstr(name, "lm_head") || strstr(name, "embed_out") || strcmp(name, "output.weight") == 0;
    return format_add(tally, format, params);
}

int tally_apply(const struct tally *tally, struct memory_request *request, struct error *err)
{
    size_t most = 0;
    if (tally->tensors == 0)
        return error_set(err, -EINVAL, "bad-model", "the file holds no tensors");
    for (size_t i = 1; i < tally->format_count; i++) {
        if (tally->formats[i].params > tally->formats[most].params)
            most = i;
    }
    request->params = tally->params;
    request->largest_params = tally->largest_params;
    request->tied = !tally->has_head && request->vocab;
    if (request->layers)
        request->mlp_matrices = tally->has_gate ? 3 : 2;
    const char *format = tally->formats[most].name;
    if (memory_format_bytes(format) <= 0)
        return 0;
    free(request->weights);
    request->weights = strdup(format);
    return request->weights ? 0 : error_set(err, -ENOMEM, "out-of-memory", "reading a model");
}

/* safetensors: eight bytes of length, that much JSON, then the tensors without gaps. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/json.h"
#include "estimate/reader.h"

#define HEADER_LIMIT_BYTES (16u << 20) /* ten thousand tensors take about one */
#define DIMENSIONS_MAX 16
#define LENGTH_BYTES 8

static const struct {
    const char *name, *format;
    unsigned bits;
} dtypes[] = {
    {"F64", "fp64", 64},   {"F32", "fp32", 32},   {"F16", "fp16", 16},  {"BF16", "bf16", 16},
    {"F8_E4M3", "fp8", 8}, {"F8_E5M2", "fp8", 8}, {"I64", "int64", 64}, {"I32", "int32", 32},
    {"I16", "int16", 16},  {"I8", "int8", 8},     {"U8", "uint8", 8},   {"BOOL", "bool", 8},
    {"U16", "int16", 16},  {"U32", "int32", 32},  {"U64", "int64", 64},
};

struct span {
    uint64_t begin, end;
};

static int bad(struct error *err, const char *name, const char *what)
{
    return error_set(err, -EINVAL, "bad-safetensors", "tensor '%.80s' %s", name, what);
}

static int span_read(const json_t *tensor, struct span *ret_span)
{
    const json_t *offsets = json_object_get(tensor, "data_offsets");
    json_int_t begin = json_integer_value(json_array_get(offsets, 0));
    json_int_t end = json_integer_value(json_array_get(offsets, 1));
    if (json_array_size(offsets) != 2 || begin < 0 || end < begin)
        return -EINVAL;
    *ret_span = (struct span){(uint64_t)begin, (uint64_t)end};
    return 0;
}

static int shape_count(const json_t *shape, uint64_t *ret_count)
{
    uint64_t count = 1;
    if (!json_is_array(shape) || json_array_size(shape) > DIMENSIONS_MAX)
        return -EINVAL;
    for (size_t i = 0; i < json_array_size(shape); i++) {
        const json_t *side = json_array_get(shape, i);
        if (!json_is_integer(side) || json_integer_value(side) < 0 ||
            __builtin_mul_overflow(count, (uint64_t)json_integer_value(side), &count))
            return -EINVAL;
    }
    *ret_count = count;
    return 0;
}

static int tensor_read(const char *name, const json_t *tensor, struct tally *tally,
                       struct span *ret_span, struct error *err)
{
    const char *dtype = json_string_value(json_object_get(tensor, "dtype"));
    uint64_t count, bits;
    size_t i = 0;
    if (!dtype)
        return bad(err, name, "has no dtype");
    while (i < sizeof(dtypes) / sizeof(*dtypes) && strcmp(dtypes[i].name, dtype) != 0)
        i++;
    if (i == sizeof(dtypes) / sizeof(*dtypes))
        return bad(err, name, "has a dtype that is not known");
    if (shape_count(json_object_get(tensor, "shape"), &count) < 0)
        return bad(err, name, "has no usable shape");
    if (span_read(tensor, ret_span) < 0)
        return bad(err, name, "has no usable data_offsets");
    if (__builtin_mul_overflow(count, dtypes[i].bits, &bits) ||
        bits / 8 != ret_span->end - ret_span->begin)
        return bad(err, name, "has another size than its shape");
    if (tally_add(tally, name, dtypes[i].format, count, bits / 8) < 0)
        return bad(err, name, "makes the model larger than any machine");
    return 0;
}

static int by_begin(const void *left, const void *right)
{
    const struct span *a = left, *b = right;
    return a->begin != b->begin ? (a->begin > b->begin) - (a->begin < b->begin)
                                : (a->end > b->end) - (a->end < b->end);
}

static int spans_check(struct span *spans, size_t count, uint64_t data_bytes, struct error *err)
{
    uint64_t next = 0;
    qsort(spans, count, sizeof(*spans), by_begin);
    for (size_t i = 0; i < count; i++) {
        if (spans[i].begin != next)
            return error_set(err, -EINVAL, "bad-safetensors",
                             "the tensors overlap or leave a gap at byte %llu",
                             (unsigned long long)next);
        next = spans[i].end;
    }
    if (next != data_bytes)
        return error_set(err, -EINVAL, "bad-safetensors",
                         "the tensors take %llu bytes and the file has %llu for them: is it "
                         "complete?",
                         (unsigned long long)next, (unsigned long long)data_bytes);
    return 0;
}

static int header_read(const json_t *header, uint64_t data_bytes, struct tally *tally,
                       struct error *err)
{
    const char *name;
    json_t *tensor;
    size_t count = 0;
    AUTO_FREE struct span *spans = calloc(json_object_size(header) + 1, sizeof(*spans));
    if (!spans)
        return error_set(err, -ENOMEM, "out-of-memory", "reading a model");
    json_object_foreach ((json_t *)(uintptr_t)header, name, tensor) {
        if (strcmp(name, "__metadata__") == 0)
            continue;
        int r = tensor_read(name, tensor, tally, &spans[count++], err);
        if (r < 0)
            return r;
    }
    return spans_check(spans, count, data_bytes, err);
}

int safetensors_read(const struct source *source, struct tally *tally, struct error *err)
{
    uint8_t bytes[LENGTH_BYTES];
    uint64_t length = 0;
    if (source->size_bytes < LENGTH_BYTES || source->read_at(source->arg, 0, bytes, sizeof(bytes)))
        return error_set(err, -EINVAL, "bad-safetensors", "the file has no header");
    for (int i = LENGTH_BYTES; i-- > 0;)
        length = length << 8 | bytes[i];
    if (length > source->size_bytes - LENGTH_BYTES || length > HEADER_LIMIT_BYTES)
        return error_set(err, -EINVAL, "bad-safetensors",
                         "the header would take %llu bytes; the file has %llu and the limit is %u",
                         (unsigned long long)length, (unsigned long long)source->size_bytes,
                         HEADER_LIMIT_BYTES);
    AUTO_FREE char *text = malloc((size_t)length + 1);
    if (!text)
        return error_set(err, -ENOMEM, "out-of-memory", "reading a model");
    int r = source->read_at(source->arg, LENGTH_BYTES, text, (size_t)length);
    if (r < 0)
        return error_errno(err, r, "bad-safetensors", "reading the header");
    AUTO_JSON json_t *header = json_parse(text, (size_t)length, HEADER_LIMIT_BYTES, err);
    if (!header)
        return err ? err->errnum : -EINVAL;
    if (!json_is_object(header))
        return error_set(err, -EINVAL, "bad-safetensors", "the header is not an object");
    return header_read(header, source->size_bytes - LENGTH_BYTES - length, tally, err);
}

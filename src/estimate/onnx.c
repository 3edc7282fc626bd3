/* ONNX: the graph is walked twice on the wire, once for the shapes of parameters and inputs, once
 * for the operators in their order (onnx_shape.c), one sample at a time. Data of tensors is skipped
 * by its length, but for the few whole numbers that become shapes. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/map.h"
#include "estimate/memory.h"
#include "estimate/onnx_impl.h"
#include "estimate/reader.h"

#define VALUES_MAX 200000 /* tensors with a name; more is not a model */
#define TYPE_INT32 6
#define TYPE_INT64 7

enum wire { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_BYTES = 2, WIRE_FIXED32 = 5 };

/* Numbers of the fields of onnx.proto that are looked at. */
enum {
    MODEL_GRAPH = 7,
    GRAPH_NODE = 1,
    GRAPH_INITIALIZER = 5,
    GRAPH_INPUT = 11,
    NODE_INPUT = 1,
    NODE_OUTPUT = 2,
    NODE_OP_TYPE = 4,
    NODE_ATTRIBUTE = 5,
    ATTRIBUTE_NAME = 1,
    ATTRIBUTE_INT = 3,
    ATTRIBUTE_TEXT = 4,
    ATTRIBUTE_TENSOR = 5,
    ATTRIBUTE_INTS = 8,
    TENSOR_SIDES = 1,
    TENSOR_TYPE = 2,
    TENSOR_INT32S = 5,
    TENSOR_INT64S = 7,
    TENSOR_NAME = 8,
    TENSOR_RAW = 9,
    VALUE_NAME = 1,
    VALUE_TYPE = 2,
    TYPE_TENSOR = 1,
    TENSOR_SHAPE = 2,
    SHAPE_SIDE = 1,
    SIDE_VALUE = 1,
};

/* A stretch of the file and where reading it stands. */
struct stretch {
    const struct source *source;
    uint64_t next, end;
};

struct field {
    unsigned number;
    enum wire wire;
    uint64_t value;       /* of a varint */
    struct stretch bytes; /* of a run of bytes */
};

struct graph {
    struct map *values;     /* name to struct onnx_value */
    struct onnx_value *all; /* owned, by `next` */
    size_t count;
    struct tally *tally;
    uint64_t saved, widest, batch;
    double flop;
    bool convolutions;
    struct onnx_value *last;
    struct error *err;
};

static int varint_take(struct stretch *at, uint64_t *ret_value)
{
    uint64_t value = 0;
    uint8_t byte = 0x80;
    for (unsigned shift = 0; byte & 0x80; shift += 7) {
        if (shift > 63 || at->next >= at->end ||
            at->source->read_at(at->source->arg, at->next, &byte, 1) < 0)
            return -EINVAL;
        at->next++;
        value |= (uint64_t)(byte & 0x7f) << shift;
    }
    *ret_value = value;
    return 0;
}

/* 1: a field; 0: the end; or -EINVAL. */
static int field_next(struct stretch *at, struct field *ret_field)
{
    uint64_t key = 0, length = 0;
    if (at->next == at->end)
        return 0;
    *ret_field = (struct field){0};
    if (varint_take(at, &key) < 0 || key >> 3 > INT32_MAX)
        return -EINVAL;
    ret_field->number = (unsigned)(key >> 3);
    ret_field->wire = (enum wire)(key & 7);
    if (ret_field->wire == WIRE_VARINT)
        return varint_take(at, &ret_field->value) < 0 ? -EINVAL : 1;
    if (ret_field->wire == WIRE_FIXED64 || ret_field->wire == WIRE_FIXED32)
        length = ret_field->wire == WIRE_FIXED64 ? 8 : 4;
    else if (ret_field->wire != WIRE_BYTES || varint_take(at, &length) < 0)
        return -EINVAL;
    if (length > at->end - at->next)
        return -EINVAL;
    ret_field->bytes = (struct stretch){at->source, at->next, at->next + length};
    at->next += length;
    return 1;
}

static bool field_is(const struct field *field, unsigned number, enum wire wire)
{
    return field->number == number && field->wire == wire;
}

/* A name too long for its room is refused: cut, it could be another's. */
static int text_take(const struct field *field, char *ret_text, size_t room)
{
    uint64_t length = field->bytes.end - field->bytes.next;
    const struct source *source = field->bytes.source;
    if (length >= room ||
        (length && source->read_at(source->arg, field->bytes.next, ret_text, (size_t)length) < 0))
        return -EINVAL;
    ret_text[length] = '\0';
    return 0;
}

/* One number of a repeated field, or all of a packed one; those beyond `room` are not kept. */
static int numbers_take(struct field *field, uint64_t *numbers, unsigned room, unsigned *count)
{
    if (field->wire == WIRE_VARINT) {
        if (*count < room)
            numbers[*count] = field->value;
        ++*count;
        return 0;
    }
    while (field->bytes.next < field->bytes.end) {
        uint64_t number = 0;
        if (varint_take(&field->bytes, &number) < 0)
            return -EINVAL;
        if (*count < room)
            numbers[*count] = number;
        ++*count;
    }
    return 0;
}

/* A copy under the name; NULL: no memory, or too many. */
static struct onnx_value *value_put(struct graph *graph, const char *name,
                                    const struct onnx_value *value)
{
    struct onnx_value *kept = graph->count < VALUES_MAX ? malloc(sizeof(*kept)) : NULL;
    if (!kept)
        return NULL;
    *kept = *value;
    kept->next = graph->all;
    graph->all = kept; /* one of an earlier value of that name may be somebody's base */
    graph->count++;
    return map_put(graph->values, name, kept, NULL) < 0 ? NULL : kept;
}

/* -- parameters and inputs -- */

/* Of a type that weights have; NULL: of indices and the like. */
static const char *weight_format(uint64_t type)
{
    return type == 1    ? "fp32"
           : type == 10 ? "fp16"
           : type == 11 ? "fp64"
           : type == 16 ? "bf16"
                        : NULL;
}

/* Little-endian whole numbers, as many as are kept. */
static int raw_take(struct stretch at, unsigned size, struct onnx_value *value)
{
    for (; at.next + size <= at.end && value->count < ONNX_NUMBERS_MAX; at.next += size) {
        uint8_t bytes[8] = {0};
        uint64_t number = 0;
        if (at.source->read_at(at.source->arg, at.next, bytes, size) < 0)
            return -EINVAL;
        for (unsigned i = 0; i < size; i++)
            number |= (uint64_t)bytes[i] << 8 * i;
        value->numbers[value->count++] = size == 4 ? (int32_t)number : (int64_t)number;
    }
    return 0;
}

/* A tensor as it is written down. */
struct tensor {
    char name[ONNX_NAME_MAX_BYTES];
    uint64_t type;
    struct onnx_value value;
    struct stretch raw;
    uint64_t numbers[ONNX_NUMBERS_MAX];
    unsigned count;
};

static int tensor_parse(struct stretch at, struct tensor *tensor)
{
    struct field field;
    int r;
    while ((r = field_next(&at, &field)) > 0) {
        if (field.number == TENSOR_SIDES)
            r = numbers_take(&field, tensor->value.sides, ONNX_SIDES_MAX, &tensor->value.rank);
        else if (field_is(&field, TENSOR_TYPE, WIRE_VARINT))
            tensor->type = field.value;
        else if (field_is(&field, TENSOR_NAME, WIRE_BYTES))
            r = text_take(&field, tensor->name, sizeof(tensor->name));
        else if (field.number == TENSOR_INT32S || field.number == TENSOR_INT64S)
            r = numbers_take(&field, tensor->numbers, ONNX_NUMBERS_MAX, &tensor->count);
        else if (field_is(&field, TENSOR_RAW, WIRE_BYTES))
            tensor->raw = field.bytes;
        if (r < 0)
            return r;
    }
    return r;
}

/* Its content too, when that is a few whole numbers. */
static int tensor_read(struct stretch at, struct tensor *tensor)
{
    struct onnx_value *value = &tensor->value;
    uint64_t elements = 0;
    value->parameter = true;
    if (tensor_parse(at, tensor) < 0 || value->rank > ONNX_SIDES_MAX ||
        onnx_elements(value, &elements) < 0)
        return -EINVAL;
    bool whole = tensor->type == TYPE_INT32 || tensor->type == TYPE_INT64;
    if (!whole || elements > ONNX_NUMBERS_MAX)
        return 0;
    if (tensor->raw.source && raw_take(tensor->raw, tensor->type == TYPE_INT32 ? 4 : 8, value) < 0)
        return -EINVAL;
    for (unsigned i = 0; !tensor->raw.source && i < tensor->count && i < ONNX_NUMBERS_MAX; i++)
        value->numbers[value->count++] = (int64_t)tensor->numbers[i];
    value->known = value->count == elements;
    return 0;
}

static int initializer_read(struct graph *graph, struct stretch at)
{
    struct tensor tensor = {.type = 0};
    uint64_t params;
    if (tensor_read(at, &tensor) < 0 || onnx_elements(&tensor.value, &params) < 0)
        return -EINVAL;
    const char *format = weight_format(tensor.type);
    int r = format ? tally_add(graph->tally, tensor.name, format, params, 0) : 0;
    if (r < 0)
        return r;
    return value_put(graph, tensor.name, &tensor.value) ? 0 : -ENOMEM;
}

static int side_read(struct stretch at, uint64_t *ret_side)
{
    struct field field;
    int r;
    *ret_side = 0; /* a symbol */
    while ((r = field_next(&at, &field)) > 0) {
        if (field_is(&field, SIDE_VALUE, WIRE_VARINT))
            *ret_side = field.value;
    }
    return r;
}

/* Down ValueInfo > Type > Tensor > Shape, whose sides are the leaves. */
static int sides_read(struct stretch at, unsigned depth, struct onnx_value *shape)
{
    static const unsigned path[] = {TYPE_TENSOR, TENSOR_SHAPE, SHAPE_SIDE};
    struct field field;
    int r;
    while ((r = field_next(&at, &field)) > 0) {
        if (!field_is(&field, path[depth], WIRE_BYTES))
            continue;
        if (depth < 2)
            r = sides_read(field.bytes, depth + 1, shape);
        else if (shape->rank == ONNX_SIDES_MAX)
            r = -EINVAL;
        else
            r = side_read(field.bytes, &shape->sides[shape->rank++]);
        if (r < 0)
            return r;
    }
    return r;
}

static int input_read(struct graph *graph, struct stretch at)
{
    struct field field;
    struct onnx_value shape = {0};
    char name[ONNX_NAME_MAX_BYTES] = "";
    uint64_t elements;
    int r;
    while ((r = field_next(&at, &field)) > 0) {
        if (field_is(&field, VALUE_NAME, WIRE_BYTES))
            r = text_take(&field, name, sizeof(name));
        else if (field_is(&field, VALUE_TYPE, WIRE_BYTES))
            r = sides_read(field.bytes, 0, &shape);
        if (r < 0)
            return r;
    }
    if (r < 0 || map_get(graph->values, name)) /* older files list parameters as inputs too */
        return r;
    if (shape.rank > 0) {
        graph->batch = shape.sides[0] > graph->batch ? shape.sides[0] : graph->batch;
        shape.sides[0] = 1; /* one sample */
    }
    if (onnx_elements(&shape, &elements) < 0)
        return -EINVAL;
    if (elements == 0)
        return error_set(graph->err, -EINVAL, "bad-onnx",
                         "the input '%s' has a side without a length: export it with fixed sides",
                         name);
    return value_put(graph, name, &shape) ? 0 : -ENOMEM;
}

/* -- operators -- */

/* Lists of whole numbers that an operator may have, by their names. */
static void list_put(struct onnx_node *node, const char *name, const uint64_t *numbers,
                     unsigned count)
{
    const struct {
        const char *name;
        void *target;
        unsigned least, most;
        unsigned *count; /* NULL: all of them or none */
    } lists[] = {{"kernel_shape", node->kernel, 2, 2, NULL},
                 {"strides", node->strides, 2, 2, NULL},
                 {"pads", node->pads, 4, 4, NULL},
                 {"dilations", node->dilations, 2, 2, NULL},
                 {"axes", node->axes, 1, ONNX_SIDES_MAX, &node->axes_count},
                 {"perm", node->perm, 1, ONNX_SIDES_MAX, &node->perm_count},
                 {"split", node->split, 1, ONNX_OUTPUTS_MAX, &node->split_count}};
    for (size_t i = 0; i < sizeof(lists) / sizeof(*lists); i++) {
        if (strcmp(name, lists[i].name) != 0 || count < lists[i].least || count > lists[i].most)
            continue;
        memcpy(lists[i].target, numbers, count * sizeof(*numbers));
        if (lists[i].count)
            *lists[i].count = count;
    }
}

static void number_put(struct onnx_node *node, const char *name, uint64_t number)
{
    const struct {
        const char *name;
        int64_t *target;
    } numbers[] = {{"axis", &node->axis},
                   {"transA", &node->trans_a},
                   {"transB", &node->trans_b},
                   {"keepdims", &node->keepdims}};
    for (size_t i = 0; i < sizeof(numbers) / sizeof(*numbers); i++) {
        if (strcmp(name, numbers[i].name) == 0)
            *numbers[i].target = (int64_t)number;
    }
    node->has_axis |= strcmp(name, "axis") == 0;
    node->ceil |= strcmp(name, "ceil_mode") == 0 && number;
}

static int constant_read(struct stretch at, struct onnx_node *node)
{
    struct tensor tensor = {.type = 0};
    int r = tensor_read(at, &tensor);
    node->constant = tensor.value;
    return r;
}

static int attribute_read(struct onnx_node *node, struct stretch at)
{
    struct field field;
    char name[ONNX_NAME_MAX_BYTES] = "", text[32] = "";
    uint64_t numbers[ONNX_NUMBERS_MAX] = {0}, number = 0;
    unsigned count = 0;
    int r;
    while ((r = field_next(&at, &field)) > 0) {
        if (field_is(&field, ATTRIBUTE_NAME, WIRE_BYTES))
            r = text_take(&field, name, sizeof(name));
        else if (field_is(&field, ATTRIBUTE_INT, WIRE_VARINT))
            number = field.value;
        else if (field_is(&field, ATTRIBUTE_TEXT, WIRE_BYTES))
            (void)text_take(&field, text, sizeof(text)); /* a long one is none that counts */
        else if (field_is(&field, ATTRIBUTE_TENSOR, WIRE_BYTES))
            r = constant_read(field.bytes, node);
        else if (field.number == ATTRIBUTE_INTS)
            r = numbers_take(&field, numbers, ONNX_NUMBERS_MAX, &count);
        if (r < 0)
            return r;
    }
    list_put(node, name, numbers, count);
    number_put(node, name, number);
    node->same_pads |= strncmp(text, "SAME_", 5) == 0;
    return r;
}

static int node_parse(const struct graph *graph, struct stretch at, struct onnx_node *node)
{
    struct field field;
    char name[ONNX_NAME_MAX_BYTES];
    int r;
    while ((r = field_next(&at, &field)) > 0) {
        if (field_is(&field, NODE_INPUT, WIRE_BYTES)) {
            r = node->input_count < ONNX_INPUTS_MAX ? text_take(&field, name, sizeof(name))
                                                    : -EINVAL;
            if (r == 0)
                node->inputs[node->input_count++] = map_get(graph->values, name);
        } else if (field_is(&field, NODE_OUTPUT, WIRE_BYTES)) {
            r = node->output_count < ONNX_OUTPUTS_MAX
                    ? text_take(&field, node->outputs[node->output_count], sizeof(*node->outputs))
                    : -EINVAL;
            node->output_count += r == 0;
        } else if (field_is(&field, NODE_OP_TYPE, WIRE_BYTES)) {
            r = text_take(&field, node->op, sizeof(node->op));
        } else if (field_is(&field, NODE_ATTRIBUTE, WIRE_BYTES)) {
            r = attribute_read(node, field.bytes);
        }
        if (r < 0)
            return r;
    }
    return r;
}

static int outputs_put(struct graph *graph, const struct onnx_operator *kind,
                       struct onnx_node *node, const struct onnx_value *outs)
{
    uint64_t elements;
    for (unsigned i = 0; i < node->output_count; i++) {
        if (!node->outputs[i][0])
            continue; /* an optional one that nobody wants */
        struct onnx_value *out = value_put(graph, node->outputs[i], &outs[i]);
        if (!out || onnx_elements(out, &elements) < 0)
            return out ? -EINVAL : -ENOMEM;
        graph->widest = elements > graph->widest && !out->parameter ? elements : graph->widest;
        graph->saved += i == 0 ? onnx_operator_keep(kind, node, out) : 0;
        graph->last = out;
    }
    return graph->saved > ONNX_ELEMENTS_MAX ? -EINVAL : 0;
}

static int node_read(struct graph *graph, struct stretch at)
{
    struct onnx_node node = {
        .strides = {1, 1}, .dilations = {1, 1}, .keepdims = 1, .batch = graph->batch};
    struct onnx_value outs[ONNX_OUTPUTS_MAX] = {0};
    int r = node_parse(graph, at, &node);
    if (r < 0)
        return r;
    const struct onnx_operator *kind = onnx_operator_find(node.op);
    if (!kind)
        return error_set(graph->err, -ENOTSUP, "unsupported-operator",
                         "the shapes after the operator '%s' are not known to Leat", node.op);
    if (onnx_operator_run(kind, &node, outs, &graph->flop) < 0)
        return error_set(graph->err, -EINVAL, "bad-onnx",
                         "an operator '%s' does not fit its inputs", node.op);
    graph->convolutions |= onnx_operator_convolves(kind);
    return outputs_put(graph, kind, &node, outs);
}

static int graph_walk(struct graph *graph, struct stretch at, unsigned number,
                      int (*read)(struct graph *graph, struct stretch at))
{
    struct field field;
    int r;
    while ((r = field_next(&at, &field)) > 0) {
        if (field_is(&field, number, WIRE_BYTES))
            r = read(graph, field.bytes);
        if (r < 0)
            return r;
    }
    return r;
}

static int model_walk(struct graph *graph, const struct source *source)
{
    struct stretch at = {source, 0, source->size_bytes};
    struct field field;
    int r;
    while ((r = field_next(&at, &field)) > 0) {
        if (!field_is(&field, MODEL_GRAPH, WIRE_BYTES))
            continue;
        r = graph_walk(graph, field.bytes, GRAPH_INITIALIZER, initializer_read);
        if (r == 0)
            r = graph_walk(graph, field.bytes, GRAPH_INPUT, input_read);
        if (r == 0)
            r = graph_walk(graph, field.bytes, GRAPH_NODE, node_read);
        if (r < 0)
            return r;
    }
    return r;
}

static void graph_finish(struct graph *graph)
{
    while (graph->all) {
        struct onnx_value *value = graph->all;
        graph->all = value->next;
        free(value);
    }
    map_destroy(graph->values);
}

int onnx_read(const struct source *source, struct tally *tally, struct memory_request *request,
              struct error *err)
{
    struct error reason = {0};
    struct graph graph = {.values = map_create(), .tally = tally, .err = &reason};
    uint64_t results = 0;
    if (!graph.values)
        return error_set(err, -ENOMEM, "out-of-memory", "reading a model");
    int r = model_walk(&graph, source);
    if (r == 0 && graph.last && !graph.last->saved) /* the loss reads them */
        r = onnx_elements(graph.last, &results);
    graph_finish(&graph);
    if (r < 0 && reason.text[0])
        return error_copy(err, &reason);
    if (r < 0)
        return error_errno(err, r, "bad-onnx", "not ONNX, or damaged");
    request->saved_elements = graph.saved + results;
    request->widest_elements = graph.widest;
    request->convolutions = graph.convolutions;
    request->sample_kflop = (uint64_t)(graph.flop / 1e3);
    return 0;
}

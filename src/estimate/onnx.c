/* ONNX: the graph is walked twice on the wire, once for the shapes of parameters and inputs, once
 * for the operators in their order; data of tensors is skipped by its length. Shapes are followed
 * for the operators of convolutional networks and perceptrons, one sample at a time. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/map.h"
#include "estimate/memory.h"
#include "estimate/reader.h"

#define NAME_MAX_BYTES 160u
#define SIDES_MAX 8
#define INPUTS_MAX 16
#define VALUES_MAX 200000 /* tensors with a name; more is not a model */
#define ELEMENTS_MAX (UINT64_C(1) << 50)

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
    ATTRIBUTE_INTS = 8,
    TENSOR_SIDES = 1,
    TENSOR_TYPE = 2,
    TENSOR_NAME = 8,
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

struct shape {
    unsigned rank;
    uint64_t sides[SIDES_MAX];
};

struct node {
    char op[32], output[NAME_MAX_BYTES];
    const struct shape *inputs[INPUTS_MAX]; /* NULL: an optional one that is not there */
    unsigned input_count;
    uint64_t kernel[2], strides[2], pads[4], dilations[2];
    int64_t axis, trans_b;
    bool ceil, same_pads;
};

struct graph {
    struct map *values; /* name to struct shape, owned */
    struct tally *tally;
    uint64_t saved, widest;
    bool convolutions;
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

static int elements_count(const struct shape *shape, uint64_t *ret_count)
{
    uint64_t count = 1;
    for (unsigned i = 0; i < shape->rank; i++) {
        if (__builtin_mul_overflow(count, shape->sides[i], &count) || count > ELEMENTS_MAX)
            return -EINVAL;
    }
    *ret_count = count;
    return 0;
}

static int value_put(struct graph *graph, const char *name, const struct shape *shape)
{
    void *old = NULL;
    AUTO_FREE struct shape *kept = malloc(sizeof(*kept));
    if (!kept || map_count(graph->values) >= VALUES_MAX)
        return -ENOMEM;
    *kept = *shape;
    int r = map_put(graph->values, name, kept, &old);
    if (r < 0)
        return r;
    free(old);
    kept = NULL;
    return 0;
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

static int initializer_read(struct graph *graph, struct stretch at)
{
    struct field field;
    struct shape shape = {0};
    char name[NAME_MAX_BYTES] = "";
    uint64_t type = 0, params = 0;
    int r;
    while ((r = field_next(&at, &field)) > 0) {
        if (field.number == TENSOR_SIDES)
            r = numbers_take(&field, shape.sides, SIDES_MAX, &shape.rank);
        else if (field_is(&field, TENSOR_TYPE, WIRE_VARINT))
            type = field.value;
        else if (field_is(&field, TENSOR_NAME, WIRE_BYTES))
            r = text_take(&field, name, sizeof(name));
        if (r < 0)
            return r;
    }
    if (r < 0 || shape.rank > SIDES_MAX || elements_count(&shape, &params) < 0)
        return -EINVAL;
    const char *format = weight_format(type);
    r = format ? tally_add(graph->tally, name, format, params, 0) : 0;
    return r < 0 ? r : value_put(graph, name, &shape);
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
static int sides_read(struct stretch at, unsigned depth, struct shape *shape)
{
    static const unsigned path[] = {TYPE_TENSOR, TENSOR_SHAPE, SHAPE_SIDE};
    struct field field;
    int r;
    while ((r = field_next(&at, &field)) > 0) {
        if (!field_is(&field, path[depth], WIRE_BYTES))
            continue;
        if (depth < 2)
            r = sides_read(field.bytes, depth + 1, shape);
        else if (shape->rank == SIDES_MAX)
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
    struct shape shape = {0};
    char name[NAME_MAX_BYTES] = "";
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
    if (shape.rank > 0)
        shape.sides[0] = 1; /* one sample */
    if (elements_count(&shape, &elements) < 0)
        return -EINVAL;
    if (elements == 0)
        return error_set(graph->err, -EINVAL, "bad-onnx",
                         "the input '%s' has a side without a length: export it with fixed sides",
                         name);
    graph->saved += elements;
    return value_put(graph, name, &shape);
}

/* -- operators: the shape of the output, and how often its size is kept for backward -- */

typedef int operator_fn(const struct node *node, struct shape *out);

static int out_same(const struct node *node, struct shape *out)
{
    *out = *node->inputs[0];
    return 0;
}

static int out_broadcast(const struct node *node, struct shape *out)
{
    const struct shape *a = node->inputs[0], *b = node->input_count > 1 ? node->inputs[1] : NULL;
    if (!b)
        return -EINVAL;
    if (a->rank < b->rank) {
        const struct shape *swap = a;
        a = b;
        b = swap;
    }
    *out = *a;
    for (unsigned i = 0; i < b->rank; i++) {
        uint64_t *side = &out->sides[a->rank - b->rank + i];
        *side = b->sides[i] > *side ? b->sides[i] : *side;
    }
    return 0;
}

/* One side after a window of `kernel` slid over it. */
static int slide(const struct node *node, unsigned i, uint64_t kernel, uint64_t side,
                 uint64_t *ret_side)
{
    uint64_t stride = node->strides[i], dilation = node->dilations[i];
    uint64_t pads = node->pads[i] + node->pads[i + 2];
    if (!stride || !kernel || kernel > UINT16_MAX || dilation > UINT16_MAX || pads > UINT16_MAX)
        return -EINVAL;
    uint64_t reach = (kernel - 1) * dilation + 1, room = side + pads;
    if (node->same_pads)
        *ret_side = (side + stride - 1) / stride;
    else if (room < reach)
        return -EINVAL;
    else
        *ret_side = (room - reach + (node->ceil ? stride - 1 : 0)) / stride + 1;
    return 0;
}

static int out_window(const struct node *node, const uint64_t kernel[2], uint64_t channels,
                      struct shape *out)
{
    const struct shape *in = node->inputs[0];
    if (in->rank != 4)
        return -EINVAL;
    *out = *in;
    out->sides[1] = channels;
    int r = slide(node, 0, kernel[0], in->sides[2], &out->sides[2]);
    return r < 0 ? r : slide(node, 1, kernel[1], in->sides[3], &out->sides[3]);
}

static int out_conv(const struct node *node, struct shape *out)
{
    const struct shape *weight = node->input_count > 1 ? node->inputs[1] : NULL;
    if (!weight || weight->rank != 4)
        return -EINVAL;
    return out_window(node, weight->sides + 2, weight->sides[0], out);
}

static int out_pool(const struct node *node, struct shape *out)
{
    return node->inputs[0]->rank == 4
               ? out_window(node, node->kernel, node->inputs[0]->sides[1], out)
               : -EINVAL;
}

static int out_global(const struct node *node, struct shape *out)
{
    *out = *node->inputs[0];
    for (unsigned i = 2; i < out->rank; i++)
        out->sides[i] = 1;
    return 0;
}

static int out_flatten(const struct node *node, struct shape *out)
{
    uint64_t elements;
    if (node->axis != 1 || elements_count(node->inputs[0], &elements) < 0)
        return -EINVAL;
    *out = (struct shape){2, {1, elements}}; /* one sample */
    return 0;
}

static int out_multiply(const struct node *node, struct shape *out)
{
    const struct shape *in = node->inputs[0];
    const struct shape *weight = node->input_count > 1 ? node->inputs[1] : NULL;
    if (!weight || weight->rank < 2 || !in->rank)
        return -EINVAL;
    *out = *in;
    out->sides[in->rank - 1] = weight->sides[weight->rank - (node->trans_b ? 2 : 1)];
    return 0;
}

static int out_concat(const struct node *node, struct shape *out)
{
    *out = *node->inputs[0];
    int64_t axis = node->axis < 0 ? node->axis + out->rank : node->axis;
    if (axis < 0 || axis >= out->rank)
        return -EINVAL;
    for (unsigned i = 1; i < node->input_count; i++) {
        if (!node->inputs[i] || node->inputs[i]->rank != out->rank ||
            __builtin_add_overflow(out->sides[axis], node->inputs[i]->sides[axis],
                                   &out->sides[axis]))
            return -EINVAL;
    }
    return 0;
}

/* Rectifiers work in place; the maximum of a pool keeps where it was, in eight bytes. */
static const struct operator
{
    const char *name;
    operator_fn *shape;
    unsigned kept;
}
operators[] = {
    {"Conv", out_conv, 1},
    {"MaxPool", out_pool, 3},
    {"AveragePool", out_pool, 1},
    {"GlobalAveragePool", out_global, 1},
    {"BatchNormalization", out_same, 1},
    {"Relu", out_same, 0},
    {"Clip", out_same, 1},
    {"LeakyRelu", out_same, 1},
    {"Sigmoid", out_same, 1},
    {"HardSigmoid", out_same, 1},
    {"HardSwish", out_same, 1},
    {"Tanh", out_same, 1},
    {"Gelu", out_same, 1},
    {"Elu", out_same, 1},
    {"Selu", out_same, 1},
    {"Softmax", out_same, 1},
    {"LogSoftmax", out_same, 1},
    {"Erf", out_same, 1},
    {"LayerNormalization", out_same, 1},
    {"Dropout", out_same, 1},
    {"Identity", out_same, 0},
    {"Add", out_broadcast, 1},
    {"Sub", out_broadcast, 1},
    {"Mul", out_broadcast, 1},
    {"Div", out_broadcast, 1},
    {"Flatten", out_flatten, 0},
    {"Gemm", out_multiply, 1},
    {"MatMul", out_multiply, 1},
    {"Concat", out_concat, 1},
};

static const struct operator* operator_find(const char *name)
{
    for (size_t i = 0; i < sizeof(operators) / sizeof(*operators); i++) {
        if (strcmp(operators[i].name, name) == 0)
            return &operators[i];
    }
    return NULL;
}

static int attribute_read(struct node *node, struct stretch at)
{
    struct field field;
    char name[NAME_MAX_BYTES] = "", text[32] = "";
    uint64_t numbers[4] = {0}, number = 0;
    unsigned count = 0;
    int r;
    while ((r = field_next(&at, &field)) > 0) {
        if (field_is(&field, ATTRIBUTE_NAME, WIRE_BYTES))
            r = text_take(&field, name, sizeof(name));
        else if (field_is(&field, ATTRIBUTE_INT, WIRE_VARINT))
            number = field.value;
        else if (field_is(&field, ATTRIBUTE_TEXT, WIRE_BYTES))
            (void)text_take(&field, text, sizeof(text)); /* a long one is none that counts */
        else if (field.number == ATTRIBUTE_INTS)
            r = numbers_take(&field, numbers, 4, &count);
        if (r < 0)
            return r;
    }
    const struct {
        const char *name;
        uint64_t *target;
        unsigned count;
    } lists[] = {{"kernel_shape", node->kernel, 2},
                 {"strides", node->strides, 2},
                 {"pads", node->pads, 4},
                 {"dilations", node->dilations, 2}};
    for (size_t i = 0; i < 4; i++) {
        if (strcmp(name, lists[i].name) == 0 && count == lists[i].count)
            memcpy(lists[i].target, numbers, count * sizeof(*numbers));
    }
    if (strcmp(name, "axis") == 0)
        node->axis = (int64_t)number;
    else if (strcmp(name, "transB") == 0)
        node->trans_b = (int64_t)number;
    else if (strcmp(name, "ceil_mode") == 0)
        node->ceil = number;
    node->same_pads |= strncmp(text, "SAME_", 5) == 0;
    return r;
}

static int node_parse(const struct graph *graph, struct stretch at, struct node *node)
{
    struct field field;
    char name[NAME_MAX_BYTES];
    int r;
    while ((r = field_next(&at, &field)) > 0) {
        if (field_is(&field, NODE_INPUT, WIRE_BYTES)) {
            r = node->input_count < INPUTS_MAX ? text_take(&field, name, sizeof(name)) : -EINVAL;
            if (r == 0)
                node->inputs[node->input_count++] = map_get(graph->values, name);
        } else if (field_is(&field, NODE_OUTPUT, WIRE_BYTES) && !node->output[0]) {
            r = text_take(&field, node->output, sizeof(node->output));
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

static int node_read(struct graph *graph, struct stretch at)
{
    struct node node = {.strides = {1, 1}, .dilations = {1, 1}, .axis = 1};
    struct shape out;
    uint64_t elements;
    int r = node_parse(graph, at, &node);
    if (r < 0)
        return r;
    const struct operator* kind = operator_find(node.op);
    if (!kind)
        return error_set(graph->err, -ENOTSUP, "unsupported-operator",
                         "the shapes after the operator '%s' are not known to Leat", node.op);
    if (!node.input_count || !node.inputs[0] || kind->shape(&node, &out) < 0 ||
        elements_count(&out, &elements) < 0)
        return error_set(graph->err, -EINVAL, "bad-onnx",
                         "an operator '%s' does not fit its inputs", node.op);
    graph->saved += elements * kind->kept;
    graph->widest = elements > graph->widest ? elements : graph->widest;
    graph->convolutions |= kind->shape == out_conv;
    if (graph->saved > ELEMENTS_MAX)
        return -EINVAL;
    return value_put(graph, node.output, &out);
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

int onnx_read(const struct source *source, struct tally *tally, struct memory_request *request,
              struct error *err)
{
    struct error reason = {0};
    struct graph graph = {.values = map_create(), .tally = tally, .err = &reason};
    void *shape;
    size_t cursor = 0;
    if (!graph.values)
        return error_set(err, -ENOMEM, "out-of-memory", "reading a model");
    int r = model_walk(&graph, source);
    while ((shape = map_next(graph.values, &cursor, NULL)))
        free(shape);
    map_destroy(graph.values);
    if (r < 0 && reason.text[0])
        return error_copy(err, &reason);
    if (r < 0)
        return error_errno(err, r, "bad-onnx", "not ONNX, or damaged");
    request->saved_elements = graph.saved;
    request->widest_elements = graph.widest;
    request->convolutions = graph.convolutions;
    return 0;
}

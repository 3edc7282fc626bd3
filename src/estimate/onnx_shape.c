/* The operators of ONNX that convolutional networks, perceptrons and transformers are made of: what
 * shape comes out, what content where that becomes a shape later, and what of it backward needs.
 * Semantics: the ONNX operator schemas, opset 7 to 18. */
#include <errno.h>
#include <string.h>

#include "estimate/onnx_impl.h"

typedef int shape_fn(struct onnx_node *node, struct onnx_value *outs);

/* What backward reads. */
enum keep {
    KEEP_NOTHING,
    KEEP_INPUT,
    KEEP_INPUTS, /* of a product: each factor is the other's gradient */
    KEEP_OUTPUT,
    KEEP_PLACES, /* of a maximum, in eight bytes beside the input */
    KEEP_MASK,   /* of what was dropped, in one byte */
};

int onnx_elements(const struct onnx_value *value, uint64_t *ret_count)
{
    uint64_t count = 1;
    for (unsigned i = 0; i < value->rank; i++) {
        if (__builtin_mul_overflow(count, value->sides[i], &count) || count > ONNX_ELEMENTS_MAX)
            return -EINVAL;
    }
    *ret_count = count;
    return 0;
}

static const struct onnx_value *input(const struct onnx_node *node, unsigned index)
{
    return index < node->input_count ? node->inputs[index] : NULL;
}

static void shape_copy(struct onnx_value *out, const struct onnx_value *from)
{
    out->rank = from->rank;
    memcpy(out->sides, from->sides, sizeof(out->sides));
}

static void content_copy(struct onnx_value *out, const struct onnx_value *from)
{
    out->known = from->known;
    out->count = from->count;
    memcpy(out->numbers, from->numbers, sizeof(out->numbers));
}

/* The axis as an index, or -EINVAL. */
static int axis_of(int64_t axis, unsigned rank)
{
    axis += axis < 0 ? (int64_t)rank : 0;
    return axis >= 0 && axis < (int64_t)rank ? (int)axis : -EINVAL;
}

/* Axes come as an attribute, or in newer files as a second input of known content. */
static unsigned axes_take(const struct onnx_node *node, unsigned index, int64_t *axes)
{
    const struct onnx_value *given = input(node, index);
    const int64_t *from = given && given->known ? given->numbers : node->axes;
    unsigned count = given && given->known ? given->count : node->axes_count;
    count = count < ONNX_SIDES_MAX ? count : ONNX_SIDES_MAX;
    memcpy(axes, from, count * sizeof(*axes));
    return count;
}

/* -- element by element -- */

static int out_same(struct onnx_node *node, struct onnx_value *outs)
{
    shape_copy(&outs[0], node->inputs[0]);
    content_copy(&outs[0], node->inputs[0]);
    return 0;
}

static int out_plain(struct onnx_node *node, struct onnx_value *outs)
{
    shape_copy(&outs[0], node->inputs[0]);
    return 0;
}

static int broadcast(struct onnx_value *out, const struct onnx_value *from)
{
    const struct onnx_value *wide = out->rank >= from->rank ? out : from;
    const struct onnx_value *narrow = wide == out ? from : out;
    struct onnx_value both = {0};
    shape_copy(&both, wide);
    for (unsigned i = 0; i < narrow->rank; i++) {
        uint64_t *side = &both.sides[wide->rank - narrow->rank + i], other = narrow->sides[i];
        if (*side != other && *side != 1 && other != 1)
            return -EINVAL;
        *side = *side == 1 ? other : *side;
    }
    shape_copy(out, &both);
    return 0;
}

static int out_broadcast(struct onnx_node *node, struct onnx_value *outs)
{
    shape_copy(&outs[0], node->inputs[0]);
    for (unsigned i = 1; i < node->input_count; i++) {
        if (node->inputs[i] && broadcast(&outs[0], node->inputs[i]) < 0)
            return -EINVAL;
    }
    return 0;
}

/* Shapes are reckoned with in the graph itself. */
static bool reckon(char op, int64_t a, int64_t b, int64_t *ret)
{
    switch (op) {
    case 'A':
        return !__builtin_add_overflow(a, b, ret);
    case 'S':
        return !__builtin_sub_overflow(a, b, ret);
    case 'M':
        return !__builtin_mul_overflow(a, b, ret);
    default:
        if (b == 0 || (b == -1 && a == INT64_MIN))
            return false;
        *ret = a / b;
        return true;
    }
}

/* The number that belongs to element `i` of a wider tensor. */
static int64_t number_at(const struct onnx_value *value, unsigned i)
{
    return value->numbers[value->count > 1 ? i : 0];
}

static int out_arithmetic(struct onnx_node *node, struct onnx_value *outs)
{
    const struct onnx_value *a = node->inputs[0], *b = input(node, 1);
    if (!b || out_broadcast(node, outs) < 0)
        return -EINVAL;
    bool fits = a->known && b->known && (a->count == b->count || a->count == 1 || b->count == 1);
    unsigned count = !fits ? 0 : a->count > b->count ? a->count : b->count;
    for (unsigned i = 0; i < count; i++)
        fits &= reckon(node->op[0], number_at(a, i), number_at(b, i), &outs[0].numbers[i]);
    outs[0].known = fits && count > 0;
    outs[0].count = count;
    return 0;
}

static int out_equal(struct onnx_node *node, struct onnx_value *outs)
{
    const struct onnx_value *a = node->inputs[0], *b = input(node, 1);
    if (!b || out_broadcast(node, outs) < 0)
        return -EINVAL;
    outs[0].known = a->known && b->known && a->count == b->count;
    outs[0].count = outs[0].known ? a->count : 0;
    for (unsigned i = 0; i < outs[0].count; i++)
        outs[0].numbers[i] = a->numbers[i] == b->numbers[i];
    return 0;
}

static int out_where(struct onnx_node *node, struct onnx_value *outs)
{
    const struct onnx_value *which = node->inputs[0], *a = input(node, 1), *b = input(node, 2);
    if (!a || !b || out_broadcast(node, outs) < 0)
        return -EINVAL;
    outs[0].known = which->known && a->known && b->known && a->count && b->count &&
                    (a->count == 1 || a->count == which->count) &&
                    (b->count == 1 || b->count == which->count);
    outs[0].count = outs[0].known ? which->count : 0;
    for (unsigned i = 0; i < outs[0].count; i++)
        outs[0].numbers[i] = number_at(which->numbers[i] ? a : b, i);
    return 0;
}

/* -- windows -- */

/* One side after a window of `kernel` slid over it. */
static int slide(const struct onnx_node *node, unsigned i, uint64_t kernel, uint64_t side,
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

static int out_window(const struct onnx_node *node, const uint64_t kernel[2], uint64_t channels,
                      struct onnx_value *out)
{
    const struct onnx_value *in = node->inputs[0];
    if (in->rank != 4)
        return -EINVAL;
    shape_copy(out, in);
    out->sides[1] = channels;
    int r = slide(node, 0, kernel[0], in->sides[2], &out->sides[2]);
    return r < 0 ? r : slide(node, 1, kernel[1], in->sides[3], &out->sides[3]);
}

static int out_conv(struct onnx_node *node, struct onnx_value *outs)
{
    const struct onnx_value *weight = input(node, 1);
    if (!weight || weight->rank != 4)
        return -EINVAL;
    return out_window(node, weight->sides + 2, weight->sides[0], &outs[0]);
}

static int out_pool(struct onnx_node *node, struct onnx_value *outs)
{
    return node->inputs[0]->rank == 4
               ? out_window(node, node->kernel, node->inputs[0]->sides[1], &outs[0])
               : -EINVAL;
}

static int out_global(struct onnx_node *node, struct onnx_value *outs)
{
    shape_copy(&outs[0], node->inputs[0]);
    for (unsigned i = 2; i < outs[0].rank; i++)
        outs[0].sides[i] = 1;
    return 0;
}

/* -- products -- */

static int out_gemm(struct onnx_node *node, struct onnx_value *outs)
{
    const struct onnx_value *a = node->inputs[0], *b = input(node, 1);
    if (!b || a->rank != 2 || b->rank != 2 ||
        a->sides[node->trans_a ? 0 : 1] != b->sides[node->trans_b ? 1 : 0])
        return -EINVAL;
    outs[0].rank = 2;
    outs[0].sides[0] = a->sides[node->trans_a ? 1 : 0];
    outs[0].sides[1] = b->sides[node->trans_b ? 0 : 1];
    return 0;
}

static int out_matmul(struct onnx_node *node, struct onnx_value *outs)
{
    const struct onnx_value *a = node->inputs[0], *b = input(node, 1);
    if (!b || a->rank < 2 || b->rank < 2 || a->sides[a->rank - 1] != b->sides[b->rank - 2])
        return -EINVAL;
    struct onnx_value left = {.rank = a->rank - 2}, right = {.rank = b->rank - 2};
    memcpy(left.sides, a->sides, left.rank * sizeof(*a->sides));
    memcpy(right.sides, b->sides, right.rank * sizeof(*b->sides));
    if (broadcast(&left, &right) < 0)
        return -EINVAL;
    shape_copy(&outs[0], &left);
    outs[0].sides[outs[0].rank++] = a->sides[a->rank - 2];
    outs[0].sides[outs[0].rank++] = b->sides[b->rank - 1];
    return 0;
}

/* -- the same elements, seen otherwise -- */

static int out_flatten(struct onnx_node *node, struct onnx_value *outs)
{
    const struct onnx_value *in = node->inputs[0];
    int64_t axis = node->has_axis ? node->axis : 1;
    axis += axis < 0 ? (int64_t)in->rank : 0;
    if (axis < 0 || axis > (int64_t)in->rank)
        return -EINVAL;
    struct onnx_value front = {.rank = (unsigned)axis}, back = {.rank = in->rank - (unsigned)axis};
    memcpy(front.sides, in->sides, front.rank * sizeof(*in->sides));
    memcpy(back.sides, in->sides + axis, back.rank * sizeof(*in->sides));
    outs[0].rank = 2;
    return onnx_elements(&front, &outs[0].sides[0]) < 0 ||
                   onnx_elements(&back, &outs[0].sides[1]) < 0
               ? -EINVAL
               : 0;
}

/* 0 keeps a side, -1 takes what is left: its index comes back, or -1 when there is none. */
static int reshape_sides(const struct onnx_value *in, const struct onnx_value *wanted,
                         struct onnx_value *out, int *ret_open)
{
    int open = -1;
    out->rank = wanted->count;
    for (unsigned i = 0; i < wanted->count; i++) {
        int64_t side = wanted->numbers[i];
        if (side < -1 || (side == 0 && i >= in->rank) || (side == -1 && open >= 0))
            return -EINVAL;
        out->sides[i] = side > 0 ? (uint64_t)side : side == 0 ? in->sides[i] : 1;
        open = side == -1 ? (int)i : open;
    }
    *ret_open = open;
    return 0;
}

static int out_reshape(struct onnx_node *node, struct onnx_value *outs)
{
    const struct onnx_value *in = node->inputs[0], *wanted = input(node, 1);
    uint64_t elements, rest = 1;
    int open;
    if (!wanted || !wanted->known || wanted->count > ONNX_SIDES_MAX ||
        onnx_elements(in, &elements) < 0 || reshape_sides(in, wanted, &outs[0], &open) < 0)
        return -EINVAL;
    if (open > 0 && node->batch > 1 && in->sides[0] == 1 && outs[0].sides[0] == node->batch)
        outs[0].sides[0] = 1; /* written down for the batch of the file */
    if (onnx_elements(&outs[0], &rest) < 0 || rest == 0)
        return -EINVAL;
    if (open >= 0)
        outs[0].sides[open] = elements / rest;
    content_copy(&outs[0], in);
    return 0; /* what does not add up is found by the caller, who knows of batches */
}

static int out_transpose(struct onnx_node *node, struct onnx_value *outs)
{
    const struct onnx_value *in = node->inputs[0];
    if (node->perm_count && node->perm_count != in->rank)
        return -EINVAL;
    outs[0].rank = in->rank;
    for (unsigned i = 0; i < in->rank; i++) {
        int from = node->perm_count ? axis_of(node->perm[i], in->rank) : (int)(in->rank - 1 - i);
        if (from < 0)
            return -EINVAL;
        outs[0].sides[i] = in->sides[from];
    }
    return 0;
}

static int out_unsqueeze(struct onnx_node *node, struct onnx_value *outs)
{
    const struct onnx_value *in = node->inputs[0];
    int64_t axes[ONNX_SIDES_MAX];
    unsigned count = axes_take(node, 1, axes), rank = in->rank + count, from = 0;
    unsigned inserted = 0;
    if (count == 0 || rank > ONNX_SIDES_MAX)
        return -EINVAL;
    for (unsigned i = 0; i < count; i++) {
        int axis = axis_of(axes[i], rank);
        if (axis < 0)
            return -EINVAL;
        inserted |= 1u << axis;
    }
    outs[0].rank = rank;
    for (unsigned i = 0; i < rank; i++)
        outs[0].sides[i] = inserted & 1u << i || from >= in->rank ? 1 : in->sides[from++];
    content_copy(&outs[0], in);
    return 0;
}

static int out_squeeze(struct onnx_node *node, struct onnx_value *outs)
{
    const struct onnx_value *in = node->inputs[0];
    int64_t axes[ONNX_SIDES_MAX];
    unsigned count = axes_take(node, 1, axes), taken = 0;
    for (unsigned i = 0; i < count; i++) {
        int axis = axis_of(axes[i], in->rank);
        if (axis < 0)
            return -EINVAL;
        taken |= 1u << axis;
    }
    for (unsigned i = 0; i < in->rank; i++) {
        if (count ? !(taken & 1u << i) : in->sides[i] != 1)
            outs[0].sides[outs[0].rank++] = in->sides[i];
    }
    content_copy(&outs[0], in);
    return 0;
}

/* -- parts and joints -- */

static int out_concat(struct onnx_node *node, struct onnx_value *outs)
{
    const struct onnx_value *first = node->inputs[0];
    int axis = axis_of(node->has_axis ? node->axis : 1, first->rank);
    if (axis < 0)
        return -EINVAL;
    shape_copy(&outs[0], first);
    outs[0].sides[axis] = 0;
    outs[0].known = true;
    for (unsigned i = 0; i < node->input_count; i++) {
        const struct onnx_value *in = node->inputs[i];
        if (!in || in->rank != first->rank ||
            __builtin_add_overflow(outs[0].sides[axis], in->sides[axis], &outs[0].sides[axis]))
            return -EINVAL;
        outs[0].known &= in->known && outs[0].count + in->count <= ONNX_NUMBERS_MAX;
        for (unsigned k = 0; outs[0].known && k < in->count; k++)
            outs[0].numbers[outs[0].count++] = in->numbers[k];
    }
    return 0;
}

static int out_gather(struct onnx_node *node, struct onnx_value *outs)
{
    const struct onnx_value *data = node->inputs[0], *at = input(node, 1);
    int axis = at ? axis_of(node->has_axis ? node->axis : 0, data->rank) : -EINVAL;
    if (axis < 0 || data->rank - 1 + at->rank > ONNX_SIDES_MAX)
        return -EINVAL;
    for (unsigned i = 0; i < data->rank; i++) {
        if (i != (unsigned)axis)
            outs[0].sides[outs[0].rank++] = data->sides[i];
        for (unsigned k = 0; i == (unsigned)axis && k < at->rank; k++)
            outs[0].sides[outs[0].rank++] = at->sides[k];
    }
    outs[0].known = data->known && at->known && data->rank == 1;
    for (unsigned k = 0; outs[0].known && k < at->count; k++) {
        int from = axis_of(at->numbers[k], data->count);
        if (from < 0)
            return -EINVAL;
        outs[0].numbers[outs[0].count++] = data->numbers[from];
    }
    return 0;
}

static int64_t bound(int64_t at, uint64_t side)
{
    int64_t length = (int64_t)side; /* below ONNX_ELEMENTS_MAX */
    at += at < 0 ? length : 0;
    return at < 0 ? 0 : at > length ? length : at;
}

static void slice_axis(const struct onnx_value *in, int axis, const int64_t range[3],
                       struct onnx_value *out)
{
    int64_t begin = bound(range[0], in->sides[axis]), end = bound(range[1], in->sides[axis]);
    int64_t by = range[2];
    out->sides[axis] = end > begin ? (uint64_t)((end - begin - 1) / by + 1) : 0;
    out->known = in->known && in->rank == 1;
    end = end < (int64_t)in->count ? end : (int64_t)in->count;
    for (int64_t k = begin; out->known && k < end && out->count < ONNX_NUMBERS_MAX; k += by)
        out->numbers[out->count++] = in->numbers[k];
}

/* Starts, ends, axes and steps are inputs of known content; only steps of one and more are made. */
static int out_slice(struct onnx_node *node, struct onnx_value *outs)
{
    const struct onnx_value *in = node->inputs[0], *starts = input(node, 1), *ends = input(node, 2);
    const struct onnx_value *steps = input(node, 4);
    int64_t axes[ONNX_SIDES_MAX];
    unsigned axes_count = axes_take(node, 3, axes);
    if (!starts || !ends || !starts->known || !ends->known || ends->count != starts->count ||
        (steps && (!steps->known || steps->count != starts->count)))
        return -EINVAL;
    shape_copy(&outs[0], in);
    for (unsigned i = 0; i < starts->count; i++) {
        int axis = axis_of(i < axes_count ? axes[i] : (int64_t)i, in->rank);
        const int64_t range[] = {starts->numbers[i], ends->numbers[i],
                                 steps ? steps->numbers[i] : 1};
        if (axis < 0 || range[2] < 1 || range[2] > INT32_MAX)
            return -EINVAL;
        slice_axis(in, axis, range, &outs[0]);
    }
    return 0;
}

static int out_split(struct onnx_node *node, struct onnx_value *outs)
{
    const struct onnx_value *in = node->inputs[0], *given = input(node, 1);
    const int64_t *parts = given && given->known ? given->numbers : node->split;
    unsigned count = given && given->known ? given->count : node->split_count;
    int axis = axis_of(node->has_axis ? node->axis : 0, in->rank);
    if (axis < 0 || node->output_count == 0 || (count && count != node->output_count))
        return -EINVAL;
    for (unsigned i = 0; i < node->output_count; i++) {
        if (count && (parts[i] < 0 || (uint64_t)parts[i] > in->sides[axis]))
            return -EINVAL;
        shape_copy(&outs[i], in);
        outs[i].sides[axis] = count ? (uint64_t)parts[i] : in->sides[axis] / node->output_count;
    }
    return 0;
}

/* -- contents that become shapes -- */

static int out_shape(struct onnx_node *node, struct onnx_value *outs)
{
    const struct onnx_value *in = node->inputs[0];
    outs[0] = (struct onnx_value){
        .rank = 1, .sides = {in->rank}, .known = true, .count = in->rank, .parameter = true};
    for (unsigned i = 0; i < in->rank; i++)
        outs[0].numbers[i] = (int64_t)in->sides[i];
    return 0;
}

static int out_constant(struct onnx_node *node, struct onnx_value *outs)
{
    outs[0] = node->constant;
    outs[0].parameter = true;
    return 0;
}

static int sides_from(const struct onnx_value *numbers, struct onnx_value *out)
{
    if (!numbers || !numbers->known || numbers->count > ONNX_SIDES_MAX)
        return -EINVAL;
    out->rank = numbers->count;
    for (unsigned i = 0; i < numbers->count; i++) {
        if (numbers->numbers[i] < 0)
            return -EINVAL;
        out->sides[i] = (uint64_t)numbers->numbers[i];
    }
    return 0;
}

static int out_filled(struct onnx_node *node, struct onnx_value *outs)
{
    uint64_t elements;
    int r = sides_from(node->inputs[0], &outs[0]);
    if (r < 0 || onnx_elements(&outs[0], &elements) < 0)
        return -EINVAL;
    outs[0].parameter = true;
    outs[0].known = elements <= ONNX_NUMBERS_MAX;
    outs[0].count = outs[0].known ? (unsigned)elements : 0;
    for (unsigned i = 0; i < outs[0].count; i++)
        outs[0].numbers[i] = node->constant.known ? node->constant.numbers[0] : 0;
    return 0;
}

static int out_expand(struct onnx_node *node, struct onnx_value *outs)
{
    struct onnx_value wanted = {0};
    int r = sides_from(input(node, 1), &wanted);
    shape_copy(&outs[0], node->inputs[0]);
    return r < 0 ? r : broadcast(&outs[0], &wanted);
}

static int out_range(struct onnx_node *node, struct onnx_value *outs)
{
    const struct onnx_value *from = node->inputs[0], *to = input(node, 1), *by = input(node, 2);
    if (!to || !by || !from->known || !to->known || !by->known || by->numbers[0] < 1 ||
        by->numbers[0] > INT32_MAX || to->numbers[0] < from->numbers[0] ||
        to->numbers[0] > INT32_MAX || from->numbers[0] < INT32_MIN)
        return -EINVAL;
    outs[0].parameter = true;
    outs[0].rank = 1;
    outs[0].sides[0] =
        (uint64_t)((to->numbers[0] - from->numbers[0] + by->numbers[0] - 1) / by->numbers[0]);
    return 0;
}

static int out_reduce(struct onnx_node *node, struct onnx_value *outs)
{
    const struct onnx_value *in = node->inputs[0];
    int64_t axes[ONNX_SIDES_MAX];
    unsigned count = axes_take(node, 1, axes), reduced = count ? 0 : UINT32_MAX;
    for (unsigned i = 0; i < count; i++) {
        int axis = axis_of(axes[i], in->rank);
        if (axis < 0)
            return -EINVAL;
        reduced |= 1u << axis;
    }
    for (unsigned i = 0; i < in->rank; i++) {
        if (!(reduced & 1u << i) || node->keepdims)
            outs[0].sides[outs[0].rank++] = reduced & 1u << i ? 1 : in->sides[i];
    }
    return 0;
}

/* -- the table -- */

struct onnx_operator {
    const char *name;
    shape_fn *shape;
    enum keep keep;
    bool view; /* its outputs are the input's own elements */
};

static const struct onnx_operator operators[] = {
    {"Conv", out_conv, KEEP_INPUT, false},
    {"MaxPool", out_pool, KEEP_PLACES, false},
    {"AveragePool", out_pool, KEEP_NOTHING, false},
    {"GlobalAveragePool", out_global, KEEP_NOTHING, false},
    {"BatchNormalization", out_plain, KEEP_INPUT, false},
    {"LayerNormalization", out_plain, KEEP_INPUT, false},
    {"Relu", out_plain, KEEP_OUTPUT, false},
    {"Clip", out_plain, KEEP_INPUT, false},
    {"LeakyRelu", out_plain, KEEP_OUTPUT, false},
    {"Sigmoid", out_plain, KEEP_OUTPUT, false},
    {"HardSigmoid", out_plain, KEEP_INPUT, false},
    {"HardSwish", out_plain, KEEP_INPUT, false},
    {"Tanh", out_plain, KEEP_OUTPUT, false},
    {"Gelu", out_plain, KEEP_INPUT, false},
    {"Elu", out_plain, KEEP_OUTPUT, false},
    {"Selu", out_plain, KEEP_OUTPUT, false},
    {"Erf", out_plain, KEEP_NOTHING, false},
    {"Softmax", out_plain, KEEP_OUTPUT, false},
    {"LogSoftmax", out_plain, KEEP_OUTPUT, false},
    {"Exp", out_plain, KEEP_OUTPUT, false},
    {"Log", out_plain, KEEP_INPUT, false},
    {"Sqrt", out_plain, KEEP_OUTPUT, false},
    {"Reciprocal", out_plain, KEEP_OUTPUT, false},
    {"Neg", out_plain, KEEP_NOTHING, false},
    {"Abs", out_plain, KEEP_INPUT, false},
    {"Not", out_plain, KEEP_NOTHING, false},
    {"Dropout", out_plain, KEEP_MASK, false},
    {"Cast", out_same, KEEP_NOTHING, false},
    {"Identity", out_same, KEEP_NOTHING, true},
    {"Add", out_arithmetic, KEEP_NOTHING, false},
    {"Sub", out_arithmetic, KEEP_NOTHING, false},
    {"Mul", out_arithmetic, KEEP_INPUTS, false},
    {"Div", out_arithmetic, KEEP_INPUTS, false},
    {"Pow", out_broadcast, KEEP_INPUT, false},
    {"Min", out_broadcast, KEEP_NOTHING, false},
    {"Max", out_broadcast, KEEP_NOTHING, false},
    {"Equal", out_equal, KEEP_NOTHING, false},
    {"Less", out_broadcast, KEEP_NOTHING, false},
    {"LessOrEqual", out_broadcast, KEEP_NOTHING, false},
    {"Greater", out_broadcast, KEEP_NOTHING, false},
    {"And", out_broadcast, KEEP_NOTHING, false},
    {"Where", out_where, KEEP_NOTHING, false},
    {"Gemm", out_gemm, KEEP_INPUTS, false},
    {"MatMul", out_matmul, KEEP_INPUTS, false},
    {"Flatten", out_flatten, KEEP_NOTHING, true},
    {"Reshape", out_reshape, KEEP_NOTHING, true},
    {"Transpose", out_transpose, KEEP_NOTHING, true},
    {"Unsqueeze", out_unsqueeze, KEEP_NOTHING, true},
    {"Squeeze", out_squeeze, KEEP_NOTHING, true},
    {"Slice", out_slice, KEEP_NOTHING, true},
    {"Split", out_split, KEEP_NOTHING, true},
    {"Gather", out_gather, KEEP_NOTHING, true},
    {"Expand", out_expand, KEEP_NOTHING, true},
    {"Concat", out_concat, KEEP_NOTHING, false},
    {"ReduceMean", out_reduce, KEEP_NOTHING, false},
    {"ReduceSum", out_reduce, KEEP_NOTHING, false},
    {"ReduceMax", out_reduce, KEEP_NOTHING, false},
    {"Shape", out_shape, KEEP_NOTHING, false},
    {"Constant", out_constant, KEEP_NOTHING, false},
    {"ConstantOfShape", out_filled, KEEP_NOTHING, false},
    {"Range", out_range, KEEP_NOTHING, false},
};

const struct onnx_operator *onnx_operator_find(const char *name)
{
    for (size_t i = 0; i < sizeof(operators) / sizeof(*operators); i++) {
        if (strcmp(operators[i].name, name) == 0)
            return &operators[i];
    }
    return NULL;
}

bool onnx_operator_convolves(const struct onnx_operator *kind)
{
    return kind->shape == out_conv;
}

/* A reshape that was written down for the batch of the file. */
static int batch_undo(const struct onnx_value *in, uint64_t batch, struct onnx_value *out)
{
    uint64_t before, after;
    if (onnx_elements(in, &before) < 0 || onnx_elements(out, &after) < 0)
        return -EINVAL;
    if (before == after)
        return 0;
    for (unsigned i = 0; i < out->rank && batch > 1; i++) {
        if (out->sides[i] % batch == 0 && after / batch == before && after % batch == 0) {
            out->sides[i] /= batch;
            return 0;
        }
    }
    return -EINVAL;
}

static double operations(const struct onnx_operator *kind, const struct onnx_node *node,
                         uint64_t elements)
{
    const struct onnx_value *a = input(node, 0), *b = input(node, 1);
    if (kind->shape == out_conv)
        return 2.0 * (double)elements * (double)b->sides[1] * (double)b->sides[2] *
               (double)b->sides[3];
    if (kind->shape == out_gemm || kind->shape == out_matmul)
        return 2.0 * (double)elements * (double)a->sides[node->trans_a ? a->rank - 2 : a->rank - 1];
    return 0;
}

/* The middle of what frameworks compute as one: GELU by the error function, normalisation by
 * statistics of a row. */
static bool passes(const struct onnx_operator *kind, const struct onnx_node *node,
                   const struct onnx_value *out)
{
    const struct onnx_value *second = input(node, 1);
    if (strcmp(kind->name, "Erf") == 0)
        return true;
    if (strcmp(kind->name, "Add") == 0)
        return node->inputs[0]->passing && second->parameter;
    return strcmp(kind->name, "Div") == 0 && !second->parameter && second->rank == out->rank &&
           out->rank > 0 && second->sides[out->rank - 1] == 1 && out->sides[out->rank - 1] > 1;
}

/* What was written down for the batch of the file becomes one sample's. */
static int batch_take_out(const struct onnx_operator *kind, const struct onnx_node *node,
                          struct onnx_value *out)
{
    if (kind->shape == out_reshape)
        return batch_undo(node->inputs[0], node->batch, out);
    if (kind->shape == out_expand && node->batch > 1 && out->rank > 1 &&
        out->sides[0] == node->batch)
        out->sides[0] = 1;
    return 0;
}

/* Which outputs are constants, views or passing. */
static void outputs_mark(const struct onnx_operator *kind, const struct onnx_node *node,
                         struct onnx_value *outs)
{
    struct onnx_value *first = node->input_count ? node->inputs[0] : NULL;
    bool fixed = first;
    for (unsigned i = 0; i < node->input_count; i++)
        fixed = fixed && (!node->inputs[i] || node->inputs[i]->parameter);
    /* Rows looked up by the input's own numbers are a copy; those at fixed places, a view. */
    bool view = kind->view && (kind->shape != out_gather || node->inputs[1]->parameter);
    for (unsigned i = 0; i < node->output_count; i++) {
        outs[i].parameter |= fixed;
        if (view)
            outs[i].base = first->base ? first->base : first;
    }
    outs[0].passing = passes(kind, node, &outs[0]);
}

int onnx_operator_run(const struct onnx_operator *kind, struct onnx_node *node,
                      struct onnx_value outs[ONNX_OUTPUTS_MAX], double *flop)
{
    uint64_t elements;
    if (kind->shape != out_constant && (!node->input_count || !node->inputs[0]))
        return -EINVAL;
    int r = kind->shape(node, outs);
    if (r == 0)
        r = batch_take_out(kind, node, &outs[0]);
    if (r < 0 || onnx_elements(&outs[0], &elements) < 0)
        return -EINVAL;
    *flop += operations(kind, node, elements);
    outputs_mark(kind, node, outs);
    return 0;
}

static uint64_t keep(struct onnx_value *value)
{
    uint64_t elements;
    struct onnx_value *whole = value && value->base ? value->base : value;
    if (!whole || whole->parameter || whole->passing || whole->saved ||
        onnx_elements(whole, &elements) < 0)
        return 0;
    whole->saved = true;
    return elements;
}

uint64_t onnx_operator_keep(const struct onnx_operator *kind, struct onnx_node *node,
                            struct onnx_value *out)
{
    struct onnx_value *first = node->input_count ? node->inputs[0] : NULL;
    struct onnx_value *second = node->input_count > 1 ? node->inputs[1] : NULL;
    uint64_t elements;
    if (!first || out->parameter || onnx_elements(out, &elements) < 0)
        return 0;
    switch (kind->keep) {
    case KEEP_NOTHING:
        break;
    case KEEP_INPUT:
        return keep(first);
    case KEEP_INPUTS: /* a single number of the file needs neither */
        if (second && second->parameter && onnx_elements(second, &elements) == 0 && elements == 1)
            return 0;
        return keep(first) + keep(second);
    case KEEP_OUTPUT:
        return keep(out);
    case KEEP_PLACES:
        return keep(first) + 2 * elements;
    case KEEP_MASK:
        return elements / 4;
    }
    return 0;
}

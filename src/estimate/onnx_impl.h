/* What onnx.c, which reads the file, and onnx_shape.c, which knows the operators, share. */
#ifndef LEAT_ESTIMATE_ONNX_IMPL_H
#define LEAT_ESTIMATE_ONNX_IMPL_H

#include <stdbool.h>
#include <stdint.h>

#define ONNX_NAME_MAX_BYTES 160u
#define ONNX_SIDES_MAX 8
#define ONNX_INPUTS_MAX 16
#define ONNX_OUTPUTS_MAX 16
#define ONNX_NUMBERS_MAX 16 /* of a tensor of whole numbers whose content matters: shapes, axes */
#define ONNX_ELEMENTS_MAX (UINT64_C(1) << 50)

/* A tensor of the graph, for one sample. */
struct onnx_value {
    struct onnx_value *next; /* of all that were made */
    struct onnx_value *base; /* that it is a view of; NULL: itself */
    unsigned rank;
    uint64_t sides[ONNX_SIDES_MAX];
    bool parameter; /* or a constant: it is there anyway */
    bool saved;     /* counted among what backward needs */
    bool passing;   /* inside what frameworks compute as one: never kept */
    bool known;     /* its content is */
    unsigned count; /* of the numbers, which are in the order of the elements */
    int64_t numbers[ONNX_NUMBERS_MAX];
};

struct onnx_node {
    char op[32];
    char outputs[ONNX_OUTPUTS_MAX][ONNX_NAME_MAX_BYTES];
    unsigned output_count, input_count;
    uint64_t batch;                             /* how many samples the file was made for */
    struct onnx_value *inputs[ONNX_INPUTS_MAX]; /* NULL: an optional one that is not there */
    uint64_t kernel[2], strides[2], pads[4], dilations[2];
    int64_t axis, trans_a, trans_b, keepdims;
    int64_t axes[ONNX_SIDES_MAX], perm[ONNX_SIDES_MAX], split[ONNX_OUTPUTS_MAX];
    unsigned axes_count, perm_count, split_count;
    bool has_axis, ceil, same_pads;
    struct onnx_value constant; /* of a Constant */
};

struct onnx_operator;

int onnx_elements(const struct onnx_value *value, uint64_t *ret_count);
/* NULL: not one that is known. */
const struct onnx_operator *onnx_operator_find(const char *name);
/* Shapes and contents of the outputs, from the inputs; -EINVAL: they do not fit. Operations, two a
 * multiplication, are added to `flop`. */
int onnx_operator_run(const struct onnx_operator *kind, struct onnx_node *node,
                      struct onnx_value outs[ONNX_OUTPUTS_MAX], double *flop);
/* Elements that backward needs for this operator and that no earlier one needed; marks them. */
uint64_t onnx_operator_keep(const struct onnx_operator *kind, struct onnx_node *node,
                            struct onnx_value *out);
bool onnx_operator_convolves(const struct onnx_operator *kind);

#endif

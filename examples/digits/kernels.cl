/* The five kernels of the trainer. Matrices are row-major. A layer's weights are `in` rows of `out`
 * columns; `out` is a multiple of 8, batches and `in` are multiples of 4.
 *
 * A work-item makes a tile of 4 rows and 8 columns in registers: that fills the vector units of a
 * processor, gives a GPU enough independent work, and reads each weight once for four rows. Each
 * result is summed by one work-item in a fixed order, so a run can be repeated bit by bit. */

#define TILE_ROWS 4
#define TILE_COLUMNS 8

float row_sum(float8 v)
{
    float4 half_sum = v.lo + v.hi;
    float2 quarter_sum = half_sum.lo + half_sum.hi;
    return quarter_sum.x + quarter_sum.y;
}

/* x[b] = images[order[first + b]], from bytes to 0..1. One work-item for 4 pixels of an image. */
kernel void gather(global const uchar *images, global const uint *order, const uint first,
                   const uint pixels, global float *x)
{
    const uint pixel = get_global_id(0) * 4;
    const uint b = get_global_id(1);
    global const uchar *image = images + order[first + b] * pixels;
    vstore4(convert_float4(vload4(0, image + pixel)) / 255.0f, 0, x + b * pixels + pixel);
}

/* y = x * weights + bias, then max(0, y) when `relu`. */
kernel void dense_forward(global const float *x, global const float *weights,
                          global const float *bias, const uint in, const uint out, const uint relu,
                          global float *y)
{
    const uint column = get_global_id(0) * TILE_COLUMNS;
    const uint row = get_global_id(1) * TILE_ROWS;
    float8 sum[TILE_ROWS];
    for (uint r = 0; r < TILE_ROWS; r++)
        sum[r] = vload8(0, bias + column);
    for (uint k = 0; k < in; k++) {
        const float8 w = vload8(0, weights + k * out + column);
        for (uint r = 0; r < TILE_ROWS; r++)
            sum[r] += x[(row + r) * in + k] * w;
    }
    for (uint r = 0; r < TILE_ROWS; r++)
        vstore8(relu ? fmax(sum[r], 0.0f) : sum[r], 0, y + (row + r) * out + column);
}

/* Cross-entropy of softmax(logits) against the labels. One work-item for an image. Leaves the
 * gradient of the mean loss in `gradient` and (loss, 1 if the guess is right) in `results`.
 * Only the first `classes` of the `out` columns count; the others are padding. */
kernel void softmax_loss(global const float *logits, global const uchar *labels,
                         global const uint *order, const uint first, const uint classes,
                         const uint out, const uint result_first, global float *gradient,
                         global float2 *results)
{
    const uint b = get_global_id(0);
    const uint label = labels[order[first + b]];
    const float scale = 1.0f / get_global_size(0);
    global const float *z = logits + b * out;
    uint best = 0;
    for (uint c = 1; c < classes; c++)
        best = z[c] > z[best] ? c : best;
    float total = 0.0f;
    for (uint c = 0; c < classes; c++)
        total += exp(z[c] - z[best]);
    for (uint c = 0; c < out; c++) {
        const float p = c < classes ? exp(z[c] - z[best]) / total : 0.0f;
        gradient[b * out + c] = (p - (c == label ? 1.0f : 0.0f)) * scale;
    }
    results[result_first + b] = (float2)(log(total) - (z[label] - z[best]), best == label);
}

/* Gradient of the layer below: gx = gy * transpose(weights) where x is above 0 (it came out of a
 * ReLU), else 0. One work-item for TILE_ROWS rows of one column. */
kernel void dense_backward(global const float *gy, global const float *weights,
                           global const float *x, const uint in, const uint out, global float *gx)
{
    const uint k = get_global_id(0);
    const uint row = get_global_id(1) * TILE_ROWS;
    float8 sum[TILE_ROWS] = {0.0f, 0.0f, 0.0f, 0.0f};
    for (uint c = 0; c < out; c += TILE_COLUMNS) {
        const float8 w = vload8(0, weights + k * out + c);
        for (uint r = 0; r < TILE_ROWS; r++)
            sum[r] += vload8(0, gy + (row + r) * out + c) * w;
    }
    for (uint r = 0; r < TILE_ROWS; r++) {
        const uint at = (row + r) * in + k;
        gx[at] = x[at] > 0.0f ? row_sum(sum[r]) : 0.0f;
    }
}

void descend(const float8 gradient, const float rate, const float momentum, global float *value,
             global float *velocity)
{
    const float8 v = momentum * vload8(0, velocity) - rate * gradient;
    vstore8(v, 0, velocity);
    vstore8(vload8(0, value) + v, 0, value);
}

/* Gradient of the weights, transpose(x) * gy, and one step of SGD with momentum at once: the
 * gradient never goes to memory. `velocity` holds that of the weights, then that of the bias. */
kernel void dense_update(global const float *x, global const float *gy, const uint in,
                         const uint out, const uint batch, const float rate, const float momentum,
                         global float *weights, global float *bias, global float *velocity)
{
    const uint column = get_global_id(0) * TILE_COLUMNS;
    const uint row = get_global_id(1) * TILE_ROWS;
    float8 sum[TILE_ROWS] = {0.0f, 0.0f, 0.0f, 0.0f};
    float8 bias_sum = 0.0f;
    for (uint b = 0; b < batch; b++) {
        const float8 g = vload8(0, gy + b * out + column);
        for (uint r = 0; r < TILE_ROWS; r++)
            sum[r] += x[b * in + row + r] * g;
        bias_sum += g;
    }
    for (uint r = 0; r < TILE_ROWS; r++) {
        const uint at = (row + r) * out + column;
        descend(sum[r], rate, momentum, weights + at, velocity + at);
    }
    if (row == 0)
        descend(bias_sum, rate, momentum, bias + column, velocity + in * out + column);
}

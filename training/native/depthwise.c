/* Depthwise 3x3 convolution, forward and backward, without a padded copy of the input.
 *
 * Tensors are float32 [batch, height, width, channels] (channels-last images); weights [9, channels].
 * Beyond the border the input is `outside`: +1, the value of bit 1, or 0.
 */
#include <stdlib.h>

enum { TAPS = 9, PADDING = 1 };

typedef struct {
    long batch, height, width, channels, stride;
} Shape;

static long strided(long size, long stride)
{
    return (size - 1) / stride + 1;
}

/* The input rows of channels that output position (row, column) sees; `border` where outside. */
static void input_taps(const float *x, const Shape *s, long image, long row, long column,
                       const float *border, const float *tap[TAPS])
{
    for (long i = 0; i < 3; i++)
        for (long j = 0; j < 3; j++) {
            long h = row * s->stride + i - PADDING, w = column * s->stride + j - PADDING;
            int inside = h >= 0 && h < s->height && w >= 0 && w < s->width;
            tap[3 * i + j] =
                inside ? x + ((image * s->height + h) * s->width + w) * s->channels : border;
        }
}

static void weighted_sum(const float *tap[TAPS], const float *weight, long channels,
                         float *restrict out)
{
    const float *t0 = tap[0], *t1 = tap[1], *t2 = tap[2], *t3 = tap[3], *t4 = tap[4];
    const float *t5 = tap[5], *t6 = tap[6], *t7 = tap[7], *t8 = tap[8];
    const float *w = weight;
    long n = channels;
    for (long c = 0; c < n; c++)
        out[c] = t0[c] * w[c] + t1[c] * w[n + c] + t2[c] * w[2 * n + c] + t3[c] * w[3 * n + c] +
                 t4[c] * w[4 * n + c] + t5[c] * w[5 * n + c] + t6[c] * w[6 * n + c] +
                 t7[c] * w[7 * n + c] + t8[c] * w[8 * n + c];
}

static float *constant_row(long channels, float value)
{
    float *row = malloc((size_t)channels * sizeof *row);
    for (long c = 0; row && c < channels; c++)
        row[c] = value;
    return row;
}

/* out [batch, height', width', channels]. Returns 0, or 1 when out of memory. */
int depthwise_forward(const float *x, const float *weight, long batch, long height, long width,
                      long channels, long stride, float outside, float *out)
{
    Shape s = {batch, height, width, channels, stride};
    long rows = strided(height, stride), columns = strided(width, stride);
    float *border = constant_row(channels, outside);
    if (!border)
        return 1;
    const float *tap[TAPS];
    for (long image = 0; image < batch; image++)
        for (long row = 0; row < rows; row++)
            for (long column = 0; column < columns; column++) {
                input_taps(x, &s, image, row, column, border, tap);
                weighted_sum(tap, weight, channels, out);
                out += channels;
            }
    free(border);
    return 0;
}

/* Gradient of the input from that of the output. Returns 0, or 1 when out of memory. */
int depthwise_backward_input(const float *gradient, const float *weight, long batch, long height,
                             long width, long channels, long stride, float *grad_x)
{
    long rows = strided(height, stride), columns = strided(width, stride);
    float *zeros = constant_row(channels, 0.0f);
    if (!zeros)
        return 1;
    const float *tap[TAPS];
    for (long image = 0; image < batch; image++)
        for (long h = 0; h < height; h++)
            for (long w = 0; w < width; w++) {
                for (long i = 0; i < 3; i++)
                    for (long j = 0; j < 3; j++) {
                        long row = h + PADDING - i, column = w + PADDING - j;
                        int met = row >= 0 && column >= 0 && row % stride == 0 &&
                                  column % stride == 0 && row / stride < rows &&
                                  column / stride < columns;
                        long position =
                            (image * rows + row / stride) * columns + column / stride;
                        tap[3 * i + j] = met ? gradient + position * channels : zeros;
                    }
                weighted_sum(tap, weight, channels, grad_x);
                grad_x += channels;
            }
    free(zeros);
    return 0;
}

/* Gradient of the weights [9, channels]. Returns 0, or 1 when out of memory. */
int depthwise_backward_weight(const float *gradient, const float *x, long batch, long height,
                              long width, long channels, long stride, float outside,
                              float *grad_weight)
{
    Shape s = {batch, height, width, channels, stride};
    long rows = strided(height, stride), columns = strided(width, stride);
    long size = TAPS * channels;
    float *border = constant_row(channels, outside);
    float *partial = malloc((size_t)size * sizeof *partial);
    double *total = calloc((size_t)size, sizeof *total);
    if (!border || !partial || !total) {
        free(border);
        free(partial);
        free(total);
        return 1;
    }
    const float *tap[TAPS];
    for (long image = 0; image < batch; image++) {
        for (long c = 0; c < size; c++)
            partial[c] = 0;
        for (long row = 0; row < rows; row++)
            for (long column = 0; column < columns; column++) {
                input_taps(x, &s, image, row, column, border, tap);
                for (long t = 0; t < TAPS; t++) {
                    const float *restrict in = tap[t];
                    float *restrict sum = partial + t * channels;
                    for (long c = 0; c < channels; c++)
                        sum[c] += gradient[c] * in[c];
                }
                gradient += channels;
            }
        for (long c = 0; c < size; c++)
            total[c] += partial[c];
    }
    for (long c = 0; c < size; c++)
        grad_weight[c] = (float)total[c];
    free(border);
    free(partial);
    free(total);
    return 0;
}

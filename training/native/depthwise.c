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

/* out = the sum of from[k] * weight[k]; unrolled where the count is known. */
static inline __attribute__((always_inline)) void
sum_of(long count, const float *const *from, const float *const *weight, long channels,
       float *restrict out)
{
    for (long c = 0; c < channels; c++) {
        float sum = 0;
        for (long k = 0; k < count; k++)
            sum += from[k][c] * weight[k][c];
        out[c] = sum;
    }
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
    const float *tap[TAPS], *weights[TAPS];
    for (long t = 0; t < TAPS; t++)
        weights[t] = weight + t * channels;
    for (long image = 0; image < batch; image++)
        for (long row = 0; row < rows; row++)
            for (long column = 0; column < columns; column++) {
                input_taps(x, &s, image, row, column, border, tap);
                sum_of(TAPS, tap, weights, channels, out);
                out += channels;
            }
    free(border);
    return 0;
}

/* The taps of one axis that see an input position, and the output positions that they are of. */
typedef struct {
    long count, tap[3], output[3];
} Seen;

static Seen seen_by(long position, long stride, long outputs)
{
    Seen seen = {0};
    for (long i = 0; i < 3; i++) {
        long from = position + PADDING - i;
        if (from >= 0 && from % stride == 0 && from / stride < outputs) {
            seen.tap[seen.count] = i;
            seen.output[seen.count++] = from / stride;
        }
    }
    return seen;
}

/* Gradient of the input from that of the output. Returns 0, or 1 when out of memory. */
int depthwise_backward_input(const float *gradient, const float *weight, long batch, long height,
                             long width, long channels, long stride, float *grad_x)
{
    long rows = strided(height, stride), columns = strided(width, stride);
    Seen *along = malloc((size_t)width * sizeof *along);
    if (!along)
        return 1;
    for (long w = 0; w < width; w++)
        along[w] = seen_by(w, stride, columns);
    const float *from[TAPS], *weights[TAPS];
    for (long image = 0; image < batch; image++)
        for (long h = 0; h < height; h++) {
            Seen down = seen_by(h, stride, rows);
            for (long w = 0; w < width; w++) {
                const Seen *across = along + w;
                long count = 0;
                for (long i = 0; i < down.count; i++)
                    for (long j = 0; j < across->count; j++) {
                        long row = image * rows + down.output[i];
                        from[count] = gradient + (row * columns + across->output[j]) * channels;
                        weights[count++] = weight + (3 * down.tap[i] + across->tap[j]) * channels;
                    }
                switch (count) { /* unrolled */
                case 1: sum_of(1, from, weights, channels, grad_x); break;
                case 2: sum_of(2, from, weights, channels, grad_x); break;
                case 4: sum_of(4, from, weights, channels, grad_x); break;
                case 6: sum_of(6, from, weights, channels, grad_x); break;
                case 9: sum_of(9, from, weights, channels, grad_x); break;
                default: sum_of(count, from, weights, channels, grad_x);
                }
                grad_x += channels;
            }
        }
    free(along);
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

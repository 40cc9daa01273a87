/* RPReLU, forward and backward, in one pass each.
 *
 * Tensors are [rows, channels] float32, contiguous (channels-last images, rows = N * H * W).
 */
#include <stdlib.h>
#include <string.h>

enum { BLOCK = 256 }; /* rows summed in float before adding to the total: keeps rounding small */

/* out = t + after where t = x + before is positive, else slope * t + after. */
void rprelu(const float *x, long rows, long channels, const float *restrict before,
            const float *restrict slope, const float *restrict after, float *out)
{
    for (long row = 0; row < rows; row++) {
        const float *restrict in = x + row * channels;
        float *restrict to = out + row * channels;
        for (long c = 0; c < channels; c++) {
            float t = in[c] + before[c];
            to[c] = (t > 0 ? t : slope[c] * t) + after[c];
        }
    }
}

/* Gradients of x and, summed over rows, of before, slope and after.
 *
 * Returns 0, or 1 when out of memory.
 */
int rprelu_backward(const float *gradient, const float *x, long rows, long channels,
                    const float *restrict before, const float *restrict slope, float *grad_x,
                    float *grad_before, float *grad_slope, float *grad_after)
{
    double *total = calloc(3 * (size_t)channels, sizeof *total);
    float *partial = malloc(3 * (size_t)channels * sizeof *partial);
    if (!total || !partial) {
        free(total);
        free(partial);
        return 1;
    }
    float *restrict shifts = partial, *restrict slopes = partial + channels;
    float *restrict sums = partial + 2 * channels;
    for (long start = 0; start < rows; start += BLOCK) {
        long end = start + BLOCK < rows ? start + BLOCK : rows;
        memset(partial, 0, 3 * (size_t)channels * sizeof *partial);
        for (long row = start; row < end; row++) {
            const float *restrict in = x + row * channels;
            const float *restrict from = gradient + row * channels;
            float *restrict to = grad_x + row * channels;
            for (long c = 0; c < channels; c++) {
                float t = in[c] + before[c], g = from[c];
                float inner = t > 0 ? g : slope[c] * g;
                to[c] = inner;
                shifts[c] += inner;
                slopes[c] += t > 0 ? 0 : g * t;
                sums[c] += g;
            }
        }
        for (long c = 0; c < 3 * channels; c++)
            total[c] += partial[c];
    }
    for (long c = 0; c < channels; c++) {
        grad_before[c] = (float)total[c];
        grad_slope[c] = (float)total[channels + c];
        grad_after[c] = (float)total[2 * channels + c];
    }
    free(total);
    free(partial);
    return 0;
}

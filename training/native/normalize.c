/* Batch normalisation, alone or followed by sign, in as few passes over memory as there can be.
 *
 * Tensors are [rows, channels] float32, contiguous (channels-last images, rows = N * H * W).
 * PyTorch's separate operators pass over memory about fifteen times for the same work with sign.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK = 256 }; /* rows summed in float before adding to the total: keeps rounding small */

/* Mean and biased variance of each channel. Returns 0, or 1 when out of memory. */
int channel_moments(const float *x, long rows, long channels, float *mean, float *variance)
{
    double *total = calloc(2 * (size_t)channels, sizeof *total);
    float *partial = malloc(2 * (size_t)channels * sizeof *partial);
    if (!total || !partial) {
        free(total);
        free(partial);
        return 1;
    }
    for (long start = 0; start < rows; start += BLOCK) {
        long end = start + BLOCK < rows ? start + BLOCK : rows;
        float *restrict sum = partial, *restrict square = partial + channels;
        memset(partial, 0, 2 * (size_t)channels * sizeof *partial);
        for (long row = start; row < end; row++) {
            const float *restrict in = x + row * channels;
            for (long c = 0; c < channels; c++) {
                sum[c] += in[c];
                square[c] += in[c] * in[c];
            }
        }
        for (long c = 0; c < 2 * channels; c++)
            total[c] += partial[c];
    }
    for (long c = 0; c < channels; c++) {
        double average = total[c] / rows;
        double spread = total[channels + c] / rows - average * average;
        mean[c] = (float)average;
        variance[c] = (float)(spread > 0 ? spread : 0);
    }
    free(total);
    free(partial);
    return 0;
}

/* out = +1 where x * scale + shift >= 0, else -1. */
void scale_sign(const float *x, long rows, long channels, const float *restrict scale,
                const float *restrict shift, float *out)
{
    for (long row = 0; row < rows; row++) {
        const float *restrict in = x + row * channels;
        float *restrict to = out + row * channels;
        for (long c = 0; c < channels; c++)
            to[c] = in[c] * scale[c] + shift[c] >= 0 ? 1.0f : -1.0f;
    }
}

/* out = x * scale + shift. */
void scale_shift(const float *x, long rows, long channels, const float *restrict scale,
                 const float *restrict shift, float *out)
{
    for (long row = 0; row < rows; row++) {
        const float *restrict in = x + row * channels;
        float *restrict to = out + row * channels;
        for (long c = 0; c < channels; c++)
            to[c] = in[c] * scale[c] + shift[c];
    }
}

/* Gradients of batch_norm(x) or, with ``sign``, of sign(batch_norm(x)) with slope max(0, 2 - 2|y|)
 * at the normalised y.
 *
 * inverse = 1 / sqrt(variance + eps); scale = gamma * inverse; shift = beta - mean * scale.
 * Writes the gradients of x, gamma and beta. Returns 0, or 1 when out of memory.
 */
static inline int backward(int sign, const float *gradient, const float *x, long rows,
                           long channels, const float *restrict mean,
                           const float *restrict inverse, const float *restrict scale,
                           const float *restrict shift, float *grad_x, float *grad_gamma,
                           float *grad_beta)
{
    double *total = calloc(2 * (size_t)channels, sizeof *total);
    float *partial = malloc(2 * (size_t)channels * sizeof *partial);
    if (!total || !partial) {
        free(total);
        free(partial);
        return 1;
    }
    float *restrict beta = partial, *restrict gamma = partial + channels;
    for (long start = 0; start < rows; start += BLOCK) {
        long end = start + BLOCK < rows ? start + BLOCK : rows;
        memset(partial, 0, 2 * (size_t)channels * sizeof *partial);
        for (long row = start; row < end; row++) {
            const float *restrict in = x + row * channels;
            const float *restrict from = gradient + row * channels;
            float *restrict to = grad_x + row * channels;
            for (long c = 0; c < channels; c++) {
                float inner = from[c];
                if (sign) {
                    float slope = 2 - 2 * fabsf(in[c] * scale[c] + shift[c]);
                    inner = slope > 0 ? slope * inner : 0;
                }
                to[c] = inner;
                beta[c] += inner;
                gamma[c] += inner * (in[c] - mean[c]) * inverse[c];
            }
        }
        for (long c = 0; c < 2 * channels; c++)
            total[c] += partial[c];
    }
    for (long c = 0; c < channels; c++) {
        grad_beta[c] = (float)total[c];
        grad_gamma[c] = (float)total[channels + c];
        beta[c] = (float)(total[c] / rows);
        gamma[c] = (float)(total[channels + c] / rows);
    }
    for (long row = 0; row < rows; row++) {
        const float *restrict in = x + row * channels;
        float *restrict to = grad_x + row * channels;
        for (long c = 0; c < channels; c++)
            to[c] = scale[c] * (to[c] - beta[c] - gamma[c] * (in[c] - mean[c]) * inverse[c]);
    }
    free(total);
    free(partial);
    return 0;
}

int normalize_sign_backward(const float *gradient, const float *x, long rows, long channels,
                            const float *mean, const float *inverse, const float *scale,
                            const float *shift, float *grad_x, float *grad_gamma, float *grad_beta)
{
    return backward(1, gradient, x, rows, channels, mean, inverse, scale, shift, grad_x,
                    grad_gamma, grad_beta);
}

int normalize_backward(const float *gradient, const float *x, long rows, long channels,
                       const float *mean, const float *inverse, const float *scale,
                       const float *shift, float *grad_x, float *grad_gamma, float *grad_beta)
{
    return backward(0, gradient, x, rows, channels, mean, inverse, scale, shift, grad_x,
                    grad_gamma, grad_beta);
}

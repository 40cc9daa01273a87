/* Batch normalisation and what follows it, in as few passes over memory as there can be.
 *
 * Tensors are [rows, channels] float32, contiguous (channels-last images, rows = N * H * W).
 * PyTorch's separate operators pass over memory about fifteen times for the same work with sign.
 * What was normalized is computed again where it is needed, and never stored.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define INLINE inline __attribute__((always_inline)) /* one loop for each value of ``then`` */

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

/* What follows the normalisation; the numbers are those of batch_normalization.py. */
enum { NOTHING, SIGN, RELU, LEVELS };

/* LEVELS: (clip(floor(y / step + before) + after, 0, top) - centre) * step. */
struct levels {
    float step, before, after, top, centre;
};

static INLINE float followed(int then, float y, const struct levels *levels)
{
    if (then == SIGN)
        return y >= 0 ? 1.0f : -1.0f;
    if (then == RELU)
        return y > 0 ? y : 0;
    if (then == LEVELS) {
        float code = floorf(y / levels->step + levels->before) + levels->after;
        code = code < 0 ? 0 : code;
        code = code > levels->top ? levels->top : code;
        return (code - levels->centre) * levels->step;
    }
    return y;
}

/* The gradient of y from that of what follows it. Sign has the slope max(0, 2 - 2|y|); levels let
 * the gradient pass between the lowest and the highest. */
static INLINE float passed(int then, float gradient, float y, const struct levels *levels)
{
    if (then == SIGN) {
        float slope = 2 - 2 * fabsf(y);
        return slope > 0 ? slope * gradient : 0;
    }
    if (then == RELU)
        return y > 0 ? gradient : 0;
    if (then == LEVELS) {
        float low = -levels->centre * levels->step;
        float high = (levels->top - levels->centre) * levels->step;
        return (y > low) & (y < high) ? gradient : 0;
    }
    return gradient;
}

static INLINE void forward(int then, const float *x, long rows, long channels,
                           const float *restrict scale, const float *restrict shift,
                           const struct levels *levels, float *out)
{
    struct levels own = *levels;
    for (long row = 0; row < rows; row++) {
        const float *restrict in = x + row * channels;
        float *restrict to = out + row * channels;
        for (long c = 0; c < channels; c++)
            to[c] = followed(then, in[c] * scale[c] + shift[c], &own);
    }
}

/* out = what follows x * scale + shift. */
void normalized(int then, const float *x, long rows, long channels, const float *scale,
                const float *shift, const struct levels *levels, float *out)
{
    switch (then) {
    case SIGN: forward(SIGN, x, rows, channels, scale, shift, levels, out); break;
    case RELU: forward(RELU, x, rows, channels, scale, shift, levels, out); break;
    case LEVELS: forward(LEVELS, x, rows, channels, scale, shift, levels, out); break;
    default: forward(NOTHING, x, rows, channels, scale, shift, levels, out);
    }
}

static INLINE int backward(int then, const float *gradient, const float *x, long rows,
                           long channels, const float *restrict mean,
                           const float *restrict inverse, const float *restrict scale,
                           const float *restrict shift, const struct levels *levels, float *grad_x,
                           float *grad_gamma, float *grad_beta, double *grad_step)
{
    struct levels own = *levels;
    double *total = calloc(3 * (size_t)channels, sizeof *total);
    float *partial = malloc(3 * (size_t)channels * sizeof *partial);
    if (!total || !partial) {
        free(total);
        free(partial);
        return 1;
    }
    float *restrict beta = partial, *restrict gamma = partial + channels;
    float *restrict step = partial + 2 * channels;
    for (long start = 0; start < rows; start += BLOCK) {
        long end = start + BLOCK < rows ? start + BLOCK : rows;
        memset(partial, 0, 3 * (size_t)channels * sizeof *partial);
        for (long row = start; row < end; row++) {
            const float *restrict in = x + row * channels;
            const float *restrict from = gradient + row * channels;
            for (long c = 0; c < channels; c++) {
                float y = in[c] * scale[c] + shift[c];
                float inner = passed(then, from[c], y, &own);
                beta[c] += inner;
                gamma[c] += inner * (in[c] - mean[c]) * inverse[c];
                if (then == LEVELS)
                    step[c] += from[c] * (followed(then, y, &own) - passed(then, 1, y, &own) * y);
            }
        }
        for (long c = 0; c < 3 * channels; c++)
            total[c] += partial[c];
    }
    *grad_step = 0;
    for (long c = 0; c < channels; c++) {
        grad_beta[c] = (float)total[c];
        grad_gamma[c] = (float)total[channels + c];
        *grad_step += total[2 * channels + c];
        beta[c] = (float)(total[c] / rows);
        gamma[c] = (float)(total[channels + c] / rows);
    }
    for (long row = rows; row-- > 0;) { /* backwards: the last rows are still in the cache */
        const float *restrict in = x + row * channels;
        const float *restrict from = gradient + row * channels;
        float *restrict to = grad_x + row * channels;
        for (long c = 0; c < channels; c++) {
            float inner = passed(then, from[c], in[c] * scale[c] + shift[c], &own);
            to[c] = scale[c] * (inner - beta[c] - gamma[c] * (in[c] - mean[c]) * inverse[c]);
        }
    }
    free(total);
    free(partial);
    return 0;
}

/* Gradients of the same over batch_norm(x): of x, gamma and beta, and the sum of
 * gradient * (level - y where it passes) over all values, 0 without levels.
 *
 * inverse = 1 / sqrt(variance + eps); scale = gamma * inverse; shift = beta - mean * scale.
 * Returns 0, or 1 when out of memory.
 */
int normalized_backward(int then, const float *gradient, const float *x, long rows, long channels,
                        const float *mean, const float *inverse, const float *scale,
                        const float *shift, const struct levels *levels, float *grad_x,
                        float *grad_gamma, float *grad_beta, double *grad_step)
{
#define BACKWARD(then)                                                                            \
    backward(then, gradient, x, rows, channels, mean, inverse, scale, shift, levels, grad_x,      \
             grad_gamma, grad_beta, grad_step)
    switch (then) {
    case SIGN: return BACKWARD(SIGN);
    case RELU: return BACKWARD(RELU);
    case LEVELS: return BACKWARD(LEVELS);
    default: return BACKWARD(NOTHING);
    }
#undef BACKWARD
}

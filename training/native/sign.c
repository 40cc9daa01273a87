/* Sign of any number of float32 values, and its gradient, in one pass each. */
#include <math.h>

/* out = +1 where x >= 0, else -1. */
void sign_values(const float *restrict x, long count, float *restrict out)
{
    for (long i = 0; i < count; i++)
        out[i] = x[i] >= 0 ? 1.0f : -1.0f;
}

/* The gradient times the slope max(0, 2 - 2|x|). */
void sign_values_backward(const float *restrict gradient, const float *restrict x, long count,
                          float *restrict out)
{
    for (long i = 0; i < count; i++) {
        float slope = 2 - 2 * fabsf(x[i]);
        out[i] = slope > 0 ? slope * gradient[i] : 0;
    }
}

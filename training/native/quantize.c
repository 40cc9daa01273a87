/* Quantization to equally spaced levels, forward and backward, in one pass each.
 *
 * Values are float32 [rows, count]; each row has its own step > 0, the distance of its levels.
 */

/* out = (clip(floor(x / step + before) + after, 0, top) - centre) * step */
void quantize_levels(const float *x, long rows, long count, const float *step, float before,
                     float after, float top, float centre, float *restrict out)
{
    for (long row = 0; row < rows; row++) {
        float distance = step[row];
        for (long i = 0; i < count; i++) {
            float code = __builtin_floorf(x[i] / distance + before) + after;
            code = code < 0 ? 0 : code;
            code = code > top ? top : code;
            out[i] = (code - centre) * distance;
        }
        x += count;
        out += count;
    }
}

enum { LANES = 16, BLOCK = 64 * LANES };

/* Straight through: the gradient passes where low * step < x < high * step; and for each row the
 * sum of gradient * (level - x where it passes). */
void quantize_levels_backward(const float *gradient, const float *x, const float *level, long rows,
                              long count, const float *step, float low, float high,
                              float *restrict grad_x, double *restrict sums)
{
    for (long row = 0; row < rows; row++) {
        float bottom = low * step[row], top = high * step[row];
        double total = 0;
        for (long start = 0; start < count; start += BLOCK) {
            long end = start + BLOCK < count ? start + BLOCK : count;
            float partial[LANES] = {0};
            long i = start;
            for (; i + LANES <= end; i += LANES)
                for (long lane = 0; lane < LANES; lane++) {
                    float value = x[i + lane], slope = gradient[i + lane];
                    int inside = (value > bottom) & (value < top);
                    grad_x[i + lane] = inside ? slope : 0;
                    partial[lane] += slope * (level[i + lane] - (inside ? value : 0));
                }
            for (; i < end; i++) {
                int inside = (x[i] > bottom) & (x[i] < top);
                grad_x[i] = inside ? gradient[i] : 0;
                total += gradient[i] * (level[i] - (inside ? x[i] : 0));
            }
            for (long lane = 0; lane < LANES; lane++)
                total += partial[lane];
        }
        sums[row] = total;
        gradient += count;
        x += count;
        level += count;
        grad_x += count;
    }
}

/* What a decoder does to each row between its products: norm and rotation. */

#include <math.h>

#include "vectors.h"

#define FEW (1 << 14) /* numbers: one thread has done them before another has begun */

INLINE void norm_row(const float *x, const void *weight, float *y, long width, float eps,
                     const int is_wide) {
    Floats sum = {};
    for (long i = 0; i < width; i += LANES) {
        long lanes = width - i < LANES ? width - i : LANES;
        Floats v = load(x + i, lanes);
        sum = fused(v, v, sum);
    }
    Floats scale = all(1 / sqrtf(total(sum) / width + eps));
    for (long i = 0; i < width; i += LANES) {
        long lanes = width - i < LANES ? width - i : LANES;
        Floats w = is_wide ? load((const float *)weight + i, lanes)
                           : widened((const uint16_t *)weight + i, lanes);
        store(y + i, load(x + i, lanes) * scale * w, lanes);
    }
}

/* y = x / sqrt(mean(x^2) + eps) * weight, rows of `width`; the weight is float32 or
   bfloat16. */
void rms_norm(const float *x, const void *weight, float *y, long rows, long width,
              float eps, int is_wide, int threads) {
#pragma omp parallel for num_threads(threads) if (rows * width > FEW)
    for (long row = 0; row < rows; row++)
        if (is_wide)
            norm_row(x + row * width, weight, y + row * width, width, eps, 1);
        else
            norm_row(x + row * width, weight, y + row * width, width, eps, 0);
}

/* x cos + rotate_half(x) sin in place, of the first `heads` of a row of `stride`
   numbers; sin with the sign of its first half turned. cos and sin are [rows, dim]. */
void rotate(float *x, const float *cos, const float *sin, long rows, long stride,
            long heads, long dim, int threads) {
    long half = dim / 2;
#pragma omp parallel for num_threads(threads) if (rows * heads * dim > FEW)
    for (long row = 0; row < rows; row++)
        for (long head = 0; head < heads; head++) {
            float *low = x + row * stride + head * dim, *high = low + half;
            const float *c = cos + row * dim, *s = sin + row * dim;
            for (long i = 0; i < half; i += LANES) {
                long lanes = half - i < LANES ? half - i : LANES;
                Floats a = load(low + i, lanes), b = load(high + i, lanes);
                Floats turned = load(s + i, lanes), other = load(s + half + i, lanes);
                store(low + i, fused(b, turned, a * load(c + i, lanes)), lanes);
                store(high + i, fused(a, other, b * load(c + half + i, lanes)), lanes);
            }
        }
}

/* What a decoder does to each row between its products: norm and rotation. Rows are
   float32 or (not `is_wide`) bfloat16; all is computed in float32. */

#include <math.h>

#include "vectors.h"

#define FEW (1 << 14) /* numbers: one thread has done them before another has begun */

INLINE void norm_row(const void *x, const void *weight, void *y, long at, long width,
                     float eps, const int is_wide, const int is_weight_wide) {
    Floats sum = {};
    for (long i = 0; i < width; i += LANES) {
        long lanes = width - i < LANES ? width - i : LANES;
        Floats v = get(x, at + i, lanes, is_wide);
        sum = fused(v, v, sum);
    }
    Floats scale = all(1 / sqrtf(total(sum) / width + eps));
    for (long i = 0; i < width; i += LANES) {
        long lanes = width - i < LANES ? width - i : LANES;
        Floats v = get(x, at + i, lanes, is_wide) * scale;
        if (!is_wide) v = rounded(v); /* as transformers' */
        put(y, at + i, v * get(weight, i, lanes, is_weight_wide), lanes, is_wide);
    }
}

/* y = x / sqrt(mean(x^2) + eps) * weight, rows of `width`; the weight may be bfloat16
   where the rows are float32. */
void rms_norm(const void *x, const void *weight, void *y, long rows, long width,
              float eps, int is_wide, int is_weight_wide, int threads) {
#pragma omp parallel for num_threads(threads) if (rows * width > FEW)
    for (long row = 0; row < rows; row++)
        if (!is_wide)
            norm_row(x, weight, y, row * width, width, eps, 0, 0);
        else if (is_weight_wide)
            norm_row(x, weight, y, row * width, width, eps, 1, 1);
        else
            norm_row(x, weight, y, row * width, width, eps, 1, 0);
}

INLINE void rotate_head(void *x, long low, const void *cos, const void *sin, long at,
                        long half, const int is_wide) {
    for (long i = 0; i < half; i += LANES) {
        long lanes = half - i < LANES ? half - i : LANES, high = low + half;
        Floats a = get(x, low + i, lanes, is_wide), b = get(x, high + i, lanes, is_wide);
        Floats turned = get(sin, at + i, lanes, is_wide);
        Floats other = get(sin, at + half + i, lanes, is_wide);
        Floats first = a * get(cos, at + i, lanes, is_wide);
        Floats second = b * get(cos, at + half + i, lanes, is_wide);
        put(x, low + i, fused(b, turned, first), lanes, is_wide);
        put(x, high + i, fused(a, other, second), lanes, is_wide);
    }
}

/* x cos + rotate_half(x) sin in place, of the first `heads` of a row of `stride`
   numbers; sin with the sign of its first half turned. cos and sin are [rows, dim]. */
void rotate(void *x, const void *cos, const void *sin, long rows, long stride,
            long heads, long dim, int is_wide, int threads) {
#pragma omp parallel for num_threads(threads) if (rows * heads * dim > FEW)
    for (long row = 0; row < rows; row++)
        for (long head = 0; head < heads; head++) {
            long low = row * stride + head * dim, at = row * dim;
            if (is_wide)
                rotate_head(x, low, cos, sin, at, dim / 2, 1);
            else
                rotate_head(x, low, cos, sin, at, dim / 2, 0);
        }
}

/* Vectors of float32: the compiler's own (GCC's vector extensions), as wide as the CPU's.

A product and a sum are fused by name, as GCC fuses some loops and others not, and a
row's bits would depend on its neighbours. */

#include <stdint.h>
#include <string.h>
#if defined(__FMA__)
#include <immintrin.h>
#elif defined(__ARM_NEON)
#include <arm_neon.h>
#endif

#ifdef LANES /* the tests compute with each */
#elif defined(__AVX512F__)
#define LANES 16
#elif defined(__AVX__)
#define LANES 8
#else
#define LANES 4
#endif
#define INLINE static inline __attribute__((always_inline))

typedef float Floats __attribute__((vector_size(4 * LANES)));
typedef uint32_t Words __attribute__((vector_size(4 * LANES)));
typedef int32_t Ints __attribute__((vector_size(4 * LANES)));
typedef uint16_t Halves __attribute__((vector_size(2 * LANES)));

INLINE Floats all(float x) { return x - (Floats){}; } /* x + 0 is not always x */

/* `lanes` of LANES numbers, mostly all: then it is one instruction, and else a call. */
INLINE void copy(void *to, const void *from, long lanes, const int bytes) {
    if (lanes == LANES)
        memcpy(to, from, LANES * bytes);
    else
        memcpy(to, from, lanes * bytes);
}

/* The first `lanes`; the rest is zero. */
INLINE Floats load(const float *from, long lanes) {
    Floats v = {};
    copy(&v, from, lanes, 4);
    return v;
}
/* Of bfloat16: each is the upper half of a float32. */
INLINE Floats widened(const uint16_t *from, long lanes) {
    Halves half = {};
    copy(&half, from, lanes, 2);
#if LANES == 16 && defined(__AVX512F__) /* GCC makes five instructions of one here */
    return (Floats)((Words)_mm512_cvtepu16_epi32((__m256i)half) << 16);
#elif LANES == 8 && defined(__AVX2__)
    return (Floats)((Words)_mm256_cvtepu16_epi32((__m128i)half) << 16);
#else
    return (Floats)(__builtin_convertvector(half, Words) << 16);
#endif
}
INLINE void store(float *to, Floats v, long lanes) { copy(to, &v, lanes, 4); }

/* The nearest bfloat16 in the upper half, of two the even one; the rest is not zero. */
INLINE Words nearest(Floats v) {
    Words bits = (Words)v, nan = (Words)(v != v);
    bits += ((bits >> 16) & 1) + 0x7fff;
    return (bits & ~nan) | (0x7fc00000u & nan);
}
INLINE Floats rounded(Floats v) { return (Floats)(nearest(v) & 0xffff0000u); }

/* Numbers from `at` on, float32 or (not `is_wide`) bfloat16. */
INLINE Floats get(const void *from, long at, long lanes, const int is_wide) {
    return is_wide ? load((const float *)from + at, lanes)
                   : widened((const uint16_t *)from + at, lanes);
}
INLINE void put(void *to, long at, Floats v, long lanes, const int is_wide) {
    Halves half = __builtin_convertvector(nearest(v) >> 16, Halves);
    if (is_wide)
        store((float *)to + at, v, lanes);
    else
        copy((uint16_t *)to + at, &half, lanes, 2);
}

/* a * b + c, rounded once where the CPU can. */
INLINE Floats fused(Floats a, Floats b, Floats c) {
#if LANES == 16 && defined(__AVX512F__)
    return (Floats)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
#elif LANES == 8 && defined(__FMA__)
    return (Floats)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
#elif LANES == 4 && defined(__FMA__)
    return (Floats)_mm_fmadd_ps((__m128)a, (__m128)b, (__m128)c);
#elif LANES == 4 && defined(__ARM_NEON)
    return (Floats)vfmaq_f32((float32x4_t)c, (float32x4_t)a, (float32x4_t)b);
#else
    return a * b + c;
#endif
}

INLINE Floats choose(Ints yes, Floats a, Floats b) {
    return (Floats)(((Words)a & (Words)yes) | ((Words)b & ~(Words)yes));
}
INLINE float total(Floats v) {
    float sums[LANES];
    memcpy(sums, &v, sizeof v);
    for (int n = LANES / 2; n; n /= 2)
        for (int i = 0; i < n; i++) sums[i] += sums[i + n];
    return sums[0];
}
INLINE float largest(Floats v) {
    float most = v[0];
    for (int i = 1; i < LANES; i++) most = v[i] > most ? v[i] : most;
    return most;
}

/* e^x to a few units of the last place: Cephes' expf. What is no number stays none. */
INLINE Floats exponential(Floats x) {
    Floats least = all(-87.3f), most = all(88.7f), round = all(12582912.f); /* 1.5 * 2^23 */
    x = choose(x < least, least, x);
    x = choose(x > most, most, x);
    Floats n = fused(x, all(1.44269504f), round) - round;
    Floats r = fused(n, all(-0.693359375f), x);
    r = fused(n, all(2.12194440e-4f), r);
    Floats p = fused(r, all(1.9875691500e-4f), all(1.3981999507e-3f));
    p = fused(p, r, all(8.3334519073e-3f));
    p = fused(p, r, all(4.1665795894e-2f));
    p = fused(p, r, all(1.6666665459e-1f));
    p = fused(p, r, all(5.0000001201e-1f));
    p = fused(p * r, r, r + 1.f);
    return p * (Floats)((__builtin_convertvector(n, Ints) + 127) << 23);
}

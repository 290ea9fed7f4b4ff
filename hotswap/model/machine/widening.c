/* Products of float32 rows with bfloat16 weights, and merging such weights.

Weights of 16 bits are half the bytes of a decoding step. They are widened in
registers (a bfloat16 is the upper half of a float32) and multiplied and summed in
float32. Each sum runs over the inputs in their order, whatever the number of rows and
of threads: a row's result never depends on who shares its step.

A weight [out, in] is packed in panels of BLOCK outputs, [out / BLOCK, in, BLOCK], the
last one filled up with zeros, so that a step streams it once. In 32 bits of a panel
lie output i below and output i + LANES above: a shift and a mask widen both.
 */

#include "vectors.h"

#ifdef MOST /* the tests compute with each */
#elif LANES == 16 || defined(__ARM_NEON)
#define MOST 12 /* rows of a tile: two sums each, in half to all of the registers */
#else
#define MOST 6
#endif
#define BLOCK (2 * LANES)
#define AHEAD (1 << 10)      /* bytes: what a CPU fetches by itself ends at a page */
#define CHUNK (256 << 10)    /* bytes of rows that stay in a core's cache */

enum { NONE, SILU, ADD, MUL };

typedef struct {
    const float *x;        /* [rows, in] */
    const uint16_t *w;     /* packed */
    const uint16_t *bias;  /* [out] bfloat16 or NULL */
    const float *other;    /* [rows, out] of ADD and MUL */
    float *y;              /* [rows, out] */
    long rows, in, out;
    int then;
} Product;

int block(void) { return BLOCK; }

INLINE Floats lower(Words both) { return (Floats)(both << 16); }
INLINE Floats upper(Words both) { return (Floats)(both & 0xffff0000u); }
INLINE Words words(const uint16_t *from) {
    Words both;
    memcpy(&both, from, sizeof both);
    return both;
}

/* What follows the sums of `LANES` outputs from `o` on. */
INLINE void finish(const Product *p, long row, long o, Floats v) {
    long lanes = p->out - o < LANES ? p->out - o : LANES;
    if (lanes <= 0) return;
    if (p->bias) v += widened(p->bias + o, lanes);
    if (p->then == SILU) v /= exponential(-v) + 1.f;
    if (p->then == ADD) v += load(p->other + row * p->out + o, lanes);
    if (p->then == MUL) v *= load(p->other + row * p->out + o, lanes);
    store(p->y + row * p->out + o, v, lanes);
}

INLINE void tile(const Product *p, const int rows, const int panels, long row,
                 long panel) {
    const float *x = p->x + row * p->in;
    const uint16_t *w = p->w + panel * p->in * BLOCK;
    Floats sums[2 * MOST * 4];
    /* What `finish` reads and writes lies a row apart, in as many pages: asked for now,
       it is there when the sums are. */
#pragma GCC unroll 16
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 8
        for (int n = 0; n < 2 * panels; n++) {
            long at = (row + r) * p->out + panel * BLOCK + n * LANES;
            __builtin_prefetch(p->y + at, 1);
            if (p->other) __builtin_prefetch(p->other + at);
        }
#pragma GCC unroll 32
    for (int i = 0; i < 2 * rows * panels; i++) sums[i] = (Floats){};
    for (long k = 0; k < p->in; k++) {
#pragma GCC unroll 4
        for (int n = 0; n < panels; n++) {
            const uint16_t *from = w + (n * p->in + k) * BLOCK;
            Words both = words(from);
            __builtin_prefetch((const char *)from + AHEAD);
#pragma GCC unroll 16
            for (int r = 0; r < rows; r++) {
                sums[2 * (r * panels + n)] += x[r * p->in + k] * lower(both);
                sums[2 * (r * panels + n) + 1] += x[r * p->in + k] * upper(both);
            }
        }
    }
#pragma GCC unroll 16
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 8
        for (int n = 0; n < 2 * panels; n++)
            finish(p, row + r, panel * BLOCK + n * LANES, sums[2 * r * panels + n]);
}

typedef void Tile(const Product *, long row, long panel);
#define TILE(rows, panels)                                                          \
    static void tile_##rows##_##panels(const Product *p, long row, long panel) {    \
        tile(p, rows, panels, row, panel);                                          \
    }
/* Few rows take several panels, for enough sums that do not wait for each other. */
TILE(1, 4) TILE(2, 2)
TILE(1, 1) TILE(2, 1) TILE(3, 1) TILE(4, 1) TILE(5, 1) TILE(6, 1)
#if MOST > 6
TILE(7, 1) TILE(8, 1) TILE(9, 1) TILE(10, 1) TILE(11, 1) TILE(12, 1)
#endif
static Tile *const TILES[] = {
    0, tile_1_1, tile_2_1, tile_3_1, tile_4_1, tile_5_1, tile_6_1,
#if MOST > 6
    tile_7_1, tile_8_1, tile_9_1, tile_10_1, tile_11_1, tile_12_1,
#endif
};

/* Panels [first, last) for rows [row, end). */
static void panels_of(const Product *p, long row, long end, long first, long last) {
    if (end - row == 1)
        for (; first + 4 <= last; first += 4) tile_1_4(p, row, first);
    if (end - row == 2)
        for (; first + 2 <= last; first += 2) tile_2_2(p, row, first);
    for (; first < last; first++)
        for (long r = row; r < end; r += MOST)
            TILES[end - r < MOST ? end - r : MOST](p, r, first);
}

void linear(const float *x, const uint16_t *w, const uint16_t *bias,
            const float *other, float *y, long rows, long in, long out, int then,
            int threads) {
    const Product p = {x, w, bias, other, y, rows, in, out, then};
    long panels = (out + BLOCK - 1) / BLOCK, chunk = CHUNK / 4 / in / MOST * MOST;
    if (chunk < MOST) chunk = MOST;
    long group = rows == 1 ? 4 : rows == 2 ? 2 : 1;
    /* Dynamic: on a busy machine one thread gets less done than the other. */
#pragma omp parallel num_threads(threads)
    for (long row = 0; row < rows; row += chunk)
#pragma omp for schedule(dynamic) nowait
        for (long first = 0; first < panels; first += group) {
            long end = row + chunk < rows ? row + chunk : rows;
            long last = first + group < panels ? first + group : panels;
            panels_of(&p, row, end, first, last);
        }
}

/* [out, in] bfloat16 to panels. */
void pack(const uint16_t *w, uint16_t *packed, long in, long out, int threads) {
    long panels = (out + BLOCK - 1) / BLOCK;
#pragma omp parallel for num_threads(threads)
    for (long panel = 0; panel < panels; panel++)
        for (long k = 0; k < in; k++)
            for (long n = 0; n < BLOCK; n++) {
                long o = panel * BLOCK + n / 2 + n % 2 * LANES;
                packed[(panel * in + k) * BLOCK + n] = o < out ? w[o * in + k] : 0;
            }
}

INLINE void merge_tile(const int columns, const uint16_t *golden, const float *a,
                       const float *b, float scale, uint16_t *out, long rank) {
    Floats sums[2 * MOST];
#pragma GCC unroll 32
    for (int i = 0; i < 2 * columns; i++) sums[i] = (Floats){};
    for (long r = 0; r < rank; r++) {
        Floats low = load(b + r * BLOCK, LANES), high = load(b + r * BLOCK + LANES, LANES);
#pragma GCC unroll 16
        for (int k = 0; k < columns; k++) {
            sums[2 * k] += a[k * rank + r] * low;
            sums[2 * k + 1] += a[k * rank + r] * high;
        }
    }
#pragma GCC unroll 16
    for (int k = 0; k < columns; k++) {
        Words both = words(golden + k * BLOCK);
        Words low = nearest(lower(both) + scale * sums[2 * k]);
        Words high = nearest(upper(both) + scale * sums[2 * k + 1]);
        both = (low >> 16) | (high & 0xffff0000u);
        memcpy(out + k * BLOCK, &both, sizeof both);
    }
}

/* round(golden + scale * b a) to `out`, both whole panels; a [in, rank], b
   [panels, rank, BLOCK]. */
void merge(const uint16_t *golden, const float *a, const float *b, float scale,
           uint16_t *out, long panels, long in, long rank, int threads) {
#pragma omp parallel for num_threads(threads) schedule(dynamic)
    for (long panel = 0; panel < panels; panel++) {
        const float *factor = b + panel * rank * BLOCK;
        long start = panel * in * BLOCK, k = 0;
        for (; k + MOST <= in; k += MOST)
            merge_tile(MOST, golden + start + k * BLOCK, a + k * rank, factor, scale,
                       out + start + k * BLOCK, rank);
        for (; k < in; k++)
            merge_tile(1, golden + start + k * BLOCK, a + k * rank, factor, scale,
                       out + start + k * BLOCK, rank);
    }
}

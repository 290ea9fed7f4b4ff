/* LoRA of many adapters in one step: each row runs through its own adapter alone.

    y[row] += (x[row] A[j]) B[j]    for j in [start, stop) of the row's adapter

A [rank rows, in] and B [rank rows, out] are all adapters' under each other, float32;
the SGMV of Punica (Chen et al. 2023), for a CPU. A number of a row depends on that row
and its adapter alone: each sum has one order, whatever the rows beside it and the
number of threads. */

#include "vectors.h"

#define RANKS 4 /* of a tile of shrink: as many sums for each row */
#define WIDE 4  /* vectors of a tile of expand: likewise */
#define CHUNK (8 * WIDE * LANES) /* outputs that a thread takes at once */

typedef struct {
    const float *x, *a, *b; /* [rows, in], [ranks, in], [ranks, out] */
    float *y, *h;           /* [rows, out], [rows, most ranks of an adapter] */
    long in, out, most;
} Lora;

/* One row or two, one behind the other, of the adapter with ranks [start, stop). */
typedef struct {
    int row, rows, start, stop;
} Unit;

INLINE void shrink_lanes(const Lora *p, const int rows, const int ranks, const float *x,
                         const float *a, long lanes, Floats *sums) {
#pragma GCC unroll 4
    for (int i = 0; i < ranks; i++) {
        Floats factor = load(a + i * p->in, lanes);
#pragma GCC unroll 2
        for (int r = 0; r < rows; r++)
            sums[r * ranks + i] =
                fused(load(x + r * p->in, lanes), factor, sums[r * ranks + i]);
    }
}

/* `ranks` of h from `j` on. */
INLINE void shrink_tile(const Lora *p, const int rows, const int ranks, Unit u, long j) {
    const float *x = p->x + u.row * p->in, *a = p->a + j * p->in;
    Floats sums[2 * RANKS];
#pragma GCC unroll 8
    for (int i = 0; i < rows * ranks; i++) sums[i] = (Floats){};
    long k = 0;
    for (; k + LANES <= p->in; k += LANES)
        shrink_lanes(p, rows, ranks, x + k, a + k, LANES, sums);
    if (k < p->in) shrink_lanes(p, rows, ranks, x + k, a + k, p->in - k, sums);
#pragma GCC unroll 2
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 4
        for (int i = 0; i < ranks; i++)
            p->h[(u.row + r) * p->most + j + i - u.start] = total(sums[r * ranks + i]);
}

static void shrink(const Lora *p, Unit u) {
    long j = u.start;
    for (; j + RANKS <= u.stop; j += RANKS)
        u.rows == 2 ? shrink_tile(p, 2, RANKS, u, j) : shrink_tile(p, 1, RANKS, u, j);
    for (; j < u.stop; j++)
        u.rows == 2 ? shrink_tile(p, 2, 1, u, j) : shrink_tile(p, 1, 1, u, j);
}

/* `wide` vectors of y from output `o` on, the last of so many lanes. */
INLINE void expand_tile(const Lora *p, const int rows, const int wide, Unit u, long o,
                        long lanes) {
    const float *h = p->h + u.row * p->most, *b = p->b + u.start * p->out + o;
    float *y = p->y + u.row * p->out + o;
    long ranks = u.stop - u.start;
    Floats sums[2 * WIDE];
#pragma GCC unroll 8
    for (int i = 0; i < rows * wide; i++) sums[i] = (Floats){};
    for (long j = 0; j < ranks; j++)
#pragma GCC unroll 4
        for (int i = 0; i < wide; i++) {
            Floats factor = load(b + j * p->out + i * LANES, lanes);
#pragma GCC unroll 2
            for (int r = 0; r < rows; r++) {
                Floats own = all(h[r * p->most + j]);
                sums[r * wide + i] = fused(own, factor, sums[r * wide + i]);
            }
        }
#pragma GCC unroll 2
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 4
        for (int i = 0; i < wide; i++) {
            float *to = y + r * p->out + i * LANES;
            store(to, load(to, lanes) + sums[r * wide + i], lanes);
        }
}

static void expand(const Lora *p, Unit u, long o, long end) {
    const int two = u.rows == 2;
    for (; o + WIDE * LANES <= end; o += WIDE * LANES)
        two ? expand_tile(p, 2, WIDE, u, o, LANES) : expand_tile(p, 1, WIDE, u, o, LANES);
    for (; o + LANES <= end; o += LANES)
        two ? expand_tile(p, 2, 1, u, o, LANES) : expand_tile(p, 1, 1, u, o, LANES);
    if (o < end)
        two ? expand_tile(p, 2, 1, u, o, end - o) : expand_tile(p, 1, 1, u, o, end - o);
}

/* Mutates y and h. Rows that are in no unit have no adapter. */
void lora_add(const float *x, const float *a, const float *b, float *y, float *h,
              const Unit *units, long count, long in, long out, long most,
              int threads) {
    const Lora p = {x, a, b, y, h, in, out, most};
    long chunks = (out + CHUNK - 1) / CHUNK;
#pragma omp parallel num_threads(threads)
    {
#pragma omp for schedule(dynamic)
        for (long n = 0; n < count; n++) shrink(&p, units[n]);
#pragma omp for schedule(dynamic)
        for (long chunk = 0; chunk < chunks; chunk++) {
            long o = chunk * CHUNK, end = o + CHUNK < out ? o + CHUNK : out;
            for (long n = 0; n < count; n++) expand(&p, units[n], o, end);
        }
    }
}

/* LoRA of many adapters in one step: each row runs through its own adapter alone.

    y[row] += (x[row] A[j]) B[j]    for j in [start, stop) of the row's adapter

A [rank rows, in] and B [rank rows, out] are all adapters' under each other; bfloat16 is
widened in registers. The SGMV of Punica (Chen et al. 2023), for a CPU.
A number of a row depends on that row and its adapter alone: each sum has one order,
whatever the rows beside it and the number of threads. */

#include "vectors.h"

#define ROWS 6  /* of a unit, as in segmented.py: they share what is read of A and B */
#define RANKS 4 /* of a tile of shrink: as many sums for each row; of many rows FEW */
#define WIDE 4  /* vectors of a tile of expand: likewise */
#define FEW 2
#define CHUNK (4 * WIDE * LANES) /* outputs that a thread takes at once */

enum { NONE, SILU, MUL };
enum { NARROW, ROWS_WIDE, WIDE_ALL }; /* `type`: what is float32, else bfloat16 */

typedef struct {
    const void *a, *b; /* [ranks, in], [ranks, out] */
    long in, out;
} Factors;

/* Rows of one adapter, wherever they are in the step: its ranks [start, stop) make the
   outputs [first, last). They are none where a row has no adapter for these. */
typedef struct {
    int row[ROWS];
    int rows, start, stop, first, last, column; /* of h */
} Unit;

typedef struct {
    const Unit *units; /* first those with ranks, as many as are `busy` */
    float *h;          /* [rows, most ranks of a row] */
    long busy, count, most;
} Segments;

typedef struct {
    const void *x, *a, *b, *other; /* x [rows, in]; other [rows, out] of MUL */
    void *y;                       /* [rows, out] */
    float *h;
    long in, out, most;
    int then;
} Lora;

/* What the next tile reads lies a row of A or of B apart, in as many pages. */
INLINE void ask(const void *from, long at, const int type) {
    __builtin_prefetch((const char *)from + at * (type == WIDE_ALL ? 4 : 2));
}

INLINE void shrink_lanes(const Lora *p, const int type, const int rows, const int ranks,
                         const long *x, long j, long k, long lanes, Floats *sums) {
    Floats factor[RANKS];
#pragma GCC unroll 4
    for (int i = 0; i < ranks; i++) {
        long at = (j + i) * p->in + k;
        ask(p->a, at + ranks * p->in, type);
        factor[i] = get(p->a, at, lanes, type == WIDE_ALL);
    }
#pragma GCC unroll 6
    for (int r = 0; r < rows; r++) {
        Floats own = get(p->x, x[r] + k, lanes, type != NARROW);
#pragma GCC unroll 4
        for (int i = 0; i < ranks; i++)
            sums[r * ranks + i] = fused(own, factor[i], sums[r * ranks + i]);
    }
}

/* `ranks` of h from `j` on. */
INLINE void shrink_tile(const Lora *p, const int type, const int rows, const int ranks,
                        const Unit *u, long j) {
    long x[ROWS];
    Floats sums[ROWS * RANKS];
#pragma GCC unroll 6
    for (int r = 0; r < rows; r++) x[r] = u->row[r] * p->in;
#pragma GCC unroll 12
    for (int i = 0; i < rows * ranks; i++) sums[i] = (Floats){};
    long k = 0;
    for (; k + LANES <= p->in; k += LANES)
        shrink_lanes(p, type, rows, ranks, x, j, k, LANES, sums);
    if (k < p->in) shrink_lanes(p, type, rows, ranks, x, j, k, p->in - k, sums);
#pragma GCC unroll 6
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 4
        for (int i = 0; i < ranks; i++)
            p->h[u->row[r] * p->most + u->column + j + i - u->start] =
                total(sums[r * ranks + i]);
}

INLINE void shrink_rows(const Lora *p, const int type, const int rows, const Unit *u) {
    const int ranks = rows > ROWS / 2 ? FEW : RANKS;
    long j = u->start;
    for (; j + ranks <= u->stop; j += ranks) shrink_tile(p, type, rows, ranks, u, j);
    for (; j < u->stop; j++) shrink_tile(p, type, rows, 1, u, j);
}

INLINE void shrink_unit(const Lora *p, const int type, const Unit *u) {
    switch (u->rows) {
    case 1: shrink_rows(p, type, 1, u); break;
    case 2: shrink_rows(p, type, 2, u); break;
    case 3: shrink_rows(p, type, 3, u); break;
    case 4: shrink_rows(p, type, 4, u); break;
    case 5: shrink_rows(p, type, 5, u); break;
    default: shrink_rows(p, type, ROWS, u);
    }
}

static void shrink(const Lora *p, const int type, const Unit *u) {
    switch (type) {
    case NARROW: shrink_unit(p, NARROW, u); break;
    case ROWS_WIDE: shrink_unit(p, ROWS_WIDE, u); break;
    default: shrink_unit(p, WIDE_ALL, u);
    }
}

/* `count` vectors of y from output `o` on, the last of so many lanes. */
INLINE void expand_tile(const Lora *p, const int type, const int rows, const int count,
                        const Unit *u, long o, long lanes) {
    const float *h[ROWS];
    long ranks = u->stop - u->start;
    Floats sums[ROWS * WIDE];
#pragma GCC unroll 6
    for (int r = 0; r < rows; r++) h[r] = p->h + u->row[r] * p->most + u->column;
#pragma GCC unroll 12
    for (int i = 0; i < rows * count; i++) sums[i] = (Floats){};
    for (long j = 0; j < ranks; j++) {
        Floats factor[WIDE];
#pragma GCC unroll 4
        for (int i = 0; i < count; i++) {
            long at = (u->start + j) * p->out + o + i * LANES;
            ask(p->b, at + count * LANES, type);
            factor[i] = get(p->b, at, lanes, type == WIDE_ALL);
        }
#pragma GCC unroll 6
        for (int r = 0; r < rows; r++) {
            Floats own = all(h[r][j]);
#pragma GCC unroll 4
            for (int i = 0; i < count; i++)
                sums[r * count + i] = fused(own, factor[i], sums[r * count + i]);
        }
    }
#pragma GCC unroll 6
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 4
        for (int i = 0; i < count; i++) {
            long at = u->row[r] * p->out + o + i * LANES;
            Floats v = get(p->y, at, lanes, type != NARROW) + sums[r * count + i];
            if (p->then == SILU) v /= exponential(-v) + 1.f;
            if (p->then == MUL) v *= get(p->other, at, lanes, type != NARROW);
            put(p->y, at, v, lanes, type != NARROW);
        }
}

INLINE void expand_rows(const Lora *p, const int type, const int rows, const Unit *u,
                        long o, long end) {
    const int count = rows > ROWS / 2 ? FEW : WIDE;
    for (; o + count * LANES <= end; o += count * LANES)
        expand_tile(p, type, rows, count, u, o, LANES);
    for (; o < end; o += LANES)
        expand_tile(p, type, rows, 1, u, o, end - o < LANES ? end - o : LANES);
}

INLINE void expand_unit(const Lora *p, const int type, const Unit *u, long o, long end) {
    switch (u->rows) {
    case 1: expand_rows(p, type, 1, u, o, end); break;
    case 2: expand_rows(p, type, 2, u, o, end); break;
    case 3: expand_rows(p, type, 3, u, o, end); break;
    case 4: expand_rows(p, type, 4, u, o, end); break;
    case 5: expand_rows(p, type, 5, u, o, end); break;
    default: expand_rows(p, type, ROWS, u, o, end);
    }
}

/* What the unit makes of the outputs [o, end). */
static void expand(const Lora *p, const int type, const Unit *u, long o, long end) {
    if (o < u->first) o = u->first;
    if (end > u->last) end = u->last;
    switch (type) {
    case NARROW: expand_unit(p, NARROW, u, o, end); break;
    case ROWS_WIDE: expand_unit(p, ROWS_WIDE, u, o, end); break;
    default: expand_unit(p, WIDE_ALL, u, o, end);
    }
}

/* Mutates y and the h of `s`. Outputs that are in no unit stay as they are. */
void lora_add(const void *x, void *y, const void *other, const Factors *f,
              const Segments *s, int type, int then, int threads) {
    const Lora p = {x, f->a, f->b, other, y, s->h, f->in, f->out, s->most, then};
    long chunks = (p.out + CHUNK - 1) / CHUNK;
    long count = then == NONE ? s->busy : s->count;
#pragma omp parallel num_threads(threads)
    {
#pragma omp for schedule(dynamic)
        for (long n = 0; n < s->busy; n++) shrink(&p, type, s->units + n);
#pragma omp for schedule(dynamic)
        for (long chunk = 0; chunk < chunks; chunk++) {
            long o = chunk * CHUNK, end = o + CHUNK < p.out ? o + CHUNK : p.out;
            for (long n = 0; n < count; n++) expand(&p, type, s->units + n, o, end);
        }
    }
}

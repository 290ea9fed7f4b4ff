/* One tile of queries and one chunk of positions: for block_attention.c.

A score is a sum over broadcast numbers of the query, sixteen keys beside each other, and
what comes of the values likewise; nothing is summed across a vector but the softmax's. */

#include <math.h>

#include "vectors.h"

#define BLOCK 16 /* tokens */
#define VECTORS (BLOCK / LANES)
#define CHUNK (8 * BLOCK)
#define MOST 6 /* queries of a tile */
#define TILES 8 /* that share what is read of a chunk */

typedef struct {
    char *keys, *values;
    long kv_heads, dim, value_dim, wide, is_wide; /* `wide`: value_dim in whole BLOCKs */
} Arena;

/* Some tokens of one job: rows of the step, positions, where its table begins. */
typedef struct {
    int row, tokens, position, table;
} Piece;

typedef struct {
    const int *tables, *to; /* blocks of all jobs; block * BLOCK + offset of each row */
    const Piece *pieces;
    long rows, count;
} Layout;

typedef struct {
    const char *q, *k, *v; /* [rows, heads, dim], of the arena's type */
    char *out;             /* [rows, heads, value_dim] */
    const Arena *arena;
    const Layout *layout;
    long heads, q_row, k_row, v_row, window; /* `..._row`: numbers from row to row */
    float scaling;
} Attention;

typedef struct {
    const float *q[MOST];
    float *sums[MOST];
    long position[MOST], to[MOST]; /* of the queries, of their result */
    float most[MOST], sum[MOST];
    float scores[MOST][CHUNK];
} Tile;

/* sums[n][BLOCK] += what `count` numbers of each a[n] make of rows of BLOCK numbers.
   Asks for what is read next, a row of each with every number. */
INLINE void multiply(const int n, const int is_wide, const float *const *a, const char *b,
                     long stride, long count, Floats *sums, const char *next,
                     const char *then) {
    const int bytes = is_wide ? 4 * BLOCK : 2 * BLOCK;
    for (long i = 0; i < count; i++) {
        Floats row[VECTORS];
        if (next) __builtin_prefetch(next + i * bytes);
        if (then) __builtin_prefetch(then + i * bytes);
#pragma GCC unroll 4
        for (int v = 0; v < VECTORS; v++)
            row[v] = get(b, i * stride + v * LANES, LANES, is_wide);
#pragma GCC unroll 6
        for (int q = 0; q < n; q++) {
            Floats own = all(a[q][i]);
#pragma GCC unroll 4
            for (int v = 0; v < VECTORS; v++)
                sums[q * VECTORS + v] = fused(own, row[v], sums[q * VECTORS + v]);
        }
    }
}

/* Of the BLOCK positions from `first` on; what a query does not see is -inf. */
INLINE void scores_of_block(const Attention *p, const int n, const int is_wide, Tile *t,
                            const char *keys, long first, long at, const char *next,
                            const char *then) {
    Floats sums[MOST * VECTORS];
#pragma GCC unroll 24
    for (int i = 0; i < n * VECTORS; i++) sums[i] = (Floats){};
    multiply(n, is_wide, t->q, keys, BLOCK, p->arena->dim, sums, next, then);
#pragma GCC unroll 6
    for (int q = 0; q < n; q++)
#pragma GCC unroll 4
        for (int v = 0; v < VECTORS; v++)
            store(t->scores[q] + at + v * LANES, sums[q * VECTORS + v] * p->scaling,
                  LANES);
    if (first + BLOCK <= t->position[0] + 1 && !p->window) return; /* all is seen */
    for (int q = 0; q < n; q++) {
        long end = t->position[q] + 1 - first, begin = p->window ? end - p->window : 0;
        float *to = t->scores[q] + at;
        for (long i = end < 0 ? 0 : end; i < BLOCK; i++) to[i] = -INFINITY;
        for (long i = 0; i < begin && i < BLOCK; i++) to[i] = -INFINITY;
    }
}

/* Scores become weights; what was summed before is worth `factor` now. */
INLINE float soften(Tile *t, int q, long width) {
    float *s = t->scores[q];
    Floats most = all(t->most[q]), sum = {};
    for (long i = 0; i < width; i += LANES) {
        Floats v = load(s + i, LANES);
        most = choose(v > most, v, most);
    }
    float now = largest(most);
    for (long i = 0; i < width; i += LANES) {
        Floats v = load(s + i, LANES), seen = exponential(v - now);
        seen = choose(v == all(-INFINITY), (Floats){}, seen);
        sum += seen;
        store(s + i, seen, LANES);
    }
    Floats factor = exponential(all(t->most[q] - now));
    t->sum[q] = fused(all(t->sum[q]), factor, all(total(sum)))[0];
    t->most[q] = now;
    return factor[0];
}

/* The chunk of positions from `start` on, one tile. */
INLINE void attend_chunk(const Attention *p, const int n, const int is_wide, Tile *t,
                         const int *table, long head, long start) {
    long limit = t->position[n - 1] + 1;
    long end = start + CHUNK < limit ? start + CHUNK : limit;
    long blocks = (end - start + BLOCK - 1) / BLOCK;
    const char *keys[CHUNK / BLOCK + 1], *values[CHUNK / BLOCK];
    const Arena *arena = p->arena;
    const int bytes = is_wide ? 4 : 2;
    for (long b = 0; b < blocks; b++) {
        long place = (table[start / BLOCK + b] * arena->kv_heads + head) * BLOCK * bytes;
        keys[b] = arena->keys + place * arena->dim;
        values[b] = arena->values + place * arena->wide;
    }
    keys[blocks] = 0;
    /* A decoding row waits for memory; tiles of a prompt find a chunk in the cache. */
    const int ahead = n < MOST;
    for (long b = 0; b < blocks; b++)
        scores_of_block(p, n, is_wide, t, keys[b], start + b * BLOCK, b * BLOCK,
                        ahead ? keys[b + 1] : 0, ahead ? values[b] : 0);
    float factor[MOST];
    for (int q = 0; q < n; q++) factor[q] = soften(t, q, blocks * BLOCK);
    for (long c = 0; c < arena->wide; c += BLOCK) {
        Floats sums[MOST * VECTORS];
#pragma GCC unroll 6
        for (int q = 0; q < n; q++)
#pragma GCC unroll 4
            for (int v = 0; v < VECTORS; v++)
                sums[q * VECTORS + v] =
                    load(t->sums[q] + c + v * LANES, LANES) * factor[q];
        for (long b = 0; b < blocks; b++) {
            /* Not behind the end: nobody knows what lies there. */
            long seen = end - start - b * BLOCK;
            const float *weights[MOST];
            for (int q = 0; q < n; q++) weights[q] = t->scores[q] + b * BLOCK;
            multiply(n, is_wide, weights, values[b] + c * bytes, arena->wide,
                     seen < BLOCK ? seen : BLOCK, sums, 0, 0);
        }
#pragma GCC unroll 6
        for (int q = 0; q < n; q++)
#pragma GCC unroll 4
            for (int v = 0; v < VECTORS; v++)
                store(t->sums[q] + c + v * LANES, sums[q * VECTORS + v], LANES);
    }
}

#define ATTEND(n)                                                                        \
    p->arena->is_wide ? attend_chunk(p, n, 1, t, table, head, start)                            \
               : attend_chunk(p, n, 0, t, table, head, start)

static void attend_tile(const Attention *p, int n, Tile *t, const int *table, long head,
                        long start) {
    switch (n) {
    case 1: ATTEND(1); break;
    case 2: ATTEND(2); break;
    case 3: ATTEND(3); break;
    case 4: ATTEND(4); break;
    case 5: ATTEND(5); break;
    default: ATTEND(MOST);
    }
}

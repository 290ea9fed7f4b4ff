/* Attention over keys and values in blocks: vLLM's paged attention, for a CPU.

Keys of a block lie [kv head, dim, BLOCK], its values [kv head, BLOCK, wide]: a score
is a sum over broadcast numbers of the query, sixteen keys beside each other, and what
comes of the values likewise; nothing is gathered, nothing summed across a vector.

Softmax goes along in chunks of positions (FlashAttention, Dao et al. 2022) that begin
at the same positions for all. So a token's result depends on its own query and what it
sees alone: not on the tokens beside it, their number, the threads.

Keys and values are float32 or (not `is_wide`) bfloat16; all else is float32. */

#include <math.h>

#include "vectors.h"

#define BLOCK 16 /* tokens */
#define VECTORS (BLOCK / LANES)
#define CHUNK (8 * BLOCK)
#define MOST 6 /* queries of a tile */
#define TILES 8 /* that share what is read of a chunk */

typedef struct {
    const float *q; /* [rows, heads, dim] */
    const char *keys, *values;
    float *out;
    const int *tables; /* blocks of all jobs, one's behind another's */
    long dim, wide;    /* of queries and keys; of values, in whole BLOCKs */
    long heads, kv_heads, window, q_row; /* `q_row`: numbers from a row to the next */
    float scaling;
    int is_wide;
} Attention;

/* Some tokens of one job: rows of the step, positions, where its table begins. */
typedef struct {
    int row, tokens, position, table;
} Piece;

typedef struct {
    const float *q[MOST];
    float *out[MOST];
    long position[MOST]; /* of the queries */
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
    multiply(n, is_wide, t->q, keys, BLOCK, p->dim, sums, next, then);
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
    const int bytes = is_wide ? 4 : 2;
    for (long b = 0; b < blocks; b++) {
        long place = table[start / BLOCK + b] * p->kv_heads + head;
        keys[b] = p->keys + place * p->dim * BLOCK * bytes;
        values[b] = p->values + place * p->wide * BLOCK * bytes;
    }
    keys[blocks] = 0;
    /* A decoding row waits for memory; tiles of a prompt find a chunk in the cache. */
    const int ahead = n < MOST;
    for (long b = 0; b < blocks; b++)
        scores_of_block(p, n, is_wide, t, keys[b], start + b * BLOCK, b * BLOCK,
                        ahead ? keys[b + 1] : 0, ahead ? values[b] : 0);
    float factor[MOST];
    for (int q = 0; q < n; q++) factor[q] = soften(t, q, blocks * BLOCK);
    for (long c = 0; c < p->wide; c += BLOCK) {
        Floats sums[MOST * VECTORS];
#pragma GCC unroll 6
        for (int q = 0; q < n; q++)
#pragma GCC unroll 4
            for (int v = 0; v < VECTORS; v++)
                sums[q * VECTORS + v] =
                    load(t->out[q] + c + v * LANES, LANES) * factor[q];
        for (long b = 0; b < blocks; b++) {
            /* Not behind the end: nobody knows what lies there. */
            long seen = end - start - b * BLOCK;
            const float *weights[MOST];
            for (int q = 0; q < n; q++) weights[q] = t->scores[q] + b * BLOCK;
            multiply(n, is_wide, weights, values[b] + c * bytes, p->wide,
                     seen < BLOCK ? seen : BLOCK, sums, 0, 0);
        }
#pragma GCC unroll 6
        for (int q = 0; q < n; q++)
#pragma GCC unroll 4
            for (int v = 0; v < VECTORS; v++)
                store(t->out[q] + c + v * LANES, sums[q * VECTORS + v], LANES);
    }
}

#define ATTEND(n)                                                                        \
    p->is_wide ? attend_chunk(p, n, 1, t, table, head, start)                            \
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

/* `count` of a piece's queries that share a KV head, `group` for each token, from
   `first` on. A chunk is read once for all of them. */
static void attend_queries(const Attention *p, Piece piece, long head, long first,
                           long count) {
    long group = p->heads / p->kv_heads;
    Tile tiles[TILES];
    for (long i = 0; i < count; i++) {
        Tile *t = tiles + i / MOST;
        int q = i % MOST;
        long token = (first + i) / group, own = head * group + (first + i) % group;
        long row = piece.row + token;
        t->q[q] = p->q + row * p->q_row + own * p->dim;
        t->out[q] = p->out + (row * p->heads + own) * p->wide;
        t->position[q] = piece.position + token;
        t->most[q] = -1e30f; /* finite: less it less is no number */
        t->sum[q] = 0;
        memset(t->out[q], 0, 4 * p->wide);
    }
    long seen = tiles->position[0] + 1, last = piece.position + (first + count - 1) / group;
    long start = p->window && seen > p->window ? seen - p->window : 0;
    for (start -= start % CHUNK; start <= last; start += CHUNK)
        for (long i = 0; i < count; i += MOST) {
            int n = count - i < MOST ? count - i : MOST;
            Tile *t = tiles + i / MOST;
            if (start <= t->position[n - 1])
                attend_tile(p, n, t, p->tables + piece.table, head, start);
        }
    for (long i = 0; i < count; i++) {
        float *out = tiles[i / MOST].out[i % MOST], sum = tiles[i / MOST].sum[i % MOST];
        for (long c = 0; c < p->wide; c += LANES)
            store(out + c, load(out + c, LANES) / sum, LANES);
    }
}

static void attend_piece(const Attention *p, Piece piece, long head) {
    long queries = piece.tokens * (p->heads / p->kv_heads);
    for (long first = 0; first < queries; first += MOST * TILES) {
        long rest = queries - first;
        attend_queries(p, piece, head, first, rest < MOST * TILES ? rest : MOST * TILES);
    }
}

INLINE void write_key(const char *key, char *column, long dim, const int bytes) {
    for (long i = 0; i < dim; i++)
        memcpy(column + i * BLOCK * bytes, key + i * bytes, bytes);
}

/* Keys and values of a step's rows into the blocks: `to` is block * BLOCK + offset. */
void kv_write(const char *k, const char *v, char *keys, char *values, const int *to,
              long rows, long k_row, long v_row, long kv_heads, long dim, long v_dim,
              long wide, int is_wide, int threads) {
    const int bytes = is_wide ? 4 : 2;
#pragma omp parallel for schedule(static, BLOCK) num_threads(threads) if (rows > BLOCK)
    for (long row = 0; row < rows; row++)
        for (long head = 0; head < kv_heads; head++) {
            long place = to[row] / BLOCK * kv_heads + head, offset = to[row] % BLOCK;
            const char *key = k + (row * k_row + head * dim) * bytes;
            char *column = keys + (place * dim * BLOCK + offset) * bytes;
            is_wide ? write_key(key, column, dim, 4) : write_key(key, column, dim, 2);
            memcpy(values + (place * BLOCK + offset) * wide * bytes,
                   v + (row * v_row + head * v_dim) * bytes, v_dim * bytes);
        }
}

/* Mutates out [rows, heads, wide]. */
void attend(const float *q, const char *keys, const char *values, float *out,
            const int *tables, const Piece *pieces, long count, long q_row, long heads,
            long kv_heads, long dim, long wide, float scaling, long window, int is_wide,
            int threads) {
    const Attention p = {q,     keys,     values, out,   tables,  dim,    wide,
                         heads, kv_heads, window, q_row, scaling, is_wide};
#pragma omp parallel for schedule(dynamic) num_threads(threads)
    for (long n = count * kv_heads - 1; n >= 0; n--)
        attend_piece(&p, pieces[n / kv_heads], n % kv_heads);
}

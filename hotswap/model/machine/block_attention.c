/* Attention over keys and values in blocks: vLLM's paged attention, for a CPU.

Keys of a block lie [kv head, dim, BLOCK], its values [kv head, BLOCK, wide]; nothing is
gathered. They are float32 or (not `is_wide`) bfloat16, as what comes and goes; all is
computed in float32.

Softmax goes along in chunks of positions (FlashAttention, Dao et al. 2022) that begin
at the same positions for all. So a token's result depends on its own query and what it
sees alone: not on the tokens beside it, their number, the threads. */

#include "attention_tile.h"

/* `count` of a piece's queries that share a KV head, `group` for each token, from
   `first` on. A chunk is read once for all of them. */
static void attend_queries(const Attention *p, Piece piece, long head, long first,
                           long count) {
    const Arena *arena = p->arena;
    const long group = p->heads / arena->kv_heads, dim = arena->dim, wide = arena->wide;
    Tile tiles[TILES];
    float queries[count * dim], sums[count * wide];
    memset(sums, 0, sizeof sums);
    for (long i = 0; i < count; i++) {
        Tile *t = tiles + i / MOST;
        int q = i % MOST;
        long token = (first + i) / group, own = head * group + (first + i) % group;
        long row = piece.row + token, from = row * p->q_row + own * dim;
        for (long c = 0; c < dim; c += LANES) {
            long lanes = dim - c < LANES ? dim - c : LANES;
            store(queries + i * dim + c, get(p->q, from + c, lanes, arena->is_wide), lanes);
        }
        t->q[q] = queries + i * dim;
        t->sums[q] = sums + i * wide;
        t->to[q] = (row * p->heads + own) * arena->value_dim;
        t->position[q] = piece.position + token;
        t->most[q] = -1e30f; /* finite: less it less is no number */
        t->sum[q] = 0;
    }
    long seen = tiles->position[0] + 1, last = piece.position + (first + count - 1) / group;
    long start = p->window && seen > p->window ? seen - p->window : 0;
    for (start -= start % CHUNK; start <= last; start += CHUNK)
        for (long i = 0; i < count; i += MOST) {
            int n = count - i < MOST ? count - i : MOST;
            Tile *t = tiles + i / MOST;
            if (start <= t->position[n - 1])
                attend_tile(p, n, t, p->layout->tables + piece.table, head, start);
        }
    for (long i = 0; i < count; i++) {
        const Tile *t = tiles + i / MOST;
        int q = i % MOST;
        for (long c = 0; c < arena->value_dim; c += LANES) {
            long rest = arena->value_dim - c, lanes = rest < LANES ? rest : LANES;
            Floats v = load(t->sums[q] + c, lanes) / t->sum[q];
            put(p->out, t->to[q] + c, v, lanes, arena->is_wide);
        }
    }
}

static void attend_piece(const Attention *p, Piece piece, long head) {
    long queries = piece.tokens * (p->heads / p->arena->kv_heads);
    for (long first = 0; first < queries; first += MOST * TILES) {
        long rest = queries - first;
        attend_queries(p, piece, head, first, rest < MOST * TILES ? rest : MOST * TILES);
    }
}

/* Keys and values of a row into its block. */
INLINE void write_row(const Attention *p, long row, const int bytes) {
    const Arena *arena = p->arena;
    long to = p->layout->to[row], offset = to % BLOCK, dim = arena->dim;
    for (long head = 0; head < arena->kv_heads; head++) {
        long place = (to / BLOCK * arena->kv_heads + head) * BLOCK;
        const char *key = p->k + (row * p->k_row + head * dim) * bytes;
        char *column = arena->keys + (place * dim + offset) * bytes;
        for (long i = 0; i < dim; i++)
            memcpy(column + i * BLOCK * bytes, key + i * bytes, bytes);
        memcpy(arena->values + (place + offset) * arena->wide * bytes,
               p->v + (row * p->v_row + head * arena->value_dim) * bytes,
               arena->value_dim * bytes);
    }
}

/* Mutates the arena, at the rows' places, and `out`. */
void attend(const char *q, const char *k, const char *v, char *out, const Arena *arena,
            const Layout *layout, long q_row, long k_row, long v_row, long heads,
            long window, float scaling, int threads) {
    const Attention p = {q,     k,     v,     out,   arena,  layout,
                         heads, q_row, k_row, v_row, window, scaling};
    /* Rows of a block to one thread: a key's numbers lie beside the next token's. */
    const int few = layout->rows > BLOCK ? BLOCK : 1;
#pragma omp parallel num_threads(threads)
    {
#pragma omp for schedule(static, few)
        for (long row = 0; row < layout->rows; row++)
            arena->is_wide ? write_row(&p, row, 4) : write_row(&p, row, 2);
#pragma omp for schedule(dynamic)
        for (long n = layout->count * arena->kv_heads - 1; n >= 0; n--)
            attend_piece(&p, layout->pieces[n / arena->kv_heads], n % arena->kv_heads);
    }
}

#include "attention.h"

#include <algorithm>

namespace pl {

namespace {

constexpr int kValueQueries = 6;  // 6 x 4 sums fit the registers

constexpr int kFewQueries = 8;    // as in decoding: then the cache comes from memory, and the next blocks are fetched early
constexpr int kLaterBlocks = 8;   // how early
constexpr int kSegment = 16;      // blocks whose values are added before the sums go back to memory

// Where a few blocks of keys are, the keys that are wanted later, and their values.
struct Places {
    const uint16_t *keys[4], *later_keys[4], *values[4];
};

// Scores of N queries [N][dim] against `Blocks` blocks of 16 keys; one chain of fma by ascending dimension for each.
template <int N, int Blocks>
void score(const float* q, int dim, const Places& at, float* out, size_t out_stride) {
    F sums[N][Blocks];
    PL_UNROLL(12)
    for (int n = 0; n < N; n++)
        PL_UNROLL(4)
        for (int b = 0; b < Blocks; b++) sums[n][b] = zero();
    for (int two = 0; two < dim; two += 2) {  // two dimensions of a block are a cache line
        PL_UNROLL(2)
        for (int d = two; d < two + 2; d++) {
            F k[Blocks];
            PL_UNROLL(4)
            for (int b = 0; b < Blocks; b++) {
                k[b] = load_half(at.keys[b] + d * kBlock);
                if (N <= kFewQueries) __builtin_prefetch((d == two ? at.later_keys[b] : at.values[b]) + two * kBlock, 0, 2);
            }
            PL_UNROLL(12)
            for (int n = 0; n < N; n++) {
                const F x = set1(q[n * dim + d]);
                PL_UNROLL(4)
                for (int b = 0; b < Blocks; b++) sums[n][b] = fma(x, k[b], sums[n][b]);
            }
        }
    }
    PL_UNROLL(12)
    for (int n = 0; n < N; n++)
        PL_UNROLL(4)
        for (int b = 0; b < Blocks; b++) store(out + n * out_stride + b * kBlock, sums[n][b]);
}

using Score = void (*)(const float*, int, const Places&, float*, size_t);
#define PL_SIX_SCORES(B) score<1, B>, score<2, B>, score<3, B>, score<4, B>, score<5, B>, score<6, B>
#if defined(PL_AVX512)
#define PL_SCORES(B) {nullptr, PL_SIX_SCORES(B), score<7, B>, score<8, B>, score<9, B>, score<10, B>, score<11, B>, score<12, B>}
#else
#define PL_SCORES(B) {nullptr, PL_SIX_SCORES(B)}
#endif
constexpr Score kScoreOne[kTileQueries + 1] = PL_SCORES(1);
constexpr Score kScoreTwo[kTileQueries + 1] = PL_SCORES(2);
constexpr Score kScoreFour[4] = {nullptr, score<1, 4>, score<2, 4>, score<3, 4>};

// out[n][0..16V) += p[n][k] * values[k][0..16V), keys first .. last-1 in order; key k is in block k / 16.
template <int N, int V>
void add_values(const float* p, size_t p_stride, const uint16_t* const* blocks, int value_stride, int first, int last,
                float* out, int out_stride) {
    F sums[N][V];
    PL_UNROLL(6)
    for (int n = 0; n < N; n++)
        PL_UNROLL(4)
        for (int v = 0; v < V; v++) sums[n][v] = load(out + n * out_stride + v * kLanes);
    while (first < last) {
        const uint16_t* values = blocks[first / kBlock];
        const ptrdiff_t ahead = blocks[first / kBlock + 1] - values;
        const int end = std::min(last, (first / kBlock + 1) * kBlock);
        for (int k = first; k < end; k++) {
            const uint16_t* line = values + k % kBlock * value_stride;
            F x[V];
            PL_UNROLL(4)
            for (int v = 0; v < V; v++) {
                x[v] = load_half(line + v * kLanes);
                if (N <= kFewQueries / 2 && v % 2 == 0) __builtin_prefetch(line + ahead + v * kLanes);
            }
            PL_UNROLL(6)
            for (int n = 0; n < N; n++) {
                const F weight = set1(p[n * p_stride + k]);
                PL_UNROLL(4)
                for (int v = 0; v < V; v++) sums[n][v] = fma(weight, x[v], sums[n][v]);
            }
        }
        first = end;
    }
    PL_UNROLL(6)
    for (int n = 0; n < N; n++)
        PL_UNROLL(4)
        for (int v = 0; v < V; v++) store(out + n * out_stride + v * kLanes, sums[n][v]);
}

using AddValues = void (*)(const float*, size_t, const uint16_t* const*, int, int, int, float*, int);
#define PL_VALUES(V) {nullptr, add_values<1, V>, add_values<2, V>, add_values<3, V>, add_values<4, V>, add_values<5, V>, add_values<6, V>}
constexpr AddValues kAddFour[kValueQueries + 1] = PL_VALUES(4);
constexpr AddValues kAddOne[kValueQueries + 1] = PL_VALUES(1);

// What one tile works on.
struct Tile {
    Tile(const Cache& cache, const int32_t* blocks, int layer, int kv_head) : cache(cache), blocks(blocks), layer(layer), kv_head(kv_head) {}

    const Cache& cache;
    const int32_t* blocks;
    int layer, kv_head;
    int num_queries = 0;
    int lowest[kTileQueries], highest[kTileQueries];  // positions that a query sees, inclusive
    int first_block = 0, last_block = 0;              // of all queries together, inclusive
    float *q = nullptr, *p = nullptr, *out = nullptr; // [num_queries][dim], [..][positions], [..][padded dim]
    size_t p_stride = 0;
};

void score_all(const Tile& tile) {
    const int n = tile.num_queries, dim = tile.cache.head_dim;
    const auto keys_of = [&](int block) {
        return tile.cache.keys(tile.blocks[std::min(block, tile.last_block)], tile.layer, tile.kv_head);
    };
    for (int block = tile.first_block; block <= tile.last_block;) {
        const int left = tile.last_block - block + 1;
        const int count = left >= 4 && n < 4 ? 4 : left >= 2 ? 2 : 1;
        Places at;
        for (int b = 0; b < count; b++) {
            at.keys[b] = keys_of(block + b), at.later_keys[b] = keys_of(block + kLaterBlocks + b);
            at.values[b] = at.keys[b] + kBlock * dim;
        }
        const Score compute = count == 4 ? kScoreFour[n] : count == 2 ? kScoreTwo[n] : kScoreOne[n];
        compute(tile.q, dim, at, tile.p + (size_t)(block - tile.first_block) * kBlock, tile.p_stride);
        block += count;
    }
}

// Turn one query's scores into exponentials, 0 where it does not see; return their sum.
float exponentials(const Tile& tile, int query) {
    const int first = tile.lowest[query] / kBlock, last = tile.highest[query] / kBlock;
    float* p = tile.p + query * tile.p_stride + (size_t)(first - tile.first_block) * kBlock;
    const int begin = tile.lowest[query] % kBlock, end = tile.highest[query] - first * kBlock + 1;
    const int count = (last - first + 1) * kBlock;
    for (int i = 0; i < begin; i++) p[i] = -INFINITY;
    for (int i = end; i < count; i++) p[i] = -INFINITY;
    F most = set1(-INFINITY);
    for (int i = 0; i < count; i += kLanes) most = max(load(p + i), most);
    const F top = set1(max_lanes(most));
    F total = zero();
    for (int i = 0; i < count; i += kLanes) {
        const F e = exp(sub(load(p + i), top));
        store(p + i, e);
        total = add(total, e);
    }
    return sum_lanes(total);
}

// Add values of positions first .. last (inclusive) for queries from .. to-1.
void add_range(const Tile& tile, int from, int to, int first, int last) {
    const int dim = tile.cache.padded_dim();
    for (int block = first / kBlock; first <= last && block <= last / kBlock; block += kSegment) {
        const uint16_t* values[kSegment + 1];  // and the one after it, to be fetched early
        for (int b = 0; b <= kSegment; b++)
            values[b] = tile.cache.values(tile.blocks[std::min(block + b, tile.last_block)], tile.layer, tile.kv_head);
        const int begin = std::max(first - block * kBlock, 0), end = std::min(last - block * kBlock + 1, kSegment * kBlock);
        const float* p = tile.p + (size_t)(block - tile.first_block) * kBlock;
        for (int n = from; n < to; n += kValueQueries) {
            const int count = std::min(to - n, kValueQueries);
            for (int d = 0; d < dim;) {
                const bool four = d + 4 * kLanes <= dim;
                const AddValues compute = four ? kAddFour[count] : kAddOne[count];
                compute(p + n * tile.p_stride, tile.p_stride, values, dim, begin, end, tile.out + n * dim + d, dim);
                d += four ? 4 * kLanes : kLanes;
                for (auto& start : values) start += four ? 4 * kLanes : kLanes;
            }
            for (auto& start : values) start -= dim;
        }
    }
}

// Positions that all queries see are shared; each query's own before and after them keep the order ascending.
void add_all(const Tile& tile) {
    const int n = tile.num_queries;
    const int common_first = *std::max_element(tile.lowest, tile.lowest + n);
    const int common_last = *std::min_element(tile.highest, tile.highest + n);
    if (common_first > common_last) {
        for (int i = 0; i < n; i++) add_range(tile, i, i + 1, tile.lowest[i], tile.highest[i]);
        return;
    }
    for (int i = 0; i < n; i++) add_range(tile, i, i + 1, tile.lowest[i], common_first - 1);
    add_range(tile, 0, n, common_first, common_last);
    for (int i = 0; i < n; i++) add_range(tile, i, i + 1, common_last + 1, tile.highest[i]);
}

// Tiles of one span and KV head: groups of rows, or where there are many heads, rows and pieces of their heads.
struct Cut {
    int rows, heads, head_pieces;
    Cut(const Cache& cache, const AttentionShape& shape) {
        const int group = shape.num_heads / cache.num_kv_heads;
        heads = std::min(group, kTileQueries);
        head_pieces = (group + heads - 1) / heads;
        rows = std::max(1, kTileQueries / group);
    }
};

}  // namespace

void Cache::copy(int source, int destination) const {
    for (int layer = 0; layer < num_layers; layer++)
        memmove(keys(destination, layer, 0), keys(source, layer, 0), layer_halves() * sizeof(uint16_t));
}

void Cache::put(int block, int slot, int layer, int head, const float* key, const float* value) const {
    uint16_t* k = keys(block, layer, head) + slot;
    uint16_t* v = values(block, layer, head) + (size_t)slot * padded_dim();
    for (int d = 0; d < head_dim; d += kLanes) {
        const int count = std::min(kLanes, head_dim - d);
        float padded[kLanes] = {};
        uint16_t halves[kLanes];
        memcpy(padded, key + d, count * sizeof(float));
        store_half(halves, load(padded));
        for (int i = 0; i < count; i++) k[(size_t)(d + i) * kBlock] = halves[i];
        memcpy(padded, value + d, count * sizeof(float));
        store_half(v + d, load(padded));
    }
}

int num_tiles(const Cache& cache, const AttentionShape& shape, const Span& span) {
    const Cut cut(cache, shape);
    return (span.count + cut.rows - 1) / cut.rows * cut.head_pieces;
}

size_t scratch_floats(const Cache& cache, int end) {
    return kTileQueries * ((size_t)(end + kBlock) + cache.head_dim + cache.padded_dim());
}

void attend(const Cache& cache, int layer, const AttentionShape& shape, const Span& span, int kv_head, int tile_index,
            const float* q, float* out, float* scratch) {
    const Cut cut(cache, shape);
    const int group = shape.num_heads / cache.num_kv_heads, dim = cache.head_dim, padded = cache.padded_dim();
    const int first_row = tile_index / cut.head_pieces * cut.rows, last_row = std::min(first_row + cut.rows, span.count);
    const int first_head = tile_index % cut.head_pieces * cut.heads, last_head = std::min(first_head + cut.heads, group);
    Tile tile(cache, span.blocks, layer, kv_head);
    tile.last_block = (span.position + last_row - 1) / kBlock;
    const int seen_from = shape.window ? std::max(0, span.position + first_row - shape.window + 1) : 0;
    tile.first_block = seen_from / kBlock;
    tile.p_stride = (size_t)(tile.last_block - tile.first_block + 1) * kBlock;
    tile.p = scratch;
    tile.out = tile.p + kTileQueries * tile.p_stride;
    tile.q = tile.out + kTileQueries * padded;
    memset(tile.out, 0, sizeof(float) * kTileQueries * padded);
    for (int row = first_row; row < last_row; row++)
        for (int head = first_head; head < last_head; head++) {
            const int n = tile.num_queries++, position = span.position + row;
            tile.highest[n] = position;
            tile.lowest[n] = shape.window ? std::max(0, position - shape.window + 1) : 0;
            memcpy(tile.q + n * dim, q + (span.first + row) * shape.q_stride + (size_t)(kv_head * group + head) * dim, dim * sizeof(float));
        }
    score_all(tile);
    float totals[kTileQueries];
    for (int n = 0; n < tile.num_queries; n++) totals[n] = exponentials(tile, n);
    add_all(tile);
    for (int n = 0; n < tile.num_queries; n++) {
        const int row = first_row + n / (last_head - first_head), head = first_head + n % (last_head - first_head);
        float* to = out + (span.first + row) * shape.out_stride + (size_t)(kv_head * group + head) * dim;
        for (int d = 0; d < dim; d++) to[d] = tile.out[n * padded + d] / totals[n];
    }
}

}  // namespace pl

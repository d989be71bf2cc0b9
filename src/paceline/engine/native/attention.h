// The KV cache, and attention of rows to it.
//
// layer -> block -> KV head -> keys [D][16], then values [16][D padded], as half floats: 16 keys are one vector, and a
// layer's neighbouring blocks are neighbours in memory.
//
// A row's attention is the same sequence of operations wherever the row stands in a step: scores by ascending
// dimension, the exact maximum, the sum of exponentials by lane (position mod 16), values by ascending position.
#pragma once

#include "vec.h"

namespace pl {

constexpr int kBlock = 16;

struct Cache {
    int num_layers = 0, num_blocks = 0, num_kv_heads = 0, head_dim = 0;
    uint16_t* data = nullptr;

    int padded_dim() const { return (head_dim + kLanes - 1) / kLanes * kLanes; }
    size_t head_halves() const { return (size_t)kBlock * (head_dim + padded_dim()); }
    size_t layer_halves() const { return head_halves() * num_kv_heads; }  // of one block
    size_t num_bytes() const { return layer_halves() * num_blocks * num_layers * sizeof(uint16_t); }
    uint16_t* keys(int block, int layer, int head) const {
        return data + ((size_t)layer * num_blocks + block) * layer_halves() + head_halves() * head;
    }
    uint16_t* values(int block, int layer, int head) const { return keys(block, layer, head) + (size_t)kBlock * head_dim; }
    void copy(int source, int destination) const;
    // Write one position; key and value have head_dim floats.
    void put(int block, int slot, int layer, int head, const float* key, const float* value) const;
};

// Rows first .. first+count-1 of the packed arrays, at positions position, position+1, ... of one sequence.
struct Span {
    int first, count, position;
    const int32_t* blocks;
};

struct AttentionShape {
    int num_heads;
    int window;        // a row sees this many positions, itself included; 0 sees all
    size_t q_stride;   // floats from row to row of q: heads one after the other, scaled
    size_t out_stride;
};

// Query vectors that are scored together: rows of a span times query heads of one KV head.
#if defined(PL_AVX512)
constexpr int kTileQueries = 12;  // times two vectors of keys: 24 of 32 registers
#else
constexpr int kTileQueries = 6;
#endif

// How many pieces attend() cuts this span into, for one KV head.
int num_tiles(const Cache& cache, const AttentionShape& shape, const Span& span);

// Floats of scratch memory that attend() needs for rows up to (not including) position `end`.
size_t scratch_floats(const Cache& cache, int end);

// Compute one piece into out. `scratch` is this thread's own.
void attend(const Cache& cache, int layer, const AttentionShape& shape, const Span& span, int kv_head, int tile, const float* q,
            float* out, float* scratch);

}  // namespace pl

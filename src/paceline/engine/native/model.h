// A model, its KV cache and the working memory of a step. api.h says how it is made and called.
#pragma once

#include <array>
#include <memory>
#include <vector>

#include "api.h"
#include "attention.h"
#include "gemm.h"
#include "pool.h"
#include "rows.h"

namespace pl {

// Zeroed memory from the system, handed out in 64-byte aligned pieces; large ones ask for huge pages.
// Throws std::bad_alloc.
class Memory {
public:
    Memory() = default;
    explicit Memory(size_t num_bytes);
    ~Memory();
    Memory(Memory&& other) noexcept { swap(other); }
    Memory& operator=(Memory&& other) noexcept { return swap(other), *this; }

    template <class T>
    T* take(size_t count) {
        T* piece = (T*)((char*)start_ + taken_);
        taken_ += padded(count * sizeof(T));
        return piece;
    }
    static size_t padded(size_t num_bytes) { return (num_bytes + 63) / 64 * 64; }

private:
    void swap(Memory& other) { std::swap(start_, other.start_), std::swap(size_, other.size_), std::swap(taken_, other.taken_); }
    void* start_ = nullptr;
    size_t size_ = 0, taken_ = 0;
};

struct Layer {
    Norm attention_norm, ffn_norm;
    std::array<Matrix, 4> matrices;  // by PlMatrix
    float *qkv_bias = nullptr, *out_bias = nullptr, *ffn_in_bias = nullptr, *ffn_out_bias = nullptr;
    float *q_norm = nullptr, *k_norm = nullptr;
};

using Adapter = std::vector<std::array<LowRank, 4>>;  // by layer and PlMatrix

// One row of the step that is being computed.
struct Row {
    int32_t token;
    int position;
    const int32_t* blocks;
    const Adapter* adapter;  // null: none
};

// Arrays with one entry a row, padded widths.
struct Buffers {
    int num_rows = 0;
    Memory memory;
    float *x, *y, *qkv, *heads, *ffn, *floats;
    int8_t* values;
    float* scales;
    int32_t* starts;
};

}  // namespace pl

struct PlModel {
    explicit PlModel(const PlConfig& config);

    void set_matrix(int layer, PlMatrix which, const float* values);
    void set_vector(int layer, PlVector which, const float* values);
    void set_low_rank(int adapter, int layer, PlMatrix which, int rank, const float* a, const float* b);
    int forward(int num_sequences, const int32_t* step, int64_t step_length, float* logits, int64_t logits_stride);

    const PlConfig config;
    pl::Pool pool;
    const int process_id;
    int width, q_width, qkv_width, ffn_width;  // padded to 64
    size_t weight_bytes;
    pl::Memory weights, cache_memory;
    std::vector<pl::Layer> layers;
    pl::Norm norm;
    pl::Matrix head;
    uint16_t* embedding;           // half floats [vocab_size][width]
    std::vector<float> cos, sin;   // [context_tokens][head_dim]
    pl::Cache cache;
    std::vector<std::unique_ptr<pl::Adapter>> adapters;  // index 0 stays empty

private:
    // A low-rank addition to the output of a matrix of a layer, for the rows that have an adapter.
    struct Site {
        int layer;
        PlMatrix which;
    };

    void set_embedding(const float* values);
    float* keep(const float* values, int count, int padded);
    int read_step(int num_sequences, const int32_t* step, int64_t step_length);
    void reserve(int num_rows);
    pl::Activations activations(int stride) const { return {buffers_.values, buffers_.scales, buffers_.starts, stride}; }
    void add_low_rank(Site site, int first, int last, float* y, int y_stride, const float* x, int x_stride) const;
    void multiply(const pl::Matrix& matrix, float* out, size_t out_stride, int num_columns);
    void embed_rows();
    void norm_rows(const pl::Norm& norm, const float* bias, const Site* pending);
    void attend_rows(int layer);
    void store_heads(int layer);
    bool keep_logit_rows();
    void feed_forward(int layer);

    pl::Buffers buffers_;
    std::vector<std::vector<float>> vectors_;
    std::vector<pl::Row> rows_;
    std::vector<pl::Span> spans_;
    std::vector<int> num_logit_rows_;          // of each span: its last ones
    bool has_adapters_ = false;                // does any row of the step have one?
    std::vector<std::vector<float>> scratch_;  // by thread
};

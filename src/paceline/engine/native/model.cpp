#include "model.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <new>

namespace pl {

namespace {

constexpr size_t kHugePage = 2u << 20;

}  // namespace

Memory::Memory(size_t num_bytes) {
    const bool is_large = num_bytes >= kHugePage;
    const size_t align = is_large ? kHugePage : 4096;
    size_ = (std::max(num_bytes, (size_t)1) + align - 1) / align * align + (is_large ? kHugePage : 0);
    void* mapped = mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapped == MAP_FAILED) throw std::bad_alloc();
    start_ = mapped;
    if (is_large) taken_ = (kHugePage - (uintptr_t)mapped % kHugePage) % kHugePage;
#ifdef MADV_HUGEPAGE
    if (is_large) madvise(mapped, size_, MADV_HUGEPAGE);
#endif
}

Memory::~Memory() {
    if (start_) munmap(start_, size_);
}

}  // namespace pl

using namespace pl;

PlModel::PlModel(const PlConfig& c) : config(c), pool(c.num_threads), process_id(getpid()) {
    width = round_up(c.hidden_size, kGroup);
    q_width = round_up(c.num_heads * c.head_dim, kGroup);
    qkv_width = round_up((c.num_heads + 2 * c.num_kv_heads) * c.head_dim, kPanel);
    ffn_width = round_up(c.ffn_size, kGroup);
    layers.resize(c.num_layers);
    for (auto& layer : layers) {
        layer.matrices[PL_QKV] = {width, qkv_width};
        layer.matrices[PL_OUT] = {q_width, width};
        layer.matrices[PL_FFN_IN] = {width, c.is_gated ? 2 * ffn_width : ffn_width};
        layer.matrices[PL_FFN_OUT] = {ffn_width, width};
    }
    head = {width, round_up(c.vocab_size, kPanel)};
    const size_t embedding_size = (size_t)c.vocab_size * width, rope_size = (size_t)c.context_tokens * c.head_dim;
    weight_bytes = head.num_bytes() + Memory::padded(embedding_size * sizeof(uint16_t));
    for (const auto& layer : layers)
        for (const auto& matrix : layer.matrices) weight_bytes += matrix.num_bytes();
    weights = Memory(weight_bytes);
    for (auto& layer : layers)  // in the order of use: a decode step reads memory in one direction
        for (auto& matrix : layer.matrices) matrix.data = weights.take<uint8_t>(matrix.num_bytes());
    head.data = weights.take<uint8_t>(head.num_bytes());
    embedding = weights.take<uint16_t>(embedding_size);
    cos.resize(rope_size), sin.resize(rope_size);
    cache = {c.num_layers, c.num_blocks, c.num_kv_heads, c.head_dim, nullptr};
    cache_memory = Memory(cache.num_bytes());
    cache.data = cache_memory.take<uint16_t>(0);
    adapters.resize(1);
    scratch_.resize(pool.num_threads());
}

void PlModel::set_matrix(int layer, PlMatrix which, const float* values) {
    const PlConfig& c = config;
    const int qkv = (c.num_heads + 2 * c.num_kv_heads) * c.head_dim, q = c.num_heads * c.head_dim;
    switch (which) {
        case PL_QKV: return pack(layers[layer].matrices[which], 0, values, qkv, c.hidden_size);
        case PL_OUT: return pack(layers[layer].matrices[which], 0, values, c.hidden_size, q);
        case PL_FFN_OUT: return pack(layers[layer].matrices[which], 0, values, c.hidden_size, c.ffn_size);
        case PL_FFN_IN:
            pack(layers[layer].matrices[which], 0, values, c.ffn_size, c.hidden_size);
            if (c.is_gated)
                pack(layers[layer].matrices[which], ffn_width, values + (size_t)c.ffn_size * c.hidden_size, c.ffn_size, c.hidden_size);
            return;
        case PL_HEAD: return pack(head, 0, values, c.vocab_size, c.hidden_size);
        case PL_EMBEDDING: return set_embedding(values);
    }
}

void PlModel::set_embedding(const float* values) {
    for (int token = 0; token < config.vocab_size; token++)
        for (int i = 0; i < config.hidden_size; i += kLanes) {
            float padded[kLanes] = {};
            memcpy(padded, values + (size_t)token * config.hidden_size + i, std::min(kLanes, config.hidden_size - i) * sizeof(float));
            store_half(embedding + (size_t)token * width + i, load(padded));
        }
}

void PlModel::set_vector(int layer, PlVector which, const float* values) {
    const PlConfig& c = config;
    const int qkv = (c.num_heads + 2 * c.num_kv_heads) * c.head_dim, m = c.hidden_size;
    switch (which) {
        case PL_ATTENTION_NORM: layers[layer].attention_norm.weight = keep(values, m, width); break;
        case PL_ATTENTION_NORM_BIAS: layers[layer].attention_norm.bias = keep(values, m, width); break;
        case PL_QKV_BIAS: layers[layer].qkv_bias = keep(values, qkv, qkv_width); break;
        case PL_Q_NORM: layers[layer].q_norm = keep(values, c.head_dim, c.head_dim); break;
        case PL_K_NORM: layers[layer].k_norm = keep(values, c.head_dim, c.head_dim); break;
        case PL_OUT_BIAS: layers[layer].out_bias = keep(values, m, width); break;
        case PL_FFN_NORM: layers[layer].ffn_norm.weight = keep(values, m, width); break;
        case PL_FFN_NORM_BIAS: layers[layer].ffn_norm.bias = keep(values, m, width); break;
        case PL_FFN_OUT_BIAS: layers[layer].ffn_out_bias = keep(values, m, width); break;
        case PL_NORM: norm.weight = keep(values, m, width); break;
        case PL_NORM_BIAS: norm.bias = keep(values, m, width); break;
        case PL_FFN_IN_BIAS: {
            float* bias = keep(values, c.ffn_size, c.is_gated ? 2 * ffn_width : ffn_width);
            if (c.is_gated) memcpy(bias + ffn_width, values + c.ffn_size, c.ffn_size * sizeof(float));
            layers[layer].ffn_in_bias = bias;
        }
    }
}

void PlModel::set_low_rank(int adapter, int layer, PlMatrix which, int rank, const float* a, const float* b) {
    const PlConfig& c = config;
    const int inputs[] = {c.hidden_size, c.num_heads * c.head_dim, c.hidden_size, c.ffn_size};
    const int outputs[] = {(c.num_heads + 2 * c.num_kv_heads) * c.head_dim, c.hidden_size, c.ffn_size * (c.is_gated ? 2 : 1), c.hidden_size};
    if ((int)adapters.size() <= adapter) adapters.resize(adapter + 1);
    if (!adapters[adapter]) adapters[adapter] = std::make_unique<Adapter>(config.num_layers);
    LowRank& to = (*adapters[adapter])[layer][which];
    const Matrix& matrix = layers[layer].matrices[which];
    to = {rank, matrix.num_in, matrix.num_out, {}, {}};
    to.a.resize((size_t)rank * to.num_in), to.b.resize((size_t)rank * to.num_out);
    const bool is_split = which == PL_FFN_IN && c.is_gated;  // up follows the padded gate
    for (int r = 0; r < rank; r++) {
        memcpy(&to.a[(size_t)r * to.num_in], a + (size_t)r * inputs[which], inputs[which] * sizeof(float));
        for (int o = 0; o < outputs[which]; o++) {
            const int at = is_split && o >= c.ffn_size ? o - c.ffn_size + ffn_width : o;
            to.b[(size_t)r * to.num_out + at] = b[(size_t)o * rank + r];
        }
    }
}

float* PlModel::keep(const float* values, int count, int padded) {
    vectors_.push_back(std::vector<float>(padded, 0.0f));
    memcpy(vectors_.back().data(), values, count * sizeof(float));
    return vectors_.back().data();
}

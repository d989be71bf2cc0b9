#include "api.h"

#include <new>

#include "model.h"

using namespace pl;

extern "C" {

const char* pl_target(void) { return kTarget; }

PlModel* pl_create(const PlConfig* config) {
    try {
        return new PlModel(*config);
    } catch (const std::exception&) {  // memory or threads
        return nullptr;
    }
}

void pl_destroy(PlModel* model) {
    delete model;
}

void pl_set_matrix(PlModel* model, int32_t layer, PlMatrix which, const float* values) { model->set_matrix(layer, which, values); }

int32_t pl_set_vector(PlModel* model, int32_t layer, PlVector which, const float* values) {
    try {
        model->set_vector(layer, which, values);
        return PL_OK;
    } catch (const std::bad_alloc&) {
        return PL_NO_MEMORY;
    }
}

void pl_set_rope(PlModel* model, const float* cos, const float* sin) {
    memcpy(model->cos.data(), cos, model->cos.size() * sizeof(float));
    memcpy(model->sin.data(), sin, model->sin.size() * sizeof(float));
}

int32_t pl_set_low_rank(PlModel* model, int32_t adapter, int32_t layer, PlMatrix which, int32_t rank, const float* a, const float* b) {
    try {
        model->set_low_rank(adapter, layer, which, rank, a, b);
        return PL_OK;
    } catch (const std::bad_alloc&) {
        return PL_NO_MEMORY;
    }
}

void pl_remove_adapter(PlModel* model, int32_t adapter) {
    if (adapter > 0 && adapter < (int)model->adapters.size()) model->adapters[adapter].reset();
}

int64_t pl_block_bytes(const PlModel* model) { return (int64_t)(model->cache.num_bytes() / model->config.num_blocks); }

int64_t pl_weight_bytes(const PlModel* model) { return (int64_t)model->weight_bytes; }

int32_t pl_forward(PlModel* model, int32_t num_sequences, const int32_t* step, int64_t step_length, float* logits, int64_t logits_stride) {
    try {
        return model->forward(num_sequences, step, step_length, logits, logits_stride);
    } catch (const std::bad_alloc&) {
        return PL_NO_MEMORY;
    }
}

int32_t pl_copy_blocks(PlModel* model, const int32_t* pairs, int64_t num_pairs) {
    for (int64_t i = 0; i < 2 * num_pairs; i++)
        if (pairs[i] < 0 || pairs[i] >= model->config.num_blocks) return PL_BAD_BLOCK;
    for (int64_t i = 0; i < num_pairs; i++)
        model->cache.copy(pairs[2 * i], pairs[2 * i + 1]);
    return PL_OK;
}

int32_t pl_linear(const float* w, const float* x, int32_t n, int32_t k, int32_t rows, float* out, int8_t* quantised) {
    try {
        Matrix matrix{round_up(k, kGroup), round_up(n, kPanel), nullptr};
        Memory weights(matrix.num_bytes());
        matrix.data = weights.take<uint8_t>(matrix.num_bytes());
        pack(matrix, 0, w, n, k);
        std::vector<int8_t> values((size_t)rows * matrix.num_in);
        std::vector<float> scales((size_t)rows * matrix.num_groups()), padded(matrix.num_in);
        std::vector<int32_t> starts(scales.size());
        const Activations from{values.data(), scales.data(), starts.data(), matrix.num_in};
        for (int r = 0; r < rows; r++) {
            memcpy(padded.data(), x + (size_t)r * k, k * sizeof(float));
            quantise(padded.data(), from, r);
            if (quantised) memcpy(quantised + (size_t)r * k, from.row(r), k);
        }
        multiply(matrix, from, rows, 0, matrix.num_panels(), out, n, n);
        return PL_OK;
    } catch (const std::bad_alloc&) {
        return PL_NO_MEMORY;
    }
}

}  // extern "C"

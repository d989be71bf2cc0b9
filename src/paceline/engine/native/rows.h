// What happens to one row between two matrix products. Every function reads and writes one row only.
//
// Rows are padded with zeros to a multiple of 64 floats. `floats`, where it is not null, gets what was quantised:
// the low-rank additions of adapters read it.
#pragma once

#include <vector>

#include "attention.h"
#include "gemm.h"

namespace pl {

struct Norm {
    float* weight = nullptr;  // padded with zeros
    float* bias = nullptr;    // null: RMSNorm; else LayerNorm
};

// One projection's addition to the rows of one adapter: y += B (A x).
struct LowRank {
    int rank = 0, num_in = 0, num_out = 0;  // padded widths
    std::vector<float> a;                   // [rank][num_in]
    std::vector<float> b;                   // [rank][num_out]

    // y[r] += B (A x[r]) for up to kTileRows rows; what a row gets does not depend on the others.
    static constexpr int kTileRows = 4;
    void add_to(float* y, size_t y_stride, const float* x, size_t x_stride, int rows) const;
};

// x += y + bias (either may be null), then norm of the first `width` floats of x, quantised.
void add_and_norm(float* x, const float* y, const float* bias, const Norm& norm, int width, float eps, const Activations& to,
                  int row, float* floats);

void quantise(const float* x, const Activations& to, int row);

// SiLU(gate) * up of h = [gate | up], or GELU(h) if not gated; `bias` is laid out like h, or null.
void activate(const float* h, const float* bias, bool is_gated, const Activations& to, int row, float* floats);

struct HeadShape {
    int num_heads, num_kv_heads, head_dim;
    float eps;
    const float *q_norm, *k_norm;  // [head_dim] or null
};

// Bias, per-head RMSNorm, RoPE and 1/sqrt(head_dim) of one row's [q | k | v], in place. cos and sin are its position's.
void prepare_heads(float* qkv, const float* bias, const HeadShape& shape, const float* cos, const float* sin);

}  // namespace pl

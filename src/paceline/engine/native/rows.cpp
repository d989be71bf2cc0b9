#include "rows.h"

#include <algorithm>
#include <type_traits>

namespace pl {

namespace {

// Lanes of x that lie below `width`, for a vector that starts at `at`; the others 0.
F keep(F x, int at, int width) {
    if (at + kLanes <= width) return x;
    float v[kLanes];
    store(v, x);
    for (int i = std::max(0, width - at); i < kLanes; i++) v[i] = 0.0f;
    return load(v);
}

// Sum over groups of 64, in four vectors that are joined at the end.
template <class Term>
float sum(int padded, const Term& term) {
    F sums[4] = {zero(), zero(), zero(), zero()};
    for (int i = 0; i < padded; i += kGroup)
        for (int v = 0; v < 4; v++) sums[v] = term(i + v * kLanes, sums[v]);
    return sum_lanes(add(add(sums[0], sums[1]), add(sums[2], sums[3])));
}

void norm_head(float* x, int dim, const float* weight, float eps) {
    F squares = zero();
    for (int d = 0; d < dim; d += kLanes) {
        float v[kLanes] = {};
        memcpy(v, x + d, std::min(kLanes, dim - d) * sizeof(float));
        squares = fma(load(v), load(v), squares);
    }
    const float scale = 1.0f / std::sqrt(sum_lanes(squares) / (float)dim + eps);
    for (int d = 0; d < dim; d++) x[d] = x[d] * scale * weight[d];
}

void rotate_head(float* x, int dim, const float* cos, const float* sin) {
    const int half = dim / 2;
    for (int d = 0; d < half; d++) {
        const float first = x[d], second = x[d + half];
        x[d] = first * cos[d] - second * sin[d];
        x[d + half] = second * cos[d + half] + first * sin[d + half];
    }
}

constexpr int kRanks = 64;  // of an adapter's factors, at a time

// inner[r][i] = a[i] . x[r]
template <int R>
void project(const float* a, int num, int width, const float* x, size_t x_stride, float* inner) {
    for (int i = 0; i < num; i++, a += width) {
        F sums[R][4];
        for (int r = 0; r < R; r++)
            for (int v = 0; v < 4; v++) sums[r][v] = zero();
        for (int at = 0; at < width; at += kGroup)
            PL_UNROLL(4)
            for (int v = 0; v < 4; v++) {
                const F w = load(a + at + v * kLanes);
                PL_UNROLL(4)
                for (int r = 0; r < R; r++) sums[r][v] = fma(w, load(x + r * x_stride + at + v * kLanes), sums[r][v]);
            }
        for (int r = 0; r < R; r++) inner[r * kRanks + i] = sum_lanes(add(add(sums[r][0], sums[r][1]), add(sums[r][2], sums[r][3])));
    }
}

// y[r] += inner[r][i] * b[i], for i in order
template <int R>
void expand(const float* b, int num, int width, const float* inner, float* y, size_t y_stride) {
    for (int at = 0; at < width; at += kGroup) {
        F sums[R][4];
        for (int r = 0; r < R; r++)
            for (int v = 0; v < 4; v++) sums[r][v] = load(y + r * y_stride + at + v * kLanes);
        for (int i = 0; i < num; i++)
            PL_UNROLL(4)
            for (int v = 0; v < 4; v++) {
                const F w = load(b + (size_t)i * width + at + v * kLanes);
                PL_UNROLL(4)
                for (int r = 0; r < R; r++) sums[r][v] = fma(set1(inner[r * kRanks + i]), w, sums[r][v]);
            }
        for (int r = 0; r < R; r++)
            for (int v = 0; v < 4; v++) store(y + r * y_stride + at + v * kLanes, sums[r][v]);
    }
}

}  // namespace

void LowRank::add_to(float* y, size_t y_stride, const float* x, size_t x_stride, int rows) const {
    constexpr auto add = [](const LowRank& pair, float* y, size_t y_stride, const float* x, size_t x_stride, auto count) {
        float inner[decltype(count)::value * kRanks];
        for (int first = 0; first < pair.rank; first += kRanks) {
            const int num = std::min(kRanks, pair.rank - first);
            project<decltype(count)::value>(pair.a.data() + (size_t)first * pair.num_in, num, pair.num_in, x, x_stride, inner);
            expand<decltype(count)::value>(pair.b.data() + (size_t)first * pair.num_out, num, pair.num_out, inner, y, y_stride);
        }
    };
    switch (rows) {
        case 1: return add(*this, y, y_stride, x, x_stride, std::integral_constant<int, 1>());
        case 2: return add(*this, y, y_stride, x, x_stride, std::integral_constant<int, 2>());
        case 3: return add(*this, y, y_stride, x, x_stride, std::integral_constant<int, 3>());
        case 4: return add(*this, y, y_stride, x, x_stride, std::integral_constant<int, 4>());
    }
}

void add_and_norm(float* x, const float* y, const float* bias, const Norm& norm, int width, float eps, const Activations& to,
                  int row, float* floats) {
    const int padded = to.stride;
    for (int i = 0; i < padded; i += kLanes) {
        F value = load(x + i);
        if (y) value = add(value, load(y + i));
        if (bias) value = add(value, load(bias + i));
        store(x + i, value);
    }
    float mean = 0.0f;
    if (norm.bias) mean = sum(padded, [&](int i, F total) { return add(load(x + i), total); }) / (float)width;
    const F centre = set1(mean);
    const float squares = sum(padded, [&](int i, F total) {
        const F value = keep(sub(load(x + i), centre), i, width);
        return fma(value, value, total);
    });
    const F scale = set1(1.0f / std::sqrt(squares / (float)width + eps));
    for (int g = 0; g < padded / kGroup; g++) {
        F group[4];
        for (int v = 0; v < 4; v++) {
            const int i = g * kGroup + v * kLanes;
            group[v] = mul(mul(sub(load(x + i), centre), scale), load(norm.weight + i));
            if (norm.bias) group[v] = add(group[v], load(norm.bias + i));
            if (floats) store(floats + i, group[v]);
        }
        quantise_group(group, to, row, g);
    }
}

void quantise(const float* x, const Activations& to, int row) {
    for (int g = 0; g < to.stride / kGroup; g++, x += kGroup) {
        const F group[4] = {load(x), load(x + kLanes), load(x + 2 * kLanes), load(x + 3 * kLanes)};
        quantise_group(group, to, row, g);
    }
}

void activate(const float* h, const float* bias, bool is_gated, const Activations& to, int row, float* floats) {
    const int width = to.stride;
    for (int g = 0; g < width / kGroup; g++) {
        F group[4];
        for (int v = 0; v < 4; v++) {
            const int i = g * kGroup + v * kLanes;
            F first = load(h + i);
            if (bias) first = add(first, load(bias + i));
            if (is_gated) {
                F up = load(h + width + i);
                if (bias) up = add(up, load(bias + width + i));
                group[v] = mul(silu(first), up);
            } else {
                group[v] = gelu_tanh(first);
            }
            if (floats) store(floats + i, group[v]);
        }
        quantise_group(group, to, row, g);
    }
}

void prepare_heads(float* qkv, const float* bias, const HeadShape& shape, const float* cos, const float* sin) {
    const int dim = shape.head_dim, num_rotated = shape.num_heads + shape.num_kv_heads;
    if (bias)
        for (int i = 0; i < (num_rotated + shape.num_kv_heads) * dim; i++) qkv[i] = qkv[i] + bias[i];
    const float scale = 1.0f / std::sqrt((float)dim);
    for (int head = 0; head < num_rotated; head++) {
        float* x = qkv + (size_t)head * dim;
        const bool is_query = head < shape.num_heads;
        const float* weight = is_query ? shape.q_norm : shape.k_norm;
        if (weight) norm_head(x, dim, weight, shape.eps);
        rotate_head(x, dim, cos, sin);
        if (is_query)
            for (int d = 0; d < dim; d++) x[d] = x[d] * scale;
    }
}

}  // namespace pl

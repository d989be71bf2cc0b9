// Matrices of 8-bit weights, rows of 8-bit activations, and their product.
//
// Along K both are cut into groups of 64 with one scale each. Inside a group the sum is exact (32-bit integers);
// groups are added in float, in order: c = fma(sum, weight_scale * row_scale, c). So an output depends on its own
// row and its own column only, in one order of operations, however many rows are computed together.
//
// Weights, in the order they are read:
//   panel of 64 outputs -> group of 64 inputs -> [16 quads of inputs][64 outputs][4 inputs] bytes, then 64 scales
#pragma once

#include "vec.h"

namespace pl {

constexpr int kGroup = 64;
constexpr int kPanel = 64;
constexpr size_t kPanelGroupBytes = kGroup * kPanel + kPanel * sizeof(float);

PL_INLINE int round_up(int n, int step) { return (n + step - 1) / step * step; }

struct Matrix {
    int num_in = 0;   // multiple of kGroup; the padding's weights are zero
    int num_out = 0;  // multiple of kPanel; the padding's outputs are zero
    uint8_t* data = nullptr;

    int num_groups() const { return num_in / kGroup; }
    int num_panels() const { return num_out / kPanel; }
    size_t num_bytes() const { return (size_t)num_groups() * num_panels() * kPanelGroupBytes; }
};

// Quantise w[rows][columns] into outputs first_out .. first_out+rows-1 of `matrix`. Other outputs are left alone.
void pack(const Matrix& matrix, int first_out, const float* w, int rows, int columns);

// Activations of num_rows rows; `stride` inputs a row, stride / kGroup scales a row.
struct Activations {
    int8_t* values = nullptr;
    float* scales = nullptr;
    int32_t* starts = nullptr;  // -kWeightOffset * sum of the group
    int stride = 0;

    int8_t* row(int r) const { return values + (size_t)r * stride; }
    float* row_scales(int r) const { return scales + (size_t)r * (stride / kGroup); }
    int32_t* row_starts(int r) const { return starts + (size_t)r * (stride / kGroup); }
};

// Quantise one group of 64 floats: symmetric, to the nearest. A NaN or infinity makes the scale NaN or infinite,
// and with it every output of the row.
PL_INLINE void quantise_group(const F x[4], const Activations& to, int row, int group) {
    const I most = max_int(max_int(absolute_bits(x[0]), absolute_bits(x[1])), max_int(absolute_bits(x[2]), absolute_bits(x[3])));
    const int32_t bits = max_lanes(most);
    float largest;
    memcpy(&largest, &bits, 4);
    const bool is_zero = largest < 1e-30f;
    const F inverse = set1(is_zero ? 0.0f : 127.0f / largest);
    int8_t* values = to.row(row) + group * kGroup;
    I total = set1_int(0);
    for (int i = 0; i < 4; i++) {
        const I q = round_to_int(mul(x[i], inverse));
        store_bytes(values + i * kLanes, q);
        total = add_int(total, q);
    }
    to.row_scales(row)[group] = is_zero ? 0.0f : largest / 127.0f;
    to.row_starts(row)[group] = kWeightOffset ? (int32_t)((uint32_t)-kWeightOffset * (uint32_t)sum_lanes(total)) : 0;
}

// out[r][n] = sum over inputs, for rows 0 .. num_rows-1 and the panels first_panel .. last_panel-1.
// Columns num_columns and above are not written.
void multiply(const Matrix& matrix, const Activations& from, int num_rows, int first_panel, int last_panel, float* out,
              size_t out_stride, int num_columns);

}  // namespace pl

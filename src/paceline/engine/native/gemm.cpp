#include "gemm.h"

namespace pl {

namespace {

#if defined(PL_AVX512)
constexpr int kTileRows = 6;  // 6 x 4 sums, 4 weights and a broadcast fill 29 of 32 registers
#else
constexpr int kTileRows = 4;
#endif
constexpr int kBlockRows = 126;   // rows that a panel meets before the next one is fetched
constexpr int kAheadBytes = 8192; // distance of the prefetch, for the rows that meet a panel first

// R rows times one panel; out has R rows. Meanwhile `Lines` of every 4 cache lines at `ahead`, which has the shape of
// a panel, are fetched.
template <int R, int Lines>
void tile(const uint8_t* weights, const uint8_t* ahead, int num_groups, const Activations& from, int row, float* out,
          size_t out_stride) {
    alignas(64) float c[R][kPanel];
    memset(c, 0, sizeof c);
    const int8_t* a = from.row(row);
    const float* scales = from.row_scales(row);
    const int32_t* starts = from.row_starts(row);
    const size_t row_groups = from.stride / kGroup;
    for (int g = 0; g < num_groups; g++, weights += kPanelGroupBytes, ahead += kPanelGroupBytes, a += kGroup) {
        I sums[R][4];
        PL_UNROLL(8)
        for (int r = 0; r < R; r++)
            PL_UNROLL(4)
            for (int v = 0; v < 4; v++) sums[r][v] = set1_int(starts[r * row_groups + g]);
        PL_UNROLL(2)
        for (int quad = 0; quad < kGroup / 4; quad++) {
            I w[4];
            PL_UNROLL(4)
            for (int v = 0; v < 4; v++) w[v] = load_int(weights + quad * 4 * kPanel + 64 * v);
            PL_UNROLL(4)
            for (int v = 0; v < Lines; v++) __builtin_prefetch(ahead + quad * 4 * kPanel + 64 * v);
            PL_UNROLL(8)
            for (int r = 0; r < R; r++) {
                int32_t bytes;
                memcpy(&bytes, a + r * (size_t)from.stride + quad * 4, 4);
                const I x = set1_int(bytes);
                PL_UNROLL(4)
                for (int v = 0; v < 4; v++) sums[r][v] = dot4(sums[r][v], w[v], x);
            }
        }
        const float* weight_scales = (const float*)(weights + kGroup * kPanel);
        PL_UNROLL(8)
        for (int r = 0; r < R; r++) {
            const F scale = set1(scales[r * row_groups + g]);
            PL_UNROLL(4)
            for (int v = 0; v < 4; v++) {
                float* to = &c[r][v * kLanes];
                store(to, fma(to_float(sums[r][v]), mul(load(weight_scales + v * kLanes), scale), load(to)));
            }
        }
    }
    for (int r = 0; r < R; r++) memcpy(out + r * out_stride, c[r], sizeof c[r]);
}

using Tile = void (*)(const uint8_t*, const uint8_t*, int, const Activations&, int, float*, size_t);
template <int Lines>
constexpr Tile kTiles[kTileRows + 1] = {
    nullptr, tile<1, Lines>, tile<2, Lines>, tile<3, Lines>, tile<4, Lines>,
#if defined(PL_AVX512)
    tile<5, Lines>, tile<6, Lines>,
#endif
};

// One panel that is cut off by num_columns.
void cut_tile(Tile compute, int rows, const uint8_t* weights, int num_groups, const Activations& from, int row, float* out,
              size_t out_stride, int columns) {
    float whole[kTileRows][kPanel];
    compute(weights, weights, num_groups, from, row, whole[0], kPanel);
    for (int r = 0; r < rows; r++) memcpy(out + r * out_stride, whole[r], columns * sizeof(float));
}

}  // namespace

void multiply(const Matrix& matrix, const Activations& from, int num_rows, int first_panel, int last_panel, float* out,
              size_t out_stride, int num_columns) {
    const int num_groups = matrix.num_groups();
    const size_t panel_bytes = num_groups * kPanelGroupBytes;
    for (int block = 0; block < num_rows; block += kBlockRows) {
        const int rows = num_rows - block < kBlockRows ? num_rows - block : kBlockRows;
        const int num_tiles = (rows + kTileRows - 1) / kTileRows;
        for (int panel = first_panel; panel < last_panel; panel++) {
            const uint8_t* weights = matrix.data + panel * panel_bytes;
            const int columns = num_columns - panel * kPanel;
            for (int t = 0; t < num_tiles; t++) {  // tiles as even as they can be: 8 rows are 4 + 4
                const int from_row = block + rows * t / num_tiles, to_row = block + rows * (t + 1) / num_tiles;
                const int count = to_row - from_row;
                // A lone tile fetches what it needs itself soon; else the first two fetch half of the next panel each.
                const Tile compute = num_tiles == 1 ? kTiles<4>[count] : t < 2 ? kTiles<2>[count] : kTiles<0>[count];
                const uint8_t* ahead = num_tiles == 1 ? weights + kAheadBytes : weights + panel_bytes + t % 2 * 128;
                float* to = out + from_row * out_stride + (size_t)panel * kPanel;
                if (columns >= kPanel)
                    compute(weights, ahead, num_groups, from, from_row, to, out_stride);
                else
                    cut_tile(compute, count, weights, num_groups, from, from_row, to, out_stride, columns);
            }
        }
    }
}

void pack(const Matrix& matrix, int first_out, const float* w, int rows, int columns) {
    for (int r = 0; r < rows; r++) {
        const int out = first_out + r, lane = out % kPanel;
        uint8_t* panel = matrix.data + (size_t)(out / kPanel) * matrix.num_groups() * kPanelGroupBytes;
        for (int g = 0; g < matrix.num_groups(); g++, panel += kPanelGroupBytes) {
            float group[kGroup] = {};
            for (int i = 0; i < kGroup && g * kGroup + i < columns; i++) group[i] = w[(size_t)r * columns + g * kGroup + i];
            int8_t values[kGroup];
            float scale;
            int32_t start;
            const F x[4] = {load(group), load(group + 16), load(group + 32), load(group + 48)};
            quantise_group(x, Activations{values, &scale, &start, kGroup}, 0, 0);
            for (int i = 0; i < kGroup; i++)
                panel[(i / 4) * 4 * kPanel + lane * 4 + i % 4] = (uint8_t)(values[i] + kWeightOffset);
            memcpy(panel + kGroup * kPanel + lane * sizeof(float), &scale, sizeof scale);
        }
    }
}

}  // namespace pl

// One step: all rows through all layers. Each stage is a loop over rows, over panels of a matrix, or over pieces of
// attention, split between the threads; no result depends on how.
#include <unistd.h>

#include <algorithm>

#include "model.h"

using namespace pl;

namespace {

constexpr int kHeader = 5;  // integers for each sequence, see api.h
// A product is split between threads if it takes longer than waking one: bytes of weights times passes over them.
constexpr size_t kWorthSplitting = 200'000;

}  // namespace

int PlModel::read_step(int num_sequences, const int32_t* step, int64_t step_length) {
    rows_.clear(), spans_.clear(), num_logit_rows_.clear();
    has_adapters_ = false;
    int64_t num_ids = 0, num_blocks = 0;
    if (num_sequences < 0 || step_length < (int64_t)num_sequences * kHeader) return PL_BAD_STEP;
    for (int s = 0; s < num_sequences; s++) {
        const int32_t* h = step + (size_t)s * kHeader;
        if (h[0] < 0 || h[1] < 1 || h[2] < 0 || h[2] > h[1] || h[4] < 0) return PL_BAD_STEP;
        if (h[1] > config.context_tokens - h[0]) return PL_TOO_LONG;
        if ((int64_t)h[4] * kBlock < h[0] + h[1]) return PL_BAD_BLOCK;
        if (h[3] < 0 || h[3] >= (int)adapters.size() || (h[3] && !adapters[h[3]])) return PL_NO_ADAPTER;
        num_ids += h[1], num_blocks += h[4];
    }
    if (step_length != (int64_t)num_sequences * kHeader + num_ids + num_blocks) return PL_BAD_STEP;
    const int32_t* ids = step + (size_t)num_sequences * kHeader;
    const int32_t* blocks = ids + num_ids;
    for (int64_t i = 0; i < num_ids; i++)
        if (ids[i] < 0 || ids[i] >= config.vocab_size) return PL_BAD_TOKEN;
    for (int64_t i = 0; i < num_blocks; i++)
        if (blocks[i] < 0 || blocks[i] >= config.num_blocks) return PL_BAD_BLOCK;
    for (int s = 0; s < num_sequences; s++) {
        const int32_t* h = step + (size_t)s * kHeader;
        spans_.push_back({(int)rows_.size(), h[1], h[0], blocks});
        num_logit_rows_.push_back(h[2]);
        has_adapters_ |= h[3] != 0;
        for (int i = 0; i < h[1]; i++) rows_.push_back({*ids++, h[0] + i, blocks, adapters[h[3]].get()});
        blocks += h[4];
    }
    return PL_OK;
}

void PlModel::reserve(int num_rows) {
    if (num_rows <= buffers_.num_rows) return;
    const size_t n = (size_t)round_up(std::max(num_rows, 16), 16);
    const size_t ffn_in = layers.empty() ? kGroup : layers[0].matrices[PL_FFN_IN].num_out;
    const size_t widest = std::max({width, q_width, ffn_width});
    const size_t floats = 2 * width + qkv_width + q_width + ffn_in + widest;
    Buffers b;
    b.memory = Memory(n * (floats * sizeof(float) + widest + widest / kGroup * 8) + 16 * 64);
    b.x = b.memory.take<float>(n * width), b.y = b.memory.take<float>(n * width);
    b.qkv = b.memory.take<float>(n * qkv_width), b.heads = b.memory.take<float>(n * q_width);
    b.ffn = b.memory.take<float>(n * ffn_in), b.floats = b.memory.take<float>(n * widest);
    b.values = b.memory.take<int8_t>(n * widest);
    b.scales = b.memory.take<float>(n * widest / kGroup), b.starts = b.memory.take<int32_t>(n * widest / kGroup);
    b.num_rows = (int)n;
    buffers_ = std::move(b);
}

void PlModel::multiply(const Matrix& matrix, float* out, size_t out_stride, int num_columns) {
    const int num_rows = (int)rows_.size(), num_panels = matrix.num_panels();
    const Activations from = activations(matrix.num_in);
    const auto part = [&](int first, int last, int) { pl::multiply(matrix, from, num_rows, first, last, out, out_stride, num_columns); };
    if (matrix.num_bytes() * ((num_rows + 3) / 4) < kWorthSplitting)
        part(0, num_panels, 0);
    else
        pool.split(num_panels, part);
}

// y and x begin at row 0.
void PlModel::add_low_rank(Site site, int first, int last, float* y, int y_stride, const float* x, int x_stride) const {
    if (!has_adapters_) return;
    for (int r = first; r < last;) {
        const Adapter* adapter = rows_[r].adapter;
        int count = 1;
        while (count < LowRank::kTileRows && r + count < last && rows_[r + count].adapter == adapter) count++;
        if (adapter) {
            const LowRank& pair = (*adapter)[site.layer][site.which];
            pair.add_to(y + (size_t)r * y_stride, y_stride, x + (size_t)r * x_stride, x_stride, count);
        }
        r += count;
    }
}

void PlModel::embed_rows() {
    pool.split((int)rows_.size(), [&](int first, int last, int) {
        for (int r = first; r < last; r++)
            for (int i = 0; i < width; i += kLanes)
                store(buffers_.x + (size_t)r * width + i, load_half(embedding + (size_t)rows_[r].token * width + i));
    });
}

// Add the product that `pending` names (null: there is none) to x, then norm and quantise x.
void PlModel::norm_rows(const Norm& norm, const float* bias, const Site* pending) {
    const Activations to = activations(width);
    const float* input = pending && pending->which == PL_OUT ? buffers_.heads : buffers_.floats;
    const int input_width = pending && pending->which == PL_OUT ? q_width : ffn_width;
    // `floats` holds the input of the pending addition as well as this norm's output: all rows read before any writes.
    if (pending && has_adapters_)
        pool.split((int)rows_.size(), [&](int first, int last, int) {
            add_low_rank(*pending, first, last, buffers_.y, width, input, input_width);
        });
    pool.split((int)rows_.size(), [&](int first, int last, int) {
        for (int r = first; r < last; r++)
            add_and_norm(buffers_.x + (size_t)r * width, pending ? buffers_.y + (size_t)r * width : nullptr, bias, norm,
                         config.hidden_size, config.norm_eps, to, r, has_adapters_ ? buffers_.floats + (size_t)r * width : nullptr);
    });
}

// Finish q, k and v of all rows; keys and values go into the cache.
void PlModel::store_heads(int layer) {
    const Layer& l = layers[layer];
    const HeadShape shape{config.num_heads, config.num_kv_heads, config.head_dim, config.norm_eps, l.q_norm, l.k_norm};
    const int dim = config.head_dim;
    pool.split((int)rows_.size(), [&](int first, int last, int) {
        add_low_rank({layer, PL_QKV}, first, last, buffers_.qkv, qkv_width, buffers_.floats, width);
        for (int r = first; r < last; r++) {
            const Row& row = rows_[r];
            float* qkv = buffers_.qkv + (size_t)r * qkv_width;
            const size_t at = (size_t)row.position * dim;
            prepare_heads(qkv, l.qkv_bias, shape, cos.data() + at, sin.data() + at);
            const float* keys = qkv + (size_t)config.num_heads * dim;
            const float* values = keys + (size_t)config.num_kv_heads * dim;
            for (int h = 0; h < config.num_kv_heads; h++)
                cache.put(row.blocks[row.position / kBlock], row.position % kBlock, layer, h, keys + h * dim, values + h * dim);
        }
    });
}

// Drop the rows that want no logits: the last layer's attention and feed-forward are not needed of them.
bool PlModel::keep_logit_rows() {
    int kept = 0;
    for (size_t s = 0; s < spans_.size(); s++) {
        Span& span = spans_[s];
        const int skipped = span.count - num_logit_rows_[s];
        for (int i = skipped; i < span.count; i++) {
            const int from = span.first + i, to = kept + i - skipped;
            if (from == to) continue;
            rows_[to] = rows_[from];
            memmove(buffers_.x + (size_t)to * width, buffers_.x + (size_t)from * width, width * sizeof(float));
            memmove(buffers_.qkv + (size_t)to * qkv_width, buffers_.qkv + (size_t)from * qkv_width, qkv_width * sizeof(float));
        }
        span = {kept, num_logit_rows_[s], span.position + skipped, span.blocks};
        kept += span.count;
    }
    rows_.resize(kept);
    return kept > 0;
}

void PlModel::attend_rows(int layer) {
    const AttentionShape shape{config.num_heads, config.window_tokens, (size_t)qkv_width, (size_t)q_width};
    std::vector<int> ends;  // pieces of the spans up to each, all KV heads
    int num_pieces = 0, longest = 0;
    for (const Span& span : spans_) longest = std::max(longest, span.position + span.count);
    for (auto& scratch : scratch_)
        if (scratch.size() < scratch_floats(cache, longest)) scratch.resize(scratch_floats(cache, longest + longest / 2));
    for (const Span& span : spans_) ends.push_back(num_pieces += num_tiles(cache, shape, span) * config.num_kv_heads);
    std::atomic<int> next{0};  // pieces differ in length, so threads take them as they go
    pool.split(num_pieces, [&](int, int, int thread) {
        for (int piece; (piece = next++) < num_pieces;) {
            const size_t s = std::upper_bound(ends.begin(), ends.end(), piece) - ends.begin();
            const int within = piece - (s ? ends[s - 1] : 0);
            attend(cache, layer, shape, spans_[s], within % config.num_kv_heads, within / config.num_kv_heads, buffers_.qkv,
                   buffers_.heads, scratch_[thread].data());
        }
    });
    const Activations to = activations(q_width);
    pool.split((int)rows_.size(), [&](int first, int last, int) {
        for (int r = first; r < last; r++) quantise(buffers_.heads + (size_t)r * q_width, to, r);
    });
}

// From the normed rows to y.
void PlModel::feed_forward(int layer) {
    const Layer& l = layers[layer];
    const Matrix& in = l.matrices[PL_FFN_IN];
    multiply(in, buffers_.ffn, in.num_out, in.num_out);
    const Activations to = activations(ffn_width);
    if (has_adapters_)
        pool.split((int)rows_.size(), [&](int first, int last, int) {
            add_low_rank({layer, PL_FFN_IN}, first, last, buffers_.ffn, in.num_out, buffers_.floats, width);
        });
    pool.split((int)rows_.size(), [&](int first, int last, int) {
        for (int r = first; r < last; r++)
            activate(buffers_.ffn + (size_t)r * in.num_out, l.ffn_in_bias, config.is_gated, to, r,
                     has_adapters_ ? buffers_.floats + (size_t)r * ffn_width : nullptr);
    });
    multiply(l.matrices[PL_FFN_OUT], buffers_.y, width, width);
}

int PlModel::forward(int num_sequences, const int32_t* step, int64_t step_length, float* logits, int64_t logits_stride) {
    if (getpid() != process_id) return PL_OTHER_PROCESS;  // the threads did not come along
    if (const int status = read_step(num_sequences, step, step_length)) return status;
    if (rows_.empty()) return PL_OK;
    reserve((int)rows_.size());
    embed_rows();
    for (int i = 0; i < config.num_layers; i++) {
        const Layer& l = layers[i];
        const Site before{i - 1, PL_FFN_OUT}, out{i, PL_OUT};
        norm_rows(l.attention_norm, i ? layers[i - 1].ffn_out_bias : nullptr, i ? &before : nullptr);
        multiply(l.matrices[PL_QKV], buffers_.qkv, qkv_width, qkv_width);
        store_heads(i);
        if (i == config.num_layers - 1 && !keep_logit_rows()) return PL_OK;
        attend_rows(i);
        multiply(l.matrices[PL_OUT], buffers_.y, width, width);
        norm_rows(l.ffn_norm, l.out_bias, &out);
        feed_forward(i);
    }
    const Site last{config.num_layers - 1, PL_FFN_OUT};
    norm_rows(norm, layers.back().ffn_out_bias, &last);
    multiply(head, logits, logits_stride, config.vocab_size);
    return PL_OK;
}

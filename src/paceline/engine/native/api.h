/* The C interface of the native executor. Nothing here throws; pl_forward and others return 0 or a PlStatus. */
#pragma once

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    int32_t vocab_size, hidden_size, num_layers, num_heads, num_kv_heads, head_dim, ffn_size, context_tokens;
    int32_t num_blocks, num_threads;
    int32_t is_gated;      /* SiLU(gate) * up, else GELU */
    int32_t window_tokens; /* 0: none */
    float norm_eps;
} PlConfig;

typedef enum { PL_QKV = 0, PL_OUT = 1, PL_FFN_IN = 2, PL_FFN_OUT = 3, PL_HEAD = 4, PL_EMBEDDING = 5 } PlMatrix;

typedef enum {
    PL_ATTENTION_NORM, PL_ATTENTION_NORM_BIAS, PL_QKV_BIAS, PL_Q_NORM, PL_K_NORM, PL_OUT_BIAS,
    PL_FFN_NORM, PL_FFN_NORM_BIAS, PL_FFN_IN_BIAS, PL_FFN_OUT_BIAS, PL_NORM, PL_NORM_BIAS
} PlVector;

typedef enum { PL_OK = 0, PL_BAD_STEP = 1, PL_BAD_TOKEN = 2, PL_BAD_BLOCK = 3, PL_TOO_LONG = 4, PL_NO_ADAPTER = 5,
    PL_NO_MEMORY = 6, PL_OTHER_PROCESS = 7 } PlStatus;

typedef struct PlModel PlModel;

const char* pl_target(void);

/* Null if there is not enough memory. */
PlModel* pl_create(const PlConfig* config);
void pl_destroy(PlModel* model);

/* Quantise and store. Matrices are [out][in] float32; the sizes follow from the config. */
void pl_set_matrix(PlModel* model, int32_t layer, PlMatrix which, const float* values);
int32_t pl_set_vector(PlModel* model, int32_t layer, PlVector which, const float* values);
/* cos and sin [context_tokens][head_dim]. */
void pl_set_rope(PlModel* model, const float* cos, const float* sin);

/* One projection of an adapter: a [rank][in], b [out][rank]. Memory for adapters 1 .. `adapter` is made. */
int32_t pl_set_low_rank(PlModel* model, int32_t adapter, int32_t layer, PlMatrix which, int32_t rank, const float* a, const float* b);
void pl_remove_adapter(PlModel* model, int32_t adapter);

int64_t pl_block_bytes(const PlModel* model);
int64_t pl_weight_bytes(const PlModel* model);

/* `step`: for each sequence start, number of ids, number of logit rows, adapter, length of its block table;
   then all ids, then all block tables. Logits of row r are written to logits[r * logits_stride ...]. */
int32_t pl_forward(PlModel* model, int32_t num_sequences, const int32_t* step, int64_t step_length, float* logits, int64_t logits_stride);

/* pairs: source, destination, source, ... */
int32_t pl_copy_blocks(PlModel* model, const int32_t* pairs, int64_t num_pairs);

/* For tests and the start-up check: out[rows][n] = x[rows][k] times w[n][k], both quantised; the bytes of x are
   put into `quantised` [rows][k] if it is not null. */
int32_t pl_linear(const float* w, const float* x, int32_t n, int32_t k, int32_t rows, float* out, int8_t* quantised);

#ifdef __cplusplus
}
#endif

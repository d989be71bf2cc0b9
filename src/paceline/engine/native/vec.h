// Sixteen floats (F) and sixteen 32-bit integers (I), on AVX-512 + VNNI, on AVX2 or on anything.
//
// Which one is decided by the compiler's target (-march). An operation gives the same bits whoever calls it:
// nothing here depends on how a loop around it is tiled. The three targets agree exactly in integers, and in
// floats as far as they have a fused multiply-add; -ffp-contract=off keeps the compiler from adding its own.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>

#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512VL__) && defined(__AVX512VNNI__)
#define PL_AVX512 1
#elif defined(__AVX2__) && defined(__FMA__) && defined(__F16C__)
#define PL_AVX2 1
#endif
#if defined(PL_AVX512) || defined(PL_AVX2)
#include <immintrin.h>
#endif

#define PL_PRAGMA(x) _Pragma(#x)
#if defined(PL_AVX512) || defined(PL_AVX2)
#define PL_UNROLL(n) PL_PRAGMA(GCC unroll n)
#else
#define PL_UNROLL(n)  // the loops over lanes are what is unrolled there
#endif
#define PL_INLINE static inline __attribute__((always_inline))

namespace pl {

constexpr int kLanes = 16;

// ---------------------------------------------------------------- AVX-512
#if defined(PL_AVX512)
constexpr const char* kTarget = "avx512-vnni";
using F = __m512;
using I = __m512i;

PL_INLINE F zero() { return _mm512_setzero_ps(); }
PL_INLINE F set1(float x) { return _mm512_set1_ps(x); }
PL_INLINE F load(const float* p) { return _mm512_loadu_ps(p); }
PL_INLINE void store(float* p, F x) { _mm512_storeu_ps(p, x); }
PL_INLINE F add(F a, F b) { return _mm512_add_ps(a, b); }
PL_INLINE F sub(F a, F b) { return _mm512_sub_ps(a, b); }
PL_INLINE F mul(F a, F b) { return _mm512_mul_ps(a, b); }
PL_INLINE F div(F a, F b) { return _mm512_div_ps(a, b); }
PL_INLINE F fma(F a, F b, F c) { return _mm512_fmadd_ps(a, b, c); }
PL_INLINE F max(F a, F b) { return _mm512_max_ps(a, b); }
PL_INLINE F min(F a, F b) { return _mm512_min_ps(a, b); }
PL_INLINE F load_half(const uint16_t* p) { return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i*)p)); }
PL_INLINE void store_half(uint16_t* p, F x) {
    _mm256_storeu_si256((__m256i*)p, _mm512_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT));
}
// x where not (key < bound), else 0: a NaN in key keeps x.
PL_INLINE F zero_below(F x, F key, float bound) {
    return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(key, set1(bound), _CMP_NLT_UQ), x);
}
PL_INLINE F exponent_bits(F magic) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_add_epi32(_mm512_castps_si512(magic), _mm512_set1_epi32(127)), 23));
}

PL_INLINE I set1_int(int32_t x) { return _mm512_set1_epi32(x); }
PL_INLINE I load_int(const void* p) { return _mm512_loadu_si512(p); }
PL_INLINE void store_int(int32_t* p, I x) { _mm512_storeu_si512(p, x); }
PL_INLINE F to_float(I x) { return _mm512_cvtepi32_ps(x); }
PL_INLINE I add_int(I a, I b) { return _mm512_add_epi32(a, b); }
PL_INLINE I max_int(I a, I b) { return _mm512_max_epi32(a, b); }
PL_INLINE I absolute_bits(F x) { return _mm512_and_si512(_mm512_castps_si512(x), _mm512_set1_epi32(0x7fffffff)); }
PL_INLINE I round_to_int(F x) { return _mm512_cvtps_epi32(x); }
PL_INLINE void store_bytes(int8_t* p, I x) { _mm_storeu_si128((__m128i*)p, _mm512_cvtsepi32_epi8(x)); }

// Sums of products of 4 bytes: weights are stored as w + 128, so the sum starts at -128 * sum(activations).
constexpr int32_t kWeightOffset = 128;
PL_INLINE I dot4(I sum, I weights_u8, I activations_s8) {
    // Not the intrinsic: with 24 sums GCC 12 keeps each of them twice and spills them, which costs two thirds of the speed.
    asm("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(weights_u8), "v"(activations_s8));
    return sum;
}

// ---------------------------------------------------------------- AVX2
#elif defined(PL_AVX2)
constexpr const char* kTarget = "avx2";
struct F { __m256 a, b; };
struct I { __m256i a, b; };

PL_INLINE F zero() { return {_mm256_setzero_ps(), _mm256_setzero_ps()}; }
PL_INLINE F set1(float x) { return {_mm256_set1_ps(x), _mm256_set1_ps(x)}; }
PL_INLINE F load(const float* p) { return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
PL_INLINE void store(float* p, F x) { _mm256_storeu_ps(p, x.a), _mm256_storeu_ps(p + 8, x.b); }
PL_INLINE F add(F x, F y) { return {_mm256_add_ps(x.a, y.a), _mm256_add_ps(x.b, y.b)}; }
PL_INLINE F sub(F x, F y) { return {_mm256_sub_ps(x.a, y.a), _mm256_sub_ps(x.b, y.b)}; }
PL_INLINE F mul(F x, F y) { return {_mm256_mul_ps(x.a, y.a), _mm256_mul_ps(x.b, y.b)}; }
PL_INLINE F div(F x, F y) { return {_mm256_div_ps(x.a, y.a), _mm256_div_ps(x.b, y.b)}; }
PL_INLINE F fma(F x, F y, F z) { return {_mm256_fmadd_ps(x.a, y.a, z.a), _mm256_fmadd_ps(x.b, y.b, z.b)}; }
PL_INLINE F max(F x, F y) { return {_mm256_max_ps(x.a, y.a), _mm256_max_ps(x.b, y.b)}; }
PL_INLINE F min(F x, F y) { return {_mm256_min_ps(x.a, y.a), _mm256_min_ps(x.b, y.b)}; }
PL_INLINE F load_half(const uint16_t* p) {
    return {_mm256_cvtph_ps(_mm_loadu_si128((const __m128i*)p)), _mm256_cvtph_ps(_mm_loadu_si128((const __m128i*)(p + 8)))};
}
PL_INLINE void store_half(uint16_t* p, F x) {
    _mm_storeu_si128((__m128i*)p, _mm256_cvtps_ph(x.a, _MM_FROUND_TO_NEAREST_INT));
    _mm_storeu_si128((__m128i*)(p + 8), _mm256_cvtps_ph(x.b, _MM_FROUND_TO_NEAREST_INT));
}
PL_INLINE F zero_below(F x, F key, float bound) {
    const __m256 low = _mm256_set1_ps(bound);
    return {_mm256_and_ps(x.a, _mm256_cmp_ps(key.a, low, _CMP_NLT_UQ)), _mm256_and_ps(x.b, _mm256_cmp_ps(key.b, low, _CMP_NLT_UQ))};
}
PL_INLINE __m256 exponent_bits(__m256 magic) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(_mm256_castps_si256(magic), _mm256_set1_epi32(127)), 23));
}
PL_INLINE F exponent_bits(F magic) { return {exponent_bits(magic.a), exponent_bits(magic.b)}; }

PL_INLINE I set1_int(int32_t x) { return {_mm256_set1_epi32(x), _mm256_set1_epi32(x)}; }
PL_INLINE I load_int(const void* p) {
    return {_mm256_loadu_si256((const __m256i*)p), _mm256_loadu_si256((const __m256i*)p + 1)};
}
PL_INLINE void store_int(int32_t* p, I x) { _mm256_storeu_si256((__m256i*)p, x.a), _mm256_storeu_si256((__m256i*)(p + 8), x.b); }
PL_INLINE F to_float(I x) { return {_mm256_cvtepi32_ps(x.a), _mm256_cvtepi32_ps(x.b)}; }
PL_INLINE I add_int(I x, I y) { return {_mm256_add_epi32(x.a, y.a), _mm256_add_epi32(x.b, y.b)}; }
PL_INLINE I max_int(I x, I y) { return {_mm256_max_epi32(x.a, y.a), _mm256_max_epi32(x.b, y.b)}; }
PL_INLINE I absolute_bits(F x) {
    const __m256i mask = _mm256_set1_epi32(0x7fffffff);
    return {_mm256_and_si256(_mm256_castps_si256(x.a), mask), _mm256_and_si256(_mm256_castps_si256(x.b), mask)};
}
PL_INLINE I round_to_int(F x) { return {_mm256_cvtps_epi32(x.a), _mm256_cvtps_epi32(x.b)}; }
PL_INLINE void store_bytes(int8_t* p, I x) {
    const __m256i words = _mm256_permute4x64_epi64(_mm256_packs_epi32(x.a, x.b), 0xd8);
    _mm_storeu_si128((__m128i*)p, _mm_packs_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1)));
}

// Signed weights: |w| * (activation with w's sign). 2 * 127 * 127 fits 16 bits.
constexpr int32_t kWeightOffset = 0;
PL_INLINE __m256i dot4(__m256i sum, __m256i weights, __m256i activations) {
    const __m256i pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(weights), _mm256_sign_epi8(activations, weights));
    return _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}
PL_INLINE I dot4(I sum, I weights, I activations) {
    return {dot4(sum.a, weights.a, activations.a), dot4(sum.b, weights.b, activations.b)};
}

// ---------------------------------------------------------------- anything else
#else
constexpr const char* kTarget = "generic";
struct F { float v[kLanes]; };
struct I { int32_t v[kLanes]; };

#define PL_EACH for (int i = 0; i < kLanes; i++)
PL_INLINE F zero() { return {}; }
PL_INLINE F set1(float x) { F r; PL_EACH r.v[i] = x; return r; }
PL_INLINE F load(const float* p) { F r; memcpy(&r, p, sizeof r); return r; }
PL_INLINE void store(float* p, F x) { memcpy(p, &x, sizeof x); }
PL_INLINE F add(F x, F y) { PL_EACH x.v[i] += y.v[i]; return x; }
PL_INLINE F sub(F x, F y) { PL_EACH x.v[i] -= y.v[i]; return x; }
PL_INLINE F mul(F x, F y) { PL_EACH x.v[i] *= y.v[i]; return x; }
PL_INLINE F div(F x, F y) { PL_EACH x.v[i] /= y.v[i]; return x; }
#ifdef __FP_FAST_FMAF
PL_INLINE F fma(F x, F y, F z) { PL_EACH z.v[i] = __builtin_fmaf(x.v[i], y.v[i], z.v[i]); return z; }
#else
PL_INLINE F fma(F x, F y, F z) { PL_EACH z.v[i] = x.v[i] * y.v[i] + z.v[i]; return z; }
#endif
PL_INLINE F max(F x, F y) { PL_EACH y.v[i] = x.v[i] > y.v[i] ? x.v[i] : y.v[i]; return y; }
PL_INLINE F min(F x, F y) { PL_EACH y.v[i] = x.v[i] < y.v[i] ? x.v[i] : y.v[i]; return y; }
PL_INLINE uint32_t bits_of(float x) { uint32_t b; memcpy(&b, &x, 4); return b; }
PL_INLINE float float_of(uint32_t b) { float x; memcpy(&x, &b, 4); return x; }
// Conversions by arithmetic on the bits; Maratyszcza's FP16 describes the method.
PL_INLINE float half_to_float(uint16_t h) {
    const uint32_t w = (uint32_t)h << 16, twice = w + w;
    const float normal = float_of((twice >> 4) + (0xE0u << 23)) * 0x1.0p-112f;
    const float denormal = float_of((twice >> 17) | (126u << 23)) - 0.5f;
    return float_of((w & 0x80000000u) | bits_of(twice < (1u << 27) ? denormal : normal));
}
PL_INLINE uint16_t float_to_half(float x) {
    const uint32_t w = bits_of(x), twice = w + w, sign = w & 0x80000000u;
    float base = (std::fabs(x) * 0x1.0p+112f) * 0x1.0p-110f;
    uint32_t bias = twice & 0xFF000000u;
    bias = bias < 0x71000000u ? 0x71000000u : bias;
    base = float_of((bias >> 1) + 0x07800000u) + base;
    const uint32_t b = bits_of(base), half = ((b >> 13) & 0x7C00u) + (b & 0x0FFFu);
    return (uint16_t)((sign >> 16) | (twice > 0xFF000000u ? 0x7E00u : half));
}
PL_INLINE F load_half(const uint16_t* p) { F r; PL_EACH r.v[i] = half_to_float(p[i]); return r; }
PL_INLINE void store_half(uint16_t* p, F x) { PL_EACH p[i] = float_to_half(x.v[i]); }
PL_INLINE F zero_below(F x, F key, float bound) { PL_EACH x.v[i] = key.v[i] < bound ? 0.0f : x.v[i]; return x; }
PL_INLINE F exponent_bits(F m) { PL_EACH m.v[i] = float_of((bits_of(m.v[i]) + 127u) << 23); return m; }

PL_INLINE I set1_int(int32_t x) { I r; PL_EACH r.v[i] = x; return r; }
PL_INLINE I load_int(const void* p) { I r; memcpy(&r, p, sizeof r); return r; }
PL_INLINE void store_int(int32_t* p, I x) { memcpy(p, &x, sizeof x); }
PL_INLINE F to_float(I x) { F r; PL_EACH r.v[i] = (float)x.v[i]; return r; }
PL_INLINE I add_int(I x, I y) { PL_EACH x.v[i] += y.v[i]; return x; }
PL_INLINE I max_int(I x, I y) { PL_EACH x.v[i] = x.v[i] > y.v[i] ? x.v[i] : y.v[i]; return x; }
PL_INLINE I absolute_bits(F x) { I r; PL_EACH r.v[i] = (int32_t)(bits_of(x.v[i]) & 0x7fffffffu); return r; }
// To the nearest, ties to even, for |x| < 2^22; anything else gives some integer in [-128, 127].
PL_INLINE I round_to_int(F x) {
    I r;
    PL_EACH r.v[i] = (int8_t)(bits_of(x.v[i] + 12582912.0f) - 0x4B400000u);
    return r;
}
PL_INLINE void store_bytes(int8_t* p, I x) { PL_EACH p[i] = (int8_t)x.v[i]; }

constexpr int32_t kWeightOffset = 0;
PL_INLINE I dot4(I sum, I weights, I activations) {
    int8_t w[64], a[64];
    memcpy(w, &weights, 64), memcpy(a, &activations, 64);
    PL_EACH sum.v[i] += w[4 * i] * a[4 * i] + w[4 * i + 1] * a[4 * i + 1] + w[4 * i + 2] * a[4 * i + 2] + w[4 * i + 3] * a[4 * i + 3];
    return sum;
}
#undef PL_EACH
#endif

// ---------------------------------------------------------------- on top of any of them

// Sums of the lanes are always the same tree: halves, quarters, eighths.
#if defined(PL_AVX512)
PL_INLINE float sum_lanes(F x) {
    const __m256 half = _mm256_add_ps(_mm512_castps512_ps256(x), _mm512_extractf32x8_ps(x, 1));
    const __m128 quarter = _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1));
    const __m128 pair = _mm_add_ps(quarter, _mm_movehl_ps(quarter, quarter));
    return _mm_cvtss_f32(_mm_add_ss(pair, _mm_shuffle_ps(pair, pair, 1)));
}
PL_INLINE float max_lanes(F x) { return _mm512_reduce_max_ps(x); }
PL_INLINE int32_t sum_lanes(I x) { return _mm512_reduce_add_epi32(x); }
PL_INLINE int32_t max_lanes(I x) { return _mm512_reduce_max_epi32(x); }
#else
PL_INLINE float sum_lanes(F x) {
    float v[kLanes];
    store(v, x);
    for (int width = 8; width > 0; width /= 2)
        for (int i = 0; i < width; i++) v[i] = v[i] + v[i + width];
    return v[0];
}

PL_INLINE float max_lanes(F x) {
    float v[kLanes], most = -INFINITY;
    store(v, x);
    for (int i = 0; i < kLanes; i++) most = v[i] > most ? v[i] : most;
    return most;
}

PL_INLINE int32_t sum_lanes(I x) {
    int32_t v[kLanes], total = 0;
    store_int(v, x);
    for (int i = 0; i < kLanes; i++) total += v[i];
    return total;
}

PL_INLINE int32_t max_lanes(I x) {
    int32_t v[kLanes], most = 0;
    store_int(v, x);
    for (int i = 0; i < kLanes; i++) most = v[i] > most ? v[i] : most;
    return most;
}
#endif

// e^x to about 1e-7 relative; 0 below -87.3, finite above 88; NaN stays NaN (max and min return the second operand).
PL_INLINE F exp(F x) {
    const F magic = set1(12582912.0f);  // 1.5 * 2^23: adding it rounds to an integer, kept in the low bits
    const F y = min(set1(88.3f), max(set1(-87.3f), x));
    const F shifted = fma(y, set1(1.44269504f), magic);
    const F n = sub(shifted, magic);
    const F r = fma(n, set1(2.12194440e-4f), fma(n, set1(-0.693359375f), y));
    F p = set1(1.9875691500e-4f);
    p = fma(p, r, set1(1.3981999507e-3f));
    p = fma(p, r, set1(8.3334519073e-3f));
    p = fma(p, r, set1(4.1665795894e-2f));
    p = fma(p, r, set1(1.6666665459e-1f));
    p = fma(p, r, set1(5.0000001201e-1f));
    p = fma(p, mul(r, r), add(r, set1(1.0f)));
    return zero_below(mul(p, exponent_bits(shifted)), x, -87.3f);
}

PL_INLINE F sigmoid_times(F gate, F slope) { return div(gate, add(set1(1.0f), exp(sub(zero(), slope)))); }

// Hendrycks and Gimpel's tanh form: x * sigmoid(2 * sqrt(2/pi) * (x + 0.044715 x^3)).
PL_INLINE F gelu_tanh(F x) {
    const F cubed = mul(mul(x, x), x);
    return sigmoid_times(x, mul(set1(1.5957691216f), fma(set1(0.044715f), cubed, x)));
}

PL_INLINE F silu(F x) { return sigmoid_times(x, x); }

}  // namespace pl

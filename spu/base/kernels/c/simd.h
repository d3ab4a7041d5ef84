/* Vectors of doubles, floats, 64-bit words and 32-bit integers, in one notation for every class of processor.

   VL doubles or words, FL floats or integers. Which class is decided by the compiler's flags (setup.py builds the library
   once for each); nothing else in these sources asks. Every operation is one IEEE operation, rounded once, and
   `fma` is fused everywhere, in software where there is no instruction: so the bits do not depend on the class.
   setup.py forbids the compiler to contract or reorder (-ffp-contract=off, no -ffast-math). */
#ifndef SPU_SIMD_H
#define SPU_SIMD_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 32")

/* A panel: trajectories side by side, 128 bytes a row whatever their number format. */
#define PANEL 16
#define PANEL_FLOATS 32

#if defined(__AVX512F__) && defined(__AVX512DQ__)
#include <immintrin.h>
#define CLASS "avx512"
#define VL 8
#define FL 16
typedef __m512d V;
typedef __m512i U;
typedef __m512 F;
INLINE V v_load(const double *p) { return _mm512_loadu_pd(p); }
INLINE void v_store(double *p, V a) { _mm512_storeu_pd(p, a); }
INLINE V v_set(double a) { return _mm512_set1_pd(a); }
INLINE V v_add(V a, V b) { return _mm512_add_pd(a, b); }
INLINE V v_sub(V a, V b) { return _mm512_sub_pd(a, b); }
INLINE V v_mul(V a, V b) { return _mm512_mul_pd(a, b); }
INLINE V v_div(V a, V b) { return _mm512_div_pd(a, b); }
INLINE V v_fma(V a, V b, V c) { return _mm512_fmadd_pd(a, b, c); }
INLINE V v_fnma(V a, V b, V c) { return _mm512_fnmadd_pd(a, b, c); }
INLINE V v_sqrt(V a) { return _mm512_sqrt_pd(a); }
INLINE V v_abs(V a) { return _mm512_abs_pd(a); }
INLINE V v_max(V a, V b) { return _mm512_max_pd(a, b); }
INLINE V v_pick(V a, V b, V x, V y) { return _mm512_mask_blend_pd(_mm512_cmp_pd_mask(a, b, _CMP_LT_OQ), y, x); }
INLINE F f_load(const float *p) { return _mm512_loadu_ps(p); }
INLINE void f_store(float *p, F a) { _mm512_storeu_ps(p, a); }
INLINE F f_set(float a) { return _mm512_set1_ps(a); }
INLINE F f_add(F a, F b) { return _mm512_add_ps(a, b); }
INLINE F f_sub(F a, F b) { return _mm512_sub_ps(a, b); }
INLINE F f_mul(F a, F b) { return _mm512_mul_ps(a, b); }
INLINE F f_fma(F a, F b, F c) { return _mm512_fmadd_ps(a, b, c); }
INLINE F f_abs(F a) { return _mm512_abs_ps(a); }
INLINE F f_max(F a, F b) { return _mm512_max_ps(a, b); }
INLINE F f_div(F a, F b) { return _mm512_div_ps(a, b); }
INLINE F f_sqrt(F a) { return _mm512_sqrt_ps(a); }
typedef __m512i I;
INLINE I i_set(int32_t a) { return _mm512_set1_epi32(a); }
INLINE I i_sub(I a, I b) { return _mm512_sub_epi32(a, b); }
INLINE I i_and(I a, I b) { return _mm512_and_si512(a, b); }
INLINE I i_or(I a, I b) { return _mm512_or_si512(a, b); }
INLINE I i_xor(I a, I b) { return _mm512_xor_si512(a, b); }
#define i_left(a, n) _mm512_slli_epi32(a, n)
#define i_right(a, n) _mm512_srli_epi32(a, n)
#define i_signs(a, n) _mm512_srai_epi32(a, n)
INLINE F f_of(I a) { return _mm512_castsi512_ps(a); }
INLINE I i_of(F a) { return _mm512_castps_si512(a); }
INLINE F f_number(I a) { return _mm512_cvtepi32_ps(a); }
INLINE void i_halves(const uint64_t *words, I *high, I *low) {
    const I even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    I a = _mm512_loadu_si512(words), b = _mm512_loadu_si512(words + 8);
    *low = _mm512_permutex2var_epi32(a, even, b);
    *high = _mm512_permutex2var_epi32(a, _mm512_add_epi32(even, i_set(1)), b);
}
INLINE U u_load(const uint64_t *p) { return _mm512_loadu_si512(p); }
INLINE void u_store(uint64_t *p, U a) { _mm512_storeu_si512(p, a); }
INLINE U u_set(uint64_t a) { return _mm512_set1_epi64((long long)a); }
INLINE U u_add(U a, U b) { return _mm512_add_epi64(a, b); }
INLINE U u_sub(U a, U b) { return _mm512_sub_epi64(a, b); }
INLINE U u_and(U a, U b) { return _mm512_and_si512(a, b); }
INLINE U u_or(U a, U b) { return _mm512_or_si512(a, b); }
INLINE U u_xor(U a, U b) { return _mm512_xor_si512(a, b); }
INLINE U u_mul32(U a, U b) { return _mm512_mul_epu32(a, b); }
#define u_left(a, n) _mm512_slli_epi64(a, n)
#define u_right(a, n) _mm512_srli_epi64(a, n)
INLINE V v_of(U a) { return _mm512_castsi512_pd(a); }
INLINE U u_of(V a) { return _mm512_castpd_si512(a); }

#elif defined(__AVX2__) && defined(__FMA__)
#include <immintrin.h>
#define CLASS "avx2"
#define VL 4
#define FL 8
typedef __m256d V;
typedef __m256i U;
typedef __m256 F;
INLINE V v_load(const double *p) { return _mm256_loadu_pd(p); }
INLINE void v_store(double *p, V a) { _mm256_storeu_pd(p, a); }
INLINE V v_set(double a) { return _mm256_set1_pd(a); }
INLINE V v_add(V a, V b) { return _mm256_add_pd(a, b); }
INLINE V v_sub(V a, V b) { return _mm256_sub_pd(a, b); }
INLINE V v_mul(V a, V b) { return _mm256_mul_pd(a, b); }
INLINE V v_div(V a, V b) { return _mm256_div_pd(a, b); }
INLINE V v_fma(V a, V b, V c) { return _mm256_fmadd_pd(a, b, c); }
INLINE V v_fnma(V a, V b, V c) { return _mm256_fnmadd_pd(a, b, c); }
INLINE V v_sqrt(V a) { return _mm256_sqrt_pd(a); }
INLINE V v_abs(V a) { return _mm256_andnot_pd(_mm256_set1_pd(-0.0), a); }
INLINE V v_max(V a, V b) { return _mm256_max_pd(a, b); }
INLINE V v_pick(V a, V b, V x, V y) { return _mm256_blendv_pd(y, x, _mm256_cmp_pd(a, b, _CMP_LT_OQ)); }
INLINE F f_load(const float *p) { return _mm256_loadu_ps(p); }
INLINE void f_store(float *p, F a) { _mm256_storeu_ps(p, a); }
INLINE F f_set(float a) { return _mm256_set1_ps(a); }
INLINE F f_add(F a, F b) { return _mm256_add_ps(a, b); }
INLINE F f_sub(F a, F b) { return _mm256_sub_ps(a, b); }
INLINE F f_mul(F a, F b) { return _mm256_mul_ps(a, b); }
INLINE F f_fma(F a, F b, F c) { return _mm256_fmadd_ps(a, b, c); }
INLINE F f_abs(F a) { return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), a); }
INLINE F f_max(F a, F b) { return _mm256_max_ps(a, b); }
INLINE F f_div(F a, F b) { return _mm256_div_ps(a, b); }
INLINE F f_sqrt(F a) { return _mm256_sqrt_ps(a); }
typedef __m256i I;
INLINE I i_set(int32_t a) { return _mm256_set1_epi32(a); }
INLINE I i_sub(I a, I b) { return _mm256_sub_epi32(a, b); }
INLINE I i_and(I a, I b) { return _mm256_and_si256(a, b); }
INLINE I i_or(I a, I b) { return _mm256_or_si256(a, b); }
INLINE I i_xor(I a, I b) { return _mm256_xor_si256(a, b); }
#define i_left(a, n) _mm256_slli_epi32(a, n)
#define i_right(a, n) _mm256_srli_epi32(a, n)
#define i_signs(a, n) _mm256_srai_epi32(a, n)
INLINE F f_of(I a) { return _mm256_castsi256_ps(a); }
INLINE I i_of(F a) { return _mm256_castps_si256(a); }
INLINE F f_number(I a) { return _mm256_cvtepi32_ps(a); }
INLINE void i_halves(const uint64_t *words, I *high, I *low) {
    F a = _mm256_loadu_ps((const float *)words), b = _mm256_loadu_ps((const float *)(words + 4));
    *low = _mm256_permute4x64_epi64(i_of(_mm256_shuffle_ps(a, b, 0x88)), 0xD8);
    *high = _mm256_permute4x64_epi64(i_of(_mm256_shuffle_ps(a, b, 0xDD)), 0xD8);
}
INLINE U u_load(const uint64_t *p) { return _mm256_loadu_si256((const __m256i *)p); }
INLINE void u_store(uint64_t *p, U a) { _mm256_storeu_si256((__m256i *)p, a); }
INLINE U u_set(uint64_t a) { return _mm256_set1_epi64x((long long)a); }
INLINE U u_add(U a, U b) { return _mm256_add_epi64(a, b); }
INLINE U u_sub(U a, U b) { return _mm256_sub_epi64(a, b); }
INLINE U u_and(U a, U b) { return _mm256_and_si256(a, b); }
INLINE U u_or(U a, U b) { return _mm256_or_si256(a, b); }
INLINE U u_xor(U a, U b) { return _mm256_xor_si256(a, b); }
INLINE U u_mul32(U a, U b) { return _mm256_mul_epu32(a, b); }
#define u_left(a, n) _mm256_slli_epi64(a, n)
#define u_right(a, n) _mm256_srli_epi64(a, n)
INLINE V v_of(U a) { return _mm256_castsi256_pd(a); }
INLINE U u_of(V a) { return _mm256_castpd_si256(a); }

#elif defined(__aarch64__)
#include <arm_neon.h>
#define CLASS "neon"
#define VL 2
#define FL 4
typedef float64x2_t V;
typedef uint64x2_t U;
typedef float32x4_t F;
INLINE V v_load(const double *p) { return vld1q_f64(p); }
INLINE void v_store(double *p, V a) { vst1q_f64(p, a); }
INLINE V v_set(double a) { return vdupq_n_f64(a); }
INLINE V v_add(V a, V b) { return vaddq_f64(a, b); }
INLINE V v_sub(V a, V b) { return vsubq_f64(a, b); }
INLINE V v_mul(V a, V b) { return vmulq_f64(a, b); }
INLINE V v_div(V a, V b) { return vdivq_f64(a, b); }
INLINE V v_fma(V a, V b, V c) { return vfmaq_f64(c, a, b); }
INLINE V v_fnma(V a, V b, V c) { return vfmsq_f64(c, a, b); }
INLINE V v_sqrt(V a) { return vsqrtq_f64(a); }
INLINE V v_abs(V a) { return vabsq_f64(a); }
INLINE V v_max(V a, V b) { return vbslq_f64(vcgtq_f64(a, b), a, b); } /* b where they do not compare, as x86 */
INLINE V v_pick(V a, V b, V x, V y) { return vbslq_f64(vcltq_f64(a, b), x, y); }
INLINE F f_load(const float *p) { return vld1q_f32(p); }
INLINE void f_store(float *p, F a) { vst1q_f32(p, a); }
INLINE F f_set(float a) { return vdupq_n_f32(a); }
INLINE F f_add(F a, F b) { return vaddq_f32(a, b); }
INLINE F f_sub(F a, F b) { return vsubq_f32(a, b); }
INLINE F f_mul(F a, F b) { return vmulq_f32(a, b); }
INLINE F f_fma(F a, F b, F c) { return vfmaq_f32(c, a, b); }
INLINE F f_abs(F a) { return vabsq_f32(a); }
INLINE F f_max(F a, F b) { return vbslq_f32(vcgtq_f32(a, b), a, b); }
INLINE F f_div(F a, F b) { return vdivq_f32(a, b); }
INLINE F f_sqrt(F a) { return vsqrtq_f32(a); }
typedef int32x4_t I;
INLINE I i_set(int32_t a) { return vdupq_n_s32(a); }
INLINE I i_sub(I a, I b) { return vsubq_s32(a, b); }
INLINE I i_and(I a, I b) { return vandq_s32(a, b); }
INLINE I i_or(I a, I b) { return vorrq_s32(a, b); }
INLINE I i_xor(I a, I b) { return veorq_s32(a, b); }
#define i_left(a, n) vshlq_n_s32(a, n)
#define i_right(a, n) vreinterpretq_s32_u32(vshrq_n_u32(vreinterpretq_u32_s32(a), n))
#define i_signs(a, n) vshrq_n_s32(a, n)
INLINE F f_of(I a) { return vreinterpretq_f32_s32(a); }
INLINE I i_of(F a) { return vreinterpretq_s32_f32(a); }
INLINE F f_number(I a) { return vcvtq_f32_s32(a); }
INLINE void i_halves(const uint64_t *words, I *high, I *low) {
    I a = vreinterpretq_s32_u64(vld1q_u64(words)), b = vreinterpretq_s32_u64(vld1q_u64(words + 2));
    *low = vuzp1q_s32(a, b);
    *high = vuzp2q_s32(a, b);
}
INLINE U u_load(const uint64_t *p) { return vld1q_u64(p); }
INLINE void u_store(uint64_t *p, U a) { vst1q_u64(p, a); }
INLINE U u_set(uint64_t a) { return vdupq_n_u64(a); }
INLINE U u_add(U a, U b) { return vaddq_u64(a, b); }
INLINE U u_sub(U a, U b) { return vsubq_u64(a, b); }
INLINE U u_and(U a, U b) { return vandq_u64(a, b); }
INLINE U u_or(U a, U b) { return vorrq_u64(a, b); }
INLINE U u_xor(U a, U b) { return veorq_u64(a, b); }
INLINE U u_mul32(U a, U b) { return vmull_u32(vmovn_u64(a), vmovn_u64(b)); }
#define u_left(a, n) vshlq_n_u64(a, n)
#define u_right(a, n) vshrq_n_u64(a, n)
INLINE V v_of(U a) { return vreinterpretq_f64_u64(a); }
INLINE U u_of(V a) { return vreinterpretq_u64_f64(a); }

#else
#define CLASS "plain"
#define VL 1
#define FL 1
typedef double V;
typedef uint64_t U;
typedef float F;
INLINE V v_load(const double *p) { return *p; }
INLINE void v_store(double *p, V a) { *p = a; }
INLINE V v_set(double a) { return a; }
INLINE V v_add(V a, V b) { return a + b; }
INLINE V v_sub(V a, V b) { return a - b; }
INLINE V v_mul(V a, V b) { return a * b; }
INLINE V v_div(V a, V b) { return a / b; }
INLINE V v_fma(V a, V b, V c) { return fma(a, b, c); }
INLINE V v_fnma(V a, V b, V c) { return fma(-a, b, c); } /* c - a b */
INLINE V v_sqrt(V a) { return sqrt(a); }
INLINE V v_abs(V a) { return fabs(a); }
INLINE V v_max(V a, V b) { return a > b ? a : b; }
INLINE V v_pick(V a, V b, V x, V y) { return a < b ? x : y; } /* x where a < b, else y, also where they do not compare */
INLINE F f_load(const float *p) { return *p; }
INLINE void f_store(float *p, F a) { *p = a; }
INLINE F f_set(float a) { return a; }
INLINE F f_add(F a, F b) { return a + b; }
INLINE F f_sub(F a, F b) { return a - b; }
INLINE F f_mul(F a, F b) { return a * b; }
INLINE F f_fma(F a, F b, F c) { return fmaf(a, b, c); }
INLINE F f_abs(F a) { return fabsf(a); }
INLINE F f_max(F a, F b) { return a > b ? a : b; }
INLINE F f_div(F a, F b) { return a / b; }
INLINE F f_sqrt(F a) { return sqrtf(a); }
typedef int32_t I;
INLINE I i_set(int32_t a) { return a; }
INLINE I i_sub(I a, I b) { return (I)((uint32_t)a - (uint32_t)b); }
INLINE I i_and(I a, I b) { return a & b; }
INLINE I i_or(I a, I b) { return a | b; }
INLINE I i_xor(I a, I b) { return a ^ b; }
#define i_left(a, n) ((I)((uint32_t)(a) << (n)))
#define i_right(a, n) ((I)((uint32_t)(a) >> (n)))
#define i_signs(a, n) ((a) >> (n))
INLINE F f_of(I a) {
    F b;
    memcpy(&b, &a, sizeof b);
    return b;
}
INLINE I i_of(F a) {
    I b;
    memcpy(&b, &a, sizeof b);
    return b;
}
INLINE F f_number(I a) { return (F)a; }
INLINE void i_halves(const uint64_t *words, I *high, I *low) {
    *low = (I)(uint32_t)*words;
    *high = (I)(uint32_t)(*words >> 32);
}
INLINE U u_load(const uint64_t *p) { return *p; }
INLINE void u_store(uint64_t *p, U a) { *p = a; }
INLINE U u_set(uint64_t a) { return a; }
INLINE U u_add(U a, U b) { return a + b; }
INLINE U u_sub(U a, U b) { return a - b; }
INLINE U u_and(U a, U b) { return a & b; }
INLINE U u_or(U a, U b) { return a | b; }
INLINE U u_xor(U a, U b) { return a ^ b; }
INLINE U u_mul32(U a, U b) { return (uint64_t)(uint32_t)a * (uint32_t)b; }
#define u_left(a, n) ((a) << (n))
#define u_right(a, n) ((a) >> (n))
INLINE V v_of(U a) {
    V b;
    memcpy(&b, &a, sizeof b);
    return b;
}
INLINE U u_of(V a) {
    U b;
    memcpy(&b, &a, sizeof b);
    return b;
}
#endif

#endif

#pragma once

// Vectors of floats as wide as the instruction set of this translation unit. GCC and Clang's vector
// extensions do the arithmetic; intrinsics serve only where the language has no operator (fused
// multiply-add, square root).
//
// Code in the namespace STRATA_CPU_ISA is built once per instruction set and linked together, so it uses no
// function of the standard library: an inline function that all objects share could come from the wrong one.

#if defined(__AVX__)
#include <immintrin.h>
#elif defined(__x86_64__)
#include <xmmintrin.h>  // a tenth of what the compiler takes for all of them
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#include <cstdint>

#include <strata/core/config.hpp>

#if defined(__AVX512F__) && defined(__AVX512DQ__) && defined(__AVX512VL__) && defined(__AVX512BW__)
#define STRATA_CPU_ISA avx512
#define STRATA_CPU_AVX512 1
#define STRATA_CPU_BFLOAT16 1
#elif defined(__AVX2__) && defined(__FMA__)
#define STRATA_CPU_ISA avx2
#define STRATA_CPU_AVX2 1
#else
#define STRATA_CPU_ISA baseline
#endif

#if defined(__clang__)
#define STRATA_UNROLL _Pragma("clang loop unroll(full)")
#define STRATA_NO_UNROLL _Pragma("clang loop unroll(disable)")
#else
#define STRATA_UNROLL _Pragma("GCC unroll 32")
#define STRATA_NO_UNROLL _Pragma("GCC unroll 1")
#endif
#define STRATA_ALWAYS_INLINE [[gnu::always_inline]] inline

namespace strata { inline namespace STRATA_ABI { namespace cpu { namespace STRATA_CPU_ISA {

#if STRATA_CPU_AVX512
inline constexpr int width = 16;     // floats in a vector
inline constexpr int max_rows = 14;  // rows of the register block: 14 x 2 sums, 2 of B, of 32 registers
#elif STRATA_CPU_AVX2
inline constexpr int width = 8;
inline constexpr int max_rows = 6;  // 6 x 2 sums, 2 of B, 1 of A, of 16 registers
#elif defined(__aarch64__)
inline constexpr int width = 4;
inline constexpr int max_rows = 12;
#else
inline constexpr int width = 4;
inline constexpr int max_rows = 6;
#endif
inline constexpr int panel = 2 * width;  // columns of the register block

typedef float Vec __attribute__((vector_size(4 * width)));
typedef int IVec __attribute__((vector_size(4 * width)));
typedef unsigned UVec __attribute__((vector_size(4 * width)));
typedef float UnalignedVec __attribute__((vector_size(4 * width), aligned(4), may_alias));

STRATA_ALWAYS_INLINE Vec load(const float* p) {
  return *reinterpret_cast<const UnalignedVec*>(p);
}
STRATA_ALWAYS_INLINE void store(float* p, Vec v) {
  *reinterpret_cast<UnalignedVec*>(p) = v;
}
#if STRATA_CPU_AVX2
STRATA_ALWAYS_INLINE __m256i first_lanes(long count) {
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(count)),
                            _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
#endif
/// The first `count` elements, from 1 to width - 1, zeros behind them. A memcpy of any length would be a
/// call.
STRATA_ALWAYS_INLINE Vec load_part(const float* p, long count) {
#if STRATA_CPU_AVX512
  return _mm512_maskz_loadu_ps(static_cast<__mmask16>((1U << count) - 1), p);
#elif STRATA_CPU_AVX2
  return _mm256_maskload_ps(p, first_lanes(count));
#else
  return Vec{p[0], count > 1 ? p[1] : 0, count > 2 ? p[2] : 0, 0};
#endif
}
STRATA_ALWAYS_INLINE void store_part(float* p, Vec v, long count) {
#if STRATA_CPU_AVX512
  _mm512_mask_storeu_ps(p, static_cast<__mmask16>((1U << count) - 1), v);
#elif STRATA_CPU_AVX2
  _mm256_maskstore_ps(p, first_lanes(count), v);
#else
  p[0] = v[0];
  if (count > 1) p[1] = v[1];
  if (count > 2) p[2] = v[2];
#endif
}

/// Calls body(c, rest) for the vectors of `channels`; rest > 0 marks the last, incomplete one.
template <class Body>
STRATA_ALWAYS_INLINE void for_channels(long channels, Body body) {
  long c = 0;
  for (; c + width <= channels; c += width) body(c, 0L);
  if (c < channels) body(c, channels - c);
}
/// A whole vector, or where `rest` is not 0 so many elements of it.
STRATA_ALWAYS_INLINE Vec load_some(const float* p, long rest) {
  return rest ? load_part(p, rest) : load(p);
}
STRATA_ALWAYS_INLINE void store_some(float* p, Vec v, long rest) {
  rest ? store_part(p, v, rest) : store(p, v);
}

/// Places in windows, a byte each.
typedef std::uint8_t Places __attribute__((vector_size(width)));
STRATA_ALWAYS_INLINE IVec load_places(const std::uint8_t* p, long rest) {
  Places places{};
  if (!rest)
    __builtin_memcpy(&places, p, sizeof places);
  else
#if STRATA_CPU_AVX512
    places = reinterpret_cast<Places>(_mm_maskz_loadu_epi8(static_cast<__mmask16>((1U << rest) - 1), p));
#else
    for (long i = 0; i < rest; ++i) places[i] = p[i];
#endif
  return __builtin_convertvector(places, IVec);
}
STRATA_ALWAYS_INLINE void store_places(std::uint8_t* p, IVec v, long rest) {
  const Places places = __builtin_convertvector(v, Places);
  if (!rest)
    __builtin_memcpy(p, &places, sizeof places);
  else
#if STRATA_CPU_AVX512
    _mm_mask_storeu_epi8(p, static_cast<__mmask16>((1U << rest) - 1), reinterpret_cast<__m128i>(places));
#else
    for (long i = 0; i < rest; ++i) p[i] = places[i];
#endif
}
/// Keeps the larger of `largest` and v, and its place: of equals the first, of NaNs too.
STRATA_ALWAYS_INLINE void keep_larger(Vec v, IVec place, Vec& largest, IVec& place_of_largest) {
  const IVec larger = ~(v <= largest) & (largest == largest);
  largest = larger ? v : largest;
  place_of_largest = larger ? place : place_of_largest;
}

// x - 0 is x for every x, x + 0 is not: the compiler can drop the subtraction.
STRATA_ALWAYS_INLINE Vec splat(float x) {
  return x - Vec{};
}

/// a * b + c, rounded once where the instruction set can. Written out because ISO mode (-std=c++20) forbids
/// g++ to fuse `a * b + c` by itself.
STRATA_ALWAYS_INLINE Vec fma(Vec a, Vec b, Vec c) {
#if STRATA_CPU_AVX512
  return _mm512_fmadd_ps(a, b, c);
#elif STRATA_CPU_AVX2
  return _mm256_fmadd_ps(a, b, c);
#elif defined(__aarch64__)
  return vfmaq_f32(c, a, b);
#else
  return a * b + c;
#endif
}
/// c0 += *a * b0 and c1 += *a * b1, in an instruction each where there is such. It is written in assembly:
/// compilers broadcast what is used twice by an instruction of its own.
STRATA_ALWAYS_INLINE void add_splat_products(const float* a, Vec b0, Vec b1, Vec& c0, Vec& c1) {
#if STRATA_CPU_AVX512
  Vec r0 = c0, r1 = c1;  // g++ would leave the references' objects in memory
  asm("vfmadd231ps {%2%{1to16%}, %3, %0|%0, %3, %2%{1to16%}}\n\t"
      "vfmadd231ps {%2%{1to16%}, %4, %1|%1, %4, %2%{1to16%}}"
      : "+&v"(r0), "+&v"(r1)
      : "m"(*a), "v"(b0), "v"(b1));
  c0 = r0, c1 = r1;
#else
  const Vec s = splat(*a);
  c0 = fma(s, b0, c0);
  c1 = fma(s, b1, c1);
#endif
}
/// sum += a [Rows] b [2]: half of the numbers by `add_splat_products`, which is as many as the loads allow.
template <int Rows>
STRATA_ALWAYS_INLINE void add_outer_product(const float* a, Vec b0, Vec b1, Vec (&sum)[Rows][2]) {
  STRATA_UNROLL
  for (int i = 0; i < Rows; ++i) {
    if (i % 2) {
      add_splat_products(a + i, b0, b1, sum[i][0], sum[i][1]);
    } else {
      const Vec s = splat(a[i]);
      sum[i][0] = fma(s, b0, sum[i][0]);
      sum[i][1] = fma(s, b1, sum[i][1]);
    }
  }
}
STRATA_ALWAYS_INLINE Vec sqrt(Vec x) {
#if STRATA_CPU_AVX512
  return _mm512_maskz_sqrt_ps(0xffff, x);
#elif STRATA_CPU_AVX2
  return _mm256_sqrt_ps(x);
#elif defined(__x86_64__)
  return _mm_sqrt_ps(x);
#elif defined(__aarch64__)
  return vsqrtq_f32(x);
#endif
}

// Comparisons that are false leave NaN where it is, so that NaN reaches the loss, where it is reported.
STRATA_ALWAYS_INLINE Vec at_least(Vec low, Vec x) {
#if STRATA_CPU_AVX512
  return _mm512_maskz_max_ps(0xffff, low, x);  // the second where one is NaN
#elif STRATA_CPU_AVX2
  return _mm256_max_ps(low, x);
#else
  return x < low ? low : x;
#endif
}
STRATA_ALWAYS_INLINE Vec relu(Vec x) {
  return at_least(Vec{}, x);
}
STRATA_ALWAYS_INLINE Vec max(Vec a, Vec b) {
#if STRATA_CPU_AVX512
  return _mm512_mask_max_ps(a, _mm512_cmp_ps_mask(a, a, _CMP_ORD_Q), a, b);  // a where it is NaN
#else
  return ((b > a) | (b != b)) ? b : a;
#endif
}
STRATA_ALWAYS_INLINE Vec clamp(Vec x, float low, float high) {
  x = x < low ? splat(low) : x;
  return x > high ? splat(high) : x;
}
STRATA_ALWAYS_INLINE Vec abs(Vec x) {
  return reinterpret_cast<Vec>(reinterpret_cast<IVec>(x) & 0x7fffffff);
}

/// e^x within 2 ulp: x = n ln 2 + r, a polynomial for e^r, n into the exponent. 0 below -87.3, infinity above
/// 88.7.
STRATA_ALWAYS_INLINE Vec exp(Vec x) {
  const Vec in = clamp(x, -87.33654f, 88.72283f);
  const Vec n = (in * 1.44269504f + 12582912.f) - 12582912.f;  // rounds: 1.5 * 2^23 has no fraction bits
  Vec r = fma(n, splat(-0.693359375f), in);
  r = fma(n, splat(2.12194440e-4f), r);
  Vec p = fma(r, splat(1.9875691500e-4f), splat(1.3981999507e-3f));
  p = fma(p, r, splat(8.3334519073e-3f));
  p = fma(p, r, splat(4.1665795894e-2f));
  p = fma(p, r, splat(1.6666665459e-1f));
  p = fma(p, r, splat(5.0000001201e-1f));
  p = fma(p, r * r, r) + 1.f;
  // 2^n in two factors: n reaches 128, which one exponent cannot hold.
  const IVec exponent = __builtin_convertvector(n, IVec), half = exponent >> 1;
  const Vec scale_a = reinterpret_cast<Vec>((half + 127) << 23);
  const Vec scale_b = reinterpret_cast<Vec>((exponent - half + 127) << 23);
  const Vec result = p * scale_a * scale_b;
  const Vec zero{};
  const Vec flushed = x < -87.33654f ? zero : result;
  return x > 88.72283f ? splat(__builtin_inff()) : flushed;
}

STRATA_ALWAYS_INLINE Vec sigmoid(Vec x) {
  return 1.f / (1.f + exp(-x));
}

/// tanh(x): an odd polynomial near 0, where the quotient of exponentials would cancel.
STRATA_ALWAYS_INLINE Vec tanh(Vec x) {
  const Vec size = abs(x);
  const Vec large = 1.f - 2.f / (exp(2.f * size) + 1.f);
  const Vec s = x * x;
  Vec p = fma(s, splat(-5.70498872745e-3f), splat(2.06390887954e-2f));
  p = fma(p, s, splat(-5.37397155531e-2f));
  p = fma(p, s, splat(1.33314422036e-1f));
  p = fma(p, s, splat(-3.33332819422e-1f));
  const Vec small = fma(p * s, x, x);
  const Vec signed_large = x < 0.f ? -large : large;
  return size < 0.625f ? small : signed_large;
}

/// e^x - 1 for x <= 0, relative error kept near 0: 2 t / (1 - t), t = tanh(x / 2).
STRATA_ALWAYS_INLINE Vec expm1(Vec x) {
  const Vec t = tanh(0.5f * x);
  return 2.f * t / (1.f - t);
}

/// log(1 + x) for x in [0, 1]: 2 artanh(x / (2 + x)), by its series.
STRATA_ALWAYS_INLINE Vec log1p(Vec x) {
  const Vec t = x / (2.f + x), s = t * t;
  Vec p = fma(s, splat(1.f / 15), splat(1.f / 13));
  p = fma(p, s, splat(1.f / 11));
  p = fma(p, s, splat(1.f / 9));
  p = fma(p, s, splat(1.f / 7));
  p = fma(p, s, splat(1.f / 5));
  p = fma(p, s, splat(1.f / 3));
  return 2.f * fma(p * s, t, t);
}

/// e^(-x^2 / 2). x is split so that the larger square is exact: an error of it would be one of the exponent.
STRATA_ALWAYS_INLINE Vec bell(Vec x) {
  const Vec size = clamp(abs(x), 0.f, 20.f);  // beyond, as at infinity, it is 0
  const Vec high = reinterpret_cast<Vec>(reinterpret_cast<IVec>(size) & ~0xfff);
  return exp(-0.5f * high * high) * exp(-0.5f * (size - high) * (size + high));
}

/// Probability of less than x under the standard normal distribution, within a few ulp on both sides:
/// bell(x) times a polynomial in 1 / (1 + 0.27 |x|) for negative x, fitted by Chebyshev interpolation.
STRATA_ALWAYS_INLINE Vec normal_cdf(Vec x) {
  const Vec t = 1.f / (1.f + 0.27f * abs(x));
  Vec p = fma(t, splat(2.9107028218e-2f), splat(-1.2724211989e-1f));
  p = fma(p, t, splat(1.7144469740e-1f));
  p = fma(p, t, splat(-7.1213917002e-2f));
  p = fma(p, t, splat(1.0927720647e-1f));
  p = fma(p, t, splat(7.1406062540e-2f));
  p = fma(p, t, splat(1.0198036701e-1f));
  p = fma(p, t, splat(1.0751860326e-1f));
  p = fma(p, t, splat(1.0772209306e-1f));
  const Vec tail = p * t * bell(x);
  return x > 0.f ? 1.f - tail : tail;
}

/// f(x) over `count` elements; the last, incomplete vector takes the same path.
template <class F>
STRATA_ALWAYS_INLINE void map(long count, const float* x, float* y, F f) {
  long i = 0;
  for (; i + width <= count; i += width) store(y + i, f(load(x + i)));
  if (i < count) store_part(y + i, f(load_part(x + i, count - i)), count - i);
}
template <class F>
STRATA_ALWAYS_INLINE void map(long count, const float* a, const float* b, float* y, F f) {
  long i = 0;
  for (; i + width <= count; i += width) store(y + i, f(load(a + i), load(b + i)));
  if (const long rest = count - i; rest > 0)
    store_part(y + i, f(load_part(a + i, rest), load_part(b + i, rest)), rest);
}

}}}}  // namespace strata::STRATA_ABI::cpu::STRATA_CPU_ISA

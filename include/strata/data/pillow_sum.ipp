#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#include <strata/core/config.hpp>

// Pillow's sums of bytes times 22-bit weights, in vectors that every x86-64 has. They multiply 16 bits by 16.
namespace strata { inline namespace STRATA_ABI { namespace detail {

typedef std::uint8_t PillowBytes __attribute__((vector_size(16)));
typedef std::int16_t PillowShorts __attribute__((vector_size(16)));
typedef std::int32_t PillowInts __attribute__((vector_size(16)));
typedef std::uint32_t PillowSums __attribute__((vector_size(16)));

inline constexpr int pillow_bits = 22;  // fractional bits of a weight: 32 - 8 for a pixel - 2 for overshoot

/// The weights of two neighbours in turn: their lower 15 bits and what is above.
struct PillowPair {
  PillowShorts low{}, high{};

  void set(std::int64_t which, std::int32_t weight) {
    for (std::int64_t i = which; i < 8; i += 2) {
      low[i] = static_cast<std::int16_t>(weight & 0x7fff);
      high[i] = static_cast<std::int16_t>(weight >> 15);
    }
  }
};

inline PillowSums pillow_products(PillowBytes a, PillowShorts b) {
#if defined(__SSE2__)
  return reinterpret_cast<PillowSums>(
      _mm_madd_epi16(reinterpret_cast<__m128i>(a), reinterpret_cast<__m128i>(b)));
#else
  const PillowShorts x = reinterpret_cast<PillowShorts>(a);
  PillowSums out{};
  for (int i = 0; i < 8; ++i) out[i / 2] += static_cast<std::uint32_t>(x[i] * b[i]);
  return out;
#endif
}

/// Four sums of pixels times weights.
struct PillowSum {
  PillowSums low = PillowSums{} + (1u << (pillow_bits - 1)), high{};  // rounds

  /// Two bytes each of two neighbours in turn, zeros between.
  void add(PillowBytes pixels, const PillowPair& weights) {
    low += pillow_products(pixels, weights.low);
    high += pillow_products(pixels, weights.high);
  }
  PillowInts value() const { return reinterpret_cast<PillowInts>(low + (high << 15)) >> pillow_bits; }
};

inline PillowBytes pillow_bytes(PillowInts a, PillowInts b, PillowInts c, PillowInts d) {
#if defined(__SSE2__)
  const auto pack = [](PillowInts low, PillowInts high) {
    return _mm_packs_epi32(reinterpret_cast<__m128i>(low), reinterpret_cast<__m128i>(high));
  };
  return reinterpret_cast<PillowBytes>(_mm_packus_epi16(pack(a, b), pack(c, d)));
#else
  const PillowInts all[] = {a, b, c, d};
  PillowBytes out{};
  for (int i = 0; i < 16; ++i) out[i] = static_cast<std::uint8_t>(std::clamp(all[i / 4][i % 4], 0, 255));
  return out;
#endif
}

inline PillowBytes pillow_load(const std::uint8_t* from, std::size_t bytes = sizeof(PillowBytes)) {
  PillowBytes out{};
  std::memcpy(&out, from, bytes);
  return out;
}
inline PillowBytes pillow_load_four(const std::uint8_t* from) {
  std::int32_t four;
  std::memcpy(&four, from, sizeof four);
  return reinterpret_cast<PillowBytes>(PillowInts{four});
}
inline PillowBytes in_turn(PillowBytes a, PillowBytes b = PillowBytes{}) {
  return __builtin_shufflevector(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
}
inline PillowBytes upper_in_turn(PillowBytes a, PillowBytes b = PillowBytes{}) {
  return __builtin_shufflevector(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
}

}}}  // namespace strata::STRATA_ABI::detail

#pragma once

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace strata_test {

/// To the nearest number of 8 bits of mantissa, ties to even.
inline double rounded(double x) {
  int exponent;
  const double mantissa = std::frexp(x, &exponent);
  return std::ldexp(std::nearbyint(mantissa * 256), exponent - 8);
}

/// Number i of those that lie in memory as bfloat16.
inline double narrow_at(const void* memory, std::size_t i) {
  std::uint16_t bits;
  std::memcpy(&bits, static_cast<const std::byte*>(memory) + 2 * i, sizeof bits);
  return static_cast<double>(std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16));
}
/// Rounds x and leaves it there.
inline void put_narrow(double x, void* memory, std::size_t i) {
  const auto bits = std::bit_cast<std::uint32_t>(static_cast<float>(rounded(x)));
  const auto high = static_cast<std::uint16_t>(bits >> 16);
  std::memcpy(static_cast<std::byte*>(memory) + 2 * i, &high, sizeof high);
}

}  // namespace strata_test

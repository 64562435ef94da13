#pragma once

#include <cstdint>
#include <string_view>

#include <strata/core/error.hpp>

namespace strata { inline namespace STRATA_ABI {

/// A sum or product of sizes (0 or more) that come from options and files. Throws ShapeError, opened by
/// `who`, where 63 bits do not hold it.
constexpr std::int64_t checked_add(std::string_view who, std::int64_t a, std::int64_t b) {
  std::int64_t sum = 0;
  const bool overflows = __builtin_add_overflow(a, b, &sum);
  require<ShapeError>(!overflows, who, "a size of ", a, " + ", b, " is more than 63 bits can count");
  return sum;
}
constexpr std::int64_t checked_multiply(std::string_view who, std::int64_t a, std::int64_t b) {
  std::int64_t product = 0;
  const bool overflows = __builtin_mul_overflow(a, b, &product);
  require<ShapeError>(!overflows, who, "a size of ", a, " * ", b, " is more than 63 bits can count");
  return product;
}

}}  // namespace strata::STRATA_ABI

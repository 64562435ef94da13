#pragma once

#include <optional>

#include <strata/core/config.hpp>

namespace strata { inline namespace STRATA_ABI {

/// What a random layer draws from, uniformly. Converts from a number v, {-|v|, |v|}, and from two in either
/// order, as in Keras.
struct Range {
  double lower = 0, upper = 0;
  constexpr Range() = default;
  constexpr Range(double v) : Range(-v, v) {}
  constexpr Range(double a, double b) : lower(a < b ? a : b), upper(a < b ? b : a) {}
  friend constexpr bool operator==(const Range&, const Range&) = default;
};

/// One, or none.
struct OptionalRange : std::optional<Range> {
  using std::optional<Range>::optional;
  constexpr OptionalRange(double a, double b) : std::optional<Range>(Range(a, b)) {}
};

}}  // namespace strata::STRATA_ABI

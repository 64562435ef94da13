#pragma once

#include <cmath>

#include <strata/core/random.hpp>

namespace strata { inline namespace STRATA_ABI {

STRATA_INLINE double RandomStream::normal(std::uint64_t element) const {
  const double radius = std::sqrt(-2.0 * std::log(1.0 - uniform_double(2 * element)));
  return radius * std::cos(6.283185307179586476925 * uniform_double(2 * element + 1));
}

}}  // namespace strata::STRATA_ABI

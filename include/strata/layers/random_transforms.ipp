#pragma once

#include <cmath>

#include <strata/layers/random_transforms.hpp>

namespace strata { inline namespace STRATA_ABI {

STRATA_INLINE PixelWarp detail::rotation(double angle, std::int64_t height, std::int64_t width) {
  const double cos = std::cos(angle), sin = std::sin(angle);
  const double row = 0.5 * static_cast<double>(height - 1), column = 0.5 * static_cast<double>(width - 1);
  return {.matrix = {cos, sin, row - row * cos - column * sin,  //
                     -sin, cos, column - column * cos + row * sin}};
}

}}  // namespace strata::STRATA_ABI

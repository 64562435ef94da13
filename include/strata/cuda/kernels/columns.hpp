#pragma once

#include <cstdint>

#include <strata/core/config.hpp>

namespace strata { inline namespace STRATA_ABI { namespace cuda {

/// How a grid of blocks shares out a matrix [rows,channels]. Block (x, y) has `width` channels, and of them
/// the rows of slice y. Its threads lie `width` beside each other, so that they read whole lines, and the
/// rest of them below.
struct Columns {
  static constexpr int threads = 256;

  std::int64_t rows = 0, channels = 0;
  std::int64_t slice = 1;   ///< rows of a block
  std::int64_t slices = 0;  ///< of all rows; 0 where there are none
  int width = 1;            ///< a power of two, at most 32
};

}}}  // namespace strata::STRATA_ABI::cuda

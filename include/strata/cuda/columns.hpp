#pragma once

#include <algorithm>
#include <cstdint>

#include <strata/cuda/kernels/columns.hpp>

#include <vector_types.h>

namespace strata { inline namespace STRATA_ABI { namespace cuda {

/// Of how many parts of `size` something of `count` is.
inline std::int64_t shares(std::int64_t count, std::int64_t size) {
  return (count + size - 1) / size;
}

/// Enough blocks to fill any card, and no thread with less than 8 rows. No number depends on the card, so
/// that sums are the same bits on all of them.
inline Columns columns_of(std::int64_t rows, std::int64_t channels, std::int64_t most_slices = 65535) {
  constexpr std::int64_t blocks = 2048, rows_per_thread = 8;
  Columns out{.rows = rows, .channels = channels};
  while (out.width < channels && out.width < 32) out.width *= 2;
  const std::int64_t wanted =
      std::max<std::int64_t>(1, blocks / std::max<std::int64_t>(1, shares(channels, out.width)));
  const std::int64_t least = rows_per_thread * (Columns::threads / out.width);
  out.slice = std::max(least, shares(rows, std::min(wanted, most_slices)));
  out.slices = shares(rows, out.slice);
  return out;
}

/// Blocks for all channels of `slices` slices, and so many matrices.
inline dim3 grid_of(const Columns& columns, std::int64_t slices, std::int64_t matrices = 1) {
  const std::int64_t across = shares(columns.channels, columns.width);
  return dim3(static_cast<unsigned>(across), static_cast<unsigned>(slices), static_cast<unsigned>(matrices));
}

}}}  // namespace strata::STRATA_ABI::cuda

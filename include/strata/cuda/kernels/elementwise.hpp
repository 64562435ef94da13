#pragma once

#include <cstdint>

#include <strata/core/config.hpp>
#include <strata/tensor/geometry.hpp>

namespace strata { inline namespace STRATA_ABI { namespace cuda {

/// Longer rows take a block each, shorter ones a warp.
inline constexpr std::int64_t widest_warp_row = 1024;
/// Threads for a kernel with a RowTeam per row, in blocks of 256.
constexpr std::int64_t threads_for_rows(std::int64_t rows, std::int64_t channels) {
  return rows * (channels > widest_warp_row ? 256 : 32);
}

struct ActivationBackwardParameters {
  std::int64_t rows, channels;
  const float *from, *dy;  ///< `from`: what the derivative follows from, the function's input or its output
  float* dx;
  int kind;  ///< one of activation_kind
  float negative_slope;
  bool wide;  ///< softmax: a block per row, not a warp
};

struct AffineParameters {
  std::int64_t count;
  float scale, offset;
  const float* x;
  float* y;
};

struct AxpyParameters {
  std::int64_t count;
  float alpha;
  const float* x;
  float* y;
};

struct CopyBlockParameters {
  std::int64_t rows, columns, x_stride, y_stride;
  const float* x;
  float* y;
};

struct Pad2DParameters {
  Pad2DGeometry g;
  const float* x;
  float* y;
};

/// See RandomStream: what it drew in 24 bits is compared with `threshold`.
struct DropoutParameters {
  std::int64_t count;
  std::uint32_t key[2], step[2];
  std::uint32_t threshold;
  float scale;
  const float* x;
  float* y;
};

}}}  // namespace strata::STRATA_ABI::cuda

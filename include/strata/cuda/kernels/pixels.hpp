#pragma once

#include <cstdint>

#include <strata/cuda/kernels/columns.hpp>
#include <strata/tensor/pixels.hpp>

namespace strata { inline namespace STRATA_ABI { namespace cuda {

/// Pictures of X, warped and scaled.
template <class X>
struct WarpPixels {
  PixelGeometry geometry;
  PixelSampling sampling;
  const PixelWarp* warps = nullptr;  ///< or null
  double* ranges = nullptr;  ///< least and greatest warped value of each picture whose values are shifted
  bool scaled = false;       ///< y[c] = scale[c] * value - mean[c]
  bool reverse_channels = false;
  double scale[4] = {}, mean[4] = {};
  const X* x = nullptr;
  float* y = nullptr;
};
using LoadPixels = WarpPixels<std::uint8_t>;
using WarpValues = WarpPixels<float>;

/// Adjusted pictures, or the gradient dx = y of what is adjusted from dy. `columns` are those of one picture.
struct AdjustPixels {
  Columns columns;
  std::int64_t batch = 0;
  const PixelAdjustment* adjustments = nullptr;
  const float *x = nullptr, *dy = nullptr;  ///< dy: null in the forward pass
  double *x_partial = nullptr,
         *dy_partial = nullptr;  ///< sums of x and of the dy that pass: [batch,slices,1,channels]
  float* y = nullptr;
};

}}}  // namespace strata::STRATA_ABI::cuda

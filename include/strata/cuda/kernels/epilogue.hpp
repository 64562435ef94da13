#pragma once

#include <cstdint>

#include <strata/core/config.hpp>

namespace strata { inline namespace STRATA_ABI { namespace cuda {

/// y = activation(scale x + bias + residual) of x [rows,channels]; scale, bias and residual may be null.
struct ApplyParameters {
  std::int64_t rows, channels;
  const float *x, *scale, *bias, *residual;
  float* y;
  int kind;  ///< one of activation_kind
  float negative_slope;
  bool wide;  ///< softmax: a block per row, not a warp
};

/// The same, then 2x2 max-pooling of images [batch,h,w,channels]; not softmax.
struct ApplyPooledParameters {
  ApplyParameters apply;  ///< its rows do not count
  std::int64_t batch, h, w;
};

struct TransposeParameters {
  std::int64_t rows, columns;  ///< of `from`
  const float* from;
  float* to;
  bool accumulate;
};

}}}  // namespace strata::STRATA_ABI::cuda

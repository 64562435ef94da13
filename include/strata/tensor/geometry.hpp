#pragma once

#include <cstdint>

#include <strata/core/config.hpp>

namespace strata { inline namespace STRATA_ABI {

/// Everything a convolution needs to know. x is [batch,in_h,in_w,in_c], the kernel
/// [kernel_h,kernel_w,in_c/groups,out_c], y [batch,out_h,out_w,out_c]; output (oy, ox) reads input row oy *
/// stride_h - pad_top + ky * dilation_h. The channels of x and y fall into `groups` parts that know nothing
/// of each other; with one input channel each, the convolution is depthwise.
struct Conv2DGeometry {
  std::int64_t batch = 0;
  std::int64_t in_h = 0, in_w = 0, in_c = 0;
  std::int64_t out_h = 0, out_w = 0, out_c = 0;
  std::int64_t kernel_h = 0, kernel_w = 0;
  std::int64_t stride_h = 1, stride_w = 1;
  std::int64_t dilation_h = 1, dilation_w = 1;
  std::int64_t pad_top = 0, pad_left = 0;
  std::int64_t groups = 1;

  /// Channels of one group.
  constexpr std::int64_t group_in() const { return in_c / groups; }
  constexpr std::int64_t group_out() const { return out_c / groups; }
  /// Multiplications and additions of the forward pass, or of either backward pass.
  constexpr std::int64_t flops() const {
    return 2 * batch * out_h * out_w * out_c * kernel_h * kernel_w * group_in();
  }
  friend constexpr bool operator==(const Conv2DGeometry&, const Conv2DGeometry&) = default;
};

/// A product of x [rows,in] and a kernel [in,out].
struct DenseGeometry {
  std::int64_t rows = 0, in = 0, out = 0;

  constexpr std::int64_t flops() const { return 2 * rows * in * out; }
};

/// A pooling window sliding over [batch,in_h,in_w,channels]. Windows are cut at the border: padding takes no
/// part in the maximum or the average.
struct Pool2DGeometry {
  std::int64_t batch = 0;
  std::int64_t in_h = 0, in_w = 0, channels = 0;
  std::int64_t out_h = 0, out_w = 0;
  std::int64_t pool_h = 0, pool_w = 0;
  std::int64_t stride_h = 1, stride_w = 1;
  std::int64_t pad_top = 0, pad_left = 0;
};

/// Zeros around [batch,in_h,in_w,channels].
struct Pad2DGeometry {
  std::int64_t batch = 0;
  std::int64_t in_h = 0, in_w = 0, channels = 0;
  std::int64_t top = 0, bottom = 0, left = 0, right = 0;
};

}}  // namespace strata::STRATA_ABI

#pragma once

#include <strata/tensor/geometry.hpp>

namespace strata { inline namespace STRATA_ABI { namespace cuda {

/// Tensors of a convolution as Strata has them: the kernel [kernel_h,kernel_w,in_c/groups,out_c].
struct DirectConvolution {
  Conv2DGeometry g;
  const float *x, *kernel, *dy;
  float* result;
  bool accumulate;
};

/// The gradient by the kernel of a convolution without groups, a product of two tall matrices: the windows
/// [pixels,taps] and dy [pixels,out_c]. Blocks take a slice of the pixels (x), some taps (y) and some
/// outputs (z), and leave their part of the sum in parts [slices,taps,out_c].
struct WindowGradient {
  static constexpr int taps = 32, pixels = 32;  // of a block, and at a time
  static constexpr int own = 4;                 // taps and outputs of a thread
  static constexpr int threads(int outputs) { return taps / own * (outputs / own); }

  Conv2DGeometry g;
  std::int64_t slice;  // pixels
  const float *x, *dy;
  float* parts;
};

}}}  // namespace strata::STRATA_ABI::cuda

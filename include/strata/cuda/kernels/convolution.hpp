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

}}}  // namespace strata::STRATA_ABI::cuda

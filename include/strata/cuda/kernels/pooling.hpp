#pragma once

#include <strata/core/config.hpp>
#include <strata/tensor/geometry.hpp>

namespace strata { inline namespace STRATA_ABI { namespace cuda {

struct Pool2DParameters {
  Pool2DGeometry g;
  bool max;  ///< else the average
  const float* x;
  float* y;
};

struct Pool2DBackwardParameters {
  Pool2DGeometry g;
  bool max;
  const float *x, *y, *dy;
  float* dx;
};

}}}  // namespace strata::STRATA_ABI::cuda

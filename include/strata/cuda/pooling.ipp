#pragma once

#include <strata/cuda/backend.hpp>
#include <strata/cuda/kernels/pooling.hpp>

namespace strata { inline namespace STRATA_ABI { namespace cuda {

STRATA_INLINE void CudaBackend::pool2d(const Pool2DGeometry& g, PoolKind kind, const float* x, float* y) {
  const std::int64_t count = g.batch * g.out_h * g.out_w * g.channels;
  launch_over("strata_pool2d", count, Pool2DParameters{.g = g, .max = kind == PoolKind::max, .x = x, .y = y});
}

STRATA_INLINE void CudaBackend::pool2d_backward(const Pool2DGeometry& g, PoolKind kind, const float* x,
                                                const float* y, const float* dy, float* dx) {
  const std::int64_t count = g.batch * g.in_h * g.in_w * g.channels;
  launch_over(
      "strata_pool2d_backward", count,
      Pool2DBackwardParameters{.g = g, .max = kind == PoolKind::max, .x = x, .y = y, .dy = dy, .dx = dx});
}

}}}  // namespace strata::STRATA_ABI::cuda

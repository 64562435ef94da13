#pragma once

#include <strata/cuda/backend.hpp>
#include <strata/cuda/kernels/pooling.hpp>

namespace strata { inline namespace STRATA_ABI { namespace cuda {

STRATA_INLINE void CudaBackend::pool2d(const Pool2DGeometry& g, PoolKind kind, const float* x, float* y,
                                       std::uint8_t*) {
  launch_images("strata_pool2d", g.batch, g.out_h, g.out_w * g.channels,
                Pool2DParameters{.g = g, .max = kind == PoolKind::max, .x = x, .y = y});
}

STRATA_INLINE void CudaBackend::pool2d_backward(const Pool2DGeometry& g, PoolKind kind,
                                                const Activation& before, const float* x, const float* y,
                                                const float* dy, float* dx, const std::uint8_t*) {
  const Pool2DBackwardParameters p{.g = g, .max = kind == PoolKind::max, .x = x, .y = y, .dy = dy, .dx = dx};
  const bool apart = g.stride_h >= g.pool_h && g.stride_w >= g.pool_w;
  const bool covered = g.stride_h == g.pool_h && g.stride_w == g.pool_w &&
                       g.out_h * g.stride_h - g.pad_top >= g.in_h &&
                       g.out_w * g.stride_w - g.pad_left >= g.in_w;
  if (apart) {
    if (!covered) zero(dx, static_cast<std::size_t>(g.batch * g.in_h * g.in_w * g.channels) * sizeof(float));
    launch_images("strata_pool2d_backward_apart", g.batch, g.out_h, g.out_w * g.channels, p);
  } else {
    launch_images("strata_pool2d_backward", g.batch, g.in_h, g.in_w * g.channels, p);
  }
  if (before != Activation::linear)
    activation_backward(before, g.batch * g.in_h * g.in_w, g.channels, nullptr, x, dx, dx);
}

}}}  // namespace strata::STRATA_ABI::cuda

#pragma once

#include <cmath>

#include <strata/cuda/backend.hpp>
#include <strata/cuda/kernels/activation.hpp>
#include <strata/cuda/kernels/elementwise.hpp>

namespace strata { inline namespace STRATA_ABI { namespace cuda {

STRATA_INLINE void CudaBackend::activation(const Activation& f, std::int64_t rows, std::int64_t channels,
                                           const float* x, float* y) {
  apply({.activation = f}, rows, channels, x, y);
}

STRATA_INLINE void CudaBackend::activation_backward(const Activation& f, std::int64_t rows,
                                                    std::int64_t channels, const float* x, const float* y,
                                                    const float* dy, float* dx) {
  const ActivationBackwardParameters p{.rows = rows,
                                       .channels = channels,
                                       .from = derivative_needs_input(f.kind) ? x : y,
                                       .dy = dy,
                                       .dx = dx,
                                       .kind = static_cast<int>(f.kind),
                                       .negative_slope = static_cast<float>(f.negative_slope),
                                       .wide = channels > widest_warp_row};
  if (f.kind == Activation::Kind::softmax)
    launch_over("strata_softmax_backward", threads_for_rows(rows, channels), p);
  else
    launch_over("strata_activation_backward", (rows * channels + 3) / 4, p);
}

STRATA_INLINE void CudaBackend::affine(std::int64_t count, float scale, float offset, const float* x,
                                       float* y) {
  launch_over("strata_affine", (count + 3) / 4,
              AffineParameters{.count = count, .scale = scale, .offset = offset, .x = x, .y = y});
}

STRATA_INLINE void CudaBackend::axpy(std::int64_t count, float alpha, const float* x, float* y) {
  launch_over("strata_axpy", (count + 3) / 4, AxpyParameters{.count = count, .alpha = alpha, .x = x, .y = y});
}

STRATA_INLINE void CudaBackend::copy_block(std::int64_t rows, std::int64_t columns, const float* x,
                                           std::int64_t x_stride, float* y, std::int64_t y_stride) {
  launch_over(
      "strata_copy_block", (rows * columns + 3) / 4,
      CopyBlockParameters{
          .rows = rows, .columns = columns, .x_stride = x_stride, .y_stride = y_stride, .x = x, .y = y});
}

STRATA_INLINE void CudaBackend::pad2d(const Pad2DGeometry& g, const float* x, float* y) {
  const std::int64_t outer = g.batch * (g.top + g.in_h + g.bottom) * (g.left + g.in_w + g.right) * g.channels;
  launch_over("strata_pad2d", (outer + 3) / 4, Pad2DParameters{.g = g, .x = x, .y = y});
}

STRATA_INLINE void CudaBackend::pad2d_backward(const Pad2DGeometry& g, const float* dy, float* dx) {
  const std::int64_t inner = g.batch * g.in_h * g.in_w * g.channels;
  launch_over("strata_pad2d_backward", (inner + 3) / 4, Pad2DParameters{.g = g, .x = dy, .y = dx});
}

STRATA_INLINE void CudaBackend::dropout(std::int64_t count, double rate, const RandomStream& random,
                                        const float* x, float* y) {
  // uniform >= rate, for the whole number of 24 bits that uniform is made of.
  const double threshold = std::ceil(rate * 0x1p24);
  launch_over("strata_dropout", (count + 3) / 4,
              DropoutParameters{.count = count,
                                .key = {random.key()[0], random.key()[1]},
                                .step = {static_cast<std::uint32_t>(random.step()),
                                         static_cast<std::uint32_t>(random.step() >> 32)},
                                .threshold = static_cast<std::uint32_t>(threshold),
                                .scale = static_cast<float>(1 / (1 - rate)),
                                .x = x,
                                .y = y});
}

}}}  // namespace strata::STRATA_ABI::cuda

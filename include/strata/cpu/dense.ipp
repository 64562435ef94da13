#pragma once

#include <strata/cpu/backend.hpp>
#include <strata/cpu/implicit_product.hpp>
#include <strata/cpu/tasks.hpp>

namespace strata { inline namespace STRATA_ABI { namespace cpu {

/// A dense layer is a 1x1 convolution of 1x1 images.
inline Conv2DGeometry as_convolution(const DenseGeometry& dense) {
  Conv2DGeometry g;
  g.batch = dense.rows;
  g.in_h = g.in_w = g.out_h = g.out_w = g.kernel_h = g.kernel_w = 1;
  g.in_c = dense.in;
  g.out_c = dense.out;
  return g;
}

STRATA_COLD STRATA_INLINE void CpuBackend::dense(const DenseGeometry& g, const float* x,
                                                 WeightView<float> kernel, const Epilogue<float>& epilogue,
                                                 float* y) {
  conv2d(as_convolution(g), x, kernel, epilogue, y);
}
STRATA_COLD STRATA_INLINE Algorithm CpuBackend::describe_dense(const DenseGeometry& g) const {
  return describe_conv2d(as_convolution(g), {});
}
STRATA_COLD STRATA_INLINE void CpuBackend::dense_backward_input(const DenseGeometry& g, const float* dy,
                                                                WeightView<float> kernel,
                                                                Gradient<float> dx) {
  const std::int64_t rows = g.rows, in = g.in, out = g.out;
  constexpr std::int64_t few_rows = 64;
  if (rows > few_rows) return conv2d_backward_input(as_convolution(g), dy, kernel, dx);
  // For a small batch the weight is by far the largest matrix. dx^T = kernel dy^T reads it as it lies, where
  // dx = dy kernel^T would transpose it first.
  const PatchMatrix weight{kernel.data, in, 1, 1, out, 1, 1, 1, 1, {{0, 0}}};
  const std::int64_t panel = kernels_.panel(), panels = divide_up(rows, panel);
  const auto memory = workspace_.lease(panels * panel * out + in * rows);
  float* const right = memory.data();
  float* const transposed_dx = right + panels * panel * out;
  kernels_.pack_panels_transposed(out, rows, dy, out, right, out * panel);
  multiply(pool_, workspace_, kernels_, kernels_.product, weight, {right, out, rows, out * panel, panel},
           transposed_dx, {},
           [&](std::int64_t first, std::int64_t count, std::int64_t column, std::int64_t columns) {
             for (std::int64_t r = column; r < column + columns; ++r)
               for (std::int64_t i = first; i < first + count; ++i) {
                 float& to = dx.data[r * in + i];
                 to = transposed_dx[i * rows + r] + (dx.accumulate ? to : 0.f);
               }
           });
}
STRATA_COLD STRATA_INLINE void CpuBackend::dense_backward_kernel(const DenseGeometry& g, const float* x,
                                                                 const float* dy, Gradient<float> dkernel) {
  conv2d_backward_kernel(as_convolution(g), x, dy, dkernel);
}

}}}  // namespace strata::STRATA_ABI::cpu
